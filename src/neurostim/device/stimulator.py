"""What every stimulator can be asked, whatever it is and however it is connected.

Commands return a `CommandFuture` at once. Its error says which of three things happened: nothing
(any other error), or it is not known what (`DeliveryUncertain`), which blocks every further start.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Self

from neurostim.core.errors import ConfigError
from neurostim.core.hardware import Capabilities, Impedances
from neurostim.device.clock_estimate import ClockFit
from neurostim.device.futures import CommandFuture
from neurostim.device.home import HomeCommands
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters
from neurostim.device.records import (
    Armed,
    DeviceStatus,
    DoseRecord,
    Identity,
    LifeCounters,
    SlotContents,
    SoftStopped,
    Started,
)
from neurostim.device.stop_path import StopConfirmation
from neurostim.safety.approval import ApprovedProgram
from neurostim.wire.messages import EventRecord, FaultCode, Role, StopCause


class Stimulator(abc.ABC):
    """One stimulator. Making one opens nothing; `open` does."""

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """What a person would call it."""

    @property
    @abc.abstractmethod
    def identity(self) -> Identity:
        """Who it is, once open."""

    @property
    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do, once open."""

    @property
    @abc.abstractmethod
    def role(self) -> Role:
        """What this host may do: control, or read and stop."""

    @property
    def home(self) -> HomeCommands:
        """Subjects, and use at home; only a stimulator that can be released has it.

        Raises
        ------
        ConfigError
            Code ``no-home``.
        """
        raise ConfigError(
            "this stimulator cannot be assigned or released for use at home",
            allowed="a stimulator of the native protocol",
            code="no-home",
        )

    @property
    def authenticated(self) -> bool:
        """Whether the session is under a key: nobody else on the line is heard or believed."""
        return False

    # Life of the link.

    @abc.abstractmethod
    def open(self, role: Role = Role.CONTROL) -> None:
        """Connect and identify.

        Where another host is in control, this one is granted to read and stop; see `role`.

        Raises
        ------
        TransportError, CommandTimeout, ProtocolError
        """

    @abc.abstractmethod
    def reopen(self) -> None:
        """Connect again after a lost link: only to read and stop, never to resume.

        Raises
        ------
        TransportError, CommandTimeout, ProtocolError
        """

    @abc.abstractmethod
    def take_control(self, takeover_from: bytes | None = None) -> None:
        """Ask for control, with output off; ``takeover_from`` names the host that holds it.

        Raises
        ------
        CommandRefused
            Where the device does not grant it.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Stop what may be on, say goodbye and disconnect; idempotent, never raises for a lost link."""

    # Reading.

    @abc.abstractmethod
    def status(self) -> CommandFuture[DeviceStatus]:
        """Read the present state."""

    @abc.abstractmethod
    def slot(self, slot: int) -> CommandFuture[SlotContents]:
        """Read what a program slot holds."""

    @abc.abstractmethod
    def dose(self, number: int | None = None) -> CommandFuture[DoseRecord]:
        """Read the record of a dose, or of the latest."""

    @abc.abstractmethod
    def counters(self) -> CommandFuture[LifeCounters]:
        """Read the counters that survive a reset."""

    @abc.abstractmethod
    def log(self, first_index: int = 1) -> CommandFuture[tuple[EventRecord, ...]]:
        """Read the event log from an index on."""

    # Preparing and delivering.

    @abc.abstractmethod
    def load(self, program: ApprovedProgram, slot: int) -> CommandFuture[bytes]:
        """Load an approved program; the result is the digest the device computed over what it holds."""

    @abc.abstractmethod
    def measure_impedances(
        self, contacts: Iterable[int], expected_dose_count: int
    ) -> CommandFuture[Impedances]:
        """Measure contacts with the device's own gated program; it counts as a dose."""

    @abc.abstractmethod
    def arm(self, program: ApprovedProgram, slot: int) -> CommandFuture[Armed]:
        """Prepare the start of the program in a slot."""

    @abc.abstractmethod
    def fire(self, armed: Armed) -> CommandFuture[Started]:
        """Start what was armed, at the foot of its ramp."""

    @abc.abstractmethod
    def set_amplitude(self, dose_number: int, area: int, from_na: int, to_na: int) -> CommandFuture[int]:
        """Change one area's amplitude, naming the value replaced [nA]; the result is the value set."""

    @abc.abstractmethod
    def clear(self, stop_cause: StopCause, fault: FaultCode) -> CommandFuture[None]:
        """Release the latch of the stop or fault that is named."""

    # Stopping.

    @abc.abstractmethod
    def soft_stop(self) -> CommandFuture[SoftStopped]:
        """Ramp down; becomes a stop where the device does not answer."""

    @abc.abstractmethod
    def stop(self, *, emergency: bool = False) -> CommandFuture[StopConfirmation]:
        """Stop at once, from any thread and in any state; overtakes everything, repeats until confirmed."""

    # Watching.

    @abc.abstractmethod
    def beat(self, party: str) -> None:
        """Show that ``"ui"`` or ``"journal"`` lives; without both within a second, output ends."""

    @abc.abstractmethod
    def wait(self, timeout: float) -> bool:
        """Wait until something happened, at most ``timeout`` [s]; return whether it did."""

    @abc.abstractmethod
    def take_critical(self) -> list[Happening]:
        """Take everything of importance that happened; nothing is ever dropped."""

    @abc.abstractmethod
    def take_telemetry(self) -> list[DeviceEvent]:
        """Take what the device told of its output; the oldest may have been dropped."""

    @property
    @abc.abstractmethod
    def supervised(self) -> bool:
        """Whether the device has lately taken a heartbeat, as arming needs."""

    @property
    @abc.abstractmethod
    def telemetry_dropped(self) -> int:
        """How many telemetry events were dropped here because nobody took them."""

    @property
    @abc.abstractmethod
    def uncertain(self) -> str | None:
        """Name of the command whose outcome is uncertain, or None."""

    @abc.abstractmethod
    def settle_by_decision(self, reason: str) -> None:
        """End an uncertainty that the device's records cannot end, because a person has looked."""

    @property
    @abc.abstractmethod
    def link_counters(self) -> LinkCounters:
        """What went over the link, the damaged and the unexpected included."""

    @abc.abstractmethod
    def clock_fit(self) -> ClockFit | None:
        """What is known of the device's clock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
