"""What the monitor is told: plain records of what happened, and the setting it happened in.

Times are true nanoseconds since the schedule began, charges attocoulombs, currents nanoamperes. Nothing here
knows how the host, the device or the wire is made: whoever feeds the monitor reads these values off
the line, the electrode, the supply, the disk and the hands of people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

# Columns of the rows of a `Flow`, in this order: what the output's trace holds. Times in ticks of the
# device's clock since the output's own time 0; contacts as the device numbers them, 255 the return pad.
START, LENGTH, CONTACT, KIND, AMPLITUDE, AREA, UNIT, PULSE, CHARGE = range(9)
COLUMNS: Final = 9
STIM, RECHARGE, PASSIVE = range(3)

Origin = Literal["host", "observer", "replayed", "forged"]


# ------------------------------------------------------------------------------------------- the setting


@dataclass(frozen=True, slots=True)
class Range:
    """Amplitudes of one area that were approved: min, min + step ... max [nA]."""

    min_na: int
    max_na: int
    step_na: int


@dataclass(frozen=True, slots=True)
class Area:
    """One area of an approved program, as the person approved it.

    ``shares`` are (contact, tenths of a percent), negative for cathodes. Times in ns; a period is an exact
    fraction ``(numerator, denominator)`` of ns; ``burst_period`` is (0, 1) and ``burst_pulses`` 1 without
    bursts. ``recharge`` is ``none``, ``passive``, ``passive-after-burst``, ``active-symmetric``,
    ``active-asymmetric`` (with ``ratio``) or ``triphasic``. ``patient`` is the patient's own range, where
    the program was released.
    """

    shares: tuple[tuple[int, int], ...]
    amplitude_na: int
    approved: Range
    width_ns: int
    interphase_ns: int
    recharge: str
    period: tuple[int, int]
    ramp_up_ns: int
    ramp_down_ns: int
    ratio: int = 1
    burst_pulses: int = 1
    burst_period: tuple[int, int] = (0, 1)
    delay_ns: int = 0
    on_ns: int = 0
    off_ns: int = 0
    patient: Range | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One approved program; digests in hexadecimal SHA-256, ``duration_ns`` 0 is endless."""

    digest: str
    approval: str
    areas: tuple[Area, ...]
    duration_ns: int = 0


@dataclass(frozen=True, slots=True)
class HardLimits:
    """What the output may never exceed, whatever anybody approved.

    Currents of one contact and of all anodes together [nA], charge of a phase [aC], widths [ns].
    """

    contact_na: int
    total_na: int
    phase_ac: int
    min_width_ns: int
    max_width_ns: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How late is too late [ns], and how many are too many, by the safety facts and the specification.

    ``silence`` after the last living host frame; ``supervisor`` after the last sign of life of the program
    or of the journal; ``stop_intent`` after a person asked for a stop; ``stop_taken`` after the device took
    a stop frame, ``emergency`` after it took an emergency stop; ``soft_stop`` after it took a soft stop;
    ``watchdog`` after the processor stood still; ``lease`` is the oldest frame that may raise output;
    ``token`` the age of an arm token; ``open_pulses`` how many pulses an open contact may see, ``net_na`` and
    ``net_ac`` what a failing source may leave at a contact for ever and in all; ``unseen_ns`` is how long
    output may have run since the counters were last stored, ``unseen_home_ns`` at home: for each loss of
    power they may count what the program gives in that time too much, and ``unseen_permille`` of it.
    """

    silence_ns: int = 500 * MS
    supervisor_ns: int = 1_510 * MS
    stop_intent_ns: int = 500 * MS
    stop_taken_ns: int = 0
    emergency_ns: int = 20_000
    soft_stop_ns: int = 2 * SECOND
    watchdog_ns: int = 500 * MS
    lease_ns: int = 500 * MS
    token_ns: int = 2 * SECOND
    steps_per_s: int = 3
    open_pulses: int = 3
    net_na: int = 100
    net_ac: int = 350 * 1_000_000_000
    patient_starts: int = 5
    patient_starts_within_ns: int = 60 * SECOND
    unseen_ns: int = 1_510 * MS
    unseen_home_ns: int = 61_510 * MS
    unseen_permille: int = 50
    pairing_tries: int = 3
    pairing_lockout_ns: int = 600 * SECOND


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything the monitor may take for granted.

    ``tick_ns`` and ``step_na`` are the device's grid; ``ppm`` the error of the device's clock [parts in a
    million, positive runs fast]; ``keyed`` says whether the device has been paired (then only authenticated
    frames may change anything).
    """

    tick_ns: int
    step_na: int
    guard_ns: int
    recovery_min_ns: int
    programs: tuple[Program, ...]
    hard: HardLimits
    bounds: Bounds = field(default_factory=Bounds)
    ppm: int = 0
    keyed: bool = False

    def program(self, digest: str) -> Program | None:
        """The approved program with this digest."""
        return next((one for one in self.programs if one.digest == digest), None)


# --------------------------------------------------------------------------------------------- the records


