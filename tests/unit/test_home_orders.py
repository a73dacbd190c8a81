"""Orders of the bench that are done by hand at the device."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim_sim.home import Signal, Unheeded
from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.bench import ORDERS, Bench, in_words
from support.home_bench import DAY, HOUR, MS, WEEK_S, HomeBench, S


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep_until(self, at_ns: int) -> None:
        self.now_ns = max(self.now_ns, at_ns)


def test_a_person_at_the_bench_presses_the_patients_buttons() -> None:
    host, clock, told = HomeBench(), Clock(), list[Any]()
    host.send_home()
    bench = Bench(AttachedDevice(host.core), None, clock, told.append)  # type: ignore[arg-type]
    try:
        for order, on in (("press start", True), ("press up", True), ("off-button", False)):
            clock.now_ns += 5 * S
            bench._obey(order.split())
            host.core.advance(clock.now_ns + S)
            assert host.core.output_on is on
        bench._obey(["battery"])
        assert all(one["ok"] for one in told)
        assert host.core.memory.boot_count == 2
    finally:
        bench._selector.close()
        bench._awake.close()
        bench._waker.close()


@pytest.mark.parametrize("order", ["press", "press off", "press start now", "off-button now", "hold"])
def test_an_order_that_names_no_button_is_refused(order: str) -> None:
    host, clock, told = HomeBench(), Clock(), list[Any]()
    bench = Bench(AttachedDevice(host.core), None, clock, told.append)  # type: ignore[arg-type]
    try:
        bench._obey(order.split())
        assert [one["ok"] for one in told] == [False]
    finally:
        bench._selector.close()
        bench._awake.close()
        bench._waker.close()


def test_every_order_by_hand_is_listed() -> None:
    assert {"press BUTTON", "hold BUTTON", "let-go", "off-button", "battery", "look"} <= set(ORDERS)


class AtTheBench:
    """A person with the patient's control of a device, told what it answers; in virtual time."""

    def __init__(self, **release: Any) -> None:
        self.host, self.clock, self.told = HomeBench(), Clock(), list[Any]()
        self.core = self.host.core
        if release:
            self.host.send_home(**release)
        self.clock.now_ns = self.core.clock.true_ns
        self.bench = Bench(AttachedDevice(self.core), None, self.clock, self.told.append)  # type: ignore[arg-type]
        self.bench._origin_ns = 0
        self.bench.obey()

    def __enter__(self) -> AtTheBench:
        return self

    def __exit__(self, *_: object) -> None:
        self.bench._selector.close()
        self.bench._awake.close()
        self.bench._waker.close()

    def give(self, order: str, after_ns: int = 2 * S) -> dict[str, Any]:
        self.clock.now_ns += after_ns
        self.bench._obey(order.split())
        told: dict[str, Any] = self.told[-1]
        assert told["order"] == order
        return told

    def look(self, after_ns: int = 2 * S) -> list[str]:
        return list(self.give("look", after_ns)["shows"])


@pytest.mark.hazard("no-expiry")
def test_a_start_on_a_device_whose_release_has_ended_is_not_answered_as_done() -> None:
    with AtTheBench(expires_s=3600) as person:
        assert person.look() == [Signal.DAY_LEFT.value]
        assert person.give("press start")["ok"]
        assert Signal.ON.value in person.look()
        assert person.look(2 * HOUR) == [Signal.EXPIRED.value]
        told = person.give("press start")
        assert (told["ok"], told["error"]) == (False, Unheeded.EXPIRED.value)
        assert told["shows"] == [Signal.EXPIRED.value]
        assert not person.core.output_on
        assert person.give("press switch")["error"] == Unheeded.EXPIRED.value


def test_a_device_that_is_not_released_says_that_only_stop_works() -> None:
    with AtTheBench() as person:
        assert person.give("press start")["error"] == Unheeded.NOT_RELEASED.value
        assert person.give("press stop")["ok"]


def test_a_start_too_many_is_told_as_locked_and_shown_until_it_is_over() -> None:
    with AtTheBench(expires_s=WEEK_S) as person:
        for _ in range(5):
            assert person.give("press start", 4 * S)["ok"]
            assert person.give("press stop", 4 * S)["ok"]
        told = person.give("press start", 4 * S)
        assert (told["ok"], told["error"]) == (False, Unheeded.LOCKED.value)
        assert Signal.LOCKED.value in told["shows"]
        assert person.give("press start", 100 * S)["error"] == Unheeded.LOCKED.value
        assert Signal.LOCKED.value not in person.look(210 * S)
        assert person.give("press start")["ok"]


def test_battery_lead_and_faults_are_answered_as_the_patient_sees_them() -> None:
    with AtTheBench(expires_s=WEEK_S) as person:
        person.core.battery = 150
        assert person.look() == [Signal.BATTERY_LOW.value]
        person.core.battery = 50
        told = person.give("press start")
        assert (told["error"], told["shows"]) == (Unheeded.BATTERY.value, [Signal.BATTERY_EMPTY.value])
        assert person.give("battery")["shows"] == []
        assert person.give("press start")["ok"]
        assert person.give("fault unplug-lead")["ok"]
        assert person.look() == [Signal.CHECK_LEAD.value]
        assert person.give("press start")["error"] == Unheeded.LEAD_OUT.value
        assert person.give("fault plug-lead")["ok"]
        assert person.give("press start")["ok"]
        assert person.give("fault stuck-sensor")["ok"]
        assert person.look() == [Signal.CALL_CLINIC.value]
        assert person.give("press start")["error"] == Unheeded.FAULT.value


def test_a_press_that_changes_nothing_says_why() -> None:
    with AtTheBench(expires_s=WEEK_S) as person:
        assert person.give("press up")["error"] == Unheeded.OFF.value
        assert person.give("press switch")["error"] == Unheeded.ONE_PROGRAM.value
        assert person.give("press start")["ok"]
        assert person.give("press start")["error"] == Unheeded.ON.value
        assert person.give("press down", 3 * S)["error"] == Unheeded.AT_END.value
        assert [person.give("press up", 0)["ok"] for _ in range(2)] == [True, False]
        assert person.told[-1]["error"] == Unheeded.TOO_FAST.value
        assert person.give("fault hang")["ok"]
        told = person.give("press stop", 10 * MS)
        assert (told["error"], told["shows"]) == (Unheeded.NO_ANSWER.value, [])


def test_what_the_control_comes_to_show_is_told_unasked_once() -> None:
    with AtTheBench(expires_s=DAY // S + 3600) as person:

        def later(time_ns: int) -> list[Any]:
            before = len(person.told)
            person.clock.now_ns += time_ns
            person.bench._serve_once()
            return [one["shows"] for one in person.told[before:]]

        assert later(S) == []
        assert later(HOUR) == [[Signal.DAY_LEFT.value]]
        assert later(HOUR) == []
        assert later(DAY) == [[Signal.EXPIRED.value]]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"order": "plug", "ok": True}, "plug: done"),
        ({"order": "look", "ok": True, "shows": []}, "look: done (shows: nothing)"),
        ({"order": "x", "ok": False, "error": "no such order"}, "x: no such order"),
        (
            {"order": "press start", "ok": False, "error": "wait", "shows": ["a", "b"]},
            "press start: wait (shows: a, b)",
        ),
        ({"shows": ["a"]}, "the patient's control shows: a"),
    ],
)
def test_answers_are_lines_for_people_too(document: dict[str, Any], words: str) -> None:
    assert in_words(document) == words
