"""Current sharing, rule 6, against values worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError
from neurostim.core.sharing import contact_currents
from support import reference
from support.core_programs import area, shares

RETURN = 255


@pytest.mark.parametrize(
    ("amplitude", "factor", "split", "step", "ratio", "currents"),
    [
        (6_000_000, 1, {3: -1000, 5: 1000}, 50_000, 1, {3: -6_000_000, 5: 6_000_000}),
        # 1.23 mA on a 50 uA grid: toward zero.
        (1_230_000, 1, {3: -1000, 5: 1000}, 50_000, 1, {3: -1_200_000, 5: 1_200_000}),
        # A third of 1 mA each: 0.3 mA, and the 0.1 mA left goes to the first anode.
        (
            1_000_000,
            1,
            {1: 333, 2: -1000, 3: 333, RETURN: 334},
            100_000,
            1,
            {1: 400_000, 2: -1_000_000, 3: 300_000, RETURN: 300_000},
        ),
        # Two steps left: the first two anodes, never the return pad first.
        (
            800_000,
            1,
            {1: 333, 2: -1000, 3: 333, RETURN: 334},
            100_000,
            1,
            {1: 300_000, 2: -800_000, 3: 300_000, RETURN: 200_000},
        ),
        # Cathodes round each on their own: 0.65 and 0.35 of 1.1 mA are 0.7 and 0.3 mA, 1.0 mA in all.
        (1_100_000, 1, {1: -650, 2: -350, 4: 1000}, 100_000, 1, {1: -700_000, 2: -300_000, 4: 1_000_000}),
        # Asymmetric recharge by 4: the grid is 4 steps, so that a quarter is on the device's own.
        (1_100_000, 1, {1: -1000, 2: 1000}, 50_000, 4, {1: -1_000_000, 2: 1_000_000}),
        # A third of the way up a ramp.
        (1_000_000, Fraction(1, 3), {1: -1000, 2: 1000}, 10_000, 1, {1: -330_000, 2: 330_000}),
        (1_000_000, 0, {1: -1000, 2: 1000}, 10_000, 1, {1: 0, 2: 0}),
        (9_999, 1, {1: -1000, 2: 1000}, 10_000, 1, {1: 0, 2: 0}),
    ],
)
def test_currents_by_hand(
    amplitude: int, factor: Fraction, split: dict[int, int], step: int, ratio: int, currents: dict[int, int]
) -> None:
    assert contact_currents(amplitude, factor, split.items(), step, ratio) == currents


def test_sharing_is_not_monotone_in_amplitude() -> None:
    split = ((1, -1000), (2, 121), (3, 141), (4, 738))
    # 8 steps: floors 0, 1, 5, two left for contacts 2 and 3. 9 steps: floors 1, 1, 6, one left for contact 2.
    assert contact_currents(8000, 1, split, 1000) == {1: -8000, 2: 1000, 3: 2000, 4: 5000}
    assert contact_currents(9000, 1, split, 1000) == {1: -9000, 2: 2000, 3: 1000, 4: 6000}


@given(
    st.integers(0, 150_000_000),
    st.fractions(0, 1),
    shares(),
    st.integers(1, 10_000_000),
)
def test_the_sum_is_exactly_zero_and_each_current_is_on_the_grid(
    amplitude: int, factor: Fraction, split: tuple, step: int
) -> None:
    one = area(amplitude=amplitude, shares=split)
    indexed = [(reference.contact_index(share.contact), share.permille) for share in split]
    got = contact_currents(amplitude, factor, indexed, step)
    assert sum(got.values()) == 0
    assert all(current % step == 0 for current in got.values())
    assert list(got.items()) == list(reference.share_out(amplitude, factor, one, step).items())


@pytest.mark.parametrize(
    "split",
    [((1, -1000), (2, 999)), ((1, -1000),), ((1, -500), (2, 1000)), ((1, -1000), (1, 1000)), ()],
)
def test_shares_that_do_not_sum_are_refused(split: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ConfigError, match="each contact once"):
        contact_currents(1_000_000, 1, split, 1000)


@pytest.mark.parametrize(
    ("amplitude", "factor", "step", "ratio"),
    [(-1, 1, 1, 1), (1, Fraction(3, 2), 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)],
)
def test_numbers_out_of_their_domain_are_refused(
    amplitude: int, factor: Fraction, step: int, ratio: int
) -> None:
    with pytest.raises(ConfigError, match="factor from 0 to 1"):
        contact_currents(amplitude, factor, ((1, -1000), (2, 1000)), step, ratio)
