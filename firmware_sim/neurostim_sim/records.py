"""What the device remembers across a reset: counters, slots, latch, doses, log, and what other rooms keep.

Each is a section of the store, or several; a save writes those that changed, all of them or none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
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
from neurostim_sim.store import Replaced, Store

LOG_RECORDS: Final = 256
DOSES_KEPT: Final = 32
SAVE_NS: Final = 1_000_000_000
"""Supervised output never runs longer than this without a save while the processor serves it [ns]."""
AC_PER_NC: Final = 1_000_000_000
NO_DIGEST: Final = bytes(32)
_COUNTERS: Final = (
    "boot_count",
    "session_count",
    "session_numbers",
    "dose_count",
    "cause",
    "fault",
    "latched",
    "lost",
    "purging",
    "battery",
    "log_next",
)
_counters_of: Final = attrgetter(*_COUNTERS)


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
    """One dose as the device tells of it; charges in aC, times in ticks of the boot it started in.

    ``settled`` says that everything that flowed is in the counters; until then the counters hold what flowed
    up to ``end_tick``, and ``save_ns`` later at the latest they are saved again. ``contacts`` are those of a
    measurement, of which ``read`` are counted.
    """

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
    settled: bool = False
    save_ns: int = SAVE_NS
    contacts: list[int] = field(default_factory=list)
    read: int = 0

    def __post_init__(self) -> None:
        # A dose whose supply is lost ends on record where it was last saved, never before its start.
        self.end_tick = max(self.end_tick, self.start_tick)

    @property
    def is_stimulation(self) -> bool:
        """Whether a program ran, not a measurement."""
        return self.kind == ArmKind.STIMULATION


@dataclass
class Memory:
    """Everything that lasts, and its store. ``extra`` holds what other rooms keep: a document each, by name.

    ``damaged`` tells that this boot could not read something that had been durable; ``lost`` that once
    nothing at all could be read, keys included: such a device stays closed until a factory reset.
    ``session_numbers`` is the last number of a session that is reserved.
    ``gauge`` reads the battery, which is kept with every save. ``purging`` is set with what erases something
    that nobody may find again, until `purge` has overwritten it.
    """

    store: Store
    boot_count: int = 0
    session_count: int = 0
    session_numbers: int = 0
    dose_count: int = 0
    cause: int = int(StopCause.NONE)
    fault: int = int(FaultCode.NONE)
    latched: bool = False
    lost: bool = False
    purging: bool = False
    battery: list[int] | None = None
    gauge: Callable[[], list[int]] | None = None
    slots: list[Slot] = field(default_factory=list)
    contacts: dict[int, list[int]] = field(default_factory=dict)
    doses: list[DoseRecord] = field(default_factory=list)
    log: list[list[int]] = field(default_factory=list)
    log_next: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    unsaved: bool = False
    damaged: bool = False
    _kept_slots: dict[int, tuple[Slot, bool]] = field(default_factory=dict, repr=False)
    _kept_contacts: dict[int, list[int]] = field(default_factory=dict, repr=False)
    _kept_doses: dict[int, DoseRecord] = field(default_factory=dict, repr=False)
    _kept_extra: dict[str, Any] = field(default_factory=dict, repr=False)
    _gone: list[str] = field(default_factory=list, repr=False)
    _logged: int = 0

    @classmethod
    def load(cls, store: Store, slots: int) -> Memory:
        """What the store holds; a fresh memory where it is empty."""
        found = store.load()
        memory = cls(store, damaged=store.damaged)
        memory.lost = store.damaged and not found
        kinds: dict[str, dict[str, Any]] = {}
        for name, value in found.items():
            kind, _, key = name.partition(":")
            kinds.setdefault(kind, {})[key] = value
        for name, value in kinds.get("counters", {}).get("", {}).items():
            setattr(memory, name, value)
        memory.slots = [Slot.from_document(kinds.get("slot", {}).get(str(i), {})) for i in range(slots)]
        memory.contacts = {int(c): values for c, values in kinds.get("contact", {}).items()}
        doses = kinds.get("dose", {})
        memory.doses = [DoseRecord(**doses[number]) for number in sorted(doses, key=int)]
        log = kinds.get("log", {})
        memory.log = [log[index] for index in sorted(log, key=int)]
        memory.extra = {name: Replaced(document) for name, document in kinds.get("extra", {}).items()}
        memory._logged = memory.log_next - 1
        memory._kept_extra = dict(memory.extra)
        return memory

    def save(self) -> None:
        """Make everything durable, in one step."""
        self.unsaved = False
        self.store.commit(self._changes())
        self._logged = self.log_next - 1

    def purge(self) -> None:
        """Overwrite what was erased, also at the next boot where the supply failed in it."""
        self.save()
        self.store.purge()
        self.purging = False
        self.save()

    def _changes(self) -> dict[str, Any]:
        """The sections that may have changed, and those that are gone."""
        if self.gauge is not None:
            self.battery = self.gauge()
        now: dict[str, Any] = {"counters": dict(zip(_COUNTERS, _counters_of(self), strict=True))}
        for i, slot in enumerate(self.slots):
            kept = self._kept_slots.get(i)
            # A committed slot is never changed, only replaced: what turns over in memory is not made to last.
            if kept is None or kept[0] is not slot or kept[1] != slot.committed:
                self._kept_slots[i] = (slot, slot.committed)
                now[f"slot:{i}"] = slot.document() or None
        if self.contacts != self._kept_contacts:
            for contact, values in self.contacts.items():
                if self._kept_contacts.get(contact) != values:
                    self._kept_contacts[contact] = list(values)
                    now[f"contact:{contact}"] = values
        for dose in self.doses:
            # One that is settled never changes again.
            if not dose.settled or self._kept_doses.get(dose.number) is not dose:
                now[f"dose:{dose.number}"] = dose.__dict__
                if dose.settled:
                    self._kept_doses[dose.number] = dose
        fresh = self.log_next - 1 - self._logged
        if fresh:
            now.update({f"log:{values[0]}": values for values in self.log[-fresh:]})
        for name in [one for one in self._kept_extra if one not in self.extra]:
            del self._kept_extra[name]
            now[f"extra:{name}"] = None
        for name, document in self.extra.items():
            if self._kept_extra.get(name) is not document or type(document) is not Replaced:
                now[f"extra:{name}"] = document
                self._kept_extra[name] = document
        now.update(dict.fromkeys(self._gone))
        self._gone.clear()
        return now

    def note(self, clock_us: int, code: EventCode, dose: int = 0, place: int = 0, value: int = 0) -> None:
        """Add a record to the event log; durable with the next `save`."""
        self.log.append([self.log_next, self.boot_count, clock_us, int(code), dose, place, value])
        self.log_next += 1
        if len(self.log) > LOG_RECORDS:
            self._gone.append(f"log:{self.log.pop(0)[0]}")
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
        if len(self.doses) > DOSES_KEPT:
            forgotten = self.doses.pop(0).number
            self._kept_doses.pop(forgotten, None)
            self._gone.append(f"dose:{forgotten}")
