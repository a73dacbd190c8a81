"""How the engine's kernels are compiled: cached on disk, and without counting references to arrays.

Whoever calls a kernel holds every array for as long as it runs, and no kernel allocates one. Counting took
four fifths of the time: two atomic additions for each of two dozen arrays in every call of a function. A
kernel that allocated in spite of it would not compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from numba import njit

_OPTIONS: Final[dict[str, Any]] = {"cache": True, "_nrt": False}


def compiled(kernel: Callable[..., Any]) -> Any:
    """A kernel as machine code, made at its first call for each kind of arguments."""
    return njit(**_OPTIONS)(kernel)
