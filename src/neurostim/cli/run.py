"""``neurostim run``: judge a program, deliver it, watch it, stop it, and reconcile what was delivered."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened, words_of_key
from neurostim.core.errors import (
    CommandTimeout,
    ConfigError,
    DeliveryUncertain,
    DeviceFault,
    ProtocolError,
    SafetyError,
    TransportError,
)
from neurostim.core.units import TIME, format_current, format_time, parse_whole

if TYPE_CHECKING:
    from rich.console import Console

    from neurostim.core.hardware import Impedances
    from neurostim.device import Clock, DeviceStatus, Happening, Stimulator
    from neurostim.safety.approval import ApprovedProgram
    from neurostim.safety.gate import Finding, Severity, Verdict
    from neurostim.session import LiveDose, Reconciliation, Session

app = typer.Typer()

# Without a terminal, progress is one line in this many seconds.
PACE_S: Final = 10.0
CONTROL_RETRY_S: Final = 0.25
CONTROL_MARGIN_NS: Final = 500_000_000
_ALARMS: Final = {
    "STOP NOT CONFIRMED": "bold red",
    "stop escalated": "bold red",
    "delivery uncertain": "bold red",
    "link lost": "yellow",
    "link silent": "yellow",
    "link heard again": "yellow",
    "session lost": "yellow",
    "device restarted": "yellow",
    "heartbeat withheld": "yellow",
    "heartbeat refused": "yellow",
}
_SEVERITY_STYLES: Final = {"refuse": "bold red", "warn": "yellow", "note": "cyan"}


@app.command("run")
def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program file, or the name of a preset.")],
    device: Annotated[
        str, typer.Option("--device", metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL.")
    ],
    duration: Annotated[
        str, typer.Option("--for", metavar="TIME", help='Stop softly after this time, such as "10 s".')
    ],
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="DIR", help="Folder of the session journals.")
    ] = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option("--acknowledge", metavar='CODE="reason"', help="Accept a warning; may be repeated."),
    ] = None,
    settle: SETTLE_OPTION = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Release the latch of an earlier stop that is shown.")
    ] = False,
    slot: Annotated[int, typer.Option(min=0, max=255, help="Program slot of the device.")] = 0,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="CODE", help="Subject the device is assigned to.")
    ] = None,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document at the end.")] = False,
) -> None:
    """Deliver a program on a device: measure, judge, load, verify, start, watch, stop, reconcile.

    Ctrl-C stops softly; a second Ctrl-C is an emergency stop.
    """
    from neurostim.cli.program import load
    from neurostim.electrode.library import lead
    from neurostim.session import Session

    screen = console.err()
    screen.print(console.RESEARCH_NOTICE, style="bold yellow")
    seconds = _seconds(duration)
    reasons = parse_reasons(acknowledge or [])
    program = load(file)
    leads = [lead(name) for name in program.leads]
    folder = journal or paths.default_journal()
    with opened(device, keys) as stimulator:
        settle_earlier(folder, stimulator, settle, screen)
        await_control(stimulator, screen)
        with Session(stimulator, program, leads, folder, slot=slot, subject=subject) as session:
            status = stimulator.status().result()
            show_device(stimulator, status, screen)
            release_latch(session, status, screen, allowed=clear)
            impedances = session.measure()
            show_impedances(impedances, screen)
            verdict = session.check()
            show_findings(verdict, screen)
            approve_with(session, verdict, reasons)
            session.load()
            screen.print("[green]loaded[/], digest verified by the device")
            ended = deliver(session, stimulator, seconds, screen)
            path = session.journal_path
        document = {**ended.as_dict(), "journal": str(path), "verdict": verdict.as_dict()}
    if as_json:
        console.emit_json(document)
    raise typer.Exit(document["exit_code"])


@dataclass(frozen=True, slots=True)
class Ended:
    """A delivery that has ended: the comparison of what was counted, why it ended, who asked for it."""

    found: Reconciliation
    stop_cause: str
    interrupted: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the exit code of a run."""
        return {
            "dose_number": self.found.dose_number,
            "stop_cause": self.stop_cause,
            "reconciliation": self.found.as_dict(),
            "interrupted": self.interrupted,
            "exit_code": exits.OK if self.found.agrees else exits.UNCERTAIN,
        }


