"""The system's entropy for devices that are served to real hosts; virtual ones have their own from a seed."""

from __future__ import annotations

import os


def system_entropy(count: int) -> bytes:
    """That many bytes that nobody can guess."""
    return os.urandom(count)
