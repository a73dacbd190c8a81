"""From life-long counters to the usage log: what flowed since the log last told it, and none of it twice.

The log and the counters are two writes. The counters carry what the log had told when they were saved, and
from which record on it may have told more; so after a power loss nothing that was made durable is lost or
told twice, whichever write was the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from neurostim.wire.messages import ATTOCOULOMB_PER_NC, NO_SLOT, UsageKind, UsageRecord
from neurostim_sim.delivery import Delivery
from neurostim_sim.home.state import HomeState
from neurostim_sim.home.usage import UsageLog, charge_of, charge_parts
from neurostim_sim.records import DoseRecord, Memory
from neurostim_sim.store import Replaced

_KINDS: Final = (UsageKind.HOUR_CONTACT, UsageKind.HOUR_ANODIC, UsageKind.HOUR_RECOVERED)
_PLACES: Final = {UsageKind.HOUR_CONTACT: 1, UsageKind.HOUR_ANODIC: 2, UsageKind.HOUR_RECOVERED: 3}


class Account:
    """The account of one boot.

    Parameters
    ----------
    memory : Memory
    state : HomeState
    usage : UsageLog
    tick_ns : int
        The device's tick [ns].
    """

    def __init__(self, memory: Memory, state: HomeState, usage: UsageLog, tick_ns: int) -> None:
        self._memory = memory
        self._state = state
        self._usage = usage
        self._tick_ns = tick_ns

    def begin(self) -> None:
        """From here on everything that flows is told by the log."""
        self._mark(None)

    def opened(self, dose: DoseRecord) -> None:
        """A dose is about to be counted and to flow; kept with the save that counts it."""
        self._state.kept["open"] = _open_of(dose, dose.start_tick, 0, [])

    def flush(self, clock_us: int, dose: DoseRecord, delivery: Delivery | None, *, last: bool) -> None:
        """Tell what has flowed since the last time, then keep that it was told.

        Parameters
        ----------
        clock_us : int
        dose : DoseRecord
            The dose under way, or the one that has just ended; its counters are settled.
        delivery : Delivery or None
            Its output, where the dose is a program.
        last : bool
            Whether nothing of it follows.
        """
        told = self._state.kept["open"]
        pulses = sum(area[2] for area in dose.areas)
        clipped = delivery.clipped() if delivery is not None else []
        self._tell_time(clock_us, dose, told, pulses)
        self._tell_clipping(clock_us, dose, told, clipped)
        self._tell_charges(clock_us, dose.slot, self._since_base())
        self._mark(None if last else _open_of(dose, dose.end_tick, pulses, clipped))
        self._memory.save()

    def recover(self, clock_us: int, added: Mapping[int, Sequence[int]]) -> None:
        """After a boot: tell what was saved and not told. The memory is saved by the boot.

        Parameters
        ----------
        clock_us : int
        added : mapping of int to sequence of int
            By contact, what the boot has added to the counters as a bound of what was never saved.
        """
        told = self._usage.records(self._state.kept["usage_from"])
        opened = self._state.kept["open"]
        base = self._base()
        left: dict[int, list[int]] = {}
        for contact in sorted({*base, *self._memory.contacts}):
            before = base.get(contact, [0, 0, 0, 0])
            since = _told_of(told, contact)
            extra = added.get(contact, (0, 0, 0, 0))
            held = list(self._memory.contacts.get(contact, [0, 0, 0, 0]))
            rest = [0, 0, 0, 0]
            for place in range(4):
                known = since[place]
                if known is None:
                    rest[place] = held[place] - extra[place] - before[place]
                else:
                    # The log was written after the counters: it knows.
                    held[place] = before[place] + known + extra[place]
            self._memory.contacts[contact] = held
            left[contact] = rest
        if opened is not None:
            dose = next((one for one in self._memory.doses if one.number == opened["dose"]), None)
            if dose is not None:
                if not any(one.kind is UsageKind.HOUR_ON for one in told):
                    self._tell_time(clock_us, dose, opened, sum(area[2] for area in dose.areas))
                ended = any(one.kind is UsageKind.STOP and one.count == dose.number for one in told)
                if dose.is_stimulation and not ended:
                    self.tell_stop(clock_us, dose)
        slot = opened["slot"] if opened is not None else NO_SLOT
        self._tell_charges(clock_us, slot, left)
        bounded = {one.place for one in told if one.kind is UsageKind.CHARGE_BOUND}
        for contact, values in sorted(added.items()):
            if contact not in bounded:
                most_nc = -(-max(values[1], values[2]) // ATTOCOULOMB_PER_NC)
                self._usage.add(
                    self._memory.boot_count,
                    clock_us,
                    UsageKind.CHARGE_BOUND,
                    slot=slot,
                    place=contact,
                    value=most_nc,
                )
        self._mark(None)

    def tell_stop(self, clock_us: int, dose: DoseRecord) -> None:
        """Tell that a dose has ended, and why."""
        self._usage.add(
            self._memory.boot_count,
            clock_us,
            UsageKind.STOP,
            slot=dose.slot,
            count=dose.number,
            value=dose.cause,
        )

    def _base(self) -> dict[int, list[int]]:
        return {contact: list(values) for contact, *values in self._state.kept["base"]}

    def _since_base(self) -> dict[int, list[int]]:
        base = self._base()
        return {
            contact: [now - then for now, then in zip(values, base.get(contact, [0] * 4), strict=True)]
            for contact, values in sorted(self._memory.contacts.items())
        }

    def _mark(self, opened: dict[str, Any] | None) -> None:
        kept = self._state.kept
        kept["base"] = tuple((contact, *values) for contact, values in self._memory.contacts.items())
        kept["usage_from"] = self._usage.next_index
        kept["open"] = opened

    def _tell_time(self, clock_us: int, dose: DoseRecord, told: dict[str, Any] | None, pulses: int) -> None:
        since_tick = told["tick"] if told is not None else dose.start_tick
        before = told["pulses"] if told is not None else 0
        on_us = max(0, dose.end_tick - since_tick) * self._tick_ns // 1000
        if on_us or pulses != before:
            self._usage.add(
                self._memory.boot_count,
                clock_us,
                UsageKind.HOUR_ON,
                slot=dose.slot,
                count=pulses - before,
                value=on_us,
            )

    def _tell_clipping(
        self, clock_us: int, dose: DoseRecord, told: dict[str, Any] | None, clipped: list[int]
    ) -> None:
        before = told["clipped"] if told is not None and told["clipped"] else [0] * len(clipped)
        for area, (now, then) in enumerate(zip(clipped, before, strict=True)):
            if now != then:
                self._usage.add(
                    self._memory.boot_count,
                    clock_us,
                    UsageKind.COMPLIANCE,
                    slot=dose.slot,
                    place=area,
                    count=now - then,
                )

    def _tell_charges(self, clock_us: int, slot: int, flowed: dict[int, list[int]]) -> None:
        boot = self._memory.boot_count
        for contact, values in flowed.items():
            pulses = values[0]
            for kind in _KINDS:
                charge = values[_PLACES[kind]]
                count = pulses if kind is UsageKind.HOUR_CONTACT else 0
                if not charge and not count:
                    continue
                whole, rest = charge_parts(charge)
                self._usage.add(
                    boot, clock_us, kind, slot=slot, place=contact, count=count, value=whole, rest_ac=rest
                )


def _open_of(dose: DoseRecord, tick: int, pulses: int, clipped: list[int]) -> Replaced:
    return Replaced(dose=dose.number, slot=dose.slot, tick=tick, pulses=pulses, clipped=clipped)


def _told_of(records: Iterable[UsageRecord], contact: int) -> list[int | None]:
    """Pulses and charges of a contact that these records tell; None where none does."""
    found: list[int | None] = [None] * 4
    for record in records:
        if record.place != contact or record.kind not in _PLACES:
            continue
        place = _PLACES[record.kind]
        found[place] = (found[place] or 0) + charge_of(record)
        if record.kind is UsageKind.HOUR_CONTACT:
            found[0] = (found[0] or 0) + record.count
    return found
