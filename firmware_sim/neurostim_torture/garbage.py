"""Cycles collected seldom: a schedule leaves one world behind, and looking for it all the time costs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SCHEDULES: Final = 25
"""Worlds that may lie about before they are collected."""


@contextmanager
def collected_seldom() -> Iterator[Iterator[None]]:
    """Collect nothing but between schedules; advance what this gives after each of them."""
    was_on = gc.isenabled()
    gc.collect()
    # What is there now outlives the schedules: it need not be looked at again and again.
    gc.freeze()
    gc.disable()
    try:
        yield _turns()
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def _turns() -> Iterator[None]:
    while True:
        for _ in range(SCHEDULES - 1):
            yield
        gc.collect()
        yield
