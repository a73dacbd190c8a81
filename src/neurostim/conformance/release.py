"""Rule 10 after the last pulse: contacts recover or are shorted, and are never left shorted.

The format fixes bounds here and not every tick, so a stretch that reaches past a stop is judged by them.
"""

from __future__ import annotations

import numpy as np

from neurostim.conformance.commands import EMERGENCY_WAIT_NS
from neurostim.conformance.expectation import Expectation
from neurostim.conformance.observed import Rows
from neurostim.conformance.onsets import NEVER
from neurostim.conformance.report import Place
from neurostim.conformance.tally import Tallies
from neurostim.conformance.trace import PASSIVE, Sidecar


def judge_release(
    expectation: Expectation,
    rows: Rows,
    side: Sidecar,
    tallies: Tallies,
    *,
    last_drive_end: int,
    slack: int,
) -> None:
    """Check ``release`` over the end of a dose that a stop or a fade ended.

    Parameters
    ----------
    expectation : Expectation
        What the record must hold.
    rows : Rows
        All rows of the record.
    side : Sidecar
        Grid and end of the record.
    tallies : Tallies
        Where the verdict is counted.
    last_drive_end : int
        End of the last recorded driven phase [ticks].
    slack : int
        Deviation that passes [ticks].
    """
    log = expectation.log
    begin = min(log.halt, log.faded)
    if begin >= side.end:
        return
    tick = side.grid.tick_ns
    wait = -(-EMERGENCY_WAIT_NS // tick)
    late = rows.take((rows.kind == PASSIVE) & (rows.end >= expectation.loose_from))
    gap = max(area.interphase for area in expectation.program.areas)
    last_event = max(last_drive_end, begin, *(at for at in (log.halt, log.cut) if at < side.end), 0)
    bound = last_event + gap + wait + expectation.settle
    over = late.end - bound
    tallies.judge(
        "release", over > slack, late.start, deviation=over, column=late.column, note="left shorted"
    )
    if log.cut_name == "emergency_stop" and log.cut < side.end:
        _judge_emergency(expectation, late, log.cut + wait, side, tallies, slack=slack)
    elif log.halt_name == "stop" and log.cut == NEVER:
        _judge_recovery(expectation, rows, side, tallies, slack=slack)


def _judge_emergency(
    expectation: Expectation, late: Rows, start: int, side: Sidecar, tallies: Tallies, *, slack: int
) -> None:
    """Every contact of the program is shorted 20 us after the sources went off, for 100 ms."""
    tally = tallies["release"]
    if start >= side.end:
        return
    end = min(start + expectation.settle, side.end)
    for label in expectation.program.contacts:
        column = expectation.columns[label]
        own = late.take((late.column == column) & (np.abs(late.start - start) <= slack))
        tally.judged += 1
        if not len(own):
            note = "not shorted 20 us after the emergency stop"
            tally.one(start, side.grid.tick_ns, 0, Place(contact=label, note=note))
        elif abs(int(own.end.max()) - end) > slack and int(own.end.max()) < end:
            note = "shorted for less than 100 ms"
            short = int(own.end.max()) - end
            tally.one(start, side.grid.tick_ns, short, Place(contact=label, note=note))


def _judge_recovery(
    expectation: Expectation, rows: Rows, side: Sidecar, tallies: Tallies, *, slack: int
) -> None:
    """After a stop the last pulse of each passive area still gets its recovery."""
    halt = expectation.log.halt
    tally = tallies["release"]
    drive = expectation.stretch(max(0, halt - expectation.settle - expectation.longest), halt + 1).drive
    passive = rows.take(rows.kind == PASSIVE)
    for area in expectation.program.areas:
        own = np.flatnonzero(drive.area == area.index)
        if not area.passive or not len(own):
            continue
        begin = int(drive.onset[own[-1]]) + area.length + area.interphase
        if begin + expectation.settle <= halt:
            continue
        least = max(0, min(expectation.program.grid.recovery_min, side.end - begin))
        for label, _ in area.shares:
            mine = passive.column == expectation.columns[label]
            had = np.minimum(passive.end[mine], begin + expectation.settle) - np.maximum(
                passive.start[mine], begin
            )
            shorted = int(np.maximum(had, 0).sum())
            tally.judged += 1
            if shorted + slack < least:
                note = f"shorted for {shorted} ticks after the stop, at least {least}"
                place = Place(contact=label, area=area.index, note=note)
                tally.one(begin, side.grid.tick_ns, shorted - least, place)
