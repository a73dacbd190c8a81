"""The scenes of the demonstration: a program delivered, and the cable pulled in the middle of a delivery."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from neurostim.cli import run
from neurostim.cli.impedance import table_of
from neurostim.core.errors import NeurostimError, TransportError
from neurostim.core.hardware import Impedances
from neurostim.core.program import Program
from neurostim.core.schedule import Schedule
from neurostim.device import DeviceStatus, DoseRecord, HostKeys, Identity, Stimulator, SystemClock, connect
from neurostim.electrode.library import lead
from neurostim.safety.gate import Finding, Verdict
from neurostim.session import Reconciliation, Session

if TYPE_CHECKING:
    from rich.console import Console

REASON: Final = (
    "Demonstration on a simulated device: the load is a calculated circuit in place of a bench load, "
    "and no person is connected."
)
DEAD_MAN_NS: Final = 500_000_000
# Longer than the 500 ms within which the device has to be silent.
SILENCE_SECONDS: Final = 0.8
WATCH_AFTER_SECONDS: Final = 0.6
LOSS_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 1.0
PACE_S: Final = 1.0


@dataclass(frozen=True)
class Scene:
    """One dose of the demonstration.

    Attributes
    ----------
    key : str
        Short name, also of files.
    preset : str
        The preset that was delivered.
    acknowledged : dict of str to str
        Written reason of each warning.
    dose : DoseRecord
        The device's own record.
    """

    key: str
    preset: str
    program: Program
    identity: Identity
    impedances: Impedances
    verdict: Verdict
    acknowledged: dict[str, str]
    schedule: Schedule
    dose: DoseRecord
    found: Reconciliation
    journal: Path
    cable: Cable | None = None

    @property
    def stop_cause(self) -> str:
        """Why output ended, in words."""
        return self.dose.stop_cause.name.lower().replace("_", " ")

    @property
    def good(self) -> bool:
        """Whether the device's counters, the journal and the program agree."""
        return self.found.agrees and (self.cable is None or self.cable.good)


