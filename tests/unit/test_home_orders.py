"""Orders of the bench that are done by hand at the device."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.bench import ORDERS, Bench
from support.home_bench import HomeBench, S


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
    assert {"press BUTTON", "hold BUTTON", "let-go", "off-button", "battery"} <= set(ORDERS)
