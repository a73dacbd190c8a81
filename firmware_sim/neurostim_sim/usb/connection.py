"""One connection of a USB/IP host, without I/O: an operation, and after an import its transfers."""

from __future__ import annotations

import struct
from typing import Final

from neurostim_sim.usb import protocol as p
from neurostim_sim.usb.attached import UsbAttachedDevice
from neurostim_sim.usb.transfers import ECONNRESET, OK, Request

LONGEST_TRANSFER: Final = 1 << 20
"""Most bytes of one transfer; a host that wants to send more is cut off."""
MOST_UNSENT: Final = 1 << 20
"""Bytes that a host leaves unread before nothing more is taken from it."""


class UsbIpBus:
    """The one device, and which connection has imported it."""

    def __init__(self, device: UsbAttachedDevice) -> None:
        self.device = device
        self.importer: Connection | None = None

    @property
    def exported(self) -> bool:
        """Whether the device is there to be seen."""
        return self.device.on_bus

    def release(self, connection: Connection) -> None:
        """A connection is over: if it had the device, that has lost its host."""
        if self.importer is connection:
            self.importer = None
            self.device.let_go()

    def collect(self) -> None:
        """Hand what has ended to the importing host; end its connection where the device has gone."""
        ended = self.device.usb.take_ended()
        if self.importer is None:
            return
        self.importer.answer(b"".join(p.encode_completion(one) for one in ended))
        if not self.exported:
            self.importer.ending = True
            self.importer = None


class Connection:
    """One host. ``ending``: to be closed when what is unsent has gone."""

    def __init__(self, bus: UsbIpBus) -> None:
        self._bus = bus
        self._held = bytearray()
        self._unsent = bytearray()
        self.imported = False
        self.ending = False

    @property
    def stuffed(self) -> bool:
        """Whether the host leaves so much unread that nothing more is taken from it."""
        return len(self._unsent) >= MOST_UNSENT

    @property
    def unsent(self) -> bytes:
        """Bytes for the host."""
        return bytes(self._unsent)

    def answer(self, data: bytes) -> None:
        """Add bytes for the host."""
        self._unsent += data

    def sent(self, count: int) -> None:
        """So many bytes have gone."""
        del self._unsent[:count]

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes of the host; the device answers at ``now_ns``.

        Raises
        ------
        Malformed
            Where they are not the protocol.
        """
        self._held += data
        while not self.ending and (self._command(now_ns) if self.imported else self._operation()):
            continue
        if self.ending:
            self._held.clear()

    def _operation(self) -> bool:
        """Carry out an operation if it is there in whole; after any but an import that is all."""
        if len(self._held) < p.OPERATION.size:
            return False
        version, code, _status = p.OPERATION.unpack_from(self._held)
        if version != p.VERSION or code not in (p.REQUEST_DEVICES, p.REQUEST_IMPORT):
            raise p.Malformed(f"operation {code:#x} of version {version:#x}")
        if code == p.REQUEST_DEVICES:
            self._take(p.OPERATION.size)
            self._list_devices()
            return True
        if len(self._held) < p.OPERATION.size + p.BUS_ID_BYTES:
            return False
        bus_id = self._take(p.OPERATION.size + p.BUS_ID_BYTES)[p.OPERATION.size :]
        self._import(bus_id.split(b"\0")[0])
        return True

    def _list_devices(self) -> None:
        listed = b""
        if self._bus.exported:
            listed = p.encode_device(self._bus.device.usb.configuration) + p.encode_interfaces()
        count = struct.pack(">I", 1 if listed else 0)
        self.answer(p.encode_operation(p.REPLY_DEVICES, p.DONE, count + listed))
        self.ending = True

    def _import(self, bus_id: bytes) -> None:
        status = p.DONE
        if bus_id != p.BUS_ID.encode() or not self._bus.exported:
            status = p.NO_DEVICE
        elif self._bus.importer is not None:
            status = p.BUSY
        if status != p.DONE:
            self.answer(p.encode_operation(p.REPLY_IMPORT, status))
            self.ending = True
            return
        self._bus.device.usb.reset()
        self._bus.importer = self
        self.imported = True
        self.answer(p.encode_operation(p.REPLY_IMPORT, p.DONE, p.encode_device(0)))

    def _command(self, now_ns: int) -> bool:
        if self.stuffed or len(self._held) < p.HEADER.size:
            return False
        command = p.decode_command(bytes(self._held[: p.HEADER.size]), LONGEST_TRANSFER)
        size = p.HEADER.size + (command.length if command.sends else 0)
        if len(self._held) < size:
            return False
        data = self._take(size)[p.HEADER.size :]
        if command.code == p.UNLINK:
            self._unlink(command)
        else:
            self._bus.device.usb.submit(
                Request(
                    command.number,
                    command.endpoint,
                    command.length,
                    data,
                    command.setup,
                    ends_with_zero=bool(command.flags & p.ZERO_PACKET),
                    whole=bool(command.flags & p.SHORT_NOT_OK),
                )
            )
            self._bus.device.advance(now_ns)
            self._bus.collect()
        return True

    def _unlink(self, command: p.Command) -> None:
        # What ended before is told first: then the host knows that it was too late.
        self._bus.collect()
        taken_back = self._bus.device.usb.unlink(command.unlinks)
        self.answer(p.encode_unlinked(command.number, ECONNRESET if taken_back else OK))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken
