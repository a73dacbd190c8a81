"""Where each key of a TOML text stands: the line numbers that `tomllib` does not keep.

It walks a text that `tomllib` has already accepted, so it needs no error handling of its own.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}\n#]*")
_STRINGS: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:[^\\]|\\.)*?"{3,5}',
        r"'''.*?'{3,5}",
        r'"(?:[^"\\\n]|\\.)*"',
        r"'[^'\n]*'",
    )
)


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every key and table of a valid TOML text.

    Parameters
    ----------
    text : str
        A text that ``tomllib.loads`` accepts.

    Returns
    -------
    dict
        Path, such as ``("area", 0, "pulse", "width")``, to line.
    """
    return _Walk(text).run()


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line_ends = [match.start() for match in re.finditer("\n", self._text)]
        self._lines: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._pair(table)
            self._skip(_BLANK)
        return self._lines

    def _line(self) -> int:
        low, high = 0, len(self._line_ends)
        while low < high:
            middle = (low + high) // 2
            if self._line_ends[middle] < self._at:
                low = middle + 1
            else:
                high = middle
        return low + 1

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def _header(self) -> Path:
        line = self._line()
        repeated = self._text.startswith("[[", self._at)
        self._at += 2 if repeated else 1
        keys = self._key()
        self._at += 2 if repeated else 1
        path = self._resolve(keys[:-1], line)
        path = (*path, keys[-1])
        if repeated:
            index = self._sizes.get(path, 0)
            self._sizes[path] = index + 1
            self._lines.setdefault(path, line)
            path = (*path, index)
        self._lines.setdefault(path, line)
        return path

    def _resolve(self, keys: list[str], line: int) -> Path:
        """The path of a header's parents: a name of an array of tables means its newest element."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            self._lines.setdefault(path, line)
            if path in self._sizes:
                path = (*path, self._sizes[path] - 1)
        return path

    def _pair(self, table: Path) -> Path:
        line = self._line()
        path = table
        for key in self._key():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)
        return table

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            bare = self._skip(_BARE_KEY)
            keys.append(bare or str(tomllib.loads(f"k = {self._string()}")["k"]))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _string(self) -> str:
        for pattern in _STRINGS:
            found = self._skip(pattern)
            if found:
                return found
        return ""

    def _value(self, path: Path) -> None:
        mark = self._text[self._at]
        if mark == "{":
            self._inline_table(path)
        elif mark == "[":
            self._array(path)
        elif mark in "\"'":
            self._string()
        else:
            self._skip(_SCALAR)

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
                self._skip(_BLANK)
        self._at += 1

    def _array(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANK)
        index = 0
        while self._text[self._at] != "]":
            self._lines[*path, index] = self._line()
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
                self._skip(_BLANK)
        self._at += 1
