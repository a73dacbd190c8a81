"""Transfers of a host to the simulated USB device, without sockets."""

from __future__ import annotations

import itertools
from typing import Any

from neurostim.wire.messages import DeviceState, FaultCode, StopCause
from neurostim_sim.usb.device import UsbDevice
from neurostim_sim.usb.transfers import Completion, Request, Setup

SERIAL = "SIM-0001"


class UsbHost:
    """Asks one device for transfers; numbers count from 1."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._numbers = itertools.count(1)
        self.ended: dict[int, Completion] = {}

    def submit(self, endpoint: int, length: int = 0, data: bytes = b"", **more: Any) -> int:
        number = next(self._numbers)
        self.device.submit(Request(number, endpoint, length or len(data), data, **more))
        return number

    def result(self, number: int) -> Completion | None:
        """How a transfer ended; None while it waits."""
        for one in self.device.take_ended():
            assert one.number not in self.ended, "a transfer ended twice"
            self.ended[one.number] = one
        return self.ended.get(number)

    def read(self, endpoint: int, length: int = 512, **more: Any) -> Completion | None:
        return self.result(self.submit(endpoint, length, **more))

    def write(self, endpoint: int, data: bytes, **more: Any) -> Completion | None:
        return self.result(self.submit(endpoint, data=data, **more))

    def control(
        self, kind: int, request: int, value: int = 0, index: int = 0, data: bytes | int = b"", room: int = -1
    ) -> Completion:
        """A control transfer: bytes to send, or how many to ask for, into a buffer of ``room``."""
        asked = data if isinstance(data, int) else len(data)
        setup = kind.to_bytes(1, "little") + request.to_bytes(1, "little")
        setup += b"".join(one.to_bytes(2, "little") for one in (value, index, asked))
        assert Setup.decode(setup).length == asked
        sent = b"" if isinstance(data, int) else data
        length = (asked if room < 0 else room) if isinstance(data, int) else len(sent)
        endpoint = 0x80 if kind & 0x80 else 0
        number = next(self._numbers)
        self.device.submit(Request(number, endpoint, length, sent, setup))
        ended = self.result(number)
        assert ended is not None
        return ended

    def configure(self) -> None:
        assert self.control(0x00, 9, 1).status == 0


def bare_device() -> UsbDevice:
    """A device whose stimulator is idle."""
    return UsbDevice(SERIAL, lambda: (DeviceState.STOPPED, StopCause.DEAD_MAN, FaultCode.NONE))


def configured() -> UsbHost:
    """A host whose device is configured, with the vendor interface in use."""
    host = UsbHost(bare_device())
    host.configure()
    host.write(0x03, b"\0")
    return host