@dataclass(frozen=True, slots=True)
class HostFrame:
    """A frame as a sender put it on the line, before anything happened to it.

    ``kind`` is the name of the message as in the message table (``FIRE``). ``origin`` says whose it is: the
    person's own host, an observer, a frame of the host put on the line again by somebody else, or one made
    up by somebody without the key. ``living`` marks a HEARTBEAT that the host sent because its program and
    its journal live. ``fields`` are the message's own, plain: whole numbers, truth values, bytes, text,
    tuples.
    """

    at_ns: int
    kind: str
    origin: Origin = "host"
    session: int = 0
    sequence: int = 0
    command_id: int = 0
    lease_us: int = 0
    living: bool = False
    authenticated: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """An undamaged frame as it reached the device's port, whatever became of it inside."""

    at_ns: int
    kind: str
    origin: Origin = "host"
    session: int = 0
    sequence: int = 0
    command_id: int = 0


@dataclass(frozen=True, slots=True)
class DeviceFrame:
    """A frame as the device put it on the line.

    ``kind`` is the name of the message a reply belongs to, ``ERROR``, or the name of an event.
    """

    at_ns: int
    kind: str
    what: Literal["reply", "event"]
    session: int = 0
    sequence: int = 0
    command_id: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)


PowerWhat = Literal["boot", "reset", "brown_out", "power_cut", "off_button", "battery", "hang"]


@dataclass(frozen=True, slots=True)
class Power:
    """Something happened to the supply or the processor.

    ``boot``: the device began to run; ``hang``: the processor stands still; ``power_cut``: the supply is
    gone.
    """

    at_ns: int
    what: PowerWhat


@dataclass(frozen=True, slots=True)
class Body:
    """Something happened at the lead: contacts open, shorted, out of their port, or whole again; or a current
    source that no longer gives what it should (``source``), or a program in the memory that changed by itself
    (``memory``), so that the device cannot know any more what it ran.
    """

    at_ns: int
    what: Literal["open", "short", "out", "in", "healed", "source", "memory"]
    contacts: tuple[int, ...]


IntentWhat = Literal[
    "start",
    "measure",
    "amplitude",
    "soft_stop",
    "stop",
    "emergency",
    "clear",
    "wants_release",
    "release",
    "wants_take_back",
    "take_back",
    "patient_start",
    "patient_up",
    "patient_down",
    "patient_switch",
    "patient_stop",
]


@dataclass(frozen=True, slots=True)
class Intent:
    """A person's deliberate act: at the host's screen, or with the patient's own control.

    ``dose_count`` is the count of doses before a start; ``digest`` what was to be started; ``slots`` what a
    release puts into the patient's hands, in order, as digests; ``until_ns`` the true time a release ends.
    ``wants_release`` and ``wants_take_back`` are when somebody at the clinic asks for it, ``release`` and
    ``take_back`` when it came to be in force.
    """

    at_ns: int
    what: IntentWhat
    dose_count: int = 0
    digest: str = ""
    area: int = 0
    amplitude_na: int = 0
    slots: tuple[str, ...] = ()
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Life:
    """A sign of life of the program that serves the person (``ui``), of its journal, or the host's end."""

    at_ns: int
    what: Literal["ui", "journal", "killed"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A journal record that is on the disk: from ``at_ns`` on it survives any loss of power of the host."""

    at_ns: int
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flow:
    """What flowed at the electrode in one dose, told when it is over.

    Parameters
    ----------
    at_ns : int
        When it was told: not before the last row.
    dose : int
        Number of the dose as the device counts it.
    began_ns : int
        True time of the output's own time 0.
    digest : str
        The image that the device ran; empty for a measurement.
    rows : ndarray of int64, shape (n, 9)
        `COLUMNS`; in any order.
    by : str
        Who began it: ``host`` (FIRE), ``measurement`` (IMPEDANCE_FIRE) or ``patient`` (the button; a start
        at home may measure first).
    """

    at_ns: int
    dose: int
    began_ns: int
    digest: str
    rows: NDArray[np.int64]
    by: Literal["host", "patient", "measurement"] = "host"


@dataclass(frozen=True, slots=True)
class Counter:
    """What the device's life-long counters of one contact say [aC]; ``recovered_ac`` is signed."""

    pulses: int
    cathodic_ac: int
    anodic_ac: int
    recovered_ac: int


@dataclass(frozen=True, slots=True)
class Books:
    """What the device's counters and the host's journal say when everything is over.

    ``at_start`` are the counters before the first record; ``uncertain`` says whether the host holds the
    session for uncertain; ``doses`` are the doses of the journal that are confirmed, ``announced`` those it
    announced.
    """

    at_ns: int
    dose_count: int
    dose_count_at_start: int
    counters: Mapping[int, Counter]
    at_start: Mapping[int, Counter] = field(default_factory=dict)
    journal_announced: int = 0
    journal_started: int = 0
    uncertain: bool = False
    has_journal: bool = True


@dataclass(frozen=True, slots=True)
class Mode:
    """The device has come to be at home (``released``), or no longer is."""

    at_ns: int
    released: bool


@dataclass(frozen=True, slots=True)
class UsageRead:
    """What the usage log that was read at the end adds up to, by contact.

    ``contacts`` is what it tells as delivered, ``bound_ac`` what it says may have flowed unseen besides
    before power was lost [aC].
    """

    at_ns: int
    contacts: Mapping[int, Counter]
    bound_ac: Mapping[int, int]


Record = (
    HostFrame | Taken | DeviceFrame | Power | Body | Intent | Life | Kept | Flow | Books | Mode | UsageRead
)


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken: its name, when, and what was found beside what is allowed."""

    rule: str
    at_ns: int
    text: str
    dose: int = 0
