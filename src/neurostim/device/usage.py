"""The usage log of a device that was at home: exact records as read, and what they add up to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from neurostim.core.errors import ProtocolError
from neurostim.wire.messages import ATTOCOULOMB_PER_NC, NO_SLOT, UsageKind, UsageRecord

HOUR_S: Final = 3600
DAY_S: Final = 86_400
_CHARGES: Final = (UsageKind.HOUR_CONTACT, UsageKind.HOUR_ANODIC, UsageKind.HOUR_RECOVERED)


@dataclass(frozen=True, slots=True)
class UsageLog:
    """The whole log as it was held when it was read.

    Attributes
    ----------
    records : tuple of UsageRecord
        In ascending order, without gaps.
    oldest_index : int
        Index of the first record that was still held; above 1 where older ones were erased or made room.
    sha256 : bytes
        Digest over the records, computed here and found equal to the device's.
    """

    records: tuple[UsageRecord, ...]
    oldest_index: int
    sha256: bytes

    @property
    def begins_anew(self) -> bool:
        """Whether records before these were erased whole, by a retirement or a reset at the device.

        The log of a device begins with a release and after an erasure begins again with one; one whose
        oldest records made room begins wherever the room came to its end, and is never empty.
        """
        kind = self.records[0].kind if self.records else UsageKind.RELEASED
        return self.oldest_index > 1 and kind is UsageKind.RELEASED


@dataclass(slots=True)
class ContactUsage:
    """Dose of one contact [aC]; ``bound_ac`` is what may have flowed unseen before power was lost."""

    pulses: int = 0
    cathodic_ac: int = 0
    anodic_ac: int = 0
    recovered_ac: int = 0
    bound_ac: int = 0


@dataclass(slots=True)
class UsageSummary:
    """What a log adds up to.

    Attributes
    ----------
    on_us : int
        Time with output on [us].
    by_slot_us : Counter of int
        The same by program slot [us].
    counts : Counter of UsageKind
        Records of each kind.
    contacts : dict of int to ContactUsage
        By device contact.
    days : dict of str to int
        Time with output on [us] by the date a host's clock gave, UTC; what was recorded while no host had
        told the time of day stands under ``"boot n, day m, time of day unknown"``, where days are 24 h of the
        device's clock and counted from 1.
    stop_causes : Counter of int
        Ends of output by their cause.
    faults : Counter of int
        Fault codes.
    lowest_battery : int or None
        Lowest level recorded [0.1 %].
    """

    on_us: int = 0
    by_slot_us: Counter[int] = field(default_factory=Counter)
    counts: Counter[UsageKind] = field(default_factory=Counter)
    contacts: dict[int, ContactUsage] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    stop_causes: Counter[int] = field(default_factory=Counter)
    faults: Counter[int] = field(default_factory=Counter)
    lowest_battery: int | None = None


def usage_digest(records: Iterable[UsageRecord]) -> bytes:
    """SHA-256 over the records as USAGE carries them, ascending."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.encode())
    return digest.digest()


def charge_ac(record: UsageRecord) -> int:
    """Exact charge of a record that tells one [aC]."""
    return record.value * ATTOCOULOMB_PER_NC + record.rest_ac


def require_unbroken(records: Iterable[UsageRecord], oldest_index: int) -> None:
    """Refuse a log with a gap or out of order.

    Raises
    ------
    ProtocolError
        Code ``usage-order``.
    """
    for expected, record in enumerate(records, oldest_index):
        if record.index != expected:
            raise ProtocolError(
                f"the usage log has record {record.index} where {expected} belongs",
                remedy="Read it again; if it stays so, keep the device and its log as they are.",
                code="usage-order",
            )


def summarise(records: Iterable[UsageRecord]) -> UsageSummary:
    """Add a log up; sums are exact integers."""
    found = UsageSummary()
    for record in records:
        found.counts[record.kind] += 1
        if record.kind in (*_CHARGES, UsageKind.CHARGE_BOUND):
            _add_charge(found.contacts.setdefault(record.place, ContactUsage()), record)
        elif record.kind is UsageKind.HOUR_ON:
            found.on_us += record.value
            if record.slot != NO_SLOT:
                found.by_slot_us[record.slot] += record.value
            day = day_of(record)
            found.days[day] = found.days.get(day, 0) + record.value
        elif record.kind is UsageKind.STOP:
            found.stop_causes[record.value] += 1
        elif record.kind is UsageKind.FAULT:
            found.faults[record.value] += 1
        elif record.kind is UsageKind.BATTERY:
            least = found.lowest_battery
            found.lowest_battery = record.value if least is None else min(least, record.value)
    return found


def day_of(record: UsageRecord) -> str:
    """Date of a record by a host's clock (UTC), or which boot it belongs to where that is unknown."""
    if not record.wall_s:
        day = max(record.clock_us - 1, 0) // (DAY_S * 1_000_000) + 1
        return f"boot {record.boot_count}, day {day}, time of day unknown"
    return civil_date(record.wall_s // DAY_S)


def moment_of(record: UsageRecord) -> str:
    """When a record was written, for people: by a host's clock (UTC), or as far into which boot."""
    if record.wall_s:
        minutes = record.wall_s % DAY_S // 60
        return f"{civil_date(record.wall_s // DAY_S)} {minutes // 60:02}:{minutes % 60:02} UTC"
    hours, minutes = divmod(record.clock_us // 60_000_000, 60)
    return f"{hours} h {minutes:02} min into boot {record.boot_count}, time of day unknown"


def civil_date(days: int) -> str:
    """Date of a number of days since 1970-01-01; a number of days where no calendar holds it."""
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"day {days} since 1970"


def _add_charge(one: ContactUsage, record: UsageRecord) -> None:
    amount = charge_ac(record)
    if record.kind is UsageKind.HOUR_CONTACT:
        one.pulses += record.count
        one.cathodic_ac += amount
    elif record.kind is UsageKind.HOUR_ANODIC:
        one.anodic_ac += amount
    elif record.kind is UsageKind.HOUR_RECOVERED:
        one.recovered_ac += amount
    else:
        one.bound_ac += amount
