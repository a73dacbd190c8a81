"""``neurostim usage``: read what a device delivered at home, whole, digested, and kept in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console
from neurostim.cli.links import KEYS_OPTION, opened

if TYPE_CHECKING:
    from rich.table import Table

    from neurostim.device.usage import UsageLog, UsageSummary
    from neurostim.session.usage_file import SavedUsage
    from neurostim.wire.messages import UsageRecord

app = typer.Typer()

_US_PER_MINUTE: Final = 60_000_000
_CHARGES: Final = ((10**18, "C"), (10**15, "mC"), (10**12, "uC"), (10**9, "nC"))


@app.command("usage")
def usage(
    device: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Show a log that was saved before.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep the log in this new file.")
    ] = None,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Read the usage log of a device, only reading, or show one that was saved."""
    from neurostim.core.errors import ConfigError
    from neurostim.session.usage_file import SavedUsage, read_saved, require_new, write_usage
    from neurostim.wire.messages import Role

    if (device is None) == (file is None):
        raise ConfigError("it is not said which log to show", allowed="a URL, or --file", code="usage-option")
    if file is not None and save is not None:
        raise ConfigError(
            "--save with --file", allowed="one of them: the log is in a file already", code="usage-option"
        )
    under_way = False
    if file is not None:
        saved = read_saved(file)
    else:
        assert device is not None
        if save is not None:
            require_new(save)
        with opened(device, keys, role=Role.OBSERVE) as stimulator:
            log = stimulator.home.usage().result()
            subject = stimulator.home.assignment().result().subject
            under_way = stimulator.status().result().output_on
            who = stimulator.identity
            saved = SavedUsage(who.model, who.serial_number, subject, log)
            if save is not None:
                write_usage(save, who, subject, log)
    if as_json:
        console.emit_json(document_of(saved))
    else:
        show(saved, source="verified with the device" if file is None else "as it was saved")
        if under_way:
            console.out().print(
                "output is on: the part under way is written each hour and when it ends", style="yellow"
            )


def document_of(saved: SavedUsage) -> dict[str, Any]:
    """Whose log it is and what it adds up to, as data; charges in attocoulombs, times in microseconds."""
    from neurostim.device.usage import summarise
    from neurostim.wire.messages import FaultCode, StopCause

    log = saved.log
    found = summarise(log.records)
    return {
        "model": saved.model,
        "serial_number": saved.serial_number,
        "subject": saved.subject,
        "begins": _moment(log.records[:1]),
        "ends": _moment(log.records[-1:]),
        "begins_anew": log.begins_anew,
        "records": len(log.records),
        "oldest_index": log.oldest_index,
        "usage_sha256": log.sha256.hex(),
        "on_us": found.on_us,
        "on_us_by_slot": {str(slot): value for slot, value in sorted(found.by_slot_us.items())},
        "on_us_by_day": found.days,
        "counts": {kind.name.lower(): count for kind, count in sorted(found.counts.items())},
        "stops": {StopCause(cause).name.lower(): count for cause, count in sorted(found.stop_causes.items())},
        "faults": {FaultCode(code).name.lower(): count for code, count in sorted(found.faults.items())},
        "lowest_battery_permille": found.lowest_battery,
        "contacts": {
            str(contact): {
                "pulses": one.pulses,
                "cathodic_ac": one.cathodic_ac,
                "anodic_ac": one.anodic_ac,
                "recovered_ac": one.recovered_ac,
                "bound_ac": one.bound_ac,
            }
            for contact, one in sorted(found.contacts.items())
        },
    }


def _moment(records: Sequence[UsageRecord]) -> dict[str, Any] | None:
    """When the one record here was written, as data; ``wall_s`` is None where no host had told the time."""
    from neurostim.device.usage import moment_of

    return next(
        (
            {
                "boot_count": one.boot_count,
                "clock_us": one.clock_us,
                "wall_s": one.wall_s or None,
                "text": moment_of(one),
            }
            for one in records
        ),
        None,
    )


def before(log: UsageLog) -> str:
    """What became of records before those that are held; empty where there were none."""
    if log.oldest_index <= 1:
        return ""
    if log.begins_anew:
        return f"records before {log.oldest_index} were erased when the device was retired, or reset by hand"
    return f"records before {log.oldest_index} have made room for newer ones"


