"""What is due next, whatever touched the device, and what a save encodes of a document that changes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import FaultCode
from neurostim_sim.core import DeviceCore
from neurostim_sim.home.controls import Button
from neurostim_sim.store import Edited, MemoryMedium, Replaced
from support.sim_bench import MS, SimHost, device, tonic

TOUCHES: dict[str, Callable[[DeviceCore], object]] = {
    "a stop": lambda core: core.press(Button.STOP),
    "a held button": lambda core: core.hold(Button.DOWN),
    "the off button": lambda core: core.off_button(),
    "a battery change": lambda core: core.change_battery(),
    "a restart": lambda core: core.restart(),
    "a factory reset": lambda core: core.factory_reset(),
    "a fault to come": lambda core: core.inject("reset", core.clock.true_ns + 3 * MS),
    "a latched fault": lambda core: core.fault(FaultCode.SENSOR),
    "a hung processor": lambda core: core.hang(),
    "a stuck sensor": lambda core: core.set_sensor(works=False),
    "a source that gives too much": lambda core: core.set_source(110, 100),
    "a recharge source that gives too little": lambda core: core.set_recharge(99, 100),
    "a session's end": lambda core: core.close_session(next(iter(core.sessions.open.values()))),
    "the power's end": lambda core: core.close(),
}


@pytest.fixture
def host() -> SimHost:
    one = SimHost(device("scs"))
    one.live_until(one.start(tonic()) + 330 * MS)
    return one


@pytest.mark.parametrize("name", TOUCHES)
def test_what_is_due_is_worked_out_anew_after(name: str, host: SimHost) -> None:
    core = host.core
    before = core.next_event_ns()
    assert before is not None
    TOUCHES[name](core)
    assert core.next_event_ns() == core._find_next()


def test_what_is_due_is_worked_out_anew_after_a_command(host: SimHost) -> None:
    before = host.core.next_event_ns()
    assert host.ask(m.Stop()) is not None
    assert host.core.next_event_ns() == host.core._find_next() != before


def test_what_is_due_is_worked_out_anew_where_the_supply_fails_in_a_write() -> None:
    medium = MemoryMedium()
    host = SimHost(device("scs", medium=medium))
    host.live_until(host.start(tonic()) + 330 * MS)
    due = host.core.next_event_ns()
    assert due is not None
    medium.cut_after = medium.writes
    host.core.press(Button.STOP)
    assert host.core.dead
    assert host.core.next_event_ns() is None


def test_a_fault_that_comes_sooner_than_anything_else_is_due_next(host: SimHost) -> None:
    core = host.core
    assert core.next_event_ns() != core.clock.true_ns + 1
    core.inject("reset", core.clock.true_ns + 1)
    assert core.next_event_ns() == core.clock.true_ns + 1


def test_what_is_due_stays_while_only_time_passes(host: SimHost) -> None:
    core = host.core
    due = core.next_event_ns()
    assert due is not None
    core.advance(due - 1)
    assert core.next_event_ns() == core._find_next() == due


def test_an_edited_document_reads_as_what_it_holds_after_each_change() -> None:
    document = Edited({"n": 1, "on": True, "none": None, "text": 'a "b"', "row": (1, (2, 3)), "list": [1]})
    document["fixed"] = Replaced(deep=[1, 2])
    assert document.text() == json.dumps(document, separators=(",", ":"))
    document["n"], document["on"], document["row"] = 2, False, ()
    document["list"].append(2)
    document["fixed"] = Replaced(deep=[3])
    assert document.text() == json.dumps(document, separators=(",", ":"))
    del document["none"]
    document["none"] = 1 << 70
    assert document.text() == json.dumps(document, separators=(",", ":"))
