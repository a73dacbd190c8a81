"""Judge a record against its program: the expectation and the record walk through time side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.clock import fit_clock, in_ticks
from neurostim.conformance.commands import CommandLog, read_commands
from neurostim.conformance.compare import Comparison
from neurostim.conformance.expectation import Expectation, Stretch
from neurostim.conformance.observed import Invariants, Rows, gather, judge_form, read_limits
from neurostim.conformance.onsets import NEVER
from neurostim.conformance.reading import ProgramReading, contact_order, read_program
from neurostim.conformance.release import judge_release
from neurostim.conformance.report import ClockFit, Place, Report
from neurostim.conformance.tally import Tallies
from neurostim.conformance.trace import PASSIVE, Sidecar, TraceTable, read_sidecar
from neurostim.core.errors import ConfigError

I64 = NDArray[np.int64]
DEVICE_RETURN: Final = 255
BLOCK_PULSES: Final = 1 << 18
HOPELESS_MISSING: Final = 1_000_000


def judge(
    program: Mapping[str, Any],
    trace: TraceTable,
    sidecar: Mapping[str, Any],
    *,
    contact_index: Mapping[str, int] | None = None,
    limits: Mapping[str, Any] | None = None,
    max_ppm: int = 200,
    tolerance_ticks: int = 1,
) -> Report:
    """Judge an event table or a device's trace against its program and command log.

    Parameters
    ----------
    program : Mapping
        The parsed TOML of the program file.
    trace : TraceTable
        The record.
    sidecar : Mapping
        The parsed JSON beside it: grid, time base, end of the record, command log.
    contact_index : Mapping, optional
        Device contact of each label, for traces in device contacts; default ``"n"`` -> n, ``return`` -> 255.
    limits : Mapping, optional
        ``contact_current_na``, ``phase_charge_ac``, ``phase_density_ac_per_um2``, ``contact_area_um2``.
    max_ppm : int
        Largest clock error accepted where the observer's clock is free [ppm].
    tolerance_ticks : int
        Where the clock is free, deviation of onsets and widths from the fit that still passes [ticks].

    Returns
    -------
    Report
        One verdict a check; ``conforms`` is true where all pass.

    Raises
    ------
    ConfigError
        Where program, sidecar, command log or limits cannot be read.
    """
    side = read_sidecar(sidecar)
    reading = read_program(program, side.grid)
    log = read_commands(side.commands, reading)
    names = _judged_labels(reading, trace, side, contact_index)
    labels = tuple(sorted({*reading.contacts, *names}, key=contact_order))
    columns = {label: column for column, label in enumerate(labels)}
    tick = side.grid.tick_ns
    tallies = Tallies(tick, labels)
    free = side.time_base == "free"
    column = np.array([columns[name] for name in names], dtype=np.int64)[trace.contact] if names else _none()
    judge_form(trace, column, tallies, step_na=side.grid.step_na, tick_ns=tick, exact=not free)
    ordered = np.lexsort((column, trace.start_ns)) if tallies["rows"].failed else slice(None)
    expectation = Expectation(reading, log, columns)
    clock: ClockFit | None = None
    if free:
        clock = fit_clock(expectation, trace, column, side, tolerance_ticks)
        slack = tolerance_ticks
        tally = tallies["clock"]
        tally.judged = 1
        if clock is None:
            tally.one(None, tick, 0, Place(note="no fit: too few recorded pulses answer the program"))
        elif abs(clock.ppm) > max_ppm:
            tally.one(None, tick, round(clock.ppm), Place(note=f"at most {max_ppm} ppm"))
    else:
        slack = 0
    rows = _rows(trace, column, tick, clock).take(ordered)
    at_halt, clip_fault = _evidence(rows, log)
    expectation = Expectation(reading, log, columns, at_halt, clip_fault)
    limit = read_limits(limits, columns)
    _judge_frame(reading, rows, side, tallies)
    comparison = Comparison(expectation, tallies, slack, side.end)
    invariants = Invariants(tallies, slack)
    notes: list[str] = []
    for low, high, stretch, part in _blocks(expectation, rows, side):
        driven = part.kind != PASSIVE
        drive, passive = part.take(driven), part.take(~driven)
        groups = gather(drive, len(labels))
        invariants.judge(drive, groups, passive)
        limit.judge(drive, tick, tallies)
        _judge_program(reading, stretch, tallies)
        comparison.drive(stretch.drive, groups, drive)
        comparison.passive(stretch.passive, passive)
        last_row = int(rows.start[-1]) if len(rows) else -1
        if last_row < low and tallies["missing"].failed > HOPELESS_MISSING and high < side.end:
            notes.append(
                f"Judging ended at {high * tick} ns: the last row starts at {last_row * tick} ns, "
                f"the record claims to run to {side.end * tick} ns."
            )
            break
    judge_release(expectation, rows, side, tallies, last_drive_end=comparison.last_drive_end, slack=slack)
    return Report(
        program=reading.name,
        rows=len(trace),
        time_base=side.time_base,
        begin_ns=side.begin * tick,
        end_ns=side.end * tick,
        tick_ns=tick,
        step_na=side.grid.step_na,
        image_sha256=side.image_sha256,
        checks=tallies.checks(),
        clock=clock,
        notes=tuple(notes),
    )


def _none() -> I64:
    return np.empty(0, dtype=np.int64)


def _judged_labels(
    reading: ProgramReading, trace: TraceTable, side: Sidecar, contact_index: Mapping[str, int] | None
) -> list[str]:
    """The program's label of each label of the record; foreign contacts keep their own."""
    if not side.device_contacts:
        return list(trace.labels)
    if contact_index is None:
        if any("." in label for label in reading.contacts):
            raise ConfigError(
                "the record names device contacts and the program has several leads",
                allowed="a contact_index from program label to device contact",
                code="conformance-contact",
            )
        contact_index = {
            label: DEVICE_RETURN if label == "return" else int(label) for label in reading.contacts
        }
    own = {contact_index[label]: label for label in reading.contacts if label in contact_index}
    if len(own) < len(reading.contacts):
        raise ConfigError(
            "contact_index does not give each contact of the program its own device contact",
            allowed="one device contact for each of " + ", ".join(reading.contacts),
            code="conformance-contact",
        )
    several = any("." in label for label in reading.contacts)
    named = []
    for label in trace.labels:
        device = DEVICE_RETURN if label == "return" else int(label) if label.isdigit() else -1
        # A foreign device contact is shown under a name no lead can have.
        named.append(own.get(device, f"9999.{label}" if several and label != "return" else label))
    return named


