"""``neurostim demo``: the main job on a simulated device, from program files to judged traces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console, exits
from neurostim.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from neurostim.cli.demo_device import SimulatedDevice
    from neurostim.cli.demo_evidence import Evidence
    from neurostim.cli.demo_scenes import Scene
    from neurostim.core.program import Program

app = typer.Typer()

PRESETS: Final = ("tonic", "burstdr", "hf10")
CABLE_PRESET: Final = "tonic"
SEED: Final = 1
LEAD: Final = "octrode"
REHEARSAL_NS: Final = 3_000_000_000
PROFILE: Final = "scs"
# What the demonstration writes into its folder, and so may replace there.
OWN_FOLDERS: Final = ("journal", "plots", "programs", "traces")
OWN_FILES: Final = ("result.json", "simulator.log", "summary.html")


@app.command("demo")
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for journal, traces, plots and summary.")
    ] = Path("demo-output"),
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="S", min=3.0, max=60.0, help="Length of each delivery, in seconds."
        ),
    ] = 4.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document at the end.")] = False,
) -> None:
    """Show the whole job on a simulated device: measure, judge, deliver, pull the cable, reconcile, judge.

    Nothing is asked and no device is needed. Exit code 0 only where everything agrees.
    """
    from neurostim.cli.demo_figures import cable_picture
    from neurostim.cli.demo_scenes import Interrupted
    from neurostim.device import SystemClock

    screen = console.err()
    screen.print(console.RESEARCH_NOTICE, style="bold yellow")
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    prepare_folder(out)
    try:
        scenes, link = perform(out, seconds, screen)
    except Interrupted:
        screen.print("Ended as asked: output was ramped down, the simulated device has ended.")
        raise typer.Exit(exits.INTERRUPTED) from None
    doses = judge_doses(scenes, out, screen)
    for one in doses:
        if one.scene.cable is not None:
            cable_picture(one, out / "plots" / "cable-pulled.png")
    took_s = (clock.monotonic_ns() - began_ns) / 1_000_000_000
    document = write_result(doses, out, link, clock.wall_text(), took_s)
    if as_json:
        console.emit_json(document)
    else:
        show_end(document, console.out())
    raise typer.Exit(document["exit_code"])


def prepare_folder(out: Path) -> None:
    """Make the folder; of an earlier demonstration, replace only what it wrote.

    Raises
    ------
    ConfigError
        Where the folder holds something else, or cannot be written.
    """
    ours = {*OWN_FOLDERS, *OWN_FILES}
    try:
        out.mkdir(parents=True, exist_ok=True)
        others = sorted(one.name for one in out.iterdir() if one.name not in ours)
        if others:
            raise ConfigError(
                f"{out} holds something else: {', '.join(others[:3])}",
                allowed="a folder that is new, empty or of an earlier demonstration",
                remedy="Name another with --out.",
                code="folder",
            )
        for name in OWN_FOLDERS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            (out / name).mkdir()
        for name in OWN_FILES:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be used: {error.strerror}", code="folder") from error


def perform(out: Path, seconds: float, screen: Console) -> tuple[list[Scene], str]:
    """Play all scenes on a simulated device of their own; the scenes, and how it was connected."""
    from neurostim.cli import demo_keys, demo_scenes
    from neurostim.core.program_file import load_program

    journal = out / "journal"
    programs = {preset: load_program(_copy(preset, out)) for preset in PRESETS}
    with simulated(out) as device:
        screen.print("starting the simulated device; a first start on a computer compiles for up to a minute")
        # While it starts, the host gets ready as well.
        for preset, program in programs.items():
            rehearse(preset, program, out, screen)
        url = device.url
        screen.print(f"simulated device, process {device.pid}, at {url}")
        keys, paired = demo_keys.pair(url, device.label_code)
        screen.print(
            f"[green]paired[/] with {paired.serial_number} by the code on its label: "
            "from here on it takes commands under this key only, and a stop from anyone"
        )
        scenes = []
        for number, (preset, program) in enumerate(programs.items(), start=1):
            _heading(screen, f"{number} of {len(PRESETS) + 1}  {program.name}")
            scenes.append(demo_scenes.deliver(preset, preset, program, url, keys, journal, seconds, screen))
        program = programs[CABLE_PRESET]
        _heading(screen, f"{len(PRESETS) + 1} of {len(PRESETS) + 1}  The cable is pulled: {program.name}")
        key = f"{CABLE_PRESET}, cable pulled"
        scenes.append(
            demo_scenes.pull_cable(key, CABLE_PRESET, program, url, keys, journal, device.order, screen)
        )
    return scenes, "TCP" if url.startswith("socket:") else "a serial line (pty)"


def rehearse(preset: str, program: Program, out: Path, screen: Console) -> None:
    """Draw a program, and let the judge look at what the compiler makes of it.

    Raises
    ------
    ProtocolError
        Where compiler and judge do not agree.
    """
    import neurostim
    from neurostim.cli.plot import draw as draw_program
    from neurostim.cli.program_check import judge
    from neurostim.core.errors import ProtocolError

    judgement = judge(program, PROFILE)
    draw_program(program, out / "plots" / f"{preset}.png", profile=PROFILE)
    with TemporaryDirectory(prefix="neurostim-demo-") as place:
        table = Path(place) / f"{preset}.npz"
        neurostim.write_events(judgement.schedule, table, start_ns=0, duration_ns=REHEARSAL_NS)
        report = neurostim.judge_file(table, out / "programs" / f"{preset}.toml")
    if not report.conforms:
        raise ProtocolError(
            f"compiler and judge do not agree on {program.name}: {', '.join(report.failures)}",
            code="rehearsal",
        )
    screen.print(f"rehearsed {preset}: {report.rows:,} rows of compiled events conform; drawn")


@contextmanager
def simulated(out: Path) -> Iterator[SimulatedDevice]:
    """A simulated device with its records in the folder; ended, by its id, when the block is left."""
    from neurostim.cli.demo_device import SimulatedDevice, port_options

    with TemporaryDirectory(prefix="neurostim-demo-") as place:
        arguments = [
            *port_options(Path(place)), "--profile", PROFILE, "--seed", str(SEED), "--lead", LEAD,
            "--trace", str(out / "traces"),
        ]  # fmt: skip
        with SimulatedDevice(arguments, out / "simulator.log") as device:
            yield device


def judge_doses(scenes: list[Scene], out: Path, screen: Console) -> list[Evidence]:
    """Let the independent judge look at every trace."""
    from neurostim.cli.demo_evidence import examine

    _heading(screen, "Traces judged by conformance, independently of compiler, simulator and safety gate")
    doses = []
    for scene in scenes:
        evidence = examine(scene, out / "traces", out / "programs" / f"{scene.preset}.toml")
        doses.append(evidence)
        report = evidence.report
        mark = "[green]conforms[/]" if report.conforms else "[bold red]does not conform[/]"
        judged = sum(1 for check in report.checks if check.judged)
        screen.print(f"dose {scene.dose.number}  {scene.key}: {mark}, {judged} checks, {report.rows:,} rows")
        for check in report.checks:
            if not check.passed:
                screen.print(
                    f"  {check.title}: {check.failed} of {check.judged}, {check.first}", markup=False
                )
        if scene.cable is not None:
            style = "green" if evidence.silent_in_time else "bold red"
            after_ms = evidence.silent_after_ns / 1e6
            screen.print(f"  [{style}]silent {after_ms:.0f} ms[/] after the cable was pulled; 500 ms allowed")
    return doses


def write_result(doses: list[Evidence], out: Path, link: str, when: str, took_s: float) -> dict[str, Any]:
    """Write the summary and the result; return the result."""
    import platform

    import neurostim
    from neurostim.cli.demo_summary import Facts, page

    first = doses[0]
    program = out / "programs" / f"{first.scene.preset}.toml"
    facts = Facts(
        when=_day_and_time(when),
        seconds=took_s,
        link=link,
        commands=(
            ("Judge a trace again:", f"neurostim conform {first.trace} --program {program}"),
            ("Judge a program by every rule:", f"neurostim program check {program}"),
        ),
        settings=(
            ("neurostim", neurostim.__version__),
            ("Python", platform.python_version()),
            ("profile", PROFILE),
            ("lead", LEAD),
            ("seed", str(SEED)),
            ("limits", first.scene.verdict.limits_sha256.hex()[:12]),
        ),
    )
    document = {
        "agrees": all(one.good for one in doses),
        "exit_code": exit_code(doses),
        "folder": str(out),
        "summary": str(out / "summary.html"),
        "link": link,
        "took_s": round(took_s, 1),
        "doses": [one.as_dict() for one in doses],
    }
    (out / "summary.html").write_text(page(doses, facts), encoding="utf-8")
    text = console.json_text(document)
    (out / "result.json").write_text(text, encoding="utf-8")
    return document


def exit_code(doses: list[Evidence]) -> int:
    """The exit code that the doses deserve: the heaviest first."""
    if not all(one.scene.found.agrees for one in doses):
        return exits.UNCERTAIN
    if not all(one.report.conforms for one in doses):
        return exits.CONFORMANCE
    return exits.OK if all(one.good for one in doses) else exits.DEVICE


def show_end(document: dict[str, Any], screen: Console) -> None:
    """Say how it ended, and where everything is."""
    if document["agrees"]:
        screen.print(f"\n[bold green]Everything agrees[/] ({document['took_s']:.0f} s).")
    else:
        screen.print("\n[bold red]Something does not agree[/]; see above and the summary.")
    folder = Path(document["folder"])
    for name, what in (
        ("summary.html", "one page, open it in a browser"),
        ("journal", "what was asked and answered, record by record"),
        ("traces", "what the device delivered, pulse by pulse"),
        ("plots", "each program, and the pulled cable"),
        ("programs", "the program files"),
        ("result.json", "all of it as data"),
    ):
        screen.print(f"  {folder / name}  [dim]{what}[/]")


def _copy(preset: str, out: Path) -> Path:
    """Put the program file beside what it made, so that the folder stands alone."""
    from neurostim.core.program_file import presets

    path = out / "programs" / f"{preset}.toml"
    shutil.copyfile(presets()[preset], path)
    return path


def _day_and_time(wall_text: str) -> str:
    """The time of day as people write it, with its zone."""
    moment = datetime.fromisoformat(wall_text)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or 'local time'}"


def _heading(screen: Console, text: str) -> None:
    screen.print()
    screen.print(text, style="bold", markup=False)