@dataclass(frozen=True)
class Cable:
    """What was seen when the cable was pulled; times in ns of the device's own time."""

    pulled_at_ns: int
    plugged_at_ns: int
    states: tuple[str, ...] = ()
    resumed: bool = False
    refused: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing resumed and a start was refused while the latch holds."""
        return not self.resumed and bool(self.refused)


class Interrupted(Exception):
    """The person has asked for the end; output has been ramped down."""


def deliver(
    key: str,
    preset: str,
    program: Program,
    url: str,
    keys: HostKeys,
    journal: Path,
    seconds: float,
    screen: Console,
) -> Scene:
    """Deliver a program and stop it softly.

    Raises
    ------
    Interrupted
        Where the person asked for the end; the dose is reconciled first.
    NeurostimError
        Where anything fails.
    """
    with connect(url, keys=keys) as stimulator, _session(stimulator, program, journal) as session:
        acknowledged = _prepare(session, stimulator, screen)
        ended = run.deliver(session, stimulator, seconds, screen, pace_s=PACE_S)
        if ended.interrupted:
            raise Interrupted
        return _scene(key, preset, program, (session, stimulator), acknowledged, ended.found)


def pull_cable(
    key: str,
    preset: str,
    program: Program,
    url: str,
    keys: HostKeys,
    journal: Path,
    order: Callable[[str], dict[str, Any]],
    screen: Console,
) -> Scene:
    """Deliver a program, pull the cable in the middle, plug it in again, and see that nothing resumes.

    ``order`` gives the simulated device an order, and answers with its time.

    Raises
    ------
    Interrupted
        Where the person asked for the end; the dose is reconciled first.
    NeurostimError
        Where anything fails.
    """
    clock = SystemClock()
    with connect(url, keys=keys) as stimulator, _session(stimulator, program, journal) as session:
        acknowledged = _prepare(session, stimulator, screen)
        steady_ns = max(area.ramp.up_ns for area in program.areas) + round(STEADY_SECONDS * 1e9)
        with run.stopping_on_signals(stimulator) as asked, run.LiveLine(screen, clock, PACE_S) as line:
            started = session.start()
            screen.print(f"dose {started.dose_number} [bold]delivering[/], ramping up")
            end_ns = clock.monotonic_ns() + steady_ns
            while run.may_go_on(session, asked) and clock.monotonic_ns() < end_ns:
                session.watch()
                line.show(session, steady_ns / 1e9)
            if asked.soft:
                session.soft_stop()
                session.finish()
                raise Interrupted
            pulled = order("unplug")
            screen.print("[bold yellow]the cable is pulled[/] on purpose, at full amplitude")
            _watch_until(session, lambda: session.link_lost, LOSS_SECONDS)
            if not session.link_lost:
                raise TransportError("the pulled cable was not noticed", code="cable")
            screen.print("  the host sees that the link is lost; output is now in the device's own hands")
            _watch_for(session, SILENCE_SECONDS)
            plugged = order("plug")
        states = [_state(session.reconnect())]
        screen.print(f"  plugged in again, connected to read only: the device is {states[0]}")
        before = _pulses(stimulator, started.dose_number)
        _watch_for(session, WATCH_AFTER_SECONDS)
        status = stimulator.status().result()
        states.append(_state(status))
        found = session.finish()
        resumed = status.output_on or _pulses(stimulator, started.dose_number) != before
        refused = _start_refused(session, stimulator)
        run.show_reconciliation(found, screen)
        if asked.soft:
            raise Interrupted
        cable = Cable(int(pulled["at_ns"]), int(plugged["at_ns"]), tuple(states), resumed, refused)
        words = "[bold red]output resumed[/]" if resumed else "[green]nothing resumed[/]"
        screen.print(f"  {words}: {WATCH_AFTER_SECONDS:g} s later the device is {states[1]}")
        return _scene(key, preset, program, (session, stimulator), acknowledged, found, cable)


def tightest(verdict: Verdict, count: int = 3) -> list[Finding]:
    """The rules that pass with the least room, closest first."""
    passed = [one for one in verdict.findings if not one.severity and one.margin is not None]
    return sorted(passed, key=lambda one: one.margin or 0)[:count]


def _session(stimulator: Stimulator, program: Program, journal: Path) -> AbstractContextManager[Session]:
    return Session(stimulator, program, [lead(name) for name in program.leads], journal)


def _prepare(session: Session, stimulator: Stimulator, screen: Console) -> dict[str, str]:
    """Measure, judge, approve and load; the reason of each warning."""
    status = stimulator.status().result()
    is_first = status.dose_count == 0
    if is_first:
        run.show_device(stimulator, status, screen)
    measured = session.measure()
    if is_first:
        screen.print(table_of(measured.contacts.values()))
    else:
        run.show_impedances(measured, screen)
    verdict = session.check()
    run.show_findings(verdict, screen)
    for one in tightest(verdict):
        margin = round(float(one.margin or 0))
        screen.print(f"  [dim]tightest[/] {one.title}: {float(one.value or 0):.4g} {one.unit}, ", end="")
        screen.print(f"limit {one.limit_text}, {margin} % left", markup=False)
    reasons = dict.fromkeys(verdict.to_acknowledge, REASON)
    if reasons:
        codes = ", ".join(reasons)
        screen.print(f"  acknowledged {codes}; reason on record: {REASON}", style="dim", markup=False)
    session.approve(reasons)
    session.load()
    screen.print("[green]loaded[/], digest verified by the device")
    return reasons


def _scene(
    key: str,
    preset: str,
    program: Program,
    ends: tuple[Session, Stimulator],
    acknowledged: dict[str, str],
    found: Reconciliation,
    cable: Cable | None = None,
) -> Scene:
    session, stimulator = ends
    assert session.verdict is not None
    assert session.impedances is not None
    assert session.schedule is not None
    return Scene(
        key=key,
        preset=preset,
        program=program,
        identity=stimulator.identity,
        impedances=session.impedances,
        verdict=session.verdict,
        acknowledged=acknowledged,
        schedule=session.schedule,
        dose=stimulator.dose(found.dose_number).result(),
        found=found,
        journal=session.journal_path,
        cable=cable,
    )


def _watch_for(session: Session, seconds: float) -> None:
    """Serve the session for a while, as a person looks on."""
    _watch_until(session, lambda: False, seconds)


def _watch_until(session: Session, reached: Callable[[], bool], seconds: float) -> None:
    clock = SystemClock()
    end_ns = clock.monotonic_ns() + round(seconds * 1_000_000_000)
    while not reached() and clock.monotonic_ns() < end_ns:
        session.watch()


def _state(status: DeviceStatus) -> str:
    """State and cause by the device's word, such as ``stopped (dead man)``."""
    cause = status.stop_cause.name.lower().replace("_", " ")
    return f"{status.state.name.lower().replace('_', ' ')} ({cause})"


def _pulses(stimulator: Stimulator, number: int) -> int:
    return sum(area.pulses for area in stimulator.dose(number).result().areas)


def _start_refused(session: Session, stimulator: Stimulator) -> str:
    """Ask for another start, which both the session and the link, which only reads now, must refuse."""
    words = []
    assert session.approved is not None
    for ask in (session.start, lambda: stimulator.arm(session.approved, 0).result()):
        try:
            ask()
        except NeurostimError as error:
            words.append(error.message)
        else:
            return ""
    return "; ".join(words)
