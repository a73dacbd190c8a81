"""``neurostim program``: list, show, check, compile, plot and begin stimulation programs.

FILE is a path, or the name of a preset. Nothing here touches a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurostim.cli import console, exits

if TYPE_CHECKING:
    from neurostim.core.bounds import Bound
    from neurostim.core.program import Program
    from neurostim.core.units import Dimension

app = typer.Typer(no_args_is_help=True, help="List, show, check, compile, plot and begin programs.")

File = Annotated[str, typer.Argument(metavar="FILE", help="A program file, or the name of a preset.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]


def load(file: str) -> Program:
    """Read a program from a path, or a preset by its name.

    Raises
    ------
    ConfigError
        With every fault of the file; where there is neither file nor preset, with the nearest presets.
    """
    from neurostim import loading

    return loading.load(file)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what the file system says about a result into an error of the command."""
    from neurostim.core.errors import ConfigError, NeurostimError

    try:
        yield
    except NeurostimError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{out} cannot be written: {reason}", remedy="Choose another --out.", code="write"
        ) from error


def whole_options(options: Mapping[str, tuple[str | None, Dimension, Bound]]) -> dict[str, int]:
    """Read quantities given as options, in whole base units; those not given are left out.

    Raises
    ------
    ConfigError
        With every option that is not allowed.
    """
    from neurostim.core.errors import ConfigError, Problem
    from neurostim.core.units import parse_whole

    values, problems = {}, []
    for name, (text, dimension, bound) in options.items():
        if text is None:
            continue
        try:
            value = parse_whole(text, dimension)
        except ConfigError as error:
            problems.append(Problem(name, error.message.removeprefix("found "), error.allowed))
            continue
        if not bound.admits(value):
            problems.append(Problem(name, text, bound.text))
        values[name] = value
    if problems:
        raise ConfigError("an option is not allowed", problems=problems, code="option")
    return values


