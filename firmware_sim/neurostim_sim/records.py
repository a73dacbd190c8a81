"""What the device remembers across a reset, as one document: counters, slots, latch, doses, log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from neurostim.wire.messages import (
    ArmKind,
    ContactDose,
    EventCode,
    EventRecord,
    FaultCode,
    RangeOfArea,
    StopCause,
)
from neurostim_sim.store import Store

LOG_RECORDS: Final = 256
DOSES_KEPT: Final = 32
AC_PER_NC: Final = 1_000_000_000
NO_DIGEST: Final = bytes(32)


@dataclass
class Slot:
    """One program slot. ``data`` grows while an image is loaded; only a committed slot survives a reset."""

    length: int = 0
    digest: bytes = NO_DIGEST
    data: bytes = b""
    approval: bytes = NO_DIGEST
    ranges: tuple[RangeOfArea, ...] = ()
    committed: bool = False

    def document(self) -> dict[str, Any]:
        """As the store keeps it."""
        if not self.committed:
            return {}
        return {
            "data": self.data.hex(),
            "digest": self.digest.hex(),
            "approval": self.approval.hex(),
            "ranges": [[one.area, one.min_na, one.max_na, one.step_na] for one in self.ranges],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Slot:
        """As it was kept."""
        if not document:
            return cls()
        data = bytes.fromhex(document["data"])
        return cls(
            len(data),
            bytes.fromhex(document["digest"]),
            data,
            bytes.fromhex(document["approval"]),
            tuple(RangeOfArea(*values) for values in document["ranges"]),
            True,
        )


@dataclass
class DoseRecord:
    """One dose as the device tells of it; charges in aC, times in ticks of the boot it started in."""

    number: int
    kind: int
    slot: int
    image: str
    boot: int
    start_tick: int
    end_tick: int = 0
    running: bool = True
    cause: int = int(StopCause.NONE)
    fault: int = int(FaultCode.NONE)
    clipped: int = 0
    areas: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A dose whose supply is lost ends on record where it was last saved, never before its start.
        self.end_tick = max(self.end_tick, self.start_tick)

    @property
    def is_stimulation(self) -> bool:
        """Whether a program ran, not a measurement."""
        return self.kind == ArmKind.STIMULATION


@dataclass
class Memory:
    """Everything that lasts, and its store. ``extra`` holds a document of each other room, by name."""

    store: Store
    boot_count: int = 0
    session_count: int = 0
    dose_count: int = 0
    cause: int = int(StopCause.NONE)
    fault: int = int(FaultCode.NONE)
    latched: bool = False
    slots: list[Slot] = field(default_factory=list)
    contacts: dict[int, list[int]] = field(default_factory=dict)
    doses: list[DoseRecord] = field(default_factory=list)
    log: list[list[int]] = field(default_factory=list)
    log_next: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    unsaved: bool = False
    damaged: bool = False

    @classmethod
    def load(cls, store: Store, slots: int) -> Memory:
        """What the store holds; a fresh memory where it is empty."""
        document = store.load()
        memory = cls(store, damaged=store.damaged)
        kept = document.get("slots", [])
        memory.slots = [Slot.from_document(kept[i]) if i < len(kept) else Slot() for i in range(slots)]
        if document:
            for name in ("boot_count", "session_count", "dose_count", "cause", "fault", "latched", "log"):
                setattr(memory, name, document[name])
            memory.log_next = document["log_next"]
            memory.extra = document.get("extra", {})
            memory.contacts = {int(c): values for c, values in document["contacts"].items()}
            memory.doses = [DoseRecord(**values) for values in document["doses"]]
        return memory

    def save(self) -> None:
        """Make everything durable, in one step."""
        self.unsaved = False
        self.store.save(
            {
                "boot_count": self.boot_count,
                "session_count": self.session_count,
                "dose_count": self.dose_count,
                "cause": int(self.cause),
                "fault": int(self.fault),
                "latched": self.latched,
                "slots": [slot.document() for slot in self.slots],
                "contacts": self.contacts,
                "doses": [dose.__dict__ for dose in self.doses],
                "log": self.log,
                "log_next": self.log_next,
                "extra": self.extra,
            }
        )

    def note(self, clock_us: int, code: EventCode, dose: int = 0, place: int = 0, value: int = 0) -> None:
        """Add a record to the event log; durable with the next `save`."""
        self.log.append([self.log_next, self.boot_count, clock_us, int(code), dose, place, value])
        self.log_next += 1
        del self.log[:-LOG_RECORDS]
        self.unsaved = True

    def records(self, first: int, count: int) -> tuple[EventRecord, ...]:
        """Log records from an index on."""
        found = [values for values in self.log if values[0] >= first][:count]
        return tuple(
            EventRecord(index, boot, clock_us, EventCode(code), dose, place, value)
            for index, boot, clock_us, code, dose, place, value in found
        )

    def contact_dose(self, contact: int) -> ContactDose:
        """Life-long counters of one contact."""
        pulses, cathodic, anodic, recovered = self.contacts.get(contact, [0, 0, 0, 0])
        return ContactDose(
            contact,
            pulses,
            *divmod(cathodic, AC_PER_NC),
            *divmod(anodic, AC_PER_NC),
            *divmod(recovered, AC_PER_NC),
        )

    def keep_dose(self, dose: DoseRecord) -> None:
        """Hold one more dose; the oldest is forgotten."""
        self.doses.append(dose)
        del self.doses[:-DOSES_KEPT]
