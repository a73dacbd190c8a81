"""``neurostim release``: judge, load and verify programs, and send the device home with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened
from neurostim.core.errors import ConfigError
from neurostim.core.units import format_current

if TYPE_CHECKING:
    from rich.console import Console

    from neurostim.cli.release_words import Wanted
    from neurostim.device import Stimulator
    from neurostim.device.home import ReleaseState
    from neurostim.safety.approval import ApprovedProgram
    from neurostim.session import Session

app = typer.Typer()

DAY_S: Final = 86_400
HOUR_S: Final = 3600


@app.command("release")
def release(
    device: Annotated[str, typer.Argument(metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL.")],
    subject: Annotated[str, typer.Option("--subject", metavar="CODE", help="Subject it is assigned to.")],
    program: Annotated[
        list[str],
        typer.Option("--program", metavar="NAME=FILE", help="Name for the patient and program; repeat."),
    ],
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=90, help="Ends after so many days of powered time.")
    ] = None,
    corridor: Annotated[
        bool, typer.Option("--corridor", help="For the corridor: ends after 20 minutes.")
    ] = False,
    patient_range: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar='NAME/AREA="MIN..MAX by STEP"',
            help="What the patient may reach; without one an area is on or off only.",
        ),
    ] = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(
            "--acknowledge",
            metavar='NAME/CODE="reason"',
            help="Accept a warning of one program; may be repeated.",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Release the latch of an earlier stop that is shown.")
    ] = False,
    settle: SETTLE_OPTION = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="DIR", help="Folder of the session journals.")
    ] = None,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Send a device home: every program is measured, judged over the patient's range, loaded and verified.

    From then on only the patient's own control starts, steps, switches and stops, until ``takeback``.
    """
    from neurostim.cli.release_check import require_battery, require_possible
    from neurostim.cli.release_words import read_reasons, read_wanted
    from neurostim.cli.run import settle_earlier
    from neurostim.session.home import HomeSession, release_of
    from neurostim.wire.messages import CORRIDOR_S

    screen = console.err()
    screen.print(console.RESEARCH_NOTICE, style="bold yellow")
    if (days is None) == (not corridor):
        raise ConfigError(
            "a release must end",
            allowed="either --days 1 to 90, or --corridor for 20 minutes",
            code="expiry",
        )
    folder = journal or paths.default_journal()
    with opened(device, keys) as stimulator:
        wanted = read_wanted(program, patient_range or [], stimulator.capabilities.grid.step_na)
        reasons = read_reasons(acknowledge or [], [one.name for one in wanted])
        require_possible(wanted, reasons, stimulator.capabilities)
        require_battery(stimulator.status().result().battery_permille)
        settle_earlier(folder, stimulator, settle, screen)
        approved = prepare(stimulator, wanted, folder, subject, reasons, screen, clear=clear)
        asked = release_of(subject, approved, expires_s=None if days is None else days * DAY_S)
        hours = battery_hours(stimulator, [one for _, _, one in approved])
        show_battery(
            dict(zip((one.name for one in wanted), hours, strict=True)),
            CORRIDOR_S if days is None else days * DAY_S,
            screen,
        )
        with HomeSession(stimulator, None, (), folder, subject=subject) as session:
            state = session.release(asked, {slot: one.acknowledged for slot, _, one in approved})
            path = session.journal_path
    document = {
        "subject": asked.subject,
        "release": state.number,
        "release_sha256": asked.digest().hex(),
        "expires_left_s": state.expires_left_s,
        "corridor": state.corridor,
        "battery_hours": state.battery_hours,
        "slots": [
            {
                "slot": one.slot,
                "name": one.name,
                "image_sha256": one.image_sha256.hex(),
                "battery_hours": lasts,
                "acknowledged": dict(program_of.acknowledged),
                "ranges": [
                    {"area": r.area, "min_na": r.min_na, "max_na": r.max_na, "step_na": r.step_na}
                    for r in one.ranges
                ],
            }
            for one, (_, _, program_of), lasts in zip(asked.slots, approved, hours, strict=True)
        ],
        "journal": str(path),
        "exit_code": exits.OK,
    }
    if as_json:
        console.emit_json(document)
        return
    show(document, state, screen)


