"""Cycles under torture are collected between schedules and never in one, and afterwards all is as before."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from neurostim_torture.garbage import SCHEDULES, collected_seldom


class World:
    """What a schedule leaves behind: it holds itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def left_behind() -> weakref.ref[World]:
    return weakref.ref(World())


@pytest.fixture(autouse=True, params=[True, False], ids=["collecting", "not collecting"])
def was_on(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Both ways the surroundings may have it."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_nothing_is_collected_but_between_so_many_schedules() -> None:
    with collected_seldom() as turns:
        world = left_behind()
        for _ in range(SCHEDULES - 1):
            next(turns)
            [[] for _ in range(10_000)]
            assert world() is not None
        next(turns)
        assert world() is None
        # And again: the second batch is freed like the first.
        world = left_behind()
        for _ in range(SCHEDULES - 1):
            next(turns)
        assert world() is not None
        next(turns)
        assert world() is None


def test_collecting_goes_on_afterwards_only_where_it_was_on(was_on: bool) -> None:
    with collected_seldom():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled() is was_on
    assert gc.get_freeze_count() == 0


def test_a_campaign_that_fails_leaves_collecting_as_it_was(was_on: bool) -> None:
    def campaign() -> None:
        with collected_seldom() as turns:
            next(turns)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        campaign()
    assert gc.isenabled() is was_on
    assert gc.get_freeze_count() == 0


def test_what_was_there_before_is_not_looked_at_and_still_freed_afterwards() -> None:
    world = World()
    seen = weakref.ref(world)
    with collected_seldom() as turns:
        del world
        for _ in range(SCHEDULES):
            next(turns)
        assert seen() is not None
    gc.collect()
    assert seen() is None
