"""Which recorded phase answers which expected one: the nearest in time, each used once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


def match_nearest(expected: I64, reach: I64, found: I64) -> I64:
    """Match two sorted lists of ticks.

    Parameters
    ----------
    expected, reach : int64 arrays
        Expected ticks in ascending order and how far a match of each may lie.
    found : int64 array
        Recorded ticks in ascending order.

    Returns
    -------
    int64 array (len(found),)
        Index into ``expected``, or -1 for what nothing answers. No index stands twice: of several
        candidates the nearest wins, the earlier one at equal distance.
    """
    if len(found) == len(expected) and np.array_equal(found, expected):
        return np.arange(len(found), dtype=np.int64)
    if not len(expected) or not len(found):
        return np.full(len(found), -1, dtype=np.int64)
    after = np.searchsorted(expected, found, side="left")
    right = np.minimum(after, len(expected) - 1)
    left = np.maximum(after - 1, 0)
    take_left = np.abs(found - expected[left]) <= np.abs(expected[right] - found)
    index = np.where(take_left, left, right)
    distance = np.abs(expected[index] - found)
    index[distance > reach[index]] = -1
    order = np.lexsort((distance, index))
    taken = index[order]
    twice = np.zeros(len(found), dtype=np.bool_)
    twice[1:] = (taken[1:] == taken[:-1]) & (taken[1:] >= 0)
    index[order[twice]] = -1
    return np.asarray(index, dtype=np.int64)


def match_equal(expected: I64, expected_contact: I64, found: I64, found_contact: I64) -> I64:
    """Match entries with equal tick and contact, the first with the first, the second with the second.

    Returns
    -------
    int64 array (len(expected),)
        Index into ``found``, or -1.
    """
    tick = np.concatenate([expected, found])
    contact = np.concatenate([expected_contact, found_contact])
    source = np.concatenate([np.zeros(len(expected), dtype=np.int64), np.ones(len(found), dtype=np.int64)])
    # Number the repeats of one (tick, contact) within each list, so that a repeat meets its own kind.
    order = np.lexsort((contact, tick, source))
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (
        (tick[order][1:] != tick[order][:-1])
        | (contact[order][1:] != contact[order][:-1])
        | (source[order][1:] != source[order][:-1])
    )
    position = np.arange(len(order))
    repeat = np.empty(len(order), dtype=np.int64)
    repeat[order] = position - np.maximum.accumulate(np.where(fresh, position, 0))
    order = np.lexsort((source, repeat, contact, tick))
    here, after = order[:-1], order[1:]
    equal = (tick[here] == tick[after]) & (contact[here] == contact[after]) & (repeat[here] == repeat[after])
    result = np.full(len(expected), -1, dtype=np.int64)
    result[here[equal]] = after[equal] - len(expected)
    return result
