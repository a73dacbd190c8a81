"""A ring of records on a medium: order, wear, tears at every byte, rot, and what is forgotten."""

from __future__ import annotations

import pytest

from neurostim_sim.medium import MemoryMedium, PowerCut
from neurostim_sim.region import Region

SIZE, COUNT, AT = 20, 7, 100


def record(number: int) -> bytes:
    return bytes([number]) * SIZE


def filled(count: int) -> tuple[MemoryMedium, Region]:
    medium = MemoryMedium()
    region = Region(medium, AT, SIZE, COUNT)
    for number in range(1, count + 1):
        assert region.append(record(number)) == number
    return medium, region


def opened(medium: MemoryMedium, floor: int = 1) -> Region:
    return Region(medium, AT, SIZE, COUNT, floor)


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 14, 23])
def test_the_last_records_are_held_in_order_also_after_a_reset(count: int) -> None:
    medium, region = filled(count)
    expected = [(n, record(n)) for n in range(max(1, count - COUNT + 1), count + 1)]
    for one in (region, opened(medium)):
        assert one.records() == expected
        assert (one.oldest_index, one.next_index) == (max(1, count - COUNT + 1), count + 1)
        assert one.unreadable == 0
        assert one.verify()
    assert region.records(count, 1) == expected[-1:]


def test_each_place_is_written_in_turn_and_nothing_else() -> None:
    medium, region = filled(3 * COUNT)
    assert medium.written == 3 * COUNT * Region.bytes_needed(SIZE, 1)
    assert len(medium.data) == AT + Region.bytes_needed(SIZE, COUNT)
    assert region.read(2 * COUNT + 1) == record(2 * COUNT + 1)


@pytest.mark.parametrize("count", [0, 3, 7, 16])
@pytest.mark.parametrize("torn_bits", [0, 0x5A])
def test_power_lost_at_any_byte_loses_the_record_and_at_most_the_one_it_replaced(
    count: int, torn_bits: int
) -> None:
    for cut in range(Region.bytes_needed(SIZE, 1)):
        medium, region = filled(count)
        medium.bytes_left, medium.torn_bits = cut, torn_bits
        with pytest.raises(PowerCut):
            region.append(record(count + 1))
        medium.bytes_left = None
        again = opened(medium)
        assert again.next_index == count + 1
        kept = [n for n, _ in again.records()]
        oldest = max(1, count - COUNT + 1)
        assert kept in (list(range(oldest, count + 1)), list(range(oldest + 1, count + 1)))
        assert again.unreadable == 0
        assert again.append(record(99)) == count + 1
        assert opened(medium).read(count + 1) == record(99)


def test_a_rotten_record_is_told_and_no_other_is_lost() -> None:
    medium, region = filled(5)
    medium.data[AT + Region.bytes_needed(SIZE, 2) + 15] ^= 4
    assert not region.verify()
    again = opened(medium)
    assert [n for n, _ in again.records()] == [1, 2, 4, 5]
    assert again.read(3) is None
    assert again.unreadable == 1


def test_what_is_forgotten_is_overwritten_and_its_indices_are_not_used_again() -> None:
    medium, region = filled(12)
    region.forget(13)
    assert region.records() == []
    assert not any(medium.data[AT:])
    assert (region.oldest_index, region.next_index) == (13, 13)
    assert opened(medium, floor=13).append(record(13)) == 13


def test_power_lost_while_forgetting_brings_nothing_back() -> None:
    medium, region = filled(6)
    medium.bytes_left = 40
    with pytest.raises(PowerCut):
        region.forget(7)
    medium.bytes_left = None
    again = opened(medium, floor=7)
    assert again.records() == []
    assert again.next_index == 7
    again.append(record(7))
    # What the power loss kept from being overwritten is, with the next record.
    assert record(7) in medium.data
    assert not any(record(n)[:4] in medium.data for n in range(1, 7))


def test_a_record_of_another_size_is_refused() -> None:
    _, region = filled(1)
    with pytest.raises(ValueError, match="21 bytes"):
        region.append(bytes(21))
    assert region.next_index == 2


def test_a_long_log_is_forgotten_in_pages_while_a_host_waits() -> None:
    medium = MemoryMedium()
    region = Region(medium, AT, SIZE, 1000)
    for number in range(900):
        region.append(record(number % 256))
    writes: list[int] = []
    write = medium.write
    medium.write = lambda offset, data: (writes.append(len(data)), write(offset, data))[1]  # type: ignore[method-assign]
    region.forget(region.next_index)
    assert sum(writes) == Region.bytes_needed(SIZE, 900)
    assert len(writes) <= 10
    assert not any(medium.data[AT:])
