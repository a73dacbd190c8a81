"""Current sharing: what each contact carries for an amplitude, exactly (rule 6 of the program format).

The host's one implementation. The device, the judge and the compile kernels each have their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from neurostim.core.errors import ConfigError


def contact_currents(
    amplitude_na: int,
    factor: Fraction | int,
    shares: Iterable[tuple[int, int]],
    step_na: int,
    ratio: int = 1,
) -> dict[int, int]:
    """Share an amplitude over contacts on a device's amplitude grid; the sum is exactly zero.

    Parameters
    ----------
    amplitude_na : int
        Current of the stimulation phase before sharing [nA].
    factor : Fraction or int
        Ramp factor, 0 to 1, exact.
    shares : iterable of (int, int)
        Device contact and share in 0.1 %, cathodes negative; each sign sums to 1000.
    step_na : int
        Amplitude step of the device [nA].
    ratio : int
        N of active-asymmetric recharge, else 1; the grid is then N x ``step_na``, so that the
        recharge (magnitude / N) is on the device's own grid.

    Returns
    -------
    dict of int to int
        Signed current of each contact [nA], cathodic negative, in contact order
        (``RETURN_INDEX`` last); contacts that carry nothing have 0.

    Raises
    ------
    ConfigError
        Where shares do not sum to -100 % and +100 %, or a number is out of its domain.

    Notes
    -----
    Cathodes are rounded toward zero. Anodes take the cathodes' sum by share, rounded toward
    zero, and what is left is dealt out one step at a time in contact order. The result is not
    monotone in ``amplitude_na``, so a range is judged at each of its steps.
    """
    ordered = sorted(shares)
    _require_shares(ordered)
    if amplitude_na < 0 or step_na < 1 or ratio < 1 or not 0 <= factor <= 1:
        raise ConfigError(
            f"found amplitude {amplitude_na} nA, factor {factor}, step {step_na} nA, ratio {ratio}",
            allowed="amplitude from 0, factor from 0 to 1, step and ratio from 1",
            code="sharing",
        )
    quantum = step_na * ratio
    exact = Fraction(factor)
    scaled, divisor = amplitude_na * exact.numerator, 1000 * quantum * exact.denominator
    currents = {
        contact: -(scaled * -share // divisor) * quantum if share < 0 else 0 for contact, share in ordered
    }
    total = -sum(currents.values())
    anodes = [(contact, share) for contact, share in ordered if share > 0]
    for contact, share in anodes:
        currents[contact] = total * share // (1000 * quantum) * quantum
    left = -sum(currents.values())
    # Each floor loses less than one quantum, so one round of dealing always suffices.
    for contact, _ in anodes[: left // quantum]:
        currents[contact] += quantum
    return currents


def _require_shares(ordered: list[tuple[int, int]]) -> None:
    contacts = [contact for contact, _ in ordered]
    cathodes = sum(share for _, share in ordered if share < 0)
    anodes = sum(share for _, share in ordered if share > 0)
    if len(set(contacts)) != len(contacts) or (cathodes, anodes) != (-1000, 1000):
        raise ConfigError(
            f"found cathodes at {cathodes / 10:g} % and anodes at {anodes / 10:g} % over contacts {contacts}",
            allowed="each contact once, cathodes at -100 % and anodes at +100 %",
            code="shares",
        )