def deliver(
    session: Session, stimulator: Stimulator, seconds: float, screen: Console, *, pace_s: float = PACE_S
) -> Ended:
    """Start, watch with a live line, stop softly, reconcile.

    ``pace_s`` is the time between lines of progress where there is no terminal [s].

    Raises
    ------
    DeliveryUncertain
        Where the link was lost, or the device did not tell what it delivered.
    DeviceFault
        Where the device stopped with a fault, or by its dead-man; the dose is reconciled first.
    """
    from neurostim.device import SystemClock

    clock = SystemClock()
    session.on_happening = Alarms(screen).show
    # Signals are heard until the dose is on record: a third Ctrl-C must not cost the reconciliation.
    with stopping_on_signals(stimulator) as asked:
        with LiveLine(screen, clock, pace_s) as line:
            started = session.start()
            screen.print(f"dose {started.dose_number} [bold]delivering[/], ramping up")
            end_ns = clock.monotonic_ns() + round(seconds * 1_000_000_000)
            while may_go_on(session, asked) and clock.monotonic_ns() < end_ns:
                session.watch()
                line.show(session, seconds)
            if session.delivering and not session.link_lost:
                screen.print("soft stop: ramping down")
                with untold_is_uncertain(started.dose_number):
                    session.soft_stop()
        if session.link_lost:
            raise DeliveryUncertain(
                "the link was lost during delivery; the device's own dead-man ends output within 500 ms",
                remedy="Reconnect, then run again with --settle device to read what was delivered.",
                code="link-lost",
            )
        with untold_is_uncertain(started.dose_number):
            found = session.finish()
    show_reconciliation(found, screen)
    cause = session.stop_cause.name.lower()
    screen.print(f"output off ({cause.replace('_', ' ')})")
    if session.stop_cause.name == "FAULT":
        status = stimulator.status().result()
        raise DeviceFault(
            f"the device stopped with the fault {status.fault.name.lower()}",
            fault=status.fault.name.lower(),
            remedy="Find the cause, then start deliberately with --clear.",
        )
    if session.stop_cause.name == "DEAD_MAN":
        raise DeviceFault(
            "the device ended the dose by itself: it heard no living heartbeat",
            fault="dead_man",
            remedy="Find out what held this program or the line up, then start deliberately with --clear.",
            code="dead-man",
        )
    return Ended(found, cause, asked.soft)


class Alarms:
    """Says at once what a person at the stimulator has to know of link, stops and current."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._limited: set[int] = set()

    def show(self, happening: Happening) -> None:
        """Show a happening, where it is one to be shown."""
        from neurostim.device import Notice
        from neurostim.wire.messages import Compliance

        if isinstance(happening, Notice):
            style = _ALARMS.get(happening.kind.value)
            if style is not None:
                self._screen.print(happening.text, style=style, markup=False)
        elif isinstance(happening.message, Compliance) and happening.message.contact not in self._limited:
            one = happening.message
            self._limited.add(one.contact)
            self._screen.print(
                f"the rail limits contact {one.contact}: {format_current(one.delivered_na)} "
                f"of {format_current(one.commanded_na)}",
                style="yellow",
                markup=False,
            )


@contextmanager
def untold_is_uncertain(dose_number: int) -> Iterator[None]:
    """Within: a device that does not answer leaves open what it delivered, whatever the line's error is."""
    try:
        yield
    except (TransportError, CommandTimeout, ProtocolError) as error:
        raise DeliveryUncertain(
            f"the device has not told what dose {dose_number} delivered: {error.message}",
            remedy="See that output is off, then run again with --settle device to read what was delivered.",
            code="not-reconciled",
        ) from error


class Asked:
    """What the person has asked for with signals."""

    def __init__(self) -> None:
        self.soft = False
        self.emergency = False


@contextmanager
def stopping_on_signals(stimulator: Stimulator) -> Iterator[Asked]:
    """Within: the first Ctrl-C or termination asks for a soft stop, the second is an emergency stop."""
    asked = Asked()

    def heard(_number: int, _frame: FrameType | None) -> None:
        if asked.soft:
            asked.emergency = True
            stimulator.stop(emergency=True)
        asked.soft = True

    kinds = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        kinds.append(signal.SIGHUP)
    before = {kind: signal.signal(kind, heard) for kind in kinds}
    try:
        yield asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def may_go_on(session: Session, asked: Asked) -> bool:
    """Whether output may be on, the device can be reached, and nobody has asked for the end."""
    return session.delivering and not session.link_lost and not asked.soft