@app.command("list")
def list_(
    therapy: Annotated[str | None, typer.Option(help="Only those for scs, drg, pns, tens or bench.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the presets: what each is, where it comes from and how well that is known."""
    from neurostim.cli.program_text import program_document, summary, widen
    from neurostim.core.errors import ConfigError
    from neurostim.core.program import THERAPIES
    from neurostim.core.program_file import load_preset, presets

    if therapy is not None and therapy not in THERAPIES:
        raise ConfigError(f"found --therapy {therapy}", allowed=", ".join(THERAPIES), code="therapy")
    programs = {name: load_preset(name) for name in presets()}
    chosen = {name: one for name, one in programs.items() if therapy in (None, one.therapy)}
    if as_json:
        console.emit_json([{"preset": name, **program_document(one)} for name, one in chosen.items()])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("Preset", "For", "Grade", "Waveform", "Name"):
        table.add_column(heading, no_wrap=heading in ("Preset", "For", "Grade"))
    for name, one in chosen.items():
        table.add_row(f"[bold]{name}[/]", one.therapy, one.evidence, summary(one), one.name)
    screen = console.out()
    widen(screen)
    screen.print(table)
    screen.print("Grade: A read, B textbook, C illustrative.", style="dim")


@app.command("show")
def show(
    file: File,
    as_toml: Annotated[bool, typer.Option("--toml", help="Write it as a program file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a program says, before any device is known."""
    from neurostim.cli.program_text import describe, program_document
    from neurostim.core.program_file import dump_program

    program = load(file)
    if as_json:
        console.emit_json(program_document(program))
    elif as_toml:
        typer.echo(dump_program(program), nl=False)
    else:
        screen = console.out()
        for label, text in describe(program):
            screen.print(f"[dim]{label:<12}[/]", end=" ")
            screen.print(text, markup=False)


@app.command("check")
def check(
    file: File,
    profile: Annotated[
        str | None, typer.Option(help="Device profile to judge on; default: the program's therapy.")
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar='"MIN .. MAX by STEP"',
            help="What the patient can reach in an area; repeat in the order of the areas.",
        ),
    ] = None,
    saved: Annotated[
        list[str] | None,
        typer.Option("--saved", metavar="FILE", help="A program saved in a slot of the device; repeat."),
    ] = None,
    subject: Annotated[
        Path | None, typer.Option("--subject", metavar="FILE", help="Tightenings for one subject (TOML).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a program by every safety rule on a nominal device; exit code 4 where one refuses.

    With --range every amplitude the patient can reach is judged, with --saved every saved slot too.
    """
    from neurostim.cli.limits import subject_layer
    from neurostim.cli.program_check import judge, print_judgement, print_saved

    layer = subject_layer(subject) if subject else None
    judgement = judge(load(file), profile, ranges=range_ or (), subject=layer)
    slots = {name: judge(load(name), profile or judgement.profile, subject=layer) for name in saved or ()}
    if as_json:
        document = judgement.document()
        if slots:
            document["saved"] = {name: one.document() for name, one in slots.items()}
        console.emit_json(document)
    else:
        screen = console.out()
        print_judgement(screen, judgement)
        print_saved(screen, judgement, slots)
    refused = any(one.verdict.refused for one in (judgement, *slots.values()))
    raise typer.Exit(exits.SAFETY if refused else exits.OK)


@app.command("compile")
def compile_(
    file: File,
    *,
    out: Annotated[Path, typer.Option("--out", help="Event table to write: .csv or .npz.")],
    from_: Annotated[str, typer.Option("--from", help="Select events that start at or after this.")] = "0 s",
    for_: Annotated[
        str | None, typer.Option("--for", help="For this long; default: to the program's end.")
    ] = None,
    tick: Annotated[str, typer.Option(help="Time step of the device.")] = "1 us",
    step: Annotated[str, typer.Option(help="Amplitude step of the device.")] = "10 uA",
    guard: Annotated[str, typer.Option(help="Rest between areas.")] = "20 us",
    recovery_min: Annotated[str, typer.Option(help="Shortest passive recovery.")] = "400 us",
    as_json: AsJson = False,
) -> None:
    """Write the exact event table of a program, whatever the format allows; judging is `check` and `run`."""
    from neurostim.cli.program_size import ANNOUNCED_ROWS, check_size
    from neurostim.cli.program_text import adjustments
    from neurostim.core import bounds
    from neurostim.core.compile import compile_program
    from neurostim.core.events import write_events
    from neurostim.core.image import Grid
    from neurostim.core.units import CURRENT, TIME
    from neurostim.wire.image import encode_image, image_digest

    program = load(file)
    span = bounds.Bound(0, bounds.DURATION_NS.high, "0 s to 365 days")
    read = whole_options(
        {
            "--from": (from_, TIME, span),
            "--for": (for_, TIME, span),
            "--tick": (tick, TIME, bounds.TICK_NS),
            "--step": (step, CURRENT, bounds.STEP_NA),
            "--guard": (guard, TIME, bounds.GUARD_NS),
            "--recovery-min": (recovery_min, TIME, bounds.RECOVERY_MIN_NS),
        }
    )
    grid = Grid.of(read["--tick"], read["--step"], read["--guard"], read["--recovery-min"])
    schedule = compile_program(program, grid, _contact_index(program))
    digest = image_digest(encode_image(schedule.image)).hex()
    start_ns, length_ns = read["--from"], read.get("--for")
    expected = check_size(schedule, out, start_ns, length_ns)
    if expected > ANNOUNCED_ROWS:
        console.err().print(f"about {expected} rows to write; Ctrl-C leaves nothing behind", style="dim")
    with writing(out):
        rows = write_events(schedule, out, start_ns=start_ns, duration_ns=length_ns, image_sha256=digest)
    changes = adjustments(schedule)
    if as_json:
        report = {"program": program.name, "out": str(out), "rows": rows, "image_sha256": digest}
        chosen = {"from_ns": start_ns, "for_ns": length_ns}
        console.emit_json({**report, **chosen, "adjustments": changes})
        return
    screen = console.out()
    screen.print(f"{rows} rows to {out}", markup=False)
    for one in changes:
        screen.print(f"{one['place']}: asked {one['asked']}, given {one['given']}", markup=False)


@app.command("plot")
def plot(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="Picture to write: .png.")],
    for_: Annotated[
        str | None, typer.Option("--for", help="How much of the program to draw in the overview.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Device profile to draw on; default: the program's therapy.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a program: the whole, one unit, contacts to scale, current and contact voltage."""
    from neurostim.cli.plot import draw
    from neurostim.core import bounds
    from neurostim.core.units import TIME

    program = load(file)
    span_ns = whole_options({"--for": (for_, TIME, bounds.DURATION_NS)}).get("--for")
    with writing(out):
        draw(program, out, profile=profile, span_ns=span_ns)
    if as_json:
        console.emit_json({"program": program.name, "out": str(out)})
    else:
        console.out().print(f"Drawn to {out}", markup=False)


@app.command("new")
def new(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The program file to write.")],
    *,
    lead: Annotated[str | None, typer.Option(help="A lead of the library.")] = None,
    therapy: Annotated[str | None, typer.Option(help="scs, drg, pns, tens or bench.")] = None,
    amplitude: Annotated[str | None, typer.Option(help='Current with its unit, such as "2 mA".')] = None,
    like: Annotated[
        str | None, typer.Option(help="Preset to take the waveform from; default: by therapy.")
    ] = None,
    contacts: Annotated[
        str | None, typer.Option(help='Shares, such as "3 = -100 %, 5 = +100 %"; default: a bipole.')
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the program.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Begin a program file from lead, therapy and amplitude; the result is checked.

    What is not given as an option is asked for, where there is a terminal to ask at.
    """
    from neurostim.cli.program_check import judge, print_judgement
    from neurostim.cli.program_new import Choices, compose, prompt, write_new

    choices = prompt(Choices(lead, therapy, amplitude, like, contacts, name))
    program, text = compose(choices)
    judgement = judge(program, None)
    write_new(out, text, force=force)
    if as_json:
        console.emit_json({"out": str(out), "program": text, **judgement.document()})
    else:
        screen = console.out()
        screen.print(text, markup=False)
        print_judgement(screen, judgement)
        screen.print(f"Written to {out}", markup=False)
    raise typer.Exit(exits.SAFETY if judgement.verdict.refused else exits.OK)


def _contact_index(program: Program) -> dict[str, int]:
    """Device contacts of the labels; a return pad passes, since it is the device that has one or not."""
    from neurostim.core.image import RETURN_INDEX
    from neurostim.core.program import RETURN_CONTACT
    from neurostim.electrode.library import check_contacts, contact_map
    from neurostim.electrode.library import lead as library_lead

    leads = [library_lead(one) for one in program.leads]
    check_contacts(program, leads, any_return=True)
    return {**contact_map(leads), RETURN_CONTACT: RETURN_INDEX}
