"""The system's entropy, for keys and ids of this host."""

from __future__ import annotations

import os


def system_entropy(size: int) -> bytes:
    """So many bytes that nobody can guess."""
    return os.urandom(size)
