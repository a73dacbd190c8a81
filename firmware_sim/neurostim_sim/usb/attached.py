"""A device core behind its USB controller: transfers in device time, faults of the bus, and coming back."""

from __future__ import annotations

import heapq
from typing import Final

from neurostim.wire.messages import DeviceState, FaultCode, StopCause
from neurostim_sim.core import DeviceCore
from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.settings import Settings
from neurostim_sim.usb import faults
from neurostim_sim.usb.device import Function, UsbDevice

RETURN_NS: Final = 200_000_000
"""Time after which a restarted processor is on the bus again [ns]."""

_PLUG: Final = "plug"
_ACCEPT: Final = "accept"


class UsbAttachedDevice(AttachedDevice):
    """A core behind a USB cable.

    Parameters
    ----------
    core : DeviceCore
    seed : int
        Decides what faults of the line do to which frame.

    Attributes
    ----------
    usb : UsbDevice
        What the bus sees; after using it, `advance` lets the device answer.
    """

    def __init__(self, core: DeviceCore, seed: int = 0) -> None:
        super().__init__(core, seed)
        # Two programs may be at the two functions: each hears what is for it.
        self.join(Function.SERIAL)
        self._device = core
        self.usb = UsbDevice(core.profile.capabilities.serial_number, self._look)
        self._due: list[tuple[int, int, str]] = []
        self._order = 0
        self._plugged = True
        self._boot = core.memory.boot_count
        self._back_ns: int | None = None

    @property
    def on_bus(self) -> bool:
        """Whether a host can see the device: the cable is in, and the processor runs."""
        return self._plugged and self._back_ns is None and not self._device.dead

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault of the bus, the line or the device."""
        if name in faults.USB_FAULTS:
            self._plan(at_ns, name)
        else:
            super().inject(name, at_ns)

    def advance(self, now_ns: int) -> None:
        """Let bus and device live up to ``now_ns``."""
        while self._due and self._due[0][0] <= now_ns:
            at_ns, _, name = heapq.heappop(self._due)
            self._live(at_ns)
            self._strike(name, at_ns)
        self._live(now_ns)

    def next_ns(self) -> int | None:
        """When something happens next, without further transfers."""
        times = [super().next_ns(), self._due[0][0] if self._due else None, self._back_ns]
        return min((one for one in times if one is not None), default=None)

    def let_go(self) -> None:
        """The host has gone: for the device, its cable was pulled."""
        self._cut_off()
        self.usb.reset()

    def unplug(self) -> None:
        """Pull the cable."""
        self._plugged = False
        self._leave_bus()

    def plug(self) -> None:
        """Put the cable in."""
        self._plugged = True

    def _live(self, at_ns: int) -> None:
        for frame in self.usb.take_urgent():
            # By the control endpoint: before everything that is still on its way.
            self.core.advance(at_ns)
            self.core.receive(frame, Function.VENDOR)
        for function in Function:
            heard = self.usb.take_heard(function)
            if heard:
                self.hear(heard, at_ns, function)
        super().advance(at_ns)
        for function in Function:
            arrived = self.take(at_ns, function)
            if arrived and self.on_bus:
                self.usb.feed(arrived, function)
        self._watch_processor(at_ns)

    def _watch_processor(self, at_ns: int) -> None:
        """A processor that restarts leaves the bus, as its controller does, and comes back after a moment."""
        boot = self._device.memory.boot_count
        if boot != self._boot:
            self._boot = boot
            self._back_ns = at_ns + RETURN_NS
            self._leave_bus()
        elif self._back_ns is not None and at_ns >= self._back_ns:
            self._back_ns = None

    def _leave_bus(self) -> None:
        self._cut_off()
        self.usb.remove()

    def _cut_off(self) -> None:
        """Nothing that was on its way between host and device arrives."""
        self.cut()
        for function in Function:
            self.core.drop_line(function)

    def _strike(self, name: str, at_ns: int) -> None:
        if name == faults.UNPLUG:
            self.unplug()
            self._plan(at_ns + faults.AWAY_NS, _PLUG)
        elif name == _PLUG:
            self.plug()
        elif name == faults.STALL:
            self.usb.stall()
        elif name == faults.BABBLE:
            self.usb.babble()
        else:
            self.usb.refuse(refusing=name == faults.REFUSE)
            if name == faults.REFUSE:
                self._plan(at_ns + faults.AWAY_NS, _ACCEPT)

    def _plan(self, at_ns: int, name: str) -> None:
        self._order += 1
        heapq.heappush(self._due, (at_ns, self._order, name))

    def _look(self) -> tuple[DeviceState, StopCause, FaultCode]:
        memory = self._device.memory
        return self._device.state, StopCause(memory.cause), FaultCode(memory.fault)


def switch_on(settings: Settings) -> UsbAttachedDevice:
    """The device of these settings behind a USB cable, with its faults scheduled.

    Raises
    ------
    ConfigError
        For an unknown profile, lead or fault.
    """
    device = UsbAttachedDevice(settings.core(), settings.seed)
    for text in settings.faults:
        name, at_ns = faults.parse_usb_fault(text)
        device.inject(name, at_ns)
    return device
