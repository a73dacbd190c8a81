"""What can go wrong in a schedule, as an explicit list that is written, read, drawn and shrunk.

A fault strikes at a true time, or at the n-th frame of a kind that a sender puts on the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from neurostim.core.errors import ConfigError

FRAME_FAULTS: Final = {
    "drop": "the frame is lost",
    "duplicate": "the frame arrives once more, `value` ns later",
    "flip": "bit `value` of the frame is turned",
    "flip-many": "2 to 8 bits of the frame are turned; `value` decides how many, and which",
    "truncate": "only the first `value` bytes arrive",
    "reorder": "the frame arrives behind the next one of its direction, or `value` ns later",
    "delay": "the frame arrives `value` ns late, everything behind it in order",
    "bytes": "the frame arrives byte by byte, `value` ns apart",
    "merge": "the frame waits for the next one and arrives in one piece with it, cut at byte `value`",
}
LINE_FAULTS: Final = {
    "clog": "for `value` ns nothing leaves in this direction, then everything at once",
    "deaf": "for `value` ns everything in this direction is lost",
    "cut": "the cable is out for `value` ns; 0: for good",
}
HOST_FAULTS: Final = {
    "kill": "the host's program is killed",
    "kill-write": "the host's program is killed inside its `value`-th write from now on",
    "freeze": "the whole host stands still for `value` ns",
    "stuck-thread": "the thread that serves the person stands still for `value` ns, the link's goes on",
    "asleep": "the laptop sleeps for `value` ns: its clock stands still and its port is gone",
    "disk": "the `value`-th disk operation from now on fails, and all after it",
    "time-jump": "the host's time of day jumps by `value` s, forward or back",
}
DEVICE_FAULTS: Final = {
    "reset": "the device's processor restarts",
    "brown-out": "the device's supply falls for a moment",
    "brown-out-write": "the supply fails inside the `value`-th write of the device's memory from now on",
    "skew": "the device's clock is off by `value` parts in a million from the beginning",
    "stuck-sensor": "the output sensor shows the same value whatever flows",
    "hang": "the device's processor stands still",
    "lead-out": "the lead comes out of its port",
    "lead-in": "the lead is put in again",
    "open": "contact `value` is open",
    "short": "contact `value` is shorted",
    "heal": "every contact is whole again",
    "flip-slot": "a bit of the loaded program turns over in the device's memory",
    "mismatch": "the recharge source delivers 1 % too little",
    "dead-battery": "the battery is empty",
    "no-recovery": "the switch that shorts contacts for their passive recovery does not close; not drawn",
}
STRANGER_FAULTS: Final = {
    "replay": "somebody puts the last `value` frames of the host on the line again",
    "replay-kind": "somebody puts the frame that strikes on the line again, `value` ns later",
    "forge": "somebody without the key puts made-up frames on the line, chosen by `value`",
    "second-host": "another host, paired where bit 1 of `value` is set, tries to take over, and stops where "
    "bit 0 is",
}
PATIENT_FAULTS: Final = {
    "press-start": "the patient presses START",
    "press-up": "the patient presses UP",
    "press-down": "the patient presses DOWN",
    "press-switch": "the patient presses SWITCH",
    "press-stop": "the patient presses STOP",
    "hold": "the patient holds a button down (START, UP, DOWN, SWITCH or STOP by `value` modulo 5)",
    "let-go": "the patient lets go of the button that is held",
    "off-button": "the patient presses the off button, which cuts the supply of the output",
    "battery-change": "somebody changes the battery",
    "visit": "at home only: a host comes on the line and does what `value` modulo 6 says: the own one "
    "reads, or tries every command, or stops; another one with a key, or one without, tries every "
    "command; another one with a key stops at once",
}
KINDS: Final = {
    **FRAME_FAULTS,
    **LINE_FAULTS,
    **HOST_FAULTS,
    **DEVICE_FAULTS,
    **STRANGER_FAULTS,
    **PATIENT_FAULTS,
}
WAYS: Final = ("host", "device")
ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes
    ----------
    what : str
        One of `KINDS`.
    way : str
        Whose frames: those the ``host`` sends, or the ``device``.
    key : str
        Name of the message, `ANY` for every frame; empty for a fault at a time.
    nth : int
        Which of these frames since the schedule began, from 1.
    at_ns : int
        True time of a fault without key; with one, how long after the frame went on the line it strikes [ns].
    value : int
        How much, how long or which; see `KINDS`.
    """

    what: str
    way: str = "host"
    key: str = ""
    nth: int = 0
    at_ns: int = 0
    value: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no fault."""
        if self.what not in KINDS:
            raise ConfigError(f"there is no fault {self.what!r}", allowed=", ".join(KINDS), code="fault-name")
        whole = (self.nth, self.at_ns, self.value)
        if (
            any(type(one) is not int for one in whole)
            or self.way not in WAYS
            or self.nth < 0
            or self.at_ns < 0
        ):
            raise ConfigError(
                f"found the fault {self}", allowed="whole numbers, way host or device", code="fault"
            )
        if self.what in FRAME_FAULTS and not (self.key and self.nth):
            raise ConfigError(f"{self.what} needs a frame", allowed="a key and a number from 1", code="fault")
        if bool(self.key) != bool(self.nth):
            raise ConfigError(
                "a key goes with a number from 1, and without a key there is none", code="fault"
            )

    def as_dict(self) -> dict[str, str | int]:
        """Plain values; what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value or name in ("what", "way")}


def read_faults(document: Any) -> tuple[Fault, ...]:
    """Faults from plain values.

    Raises
    ------
    ConfigError
        For anything that is no list of faults.
    """
    if not isinstance(document, list):
        raise ConfigError("found no list of faults", allowed="a JSON list of objects", code="fault")
    return tuple(_read(one) for one in document)


def write_faults(faults: Iterable[Fault]) -> str:
    """One JSON line."""
    return json.dumps([fault.as_dict() for fault in faults], separators=(",", ":"))


def _read(document: Any) -> Fault:
    names = {one.name for one in fields(Fault)}
    if not isinstance(document, Mapping) or not set(document) <= names or "what" not in document:
        raise ConfigError(f"found the fault {document!r}", allowed=", ".join(sorted(names)), code="fault")
    return Fault(**{str(name): value for name, value in document.items()})