def show(saved: SavedUsage, *, source: str = "verified with the device") -> None:
    """Show whose log it is, from when to when, and what it adds up to."""
    from neurostim.device.usage import moment_of, summarise
    from neurostim.wire.messages import FaultCode, StopCause, UsageKind

    log = saved.log
    found = summarise(log.records)
    screen = console.out()
    subject = "no subject" if saved.subject is None else f"subject {saved.subject}"
    screen.print(f"{saved.model} {saved.serial_number}, {subject}", markup=False, highlight=False)
    if log.records:
        first, last = moment_of(log.records[0]), moment_of(log.records[-1])
        screen.print(f"from {first} to {last}", markup=False, highlight=False)
    screen.print(f"{len(log.records)} records, SHA-256 {log.sha256.hex()[:16]}..., {source}")
    if told := before(log):
        screen.print(told, style=None if log.begins_anew else "yellow")
    screen.print(
        f"output on for {duration(found.on_us)}; "
        f"{found.counts[UsageKind.START]} starts, {found.counts[UsageKind.STEP]} steps, "
        f"{found.counts[UsageKind.SWITCH]} switches"
    )
    for day, on_us in found.days.items():
        screen.print(
            f"  {day} (UTC)  {duration(on_us)}" if day[:1].isdigit() else f"  {day}  {duration(on_us)}"
        )
    for cause, count in sorted(found.stop_causes.items()):
        screen.print(f"  ended by {StopCause(cause).name.lower().replace('_', ' ')}: {count}")
    for code, count in sorted(found.faults.items()):
        screen.print(f"  fault {FaultCode(code).name.lower().replace('_', ' ')}: {count}", style="yellow")
    for line in other_events(log.records, found):
        screen.print(f"  {line}", highlight=False)
    if found.contacts:
        screen.print(table_of(found))


def table_of(found: UsageSummary) -> Table:
    """Dose by contact."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("Contact", "Pulses", "Cathodic", "Anodic", "Recovered", "At most unseen"):
        table.add_column(heading, justify="right")
    for contact, one in sorted(found.contacts.items()):
        charges = (one.cathodic_ac, one.anodic_ac, one.recovered_ac, one.bound_ac)
        name = "return" if contact == 255 else str(contact)
        table.add_row(name, f"{one.pulses:,}", *(charge_text(charge) for charge in charges))
    return table


def other_events(records: Sequence[UsageRecord], found: UsageSummary) -> Iterator[str]:
    """What else happened, a line each; nothing is said of what did not happen."""
    from neurostim.wire.messages import UsageKind

    readings = [one.value for one in records if one.kind is UsageKind.IMPEDANCE]
    if readings:
        yield f"contacts read {len(readings)} times: {min(readings)} to {max(readings)} Ohm"
    limited = sum(one.count for one in records if one.kind is UsageKind.COMPLIANCE)
    if limited:
        yield f"pulses that the rail limited: {limited:,}"
    out = sum(one.kind is UsageKind.LEAD and not one.value for one in records)
    if out:
        yield f"lead pulled out: {out}"
    words = {
        UsageKind.LOCKOUT: "starts locked after too many",
        UsageKind.OFF_BUTTON: "off button",
        UsageKind.BOOT: "power lost or restarted",
        UsageKind.EXPIRED: "release expired",
    }
    for kind, text in words.items():
        if found.counts[kind]:
            yield f"{text}: {found.counts[kind]}"
    if found.lowest_battery is not None:
        yield f"lowest battery: {found.lowest_battery / 10:g} %"


def duration(on_us: int) -> str:
    """A time with output on as a person reads it: hours and minutes, or minutes and seconds."""
    minutes, rest_us = divmod(on_us, _US_PER_MINUTE)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest_us // 1_000_000:02} s"


def charge_text(charge_ac: int) -> str:
    """A charge in its largest unit that shows something, to four digits; exact ones are in the JSON."""
    for size, unit in _CHARGES:
        if abs(charge_ac) >= size:
            return (
                f"{charge_ac / size:,.4g} {unit}"
                if abs(charge_ac) < 1000 * size
                else f"{charge_ac / size:,.0f} {unit}"
            )
    return f"{charge_ac / 10**9:.4g} nC" if charge_ac else "0"