def prepare(
    stimulator: Stimulator,
    wanted: Sequence[Wanted],
    folder: Path,
    subject: str,
    reasons: Mapping[str, Mapping[str, str]],
    screen: Console,
    *,
    clear: bool,
) -> list[tuple[int, str, ApprovedProgram]]:
    """Measure, judge and load each program into the slot of its place; returns slot, name and approval."""
    from neurostim.cli.run import await_control, release_latch, show_device, show_findings, show_impedances
    from neurostim.electrode.library import lead
    from neurostim.session import Session

    await_control(stimulator, screen)
    done: list[tuple[int, str, ApprovedProgram]] = []
    for slot, one in enumerate(wanted):
        leads = [lead(name) for name in one.program.leads]
        with Session(stimulator, one.program, leads, folder, slot=slot, subject=subject) as session:
            status = stimulator.status().result()
            if not done:
                show_device(stimulator, status, screen)
            release_latch(session, status, screen, allowed=clear)
            screen.print(f"{one.name} (slot {slot})", style="bold", markup=False, highlight=False)
            show_impedances(session.measure(), screen)
            show_findings(session.check(one.ranges), screen)
            done.append((slot, one.name, approve(session, wanted[slot:], reasons, stimulator)))
            session.load()
            screen.print("[green]loaded[/], digest verified by the device")
    return done


def approve(
    session: Session,
    wanted: Sequence[Wanted],
    reasons: Mapping[str, Mapping[str, str]],
    stimulator: Stimulator,
) -> ApprovedProgram:
    """Approve the first of ``wanted`` with its own reasons alone.

    Raises
    ------
    SafetyError
        Where a rule refuses, or a warning has no reason; those that the others will lack are named with it.
    """
    from neurostim.cli.release_check import require_reasons, warned_with

    one, *others = wanted
    verdict, measured = session.verdict, session.impedances
    assert verdict is not None
    assert measured is not None
    own = reasons[one.name]
    if not verdict.refused and any(code not in own for code in verdict.to_acknowledge):
        warned = warned_with(others, one.program.leads, stimulator.capabilities, measured)
        require_reasons({one.name: verdict.warnings, **warned}, reasons)
    return session.approve({code: why for code, why in own.items() if code in verdict.to_acknowledge})


def battery_hours(stimulator: Stimulator, programs: Sequence[ApprovedProgram]) -> list[int]:
    """Hours the battery carries each program without a pause, at the top of its range [h]."""
    from neurostim.core.battery import hours

    rail_mv = stimulator.capabilities.rail_mv
    level = stimulator.status().result().battery_permille
    return [int(hours(one.image, tuple(r.max_na for r in one.ranges), rail_mv, level)) for one in programs]


def show_battery(hours: Mapping[str, int], expires_s: int, screen: Console) -> None:
    """Say how long the battery carries each program, and where that is less than the release lasts."""
    for name, lasts in hours.items():
        days = f"about {lasts / 24:.1f} days" if lasts >= 24 else f"about {lasts} h"
        text = f"battery for {days} of {name} without a pause, at the top of its range"
        if lasts * HOUR_S < expires_s:
            text += f": less than the {until(expires_s)} of the release; give fresh batteries along"
        screen.print(text, style="yellow" if lasts * HOUR_S < expires_s else None, markup=False)


def until(expires_s: int) -> str:
    """How long a release lasts, for people."""
    return f"{expires_s / DAY_S:g} days" if expires_s >= DAY_S else f"{expires_s // 60} minutes"


def show(document: dict[str, Any], state: ReleaseState, screen: Console) -> None:
    """Say what the patient goes home with."""
    screen.print(f"[green]released[/] to {document['subject']} (release {state.number})", highlight=False)
    for one in document["slots"]:
        reach = "  ".join(
            "on and off only"
            if r["min_na"] == r["max_na"]
            else f"{format_current(r['min_na'])} to {format_current(r['max_na'])}, "
            f"steps of {format_current(r['step_na'])}"
            for r in one["ranges"]
        )
        screen.print(f"  {one['name']:<16} {reach}", markup=False)
    ends = until(state.expires_left_s)
    screen.print(f"  ends after {ends} of powered time; nothing renews it but a new release")
    screen.print("  off after any reset or battery change; the off button cuts the output by itself")
