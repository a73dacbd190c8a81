"""The USB/IP protocol 1.1.1: its messages as values, read from and written as bytes, big-endian."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from neurostim_sim.usb import descriptors as d
from neurostim_sim.usb.transfers import Completion

VERSION: Final = 0x0111
REQUEST_DEVICES, REPLY_DEVICES = 0x8005, 0x0005
REQUEST_IMPORT, REPLY_IMPORT = 0x8003, 0x0003
OPERATION: Final = struct.Struct(">HHI")
BUS_ID_BYTES: Final = 32

DONE, BUSY, NO_DEVICE = 0, 2, 4
"""Status of an operation."""

SUBMIT, UNLINK, RETURN_SUBMIT, RETURN_UNLINK = 1, 2, 3, 4
HEADER: Final = struct.Struct(">IIIII28s")
_SUBMIT: Final = struct.Struct(">Iiiii8s")
_UNLINK: Final = struct.Struct(">I24x")
_RETURN: Final = struct.Struct(">IIIIIiiiii8x")
_DEVICE: Final = struct.Struct(">256s32sIIIHHHBBBBBB")

BUS_NUMBER: Final = 1
DEVICE_NUMBER: Final = 2
BUS_ID: Final = f"{BUS_NUMBER}-1"
DEVICE_ID: Final = BUS_NUMBER << 16 | DEVICE_NUMBER
FULL_SPEED: Final = 2
SHORT_NOT_OK: Final = 0x0001
ZERO_PACKET: Final = 0x0040
NO_PACKETS: Final = (0, -1)


class Malformed(Exception):
    """What came is not the protocol: the connection has to end."""


@dataclass(frozen=True, slots=True)
class Command:
    """The head of a command of the importing host; ``length`` bytes of data follow where it sends."""

    code: int
    number: int
    endpoint: int
    length: int
    flags: int
    setup: bytes
    unlinks: int

    @property
    def sends(self) -> bool:
        """Whether data follow the head."""
        return self.code == SUBMIT and not self.endpoint & 0x80 and self.length > 0


def decode_command(head: bytes, longest: int) -> Command:
    """Read the 48 bytes that begin a command.

    Parameters
    ----------
    head : bytes
    longest : int
        Most bytes of a transfer.

    Raises
    ------
    Malformed
        For another device, an unknown command or endpoint, or a transfer that no endpoint here has.
    """
    code, number, device, direction, endpoint, rest = HEADER.unpack(head)
    if code not in (SUBMIT, UNLINK) or device != DEVICE_ID or direction > 1 or endpoint > 15:
        raise Malformed(f"command {code} for device {device:#x}, endpoint {endpoint}, direction {direction}")
    address = endpoint | direction << 7
    if code == UNLINK:
        return Command(code, number, address, 0, 0, b"", _UNLINK.unpack(rest)[0])
    flags, length, _start, packets, _interval, setup = _SUBMIT.unpack(rest)
    if not 0 <= length <= longest:
        raise Malformed(f"a transfer of {length} bytes")
    known = endpoint == 0 or any(one.address == address for one in d.ENDPOINTS)
    if not known and packets not in NO_PACKETS:
        # Descriptors of packets would follow; no endpoint here is isochronous.
        raise Malformed(f"an isochronous transfer of endpoint {endpoint}")
    return Command(code, number, address, length, flags, setup, 0)


def encode_completion(ended: Completion) -> bytes:
    """The answer to a transfer."""
    head = _RETURN.pack(RETURN_SUBMIT, ended.number, 0, 0, 0, ended.status, ended.actual, 0, 0, 0)
    return head + ended.data


def encode_unlinked(number: int, status: int) -> bytes:
    """The answer to an unlink: whether the transfer was taken back."""
    return _RETURN.pack(RETURN_UNLINK, number, 0, 0, 0, status, 0, 0, 0, 0)


def encode_operation(code: int, status: int, body: bytes = b"") -> bytes:
    """The answer to an operation."""
    return OPERATION.pack(VERSION, code, status) + body


def encode_device(configuration: int) -> bytes:
    """The exported device."""
    path = f"/sys/devices/neurostim-sim/usb{BUS_NUMBER}/{BUS_ID}".encode()
    return _DEVICE.pack(
        *(path, BUS_ID.encode(), BUS_NUMBER, DEVICE_NUMBER, FULL_SPEED),
        *(d.VENDOR_ID, d.PRODUCT_ID, d.DEVICE_VERSION, *d.DEVICE_CLASS),
        *(configuration, 1, len(d.INTERFACES)),
    )


def encode_interfaces() -> bytes:
    """Classes of the interfaces, as the list of devices has them."""
    return b"".join(bytes((*one, 0)) for one in d.INTERFACES)
