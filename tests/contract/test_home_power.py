"""The supply may fail at any byte: what is released, what was used, and that nothing resumes."""

from __future__ import annotations

import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import UsageKind
from neurostim_sim.core import DeviceCore
from neurostim_sim.home import Button
from neurostim_sim.home.usage import REGION_OFFSET, UsageLog
from neurostim_sim.store import REGIONS_AT, MemoryMedium, Store
from support.home_bench import HOUR, STEP_NA, HomeBench, S, dose_of, home_tonic, of_kind
from support.sim_bench import device

RANGES = (m.RangeOfArea(0, 1_000_000, 2_000_000, STEP_NA),)


def a_day(core: DeviceCore) -> None:
    """A start, steps over the end of an hour, a switch, a start and a stop."""
    begin = core.clock.true_ns
    core.press(Button.START)
    core.advance(begin + 5 * S)
    core.press(Button.UP)
    core.advance(begin + 180 * S)
    core.press(Button.SWITCH)
    core.advance(begin + 190 * S)
    core.press(Button.START)
    core.advance(begin + 200 * S)
    core.press(Button.STOP)
    core.advance(begin + 210 * S)


def released_on(medium: MemoryMedium) -> DeviceCore:
    bench = HomeBench(device("scs", medium=medium))
    bench.send_home([home_tonic(), home_tonic(width_ticks=200)])
    bench.core.advance(HOUR - 100 * S)
    return bench.core


def bytes_of_a_day() -> int:
    medium = MemoryMedium()
    core = released_on(medium)
    before = medium.written
    a_day(core)
    return medium.written - before


def check(medium: MemoryMedium) -> None:
    """Switched on again, the device is released and off, and its log and counters agree."""
    medium.bytes_left = None
    core = device("scs", medium=medium)
    assert core.autonomous
    assert not core.output_on
    home = core.home
    assert not home.usage.broken
    records = home.usage.records(1)
    told = dose_of(records)
    bounds: dict[int, int] = {}
    for one in of_kind(records, UsageKind.CHARGE_BOUND):
        bounds[one.place] = bounds.get(one.place, 0) + one.value * 10**9
    for contact, (pulses, cathodic, anodic, _) in core.memory.contacts.items():
        values = told.get(contact, [0, 0, 0, 0])
        assert values[0] <= pulses
        assert values[1] <= cathodic <= values[1] + bounds.get(contact, 0)
        assert values[2] <= anodic <= values[2] + bounds.get(contact, 0)
    starts = len(of_kind(records, UsageKind.START))
    assert len(of_kind(records, UsageKind.STOP)) <= core.memory.dose_count
    assert starts <= core.memory.dose_count
    core.advance(HOUR)
    assert not core.output_on


def cut_at(place: int) -> None:
    medium = MemoryMedium()
    core = released_on(medium)
    medium.bytes_left = place
    a_day(core)
    assert core.dead
    check(medium)


def test_a_power_cut_anywhere_in_a_day_at_home_loses_and_doubles_nothing() -> None:
    total = bytes_of_a_day()
    for place in range(0, total, total // 40):
        cut_at(place)


@pytest.mark.long
def test_a_power_cut_at_every_byte_of_a_day_at_home_loses_and_doubles_nothing() -> None:
    for place in range(bytes_of_a_day()):
        cut_at(place)


def test_a_second_cut_while_the_first_is_made_good_tells_nothing_twice() -> None:
    total = bytes_of_a_day()
    medium = MemoryMedium()
    core = released_on(medium)
    medium.bytes_left = total * 2 // 3
    a_day(core)
    image = bytes(medium.data)
    whole = MemoryMedium()
    whole.data[:] = image
    again = device("scs", medium=whole)
    needed = whole.written
    wanted = dose_of(again.home.usage.records(1))
    for place in range(0, needed, max(1, needed // 40)):
        torn = MemoryMedium()
        torn.data[:] = image
        torn.bytes_left = place
        device("scs", medium=torn)
        torn.bytes_left = None
        last = device("scs", medium=torn)
        assert dose_of(last.home.usage.records(1)) == wanted
        bounds = [
            (one.place, one.value) for one in of_kind(last.home.usage.records(1), UsageKind.CHARGE_BOUND)
        ]
        assert len(bounds) == len({place for place, _ in bounds})


def test_a_cut_in_the_commit_of_a_release_leaves_it_whole_or_not_there() -> None:
    medium = MemoryMedium()
    bench = HomeBench(device("scs", medium=medium))
    bench.send_home()
    image, written = bytes(medium.data), medium.written
    assert image
    fresh = MemoryMedium()
    first = HomeBench(device("scs", medium=fresh))
    release = first.send_home()
    assert fresh.written == written
    for left in range(0, 1200, 40):
        torn = MemoryMedium()
        bench = HomeBench(device("scs", medium=torn))
        torn.bytes_left = written - left
        try:
            bench.send_home()
        except (AssertionError, IndexError):
            assert bench.core.dead
        torn.bytes_left = None
        core = device("scs", medium=torn)
        held = core.home.state.release
        assert not core.autonomous or (held is not None and held.digest() == release.digest())


def test_a_record_that_was_changed_is_found_and_blocks_the_next_start() -> None:
    medium = MemoryMedium()
    core = released_on(medium)
    a_day(core)
    place = medium.data.index(UsageLog(Store(medium)).records(3)[0].encode())
    assert place >= REGIONS_AT + REGION_OFFSET
    medium.data[place + 20] ^= 1
    again = device("scs", medium=medium)
    assert again.home.usage.broken
    again.advance(S)
    again.press(Button.START)
    again.advance(5 * S)
    assert not again.output_on
    assert again.memory.fault == m.FaultCode.MEMORY
