"""Charges and contact sets that travel in parts come back whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ProtocolError
from neurostim.core.image import RETURN_INDEX
from neurostim.wire.messages import AreaDose, ImpedanceFire
from neurostim.wire.values import contact_mask, join_charge, mask_contacts, split_charge


@given(st.integers(-(2**90), 2**90))
def test_charge_comes_back_whole(charge):
    whole, rest = split_charge(charge)
    assert 0 <= rest < 10**9
    assert join_charge(whole, rest) == charge


def test_a_century_of_the_largest_current_fits_the_counters_and_not_64_bits_of_attocoulombs():
    century_ns = 100 * 365 * 86_400 * 10**9
    charge = 150_000_000 * century_ns
    assert charge > 2**64
    whole, rest = split_charge(charge)
    assert AreaDose(0, 0, 0, whole, rest).stim_nc == whole


@given(st.sets(st.sampled_from([*range(1, 33), RETURN_INDEX]), min_size=1))
def test_contacts_come_back_ascending_and_fit_the_message(contacts):
    mask = contact_mask(contacts)
    assert mask_contacts(mask) == tuple(sorted(contacts))
    assert ImpedanceFire(1, 0, mask).contact_mask == mask


@pytest.mark.parametrize("contact", [-1, 0, 33, 254, 256])
def test_a_contact_that_does_not_exist_has_no_mask(contact):
    with pytest.raises(ProtocolError):
        contact_mask([1, contact])


def test_the_return_pad_is_bit_32():
    assert contact_mask([1, 2, 32, RETURN_INDEX]) == 0x1_8000_0003
