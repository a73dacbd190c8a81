"""Takes one check out of a running host or device, and puts it back: to see whether the monitor misses it."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from neurostim.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Cut:
    """One check and what stands in its place while it is removed.

    Attributes
    ----------
    place : str
        ``module:function`` or ``module:Class.method``; a property by its name.
    check : str
        The text of the check, which must stand there exactly once: a barrier that has moved is told.
    instead : str
        What is executed in its place.
    """

    place: str
    check: str
    instead: str

    def function(self) -> FunctionType:
        """The function that holds the check."""
        module, _, path = self.place.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            held = found.__dict__.get(name) if isinstance(found, type) else getattr(found, name, None)
            if held is None:
                raise self._moved(f"there is no {self.place}")
            found = held
        if isinstance(found, property):
            found = found.fget
        found = getattr(found, "__func__", found)
        if not isinstance(found, FunctionType):
            raise self._moved(f"{self.place} is no function")
        return found

    def out_of(self, source: str) -> str:
        """A source with the check replaced."""
        if source.count(self.check) != 1:
            raise self._moved(f"{self.place} holds {self.check!r} {source.count(self.check)} times")
        return source.replace(self.check, self.instead)

    def _moved(self, why: str) -> ConfigError:
        return ConfigError(
            f"a barrier is not where the table says: {why}",
            remedy="Bring neurostim_torture/barriers/table up to date.",
            code="barrier-moved",
        )


@contextmanager
def removed(cuts: Sequence[Cut]) -> Iterator[None]:
    """Remove several checks while the context lasts.

    Raises
    ------
    ConfigError
        Code ``barrier-moved``: a check is not where it was.
    """
    by_function: dict[FunctionType, list[Cut]] = {}
    for cut in cuts:
        by_function.setdefault(cut.function(), []).append(cut)
    before = {function: function.__code__ for function in by_function}
    without = {function: _without(function, made) for function, made in by_function.items()}
    try:
        for function, code in without.items():
            function.__code__ = code
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code


def _without(function: FunctionType, cuts: Sequence[Cut]) -> CodeType:
    """The code of a function with some checks taken out of its source."""
    text = textwrap.dedent(inspect.getsource(function))
    for cut in cuts:
        text = cut.out_of(text)
    made: dict[str, Any] = {}
    whole = "from __future__ import annotations\n" + text
    exec(compile(whole, f"<{function.__qualname__} without a check>", "exec"), function.__globals__, made)
    new: Any = made[function.__name__]
    new = getattr(new, "fget", None) or getattr(new, "__func__", new)
    code: CodeType = new.__code__
    return code
