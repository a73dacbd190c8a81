"""The stimulator of the native protocol over any link: intents become scripts, whoever moves the bytes."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import TypeVar

from neurostim.core.errors import ProtocolError, TransportError
from neurostim.core.hardware import Capabilities, Impedances
from neurostim.device import scripts
from neurostim.device.futures import CommandFuture
from neurostim.device.home import HomeCommands
from neurostim.device.records import (
    Armed,
    DeviceStatus,
    DoseRecord,
    Identity,
    LifeCounters,
    PairedHosts,
    SlotContents,
    Started,
)
from neurostim.device.stimulator import Stimulator
from neurostim.device.tasks import Script
from neurostim.safety.approval import ApprovedProgram
from neurostim.wire.messages import EventRecord, FaultCode, HelloReply, Role, StopCause

T = TypeVar("T")


class WireStimulator(Stimulator):
    """Everything of a native stimulator but the moving of bytes and the passing of time."""

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._capabilities: Capabilities | None = None
        self._role = Role.OBSERVE

    @property
    def identity(self) -> Identity:
        """Who it is, once open."""
        if self._identity is None:
            raise _not_open()
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, once open."""
        if self._capabilities is None:
            raise _not_open()
        return self._capabilities

    @property
    def role(self) -> Role:
        """What this host may do."""
        return self._role

    @property
    def home(self) -> HomeCommands:
        """Subjects, and use at home."""
        return HomeCommands(self._run)

    def status(self) -> CommandFuture[DeviceStatus]:
        """Read the present state."""
        return self._run("STATUS", scripts.status(self._now_ns()))

    def slot(self, slot: int) -> CommandFuture[SlotContents]:
        """Read what a program slot holds."""
        return self._run("SLOT_INFO", scripts.slot_contents(slot))

    def dose(self, number: int | None = None) -> CommandFuture[DoseRecord]:
        """Read the record of a dose, or of the latest."""
        return self._run("DOSE", scripts.dose(number))

    def counters(self) -> CommandFuture[LifeCounters]:
        """Read the counters that survive a reset."""
        return self._run("COUNTERS", scripts.counters())

    def log(self, first_index: int = 1) -> CommandFuture[tuple[EventRecord, ...]]:
        """Read the event log from an index on."""
        return self._run("EVENT_LOG", scripts.log(first_index))

    def pairings(self) -> CommandFuture[PairedHosts]:
        """Read which hosts hold a key; it needs an authenticated session."""
        return self._run("PAIRINGS", scripts.pairings())

    def unpair(self, host_id: bytes) -> CommandFuture[int]:
        """Erase the key of a host, with output off; its sessions end. Results in how many hosts are left."""
        return self._run("UNPAIR", scripts.unpair(host_id), changes=True)

    def load(self, program: ApprovedProgram, slot: int) -> CommandFuture[bytes]:
        """Load an approved program."""
        return self._run("LOAD", scripts.load(_approved(program), slot), changes=True)

    def measure_impedances(
        self, contacts: Iterable[int], expected_dose_count: int
    ) -> CommandFuture[Impedances]:
        """Measure contacts with the device's own gated program."""
        script = scripts.measure(tuple(contacts), expected_dose_count)
        return self._run("IMPEDANCE", script, changes=True)

    def arm(self, program: ApprovedProgram, slot: int) -> CommandFuture[Armed]:
        """Prepare the start of the program in a slot."""
        return self._run("ARM", scripts.arm(_approved(program), slot), changes=True)

    def fire(self, armed: Armed) -> CommandFuture[Started]:
        """Start what was armed."""
        return self._run("FIRE", scripts.fire(armed), changes=True)

    def set_amplitude(self, dose_number: int, area: int, from_na: int, to_na: int) -> CommandFuture[int]:
        """Change one area's amplitude [nA]."""
        script = scripts.set_amplitude(dose_number, area, from_na, to_na)
        return self._run("SET_AMPLITUDE", script, changes=True)

    def clear(self, stop_cause: StopCause, fault: FaultCode) -> CommandFuture[None]:
        """Release the latch of the stop or fault that is named."""
        return self._run("CLEAR", scripts.clear(stop_cause, fault), changes=True)

    def _adopt(self, reply: HelloReply) -> None:
        """Take what a new session says, and learn who is there; it must be the same device as before."""
        self._role = reply.role
        identity, capabilities = self._run("IDENTIFY", scripts.identify()).result()
        before = self._identity
        if before is not None and before.serial_number != identity.serial_number:
            raise ProtocolError(
                f"this is device {identity.serial_number}, not {before.serial_number}",
                remedy="Connect to the device the program was loaded into.",
                code="another-device",
            )
        self._identity, self._capabilities = identity, capabilities

    @abc.abstractmethod
    def _run(self, name: str, script: Script[T], *, changes: bool = False) -> CommandFuture[T]: ...

    @abc.abstractmethod
    def _now_ns(self) -> int: ...


def _approved(program: ApprovedProgram) -> ApprovedProgram:
    if not isinstance(program, ApprovedProgram):
        raise TypeError(f"a stimulator takes an ApprovedProgram, not {type(program).__name__}")
    return program


def _not_open() -> TransportError:
    return TransportError("the stimulator is not open", remedy="Open it first.", code="not-connected")
