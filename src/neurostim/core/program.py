"""What a stimulation program says, as frozen values: the meaning of a program file, format 1.

Reading files and reporting their faults is the work of `neurostim.core.program_file`;
rounding to a device's grid is the work of `neurostim.core.compile`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

FORMAT: Final = "neurostim-program/1"
RETURN_CONTACT: Final = "return"

THERAPIES: Final = ("scs", "drg", "pns", "tens", "bench")


class Recharge(enum.IntEnum):
    """How the charge of a pulse is taken back; the values are those of the program image."""

    NONE = 0
    PASSIVE = 1
    PASSIVE_AFTER_BURST = 2
    ACTIVE_SYMMETRIC = 3
    ACTIVE_ASYMMETRIC = 4
    TRIPHASIC = 5

    @property
    def word(self) -> str:
        """The word of the program file."""
        return self.name.lower().replace("_", "-")

    @property
    def is_passive(self) -> bool:
        """Whether contacts are shorted through the discharge resistor."""
        return self in (Recharge.PASSIVE, Recharge.PASSIVE_AFTER_BURST)


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse: width of the stimulation phase and interphase [ns], and its recharge."""

    width_ns: int
    recharge: Recharge
    interphase_ns: int = 0
    ratio: int = 1


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst of ``pulses`` pulses at ``rate_hz`` (exact); ``interval`` in a file is its reciprocal."""

    pulses: int
    rate_hz: Fraction
    from_interval: bool = False


@dataclass(frozen=True, slots=True)
class Train:
    """Units (pulses, or bursts) at an exact rate; ``interval`` in a file is its reciprocal."""

    rate_hz: Fraction
    burst: Burst | None = None
    from_interval: bool = False


@dataclass(frozen=True, slots=True)
class Ramp:
    """Soft start and soft end of each window [ns]."""

    up_ns: int = 2_000_000_000
    down_ns: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Cycle:
    """On and off time of the windows [ns]."""

    on_ns: int
    off_ns: int


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one contact, in 0.1 %; negative is a cathode."""

    contact: str
    permille: int


@dataclass(frozen=True, slots=True)
class RelativeAmplitude:
    """An amplitude given as a percentage of a measured mark; resolved before compiling."""

    of: str
    permille: int
    mark: str


@dataclass(frozen=True, slots=True)
class Area:
    """One area: one current source schedule.

    ``amplitude`` is in nA before sharing, or relative to a mark that is not yet resolved.
    ``shares`` are in contact order (numeric, ``return`` last).
    """

    name: str
    amplitude: int | RelativeAmplitude
    shares: tuple[Share, ...]
    pulse: Pulse
    train: Train
    ramp: Ramp = Ramp()
    cycle: Cycle | None = None
    delay_ns: int = 0
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program as its author wrote it, before any device is known."""

    name: str
    therapy: str
    leads: tuple[str, ...]
    areas: tuple[Area, ...]
    duration_ns: int | None = None
    source: str = ""
    evidence: str = ""
    interleave_drop: bool = False


def contact_key(contact: str) -> tuple[int, int, int]:
    """Sort key of a contact: by lead, then number; ``return`` last.

    A contact of the only lead is ``"3"``; of one of several leads ``"2.5"``.
    """
    if contact == RETURN_CONTACT:
        return (1, 0, 0)
    lead, _, number = contact.rpartition(".")
    return (0, int(lead or 1), int(number))
