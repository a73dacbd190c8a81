"""TOML text to a document with line numbers, going on after a faulty line so that all are reported.

`tomllib` stops at its first complaint. Here the faulty line is taken out and the rest is read again.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

from neurostim.core.errors import Problem
from neurostim.core.program_bounds import MAX_LINE_CHARACTERS
from neurostim.core.program_lines import Path, key_lines
from neurostim.core.program_values import show

MAX_SYNTAX_FAULTS: Final = 20

_WHERE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KEY_OF_LINE: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_AREA_HEADER: Final = re.compile(r"\s*\[\[\s*area\s*\]\]")
_UNQUOTED: Final = re.compile(r"=\s*([+-]?[0-9]+(?:[.,][0-9]+)*\s?[A-Za-z%\u00b5\u03bc]+)")
_OPEN_BRACE: Final = re.compile(r"=\s*\{[^}]*$")
_COMMA: Final = re.compile(r"=\s*([+-]?[0-9]+,[0-9]+)")


@dataclass(frozen=True, slots=True)
class Document:
    """What was read.

    ``keys_lost`` are keys that stood on faulty lines, each with its area (-1 above the first): that
    they are missing is no second fault.
    ``table`` is None where the text cannot be read on.
    """

    table: dict[str, Any] | None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    keys_lost: frozenset[tuple[int, str]] = frozenset()


def read_document(text: str) -> Document:
    """Read a TOML text, collecting every faulty line.

    Parameters
    ----------
    text : str
        At most as long as a program file may be.

    Returns
    -------
    Document
        The table of what could be read, lines of its keys, and what was wrong.
    """
    rows = text.replace("\r\n", "\n").split("\n")
    long = next((number for number, row in enumerate(rows, 1) if len(row) > MAX_LINE_CHARACTERS), None)
    if long is not None:
        found = f"{len(rows[long - 1])} characters"
        return Document(None, problems=(_problem(long, found, f"lines of at most {MAX_LINE_CHARACTERS}"),))
    problems: list[Problem] = []
    lost: set[tuple[int, str]] = set()
    while len(problems) < MAX_SYNTAX_FAULTS:
        body = "\n".join(rows)
        try:
            return Document(tomllib.loads(body), key_lines(body), tuple(problems), frozenset(lost))
        except RecursionError:
            problems.append(Problem("file", "tables or lists nested too deeply", "at most four levels"))
            return Document(None, problems=tuple(problems))
        except tomllib.TOMLDecodeError as error:
            number = _line_of(error, rows)
            row = rows[number - 1]
            problems.append(_explain(number, row, str(error)))
            key = _KEY_OF_LINE.match(row)
            if key is None:
                break
            areas = sum(1 for above in rows[:number] if _AREA_HEADER.match(above))
            lost.add((areas - 1, key[1]))
            rows[number - 1] = ""
        except ValueError:
            problems.append(
                Problem("file", "a number of thousands of digits", "quantities as text with a unit")
            )
            break
    return Document(None, problems=tuple(problems))


def _line_of(error: tomllib.TOMLDecodeError, rows: list[str]) -> int:
    where = _WHERE.search(str(error))
    if where is not None and where[1]:
        return min(int(where[1]), len(rows))
    filled = (number for number in range(len(rows), 0, -1) if rows[number - 1].strip())
    return next(filled, 1)


def _problem(number: int, found: str, allowed: str) -> Problem:
    return Problem(f"line {number}", found, allowed)


def _explain(number: int, row: str, message: str) -> Problem:
    reason = _WHERE.sub("", message)
    key = _KEY_OF_LINE.match(row)
    if re.search("overwrite|twice|Duplicate|already|mutate", reason):
        what = f"the key {key[1]} or one of its parts" if key else show(row.strip())
        return _problem(number, f"{what} more than once", "each key and each table once")
    unquoted = _UNQUOTED.search(row) or _COMMA.search(row)
    if unquoted is not None and '"' not in unquoted[1]:
        allowed = (
            f'quantities as text in quotes with a decimal point, such as "{unquoted[1].replace(",", ".")}"'
        )
        return _problem(number, f"{unquoted[1]} without quotes", allowed)
    if _OPEN_BRACE.search(row) or re.search("inline table", reason, re.IGNORECASE):
        return _problem(number, show(row.strip()), "a table in braces on one line, closed on the same line")
    if "document" in message and "Expected newline" not in reason:
        return _problem(number, f"the end of the file after {show(row.strip())}", "a complete file")
    return _problem(number, f"{show(row.strip())} ({reason})", "TOML: key = value, text in quotes")
