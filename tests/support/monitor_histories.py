"""Histories made by hand for the monitor: one that is good, from which tests take or to which they add."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurostim_torture.monitor import (
    Area,
    Books,
    Counter,
    DeviceFrame,
    Flow,
    HardLimits,
    HostFrame,
    Intent,
    Kept,
    Life,
    Monitor,
    Power,
    Program,
    Range,
    Record,
    Setting,
    Taken,
    Violation,
)
from neurostim_torture.monitor.records import PASSIVE, RECHARGE, STIM

MS = 1_000_000
SECOND = 1_000_000_000
TICK = 1_000
DIGEST = "aa" * 32
APPROVAL = "bb" * 32
BEGAN = 2 * SECOND
TOKEN = 77

Rows = list[tuple[int, int, int, int, int, int, int, int, int]]


def area(**changes: Any) -> Area:
    """2 mA from contact 3 to contact 5, 200 us, 50 Hz, passive, ramps of half a second."""
    made = Area(
        shares=((3, -1000), (5, 1000)),
        amplitude_na=2_000_000,
        approved=Range(1_600_000, 2_400_000, 100_000),
        width_ns=200_000,
        interphase_ns=100_000,
        recharge="passive",
        period=(20 * MS, 1),
        ramp_up_ns=500 * MS,
        ramp_down_ns=500 * MS,
    )
    return replace(made, **changes)


def setting(*areas: Area, **changes: Any) -> Setting:
    """A device with a tick of 1 us and steps of 10 uA, and one approved program."""
    made = Setting(
        tick_ns=TICK,
        step_na=10_000,
        guard_ns=20_000,
        recovery_min_ns=400_000,
        programs=(Program(DIGEST, APPROVAL, areas or (area(),)),),
        hard=HardLimits(10_000_000, 20_000_000, 5_000_000_000_000, 20_000, 1 * MS),
    )
    return replace(made, **changes)


def level(amplitude_na: int, at_ns: int, one: Area, step_na: int = 10_000) -> int:
    """What the only cathode of an area carries in a unit this long after the start of its window [nA]."""
    if at_ns < one.ramp_up_ns:
        amplitude_na = amplitude_na * at_ns // one.ramp_up_ns
    return amplitude_na // (step_na * one.ratio) * step_na * one.ratio


def pulse(
    one: Area, at_us: int, na: int, unit: int, *, index: int = 0, number: int = 0, recovers: bool = True
) -> Rows:
    """One pulse of an area with two contacts, as the definition of the format has it; times in us."""
    (cathode, _), (anode, _) = one.shares
    width, gap = one.width_ns // 1000, one.interphase_ns // 1000
    rows: Rows = []

    def phase(start: int, length: int, sign: int, kind: int, size: int) -> None:
        rows.append((start, length, cathode, kind, -sign * size, index, unit, number, 0))
        rows.append((start, length, anode, kind, sign * size, index, unit, number, 0))

    phase(at_us, width, 1, STIM, na)
    after = at_us + width + gap
    if one.recharge == "active-symmetric":
        phase(after, width, -1, RECHARGE, na)
    elif one.recharge == "active-asymmetric":
        phase(after, width * one.ratio, -1, RECHARGE, na // one.ratio)
    elif one.recharge == "triphasic":
        phase(after, 2 * width, -1, STIM, na)
        phase(after + 2 * width + gap, width, 1, STIM, na)
    elif recovers:
        charge = na * one.width_ns
        rows.append((after, 5_000, cathode, PASSIVE, 0, index, unit, number, charge))
        rows.append((after, 5_000, anode, PASSIVE, 0, index, unit, number, -charge))
    return rows


def train(
    one: Area,
    units: int,
    *,
    amplitude: Callable[[int], int] | None = None,
    index: int = 0,
    offset_us: int = 0,
) -> Rows:
    """Some units of an area from the start of its window; ``amplitude`` gives that of a unit [nA]."""
    rows: Rows = []
    spacing = one.burst_period[0] // max(one.burst_period[1], 1) // 1000
    for unit in range(units):
        at_us = offset_us + unit * one.period[0] // one.period[1] // 1000
        asked = amplitude(unit) if amplitude is not None else one.amplitude_na
        na = level(asked, at_us * 1000 - one.delay_ns, one)
        for number in range(one.burst_pulses) if na else ():
            last = number == one.burst_pulses - 1 or one.recharge != "passive-after-burst"
            rows += pulse(one, at_us + number * spacing, na, unit, index=index, number=number, recovers=last)
    return rows


def table(rows: Iterable[tuple[int, ...]]) -> NDArray[np.int64]:
    """Rows as the monitor takes them."""
    return np.array(list(rows), dtype=np.int64).reshape(-1, 9)


def flow(rows: Iterable[tuple[int, ...]], **changes: Any) -> Flow:
    """One dose of the approved program, begun at `BEGAN`."""
    made = Flow(BEGAN + 20 * SECOND, 1, BEGAN, DIGEST, table(rows))
    return replace(made, **changes)


def counters(*flows: Flow) -> dict[int, Counter]:
    """What the counters must say of some doses, summed row by row in plain whole numbers."""
    found: dict[int, list[int]] = {}
    pulses: dict[int, set[tuple[int, ...]]] = {}
    for one in flows:
        for row in one.rows.tolist():
            _, length, contact, kind, amplitude, in_area, unit, number, charge = row
            values = found.setdefault(contact, [0, 0, 0])
            flowed = amplitude * length * TICK
            if kind == STIM:
                pulses.setdefault(contact, set()).add((one.dose, in_area, unit, number))
                values[0 if flowed < 0 else 1] += abs(flowed)
            else:
                values[2] += charge if kind == PASSIVE else flowed
    return {contact: Counter(len(pulses.get(contact, ())), *values) for contact, values in found.items()}


def heartbeats(until_ns: int, since_ns: int = 0) -> list[Record]:
    """A living host: a heartbeat and signs of the program and the journal every 100 ms."""
    records: list[Record] = []
    for at_ns in range(since_ns, until_ns + 1, 100 * MS):
        records.append(Life(at_ns, "ui"))
        records.append(Life(at_ns, "journal"))
        records.append(HostFrame(at_ns, "HEARTBEAT", living=True, fields={"ui_token": 1, "journal_token": 1}))
    return records


def start(
    dose: int = 1,
    *,
    began_ns: int = BEGAN,
    digest: str = DIGEST,
    approval: str = APPROVAL,
    token: int = TOKEN,
    command: int = 10,
) -> list[Record]:
    """All that begins a dose properly: intent, ARM and its answer, the journal, FIRE and its answer."""
    arm = {
        "kind": 1,
        "slot": 0,
        "image_sha256": bytes.fromhex(digest),
        "approval_sha256": bytes.fromhex(approval),
    }
    fire = {"token": token, "expected_dose_count": dose - 1}
    at = began_ns
    armed = {"previous": 1, "state": 3, "stop_cause": 0, "fault": 0, "dose_number": 0, "at_tick": 1}
    on = {"previous": 3, "state": 4, "stop_cause": 0, "fault": 0, "dose_number": dose, "at_tick": 2}
    return [
        Intent(at - 50 * MS, "start", dose - 1, digest),
        HostFrame(at - 40 * MS, "ARM", session=1, sequence=command, command_id=command, fields=arm),
        Taken(at - 39 * MS, "ARM", session=1, sequence=command, command_id=command),
        DeviceFrame(at - 39 * MS, "STATE_CHANGED", "event", session=1, fields=armed),
        DeviceFrame(
            at - 39 * MS,
            "ARM",
            "reply",
            session=1,
            command_id=command,
            fields={"token": token, "valid_us": 2_000_000, "dose_count": dose - 1},
        ),
        Kept(at - 20 * MS, "start_intended", {"expected_dose_count": dose - 1, "image_sha256": digest}),
        HostFrame(at - 2 * MS, "FIRE", session=1, sequence=command + 1, command_id=command + 1, fields=fire),
        Taken(at, "FIRE", session=1, sequence=command + 1, command_id=command + 1),
        DeviceFrame(at, "STATE_CHANGED", "event", session=1, fields=on),
        DeviceFrame(
            at,
            "FIRE",
            "reply",
            session=1,
            command_id=command + 1,
            fields={"dose_number": dose, "start_tick": 1},
        ),
    ]


def session(
    rows: Iterable[tuple[int, ...]], *, lasts_ns: int = 2 * SECOND, told: Iterable[Record] = (), **books: Any
) -> list[Record]:
    """A whole session with one dose: switched on, begun, alive to its end, and its books."""
    one = flow(rows)
    end = BEGAN + lasts_ns
    made = Books(
        at_ns=end + SECOND,
        dose_count=1,
        dose_count_at_start=0,
        counters=counters(one),
        journal_announced=1,
        journal_started=1,
    )
    return [
        Power(0, "boot"),
        *heartbeats(end),
        *start(),
        *told,
        one,
        replace(made, **books),
    ]


def judged(records: Iterable[Record], given: Setting | None = None) -> list[Violation]:
    """What the monitor finds, told in order of time."""
    monitor = Monitor(given or setting())
    for record in sorted(records, key=lambda one: one.at_ns):
        monitor.see(record)
    return monitor.finish()


def rules(records: Iterable[Record], given: Setting | None = None) -> set[str]:
    """Names of the rules that are broken."""
    return {one.rule for one in judged(records, given)}


def stop(at_ns: int, kind: str = "STOP", **more: Any) -> list[Record]:
    """A stop as it reaches the device."""
    return [HostFrame(at_ns - MS, kind, session=1), Taken(at_ns, kind, session=1, **more)]


def state(at_ns: int, before: int, after: int, **more: Any) -> DeviceFrame:
    """The device tells of a change of its state."""
    fields = {"previous": before, "state": after, "stop_cause": 0, "fault": 0, "dose_number": 0, "at_tick": 0}
    return DeviceFrame(at_ns, "STATE_CHANGED", "event", session=1, fields={**fields, **more})