class LiveLine:
    """One line that follows the dose: only what the device itself said, with its age.

    Where there is no terminal, a line of its own each ``pace_s`` seconds.
    """

    def __init__(self, screen: Console, clock: Clock, pace_s: float = PACE_S) -> None:
        self._screen = screen
        self._clock = clock
        self._pace_ns = round(pace_s * 1_000_000_000)
        self._shown_ns = clock.monotonic_ns()
        self._status: Any = None

    def __enter__(self) -> LiveLine:
        if self._screen.is_terminal:
            self._status = self._screen.status("waiting for the device's word")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, session: Session, seconds: float) -> None:
        """Bring the line up to date."""
        if session.live is None:
            return
        now_ns = self._clock.monotonic_ns()
        if self._status is not None:
            self._status.update(self._text(session, session.live, seconds, now_ns))
        elif now_ns - self._shown_ns >= self._pace_ns:
            self._shown_ns = now_ns
            self._screen.print("  " + self._text(session, session.live, seconds, now_ns))

    def _text(self, session: Session, live: LiveDose, seconds: float, now_ns: int) -> str:
        age_ms = (now_ns - live.heard_ns) // 1_000_000
        areas = "  ".join(
            f"{format_current(area.amplitude_na)} {area.pulses} pulses {area.stim_ac / 10**12:.2f} uC"
            for area in live.areas
        )
        state = live.state.name.lower().replace("_", " ")
        return (
            f"{state} {live.elapsed_ns / 1e9:5.1f} of {seconds:g} s  {areas}{_ramp(session, live)}  "
            f"battery {live.battery_permille / 10:.0f} %  [dim]heard {age_ms} ms ago[/]"
        )


def _ramp(session: Session, live: LiveDose) -> str:
    """How far the ramp of the first area is by the device's clock; nothing once it is over."""
    assert session.schedule is not None
    area = session.schedule.image.areas[0]
    risen_ns = max(live.elapsed_ns - area.delay_ns, 0)
    if risen_ns >= area.ramp_up_ns or live.state.name != "DELIVERING":
        return ""
    return f"  ramp {100 * risen_ns // area.ramp_up_ns} %"


def approve_with(session: Session, verdict: Verdict, reasons: dict[str, str]) -> ApprovedProgram:
    """Approve with the reasons that were given; an error says which are missing, in words of this command."""
    try:
        return session.approve({code: why for code, why in reasons.items() if code in verdict.to_acknowledge})
    except SafetyError as error:
        if not verdict.refused:
            words = " ".join(f'--acknowledge {code}="why"' for code in verdict.to_acknowledge)
            error.remedy = f"Give a reason for each: {words}"
        raise


def parse_reasons(given: list[str]) -> dict[str, str]:
    """Read ``CODE=reason`` words.

    Raises
    ------
    ConfigError
        For a word without code or reason.
    """
    reasons = {}
    for text in given:
        code, separator, reason = text.partition("=")
        if not separator or not code.strip() or not reason.strip():
            raise ConfigError(
                f"found --acknowledge {text!r}",
                allowed='a code and a reason, such as --acknowledge SAF-DENSITY="bench load, no tissue"',
                code="acknowledge",
            )
        reasons[code.strip()] = reason.strip().strip('"')
    return reasons


def settle_earlier(folder: Path, stimulator: Stimulator, how: str | None, screen: Console) -> None:
    """Settle every earlier start of unknown outcome, by the device's counters or by a decision, if asked."""
    from neurostim.device import SystemClock
    from neurostim.session import in_flight, resolve_by_decision, resolve_with_device

    if how is None:
        return
    clock = SystemClock()
    for start in in_flight(folder):
        if how == "device":
            found = resolve_with_device(
                start, stimulator, monotonic_ns=clock.monotonic_ns, wall_text=clock.wall_text
            )
        else:
            found = resolve_by_decision(
                start, how, monotonic_ns=clock.monotonic_ns, wall_text=clock.wall_text
            )
        screen.print(f"settled the start announced at {start.announced_at}: {found.text}", markup=False)


