"""The client's side of USB/IP 1.1.1 as bytes: requests out, completions in. No socket, no time.

Layouts: the Linux kernel's ``Documentation/usb/usbip_protocol.rst``. Everything is big-endian but the
eight bytes of a control request, which are as on a bus.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

VERSION: Final = 0x0111
DEFAULT_PORT: Final = 3240
REQUEST_DEVICES: Final = 0x8005
REPLY_DEVICES: Final = 0x0005
REQUEST_IMPORT: Final = 0x8003
REPLY_IMPORT: Final = 0x0003

BUSY: Final = 2
"""Status of an import: another host has the device."""

SUBMIT: Final = 1
UNLINK: Final = 2
SUBMITTED: Final = 3
UNLINKED: Final = 4

OUT: Final = 0
IN: Final = 1

MAX_TRANSFER_BYTES: Final = 1 << 20
MAX_DEVICES: Final = 1024
MAX_GIVEN_UP: Final = 1024
BUS_ID_BYTES: Final = 32

_OPERATION: Final = struct.Struct("!HHI")
_DEVICE: Final = struct.Struct("!256s32sIIIHHHBBBBBB")
_COMMAND: Final = struct.Struct("!IIIIIIiiii8s")
_UNLINK: Final = struct.Struct("!IIIIII24x")
_REPLY: Final = struct.Struct("!IIIIIiiiii8x")

OPERATION_BYTES: Final = _OPERATION.size
DEVICE_BYTES: Final = _DEVICE.size
HEADER_BYTES: Final = _REPLY.size

_NO_SETUP: Final = bytes(8)


class UsbipError(ValueError):
    """The server said something that USB/IP does not allow; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class ExportedDevice:
    """One device that a server exports."""

    path: str
    bus_id: str
    bus: int
    address: int
    speed: int
    vendor_id: int
    product_id: int
    release: int
    interfaces: int

    @property
    def device_id(self) -> int:
        """What names the device in each request."""
        return self.bus << 16 | self.address


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a transfer: ``status`` is 0 or a negative Linux error number.

    ``unlinked`` says that the transfer was cancelled before it ended; ``actual`` is how many bytes went.
    """

    sequence: int
    status: int
    actual: int
    data: bytes = b""
    unlinked: bool = False


def encode_devices_request() -> bytes:
    """Ask for everything that is exported."""
    return _OPERATION.pack(VERSION, REQUEST_DEVICES, 0)


def encode_import_request(bus_id: str) -> bytes:
    """Ask for one device, for this connection alone.

    Raises
    ------
    UsbipError
        For a bus id of more than 31 bytes or with other than printable ASCII.
    """
    name = bus_id.encode("ascii", "replace")
    if not 0 < len(name) < BUS_ID_BYTES or not bus_id.isascii() or not bus_id.isprintable():
        raise UsbipError(f"{bus_id!r} is no bus id")
    return _OPERATION.pack(VERSION, REQUEST_IMPORT, 0) + name.ljust(BUS_ID_BYTES, b"\x00")


def read_operation(data: bytes, expected: int) -> int:
    """Status in the head of a reply; 0 is success.

    Raises
    ------
    UsbipError
        Where it is no such reply, or of another version.
    """
    version, code, status = _OPERATION.unpack(data)
    if code != expected:
        raise UsbipError(f"reply 0x{code:04x} where 0x{expected:04x} was due")
    if version != VERSION:
        raise UsbipError(f"the server speaks version {version >> 8}.{version & 0xFF:x}, not 1.11")
    return int(status)


def read_count(data: bytes) -> int:
    """How many devices follow.

    Raises
    ------
    UsbipError
        Where it is more than any server has.
    """
    count = int.from_bytes(data, "big")
    if count > MAX_DEVICES:
        raise UsbipError(f"the server says that it exports {count} devices")
    return count


def read_device(data: bytes) -> ExportedDevice:
    """One exported device; in a list, four bytes for each of its interfaces follow."""
    fields = _DEVICE.unpack(data)
    path, bus_id, bus, address, speed, vendor, product, release = fields[:8]
    return ExportedDevice(
        _text(path), _text(bus_id), bus, address, speed, vendor, product, release, fields[-1]
    )


def _text(data: bytes) -> str:
    return data.split(b"\x00", 1)[0].decode("ascii", "replace")


class Transfers:
    """Transfers under way on one connection: numbers them, and finds which of them a reply ends.

    Parameters
    ----------
    device_id : int
        Of the imported device.
    """

    def __init__(self, device_id: int) -> None:
        self._device_id = device_id
        self._sequence = 0
        self._awaited: dict[int, tuple[int, int]] = {}
        self._given_up: dict[int, tuple[int, int]] = {}
        self._unlinks: dict[int, int] = {}
        self._received = bytearray()

    def submit(
        self, endpoint: int, *, length: int = 0, data: bytes = b"", setup: bytes = _NO_SETUP
    ) -> tuple[int, bytes]:
        """Number of a transfer and the message that begins it.

        Parameters
        ----------
        endpoint : int
            Address with its direction bit; of endpoint 0, the direction of the data stage.
        length : int
            Bytes asked for, where the direction is in.
        data : bytes
            Bytes to send, where it is out.
        setup : bytes
            The eight bytes of a control request.
        """
        direction = IN if endpoint & 0x80 else OUT
        size = length if direction == IN else len(data)
        if size > MAX_TRANSFER_BYTES:
            raise UsbipError(f"a transfer of {size} bytes; at most {MAX_TRANSFER_BYTES}")
        sequence = self._next()
        self._awaited[sequence] = (direction, size)
        head = _COMMAND.pack(
            SUBMIT, sequence, self._device_id, direction, endpoint & 0x0F, 0, size, 0, 0, 0, setup
        )
        return sequence, head + data

    def unlink(self, sequence: int) -> bytes:
        """The message that asks to cancel a transfer; its own end may still win the race."""
        number = self._next()
        self._unlinks[number] = sequence
        return _UNLINK.pack(UNLINK, number, self._device_id, 0, 0, sequence)

    def feed(self, data: bytes) -> list[Completion]:
        """Take bytes from the server; return the transfers that ended.

        Raises
        ------
        UsbipError
            For a reply to what was never asked, or with more bytes than were asked for.
        """
        self._received += data
        ended = []
        while len(self._received) >= HEADER_BYTES:
            command, sequence, _, _, _, status, actual, *_ = _REPLY.unpack_from(self._received)
            if command == SUBMITTED:
                size = self._payload(sequence, actual)
                if len(self._received) < HEADER_BYTES + size:
                    break
                ended += self._submitted(sequence, status, actual, size)
                del self._received[: HEADER_BYTES + size]
            elif command == UNLINKED:
                ended += self._unlinked(sequence, status)
                del self._received[:HEADER_BYTES]
            else:
                raise UsbipError(f"unknown reply {command}")
        return ended

    def _payload(self, sequence: int, actual: int) -> int:
        known = self._awaited.get(sequence) or self._given_up.get(sequence)
        if known is None:
            raise UsbipError(f"a reply to transfer {sequence}, which was never begun")
        direction, size = known
        if not 0 <= actual <= size:
            raise UsbipError(f"{actual} bytes for a transfer of {size}")
        return actual if direction == IN else 0

    def _submitted(self, sequence: int, status: int, actual: int, size: int) -> list[Completion]:
        if self._given_up.pop(sequence, None) is not None:
            return []
        del self._awaited[sequence]
        data = bytes(self._received[HEADER_BYTES : HEADER_BYTES + size])
        return [Completion(sequence, status, actual, data)]

    def _unlinked(self, number: int, status: int) -> list[Completion]:
        if number not in self._unlinks:
            raise UsbipError(f"an answer to cancellation {number}, which was never asked for")
        sequence = self._unlinks.pop(number)
        transfer = self._awaited.pop(sequence, None)
        if transfer is None:
            # The transfer ended first; its reply has been seen.
            return []
        if status == 0:
            # Says that it had ended: should its reply come late after all, its bytes must be skipped.
            self._given_up[sequence] = transfer
            if len(self._given_up) > MAX_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]
        return [Completion(sequence, status, 0, unlinked=True)]

    def _next(self) -> int:
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        return self._sequence
