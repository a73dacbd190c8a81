"""Chance of the device as an argument: real from its servers, repeatable by seed in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

Entropy = Callable[[int], bytes]
"""Gives that many bytes that nobody can guess."""

_BLOCK: Final = 32


def seeded(*seed: int | str) -> Entropy:
    """Repeatable bytes from a seed, others at each call: for virtual devices, whose secrets guard nothing."""
    name = ":".join(map(str, seed))
    calls = 0

    def give(count: int) -> bytes:
        nonlocal calls
        calls += 1
        blocks = range(-(-count // _BLOCK))
        return b"".join(hashlib.sha256(f"{name}:{calls}:{i}".encode()).digest() for i in blocks)[:count]

    return give
