"""The USB side of the device: transfers of a host in, what became of them out; no time and no I/O.

Bytes of the wire protocol go through unread, but for the types of events: a critical one that waits for the
host is announced on the interrupt endpoint, so that a host need not keep asking.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable
from typing import Final

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.frame import FLAG_EVENT
from neurostim.wire.layout import Event, Lane
from neurostim.wire.messages import MESSAGES, DeviceState, FaultCode, StopCause
from neurostim_sim.servers.line import DELIMITER
from neurostim_sim.usb import descriptors as d
from neurostim_sim.usb.control import ControlEndpoint
from neurostim_sim.usb.pipes import HintPipe, InPipe, OutPipe
from neurostim_sim.usb.transfers import ENOMEM, EPROTO, ESHUTDOWN, Completion, Request

MOST_REQUESTS: Final = 256
MOST_BYTES: Final = 1 << 21
"""What of a host may wait here at once: requests, and their bytes."""

HINT: Final = struct.Struct("<BBBBI")
HINT_VERSION: Final = 1
CRITICAL: Final = frozenset(
    message.TYPE
    for message in MESSAGES.values()
    if issubclass(message, Event) and message.LANE is Lane.CRITICAL
)

Look = Callable[[], tuple[DeviceState, StopCause, FaultCode]]


class Function(enum.IntEnum):
    """What a program of a host opens; the number is that of its line to the device."""

    VENDOR = 0
    SERIAL = 1


class UsbDevice:
    """One composite device on the bus.

    Parameters
    ----------
    serial_number : str
        Stable, in its string descriptor.
    look : callable
        State, stop cause and fault of the device, for hints.
    """

    def __init__(self, serial_number: str, look: Look) -> None:
        self._look = look
        self._control = ControlEndpoint(self, serial_number)
        self._serial_in, self._vendor_in = InPipe(d.CDC_IN), InPipe(d.VENDOR_IN)
        self._serial_out, self._vendor_out = OutPipe(d.CDC_OUT), OutPipe(d.VENDOR_OUT)
        self._notify, self._hint = HintPipe(d.CDC_NOTIFY), HintPipe(d.VENDOR_HINT)
        self._in: tuple[InPipe, ...] = (self._notify, self._serial_in, self._vendor_in, self._hint)
        self._out: tuple[OutPipe, ...] = (self._serial_out, self._vendor_out)
        self._pipes: dict[int, InPipe | OutPipe] = {
            one.endpoint.address: one for one in (*self._in, *self._out)
        }
        self._serial_opened = False
        self._hints = 0
        self._urgent: list[bytes] = []
        self._ended: list[Completion] = []

    @property
    def configuration(self) -> int:
        """Present configuration, 0 for none."""
        return self._control.configuration

    def reset(self) -> None:
        """Reset by the bus: every transfer is over, nothing is configured."""
        self._end_all()
        self._ended.clear()
        self._urgent.clear()
        self._control.reset()
        self.configure(0)

    def remove(self) -> None:
        """Pull the device off the bus: what waits ends with `ESHUTDOWN`; the rest is as after a reset."""
        self._end_all()
        ended = list(self._ended)
        self.reset()
        self._ended = ended

    # What the host asks.

    def submit(self, request: Request) -> None:
        """Take a transfer; how it ends is among `take_ended`, now or later."""
        if request.endpoint & 0x7F == 0:
            self._ended.append(self._control.run(request))
            self._run()
            return
        pipe = self._pipes.get(request.endpoint)
        if pipe is None or not self.configuration:
            self._ended.append(Completion(request.number, EPROTO, 0))
        elif self._is_full(request):
            self._ended.append(Completion(request.number, ENOMEM, 0))
        else:
            pipe.waiting.append(request)
            self._run()

    def unlink(self, number: int) -> bool:
        """Take a transfer back that waits; False where it has ended already."""
        for pipe in self._pipes.values():
            for request in pipe.waiting:
                if request.number == number:
                    pipe.waiting.remove(request)
                    return True
        return False

    def take_ended(self) -> list[Completion]:
        """Transfers that have ended since the last call, in order."""
        ended, self._ended = self._ended, []
        return ended

    # What the device does.

    def take_heard(self, function: Function = Function.VENDOR) -> bytes:
        """Whole frames that have come by a function."""
        pipe = self._vendor_out if function is Function.VENDOR else self._serial_out
        return pipe.take_frames()

    def take_urgent(self) -> list[bytes]:
        """Stop frames that came by the control endpoint."""
        frames, self._urgent = self._urgent, []
        return frames

    def feed(self, data: bytes, function: Function = Function.VENDOR) -> None:
        """Send bytes by a function, where somebody uses it."""
        if not self.configuration:
            return
        if function is Function.SERIAL:
            if self._serial_opened or self._serial_out.heard_any:
                self._serial_in.offer(data)
        elif self._vendor_in.waiting or self._vendor_out.heard_any:
            self._vendor_in.offer(data)
            self._announce(data)
        self._run()

    # Faults.

    def stall(self) -> None:
        """Halt the data endpoints."""
        for pipe in self._data_pipes():
            pipe.halted = True
        self._run()

    def babble(self) -> None:
        """Let the next data packet to the host be too long."""
        self._serial_in.babbling = self._vendor_in.babbling = True

    def refuse(self, *, refusing: bool) -> None:
        """Answer NAK to data packets of the host, or take them again."""
        for pipe in self._out:
            pipe.refusing = refusing
        self._run()

    # What the control endpoint changes.

    def configure(self, value: int) -> None:
        """Take a configuration: every endpoint begins anew; transfers of the former one are over."""
        self._end_all()
        for pipe in self._pipes.values():
            pipe.reset()
        self._serial_opened = False

    def restart_interface(self, interface: int) -> None:
        """Let the endpoints of an interface begin anew."""
        for pipe in self._pipes.values():
            if pipe.endpoint.interface == interface:
                pipe.reset()

    def halted(self, address: int) -> bool | None:
        """Whether an endpoint is halted; None where there is none."""
        pipe = self._pipes.get(address)
        return None if pipe is None else pipe.halted

    def halt(self, address: int, *, halted: bool) -> None:
        """Halt an endpoint, or end its halt."""
        self._pipes[address].halted = halted

    def open_serial(self, *, opened: bool) -> None:
        """A program has opened or closed the serial port; another one finds it empty."""
        if not opened:
            self._serial_in.reset()
            self._serial_out.reset()
        self._serial_opened = opened

    def urgent(self, frame: bytes) -> None:
        """Take a stop frame now."""
        self._urgent.append(frame)

    def _run(self) -> None:
        for pipe in self._pipes.values():
            self._ended += pipe.run()

    def _end_all(self) -> None:
        for pipe in self._pipes.values():
            self._ended += [Completion(one.number, ESHUTDOWN, 0) for one in pipe.waiting]
            pipe.waiting.clear()

    def _is_full(self, request: Request) -> bool:
        waiting = [one for pipe in self._pipes.values() for one in pipe.waiting]
        held = sum(len(one.data) for one in waiting)
        return len(waiting) >= MOST_REQUESTS or held + len(request.data) > MOST_BYTES

    def _data_pipes(self) -> Iterable[InPipe | OutPipe]:
        return (self._serial_in, self._serial_out, self._vendor_in, self._vendor_out)

    def _announce(self, data: bytes) -> None:
        critical = sum(_is_critical(frame) for frame in data.split(DELIMITER) if frame)
        if critical:
            self._hints = (self._hints + critical) & 0xFFFF_FFFF
            self._hint.offer(HINT.pack(HINT_VERSION, *self._look(), self._hints))


def _is_critical(stuffed: bytes) -> bool:
    try:
        frame = cobs.decode(stuffed)
    except ProtocolError:
        return False
    return len(frame) > 2 and bool(frame[2] & FLAG_EVENT) and frame[1] in CRITICAL