def await_control(stimulator: Stimulator, screen: Console) -> None:
    """Wait until a host that has gone loses control by its silence; control is never taken from one.

    Where another host stays, the session says so.
    """
    from neurostim.device import CommandRefused, SystemClock
    from neurostim.wire.messages import SESSION_TIMEOUT_US, Role

    clock = SystemClock()
    end_ns = clock.monotonic_ns() + SESSION_TIMEOUT_US * 1000 + CONTROL_MARGIN_NS

    def waits() -> bool:
        return stimulator.role is not Role.CONTROL and clock.monotonic_ns() < end_ns

    if not waits():
        return
    # Output that the patient has on at home says nothing of another host.
    if stimulator.status().result().output_on and not stimulator.home.release_state().result().autonomous:
        return
    screen.print("another host holds control; waiting whether it is still there")
    while waits():
        stimulator.wait(CONTROL_RETRY_S)
        stimulator.take_critical()
        with suppress(CommandRefused):
            stimulator.take_control()


def release_latch(session: Session, status: DeviceStatus, screen: Console, *, allowed: bool) -> None:
    """Show a latched stop or fault; release it only where the person asked for that.

    Raises
    ------
    DeviceFault
        Where a latch holds and was not to be released.
    """
    if status.state.name not in {"STOPPED", "FAULT"}:
        return
    cause = status.stop_cause.name.lower().replace("_", " ")
    fault = "" if status.fault.name == "NONE" else f", fault {status.fault.name.lower().replace('_', ' ')}"
    if not allowed:
        raise DeviceFault(
            f"the device holds a latch: {status.state.name.lower()} ({cause}{fault})",
            fault=status.fault.name.lower(),
            remedy="When the cause is known and gone, run again with --clear.",
            code="latched",
        )
    session.clear(status.stop_cause, status.fault)
    screen.print(f"released the latch: {cause}{fault}")


def show_device(stimulator: Stimulator, status: DeviceStatus, screen: Console) -> None:
    """Say which device this is."""
    identity = stimulator.identity
    screen.print(
        f"[bold]{identity.model}[/] {identity.serial_number}, firmware {identity.firmware}, "
        f"battery {status.battery_permille / 10:.0f} %, doses so far: {status.dose_count}, "
        f"session {words_of_key(stimulator)}"
    )


def show_impedances(impedances: Impedances, screen: Console) -> None:
    """Show what was measured, on one line where all is well."""
    shown = [
        f"{one.contact}: {one.late_ohm} Ohm" + ("" if one.status == "ok" else f" [bold red]{one.status}[/]")
        for one in impedances.contacts.values()
    ]
    screen.print("impedance  " + "  ".join(shown))


def rules_in_words(verdict: Verdict) -> str:
    """How many rules pass, note, warn and refuse; a rule counts once, by the worst it says of any place."""
    worst: dict[str, Severity] = {}
    for one in verdict.findings:
        worst[one.code] = max(one.severity, worst.get(one.code, one.severity))
    counts = Counter(worst.values())
    return ", ".join(f"{counts[severity]} {severity.word}" for severity in sorted(counts))


def show_findings(verdict: Verdict, screen: Console) -> None:
    """Show what does not simply pass; what one rule says alike of several places, once."""
    screen.print(f"rules: {rules_in_words(verdict)}")
    alike: dict[tuple[object, ...], list[Finding]] = {}
    for one in verdict.findings:
        if one.severity.word in _SEVERITY_STYLES:
            alike.setdefault((one.severity, one.code, one.value, one.detail), []).append(one)
    for first, *others in alike.values():
        style = _SEVERITY_STYLES[first.severity.word]
        also = f"; also at {', '.join(one.place for one in others)}" if others else ""
        screen.print(f"  [{style}]{first.severity.word:<6}[/] {first.code}  ", end="")
        screen.print(first.message + also, markup=False)


def show_reconciliation(found: Reconciliation, screen: Console) -> None:
    """Say whether the device counted what was asked of it."""
    if found.agrees:
        count = len(found.comparisons)
        screen.print(f"[green]reconciled[/]: device, journal and program agree in {count} figures")
    for one in found.disagreements:
        screen.print(
            f"[bold red]disagrees[/] {one.what}: expected {one.least} to {one.most}, device {one.device}"
        )
    for remark in found.remarks:
        screen.print(f"  {remark}", style="yellow")


def _seconds(text: str) -> float:
    value = parse_whole(text, TIME)
    if value <= 0:
        raise ConfigError(f"found --for {format_time(value)}", allowed="a time above 0", code="duration")
    return value / 1_000_000_000