def _rows(trace: TraceTable, column: I64, tick: int, clock: ClockFit | None) -> Rows:
    if clock is None:
        start = trace.start_ns // tick
        end = (trace.start_ns + trace.duration_ns) // tick
    else:
        start = in_ticks(trace.start_ns, clock, tick)
        end = in_ticks(trace.start_ns + trace.duration_ns, clock, tick)
    return Rows(
        start=start,
        end=end,
        column=column,
        kind=trace.kind,
        amplitude_na=trace.amplitude_na,
        area=trace.area,
        unit=trace.unit,
        pulse=trace.pulse,
    )


def _evidence(rows: Rows, log: CommandLog) -> tuple[bool, bool]:
    """Where the format leaves room at a hard stop, what the record says the device did."""
    if log.halt == NEVER:
        return False, False
    driven = rows.kind != PASSIVE
    at_halt = log.cut > log.halt and bool(np.any(driven & (rows.start == log.halt)))
    across = driven & (rows.start < log.halt)
    clip = bool(np.any(across & (rows.end == log.halt))) and not bool(np.any(across & (rows.end > log.halt)))
    return at_halt, clip


def _judge_frame(reading: ProgramReading, rows: Rows, side: Sidecar, tallies: Tallies) -> None:
    tick = side.grid.tick_ns
    program, record = tallies["program"], tallies["record"]
    program.judged += 1
    for refusal in reading.refusals:
        program.one(None, tick, 0, Place(note=refusal))
    record.judged += 1
    if side.rows is not None and side.rows != len(rows):
        record.one(None, tick, 0, Place(note=f"{len(rows)} rows, the sidecar says {side.rows}"))
    outside = (rows.start < side.begin) | (rows.start >= side.end)
    tallies.judge(
        "record",
        outside,
        rows.start,
        column=rows.column,
        note=f"outside the record's {side.begin} to {side.end} ticks",
        judged=0,
    )


def _judge_program(reading: ProgramReading, stretch: Stretch, tallies: Tallies) -> None:
    tick = reading.grid.tick_ns
    if stretch.first_dropped is not None and not reading.drop_allowed:
        at, area = stretch.first_dropped
        note = f'{stretch.dropped} units yield to other areas without interleave = "drop"'
        tallies["program"].one(at, tick, 0, Place(area=area, note=note))
    if stretch.crowded is not None:
        at, area = stretch.crowded
        tallies["program"].one(at, tick, 0, Place(area=area, note="a unit runs into the area's next onset"))


def _blocks(expectation: Expectation, rows: Rows, side: Sidecar) -> Iterator[tuple[int, int, Stretch, Rows]]:
    """Walk through the record: a stretch of expectation and the rows that belong to it.

    A block ends midway between the last phase of one stretch and the first pulse of the next, so
    that a late or early pulse is met by its own block.
    """
    density = sum(len(area.offsets) / area.period for area in expectation.program.areas)
    size = max(int(BLOCK_PULSES / density), 4 * expectation.settle, 1)
    edges = (
        [*range(side.begin, side.end, size), side.end] if side.end > side.begin else [side.begin, side.end]
    )
    taken = 0

    def expected(i: int) -> Stretch:
        # The first pulse of a record cut out of a program may have begun before the record.
        early = expectation.longest if i == 0 else 0
        return expectation.stretch(edges[i] - early, edges[i + 1]).between(side.begin, side.end)

    stretch = expected(0)
    for i in range(len(edges) - 1):
        low, high = edges[i], edges[i + 1]
        if i + 2 < len(edges):
            following = expected(i + 1)
            last = int(stretch.drive.start[-1]) if len(stretch.drive) else low
            first = int(following.drive.start[0]) if len(following.drive) else edges[i + 2]
            border = (last + first) // 2 + 1
            stop = int(np.searchsorted(rows.start, border, side="left"))
            stretch, following = _share_passive(stretch, following, border)
        else:
            following, stop = stretch, len(rows)
        yield low, high, stretch, rows.take(slice(taken, max(taken, stop)))
        taken = max(taken, stop)
        stretch = following


def _share_passive(stretch: Stretch, following: Stretch, border: int) -> tuple[Stretch, Stretch]:
    """Move the border between two blocks' passive rows to where the rows of the record are cut."""
    early, late = stretch.passive, following.passive
    both = early.joined(late)
    before = both.start < border
    return stretch.with_passive(both.take(before)), following.with_passive(both.take(~before))
