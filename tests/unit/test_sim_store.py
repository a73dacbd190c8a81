"""The device's lasting memory: power may fail at any write, and what is read is old or new."""

from __future__ import annotations

import pytest

from neurostim_sim.store import MemoryMedium, PowerCut, Store


def document(number: int) -> dict[str, object]:
    return {"number": number, "text": str(number) * 6000}


def writes_of_one_save() -> int:
    medium = MemoryMedium()
    store = Store(medium)
    for number in (1, 2):
        store.save(document(number))
    before = medium.writes
    store.save(document(3))
    return medium.writes - before


def test_a_save_takes_several_writes() -> None:
    assert writes_of_one_save() >= 4


@pytest.mark.hazard("half-written")
@pytest.mark.parametrize("write", range(writes_of_one_save()))
def test_power_lost_at_any_write_leaves_the_old_document_and_room_for_a_new_one(write: int) -> None:
    medium = MemoryMedium()
    store = Store(medium)
    for number in (1, 2):
        store.save(document(number))
    medium.cut_after = medium.writes + write
    with pytest.raises(PowerCut):
        store.save(document(3))
    medium.cut_after = None
    again = Store(medium)
    # The last write only closes the older bank: the new document is whole before it.
    assert again.load() == document(2 if write < 3 else 3)
    again.save(document(4))
    assert Store(medium).load() == document(4)


def test_a_flipped_bit_falls_back_to_the_document_before() -> None:
    medium = MemoryMedium()
    store = Store(medium)
    for number in (1, 2):
        store.save(document(number))
    medium.data[100] ^= 1
    assert Store(medium).load() in (document(1), document(2))
    medium.data[100] ^= 1
    assert Store(medium).load() == document(2)
