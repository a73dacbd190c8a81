"""``neurostim release``: judge, load and verify programs, and send the device home with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened
from neurostim.core.errors import ConfigError
from neurostim.core.units import CURRENT, format_current, parse_whole

if TYPE_CHECKING:
    from rich.console import Console

    from neurostim.core.program import Program
    from neurostim.device import Stimulator
    from neurostim.device.home import ReleaseState
    from neurostim.safety.approval import ApprovedProgram
    from neurostim.safety.context import AmplitudeRange

app = typer.Typer()

DAY_S: Final = 86_400
HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Wanted:
    """One program to be released: name for the patient, the program, and the patient's ranges by area."""

    name: str
    program: Program
    ranges: tuple[AmplitudeRange, ...]


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
        typer.Option("--acknowledge", metavar='CODE="reason"', help="Accept a warning; may be repeated."),
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
    from neurostim.cli.run import settle_earlier
    from neurostim.session.home import HomeSession, release_of

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
        settle_earlier(folder, stimulator, settle, screen)
        approved = prepare(stimulator, wanted, folder, subject, acknowledge or [], screen, clear=clear)
        asked = release_of(subject, approved, expires_s=None if days is None else days * DAY_S)
        with HomeSession(stimulator, None, (), folder, subject=subject) as session:
            state = session.release(asked)
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
                "ranges": [
                    {"area": r.area, "min_na": r.min_na, "max_na": r.max_na, "step_na": r.step_na}
                    for r in one.ranges
                ],
            }
            for one in asked.slots
        ],
        "journal": str(path),
        "exit_code": exits.OK,
    }
    if as_json:
        console.emit_json(document)
        return
    show(document, state, screen)


def read_wanted(programs: Sequence[str], ranges: Sequence[str], grid_step_na: int) -> list[Wanted]:
    """Read the words of ``--program`` and ``--range``.

    Raises
    ------
    ConfigError
        For words that are off, and ranges of programs or areas that are not there.
    """
    from neurostim.cli.program import load

    loaded: dict[str, Program] = {}
    for text in programs:
        name, separator, file = text.partition("=")
        if not separator or not name.strip() or not file.strip() or name.strip() in loaded:
            raise ConfigError(
                f"found --program {text!r}",
                allowed="a name of its own for the patient and a file, such as --program Walking=walk.toml",
                code="program-option",
            )
        loaded[name.strip()] = load(file.strip())
    chosen: dict[str, dict[int, AmplitudeRange]] = {name: {} for name in loaded}
    for text in ranges:
        name, one = read_range(text, loaded, grid_step_na)
        if one.area in chosen[name]:
            raise ConfigError(f"found a second range in --range {text!r}", code="range-option")
        chosen[name][one.area] = one
    return [
        Wanted(name, one, tuple(chosen[name].get(i) or fixed(one, i, grid_step_na) for i in areas(one)))
        for name, one in loaded.items()
    ]


def areas(program: Program) -> range:
    """Numbers of the areas of a program."""
    return range(len(program.areas))


def fixed(program: Program, area: int, grid_step_na: int) -> AmplitudeRange:
    """The range of an area that the patient has on or off only."""
    from neurostim.safety.context import AmplitudeRange

    amplitude = program.areas[area].amplitude
    if not isinstance(amplitude, int):
        raise ConfigError(
            f"area {program.areas[area].name} has an amplitude relative to a mark",
            remedy="Resolve it to a current first: a release holds currents.",
            code="relative-amplitude",
        )
    return AmplitudeRange(area, amplitude, amplitude, grid_step_na)


def read_range(text: str, programs: dict[str, Program], grid_step_na: int) -> tuple[str, AmplitudeRange]:
    """Read ``NAME/AREA=MIN..MAX by STEP``; the step is the device's own where none is given."""
    from neurostim.safety.context import AmplitudeRange

    where, _, what = text.partition("=")
    name, _, area_name = where.partition("/")
    least, dots, rest = what.partition("..")
    most, by, step = rest.partition(" by ")
    program = programs.get(name.strip())
    if not dots or program is None:
        raise ConfigError(
            f"found --range {text!r}",
            allowed=f'such as --range "{next(iter(programs))}/1=1.5 mA..3.0 mA by 0.1 mA"',
            code="range-option",
        )
    return name.strip(), AmplitudeRange(
        area_of(name, program, area_name.strip()),
        parse_whole(least.strip(), CURRENT),
        parse_whole(most.strip(), CURRENT),
        parse_whole(step.strip(), CURRENT) if by else grid_step_na,
    )


def area_of(name: str, program: Program, word: str) -> int:
    """Number of the area that is called ``word``, or that stands at that place, counted from 1."""
    named = [one.name for one in program.areas]
    if word in named:
        return named.index(word)
    if word.isdecimal() and 1 <= int(word) <= len(named):
        return int(word) - 1
    raise ConfigError(
        f"the program {name!r} has no area {word!r}",
        allowed=f"its place, 1 to {len(named)}, or its name: {', '.join(named)}",
        code="range-option",
    )


def prepare(
    stimulator: Stimulator,
    wanted: Sequence[Wanted],
    folder: Path,
    subject: str,
    acknowledge: list[str],
    screen: Console,
    *,
    clear: bool,
) -> list[tuple[int, str, ApprovedProgram]]:
    """Measure, judge and load each program into the slot of its place; returns slot, name and approval."""
    from neurostim.cli.run import (
        approve_with,
        await_control,
        parse_reasons,
        release_latch,
        show_device,
        show_findings,
        show_impedances,
    )
    from neurostim.electrode.library import lead
    from neurostim.session import Session

    reasons = parse_reasons(acknowledge)
    await_control(stimulator, screen)
    done: list[tuple[int, str, ApprovedProgram]] = []
    for slot, one in enumerate(wanted):
        leads = [lead(name) for name in one.program.leads]
        with Session(stimulator, one.program, leads, folder, slot=slot, subject=subject) as session:
            status = stimulator.status().result()
            if not done:
                show_device(stimulator, status, screen)
            release_latch(session, status, screen, allowed=clear)
            screen.print(f"[bold]{one.name}[/] (slot {slot})")
            show_impedances(session.measure(), screen)
            verdict = session.check(one.ranges)
            show_findings(verdict, screen)
            approved = approve_with(session, verdict, reasons)
            session.load()
            screen.print("[green]loaded[/], digest verified by the device")
            done.append((slot, one.name, approved))
    return done


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
    left = state.expires_left_s
    ends = f"{left // 60} minutes" if state.corridor else f"{left / DAY_S:g} days"
    screen.print(f"  ends after {ends} of powered time; nothing renews it but a new release")
    screen.print(f"  battery for about {state.battery_hours / 24:.1f} days of the first program")
    screen.print("  off after any reset or battery change; the off button cuts the output by itself")
