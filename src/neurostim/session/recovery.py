"""After a crash: finding doses that were announced and never accounted for, and accounting for them.

A start is announced in the journal before it is sent. Until the device's counters, or a person with a
reason, have told what became of it, no new session begins in that folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.device import DoseRecord, Stimulator
from neurostim.session.adapters import FolderLock, Locker, Opener, open_durable
from neurostim.session.errors import SessionError
from neurostim.session.journal import Journal, Reading, Record, journals, read_journal

INTENDED: Final = "start_intended"
SETTLED: Final = ("start_failed", "reconciled", "measured", "resolved")
MIN_REASON: Final = 10


@dataclass(frozen=True, slots=True)
class InFlight:
    """A start that was announced and whose end is not on record.

    Attributes
    ----------
    path, session
        The journal and its session.
    kind : str
        ``stimulation`` or ``impedance``.
    serial_number : str
        The device.
    expected_dose_count, boot_count : int
        The device's counters before the start.
    image_sha256 : str
        Program, hexadecimal; empty for an impedance measurement.
    announced_at : str
        Time of day as it was written.
    confirmed_dose : int or None
        Number of the dose where the device had confirmed the start.
    torn_bytes : int
        Bytes of a last record that the crash cut off.
    """

    path: Path
    session: str
    kind: str
    serial_number: str
    expected_dose_count: int
    boot_count: int
    image_sha256: str
    announced_at: str
    confirmed_dose: int | None
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a start: ``delivered`` is None where only a person decided."""

    delivered: bool | None
    text: str
    evidence: dict[str, Any]


def in_flight(folder: Path) -> tuple[InFlight, ...]:
    """Every start in a folder's journals whose end is not on record.

    Raises
    ------
    JournalError
        Where a journal was changed or damaged after it was written.
    """
    found = (unsettled(read_journal(path)) for path in journals(folder))
    return tuple(one for one in found if one is not None)


def resolve_with_device(
    start: InFlight,
    stimulator: Stimulator,
    *,
    monotonic_ns: Callable[[], int],
    wall_text: Callable[[], str],
    opener: Opener = open_durable,
    locker: Locker = FolderLock,
) -> Resolution:
    """Let the device's own counters tell, and write it into the journal.

    Raises
    ------
    SessionError
        Code ``session-in-flight``: another device, output still on, or counters that contradict.
    """
    if stimulator.identity.serial_number != start.serial_number:
        raise _still_open(
            f"this is device {stimulator.identity.serial_number}, the dose was on {start.serial_number}",
            "Connect to that device, or settle it by a decision with a reason.",
        )
    status = stimulator.status().result()
    if status.output_on:
        raise _still_open("the output of the device is on", "Stop it first.")
    count = status.dose_count
    evidence: dict[str, Any] = {"dose_count": count, "boot_count": status.boot_count}
    if count == start.expected_dose_count:
        resolution = Resolution(
            False, "the device's dose count did not move: nothing was delivered", evidence
        )
    elif count < start.expected_dose_count:
        raise _still_open(
            f"the device counts {count} doses, fewer than the {start.expected_dose_count} before the start",
            "Its memory is not to be trusted; settle it by a decision with a reason.",
        )
    else:
        dose = stimulator.dose(start.expected_dose_count + 1).result()
        evidence |= dose_evidence(dose)
        if start.image_sha256 and dose.image_sha256.hex() != start.image_sha256:
            raise _still_open(
                f"dose {dose.number} of the device is of another program",
                "Another host has used the device; settle it by a decision with a reason.",
            )
        text = f"dose {dose.number} was delivered and ended by {dose.stop_cause.name.lower()}"
        resolution = Resolution(True, text, evidence)
    _write(start, resolution, "device", monotonic_ns, wall_text, opener, locker)
    return resolution


def resolve_by_decision(
    start: InFlight,
    reason: str,
    *,
    monotonic_ns: Callable[[], int],
    wall_text: Callable[[], str],
    opener: Opener = open_durable,
    locker: Locker = FolderLock,
) -> Resolution:
    """Let a person settle what no device can tell any more; the reason goes on record.

    Raises
    ------
    ConfigError
        Where the reason says nothing.
    """
    if len(reason.strip()) < MIN_REASON:
        raise ConfigError(
            f"found the reason {reason!r}", allowed=f"at least {MIN_REASON} characters", code="reason"
        )
    resolution = Resolution(None, f"settled by decision: {reason.strip()}", {"reason": reason.strip()})
    _write(start, resolution, "decision", monotonic_ns, wall_text, opener, locker)
    return resolution


def dose_evidence(dose: DoseRecord) -> dict[str, Any]:
    """A device's dose record as plain values; charges in aC."""
    return {
        "dose_number": dose.number,
        "stop_cause": dose.stop_cause.name,
        "lasted_ticks": dose.end_tick - dose.start_tick,
        "image_sha256": dose.image_sha256.hex(),
        "areas": [{"area": area.area, "pulses": area.pulses, "stim_ac": area.stim_ac} for area in dose.areas],
    }


def unsettled(reading: Reading) -> InFlight | None:
    """The start in one journal whose end is not on record, or None."""
    start: Record | None = None
    confirmed: int | None = None
    device: dict[str, Any] = {}
    for record in reading.records:
        if record.kind == "device":
            device = dict(record.data)
        elif record.kind == INTENDED:
            start, confirmed = record, None
        elif record.kind == "started":
            confirmed = record.data["dose_number"]
        elif record.kind in SETTLED:
            start = None
    if start is None:
        return None
    return InFlight(
        path=reading.path,
        session=reading.records[0].data["session"],
        kind=start.data["kind"],
        serial_number=device.get("serial_number", ""),
        expected_dose_count=start.data["expected_dose_count"],
        boot_count=start.data["boot_count"],
        image_sha256=start.data["image_sha256"],
        announced_at=start.at,
        confirmed_dose=confirmed,
        torn_bytes=reading.torn_bytes,
    )


def _write(
    start: InFlight,
    resolution: Resolution,
    by: str,
    monotonic_ns: Callable[[], int],
    wall_text: Callable[[], str],
    opener: Opener,
    locker: Locker,
) -> None:
    with Journal.reopen(
        start.path, monotonic_ns=monotonic_ns, wall_text=wall_text, opener=opener, locker=locker
    ) as journal:
        data = {
            "by": by,
            "delivered": resolution.delivered,
            "text": resolution.text,
            "evidence": resolution.evidence,
        }
        journal.append("resolved", data, durable=True)


def _still_open(message: str, remedy: str) -> SessionError:
    return SessionError(
        f"the start on record stays unsettled: {message}", remedy=remedy, code="session-in-flight"
    )
