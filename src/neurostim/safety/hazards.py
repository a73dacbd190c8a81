"""The table of hazards for readers, written from ``docs/safety/hazards.toml``.

``python -m neurostim.safety.hazards`` writes ``docs/safety/hazards.md``; a test keeps the two in step.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neurostim.core.errors import ConfigError, Problem

FOLDER: Final = Path(__file__).resolve().parents[3] / "docs" / "safety"
DATA: Final = FOLDER / "hazards.toml"
PAGE: Final = FOLDER / "hazards.md"

_HEAD: Final = """# Hazards

Generated from `hazards.toml` by `python -m neurostim.safety.hazards`; do not edit here.

**For research use with the simulator or a bench load. Not a cleared medical device.** The controls in
the device are those of the protocol's specification; the simulated device has them, and firmware is
tested for them in the same way. What all of this does not protect from is told in
[a page of its own](not-protected.md), who might attack and how in the [threat model](threats.md).

Each control is proven by the tests named; each of them carries the hazard's id as a marker
(`pytest -m hazard` runs them all), and a test fails where one side names what the other does not.

"""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One hazard: cause, controls in host and device, tests that prove them, and what is left."""

    id: str
    title: str
    cause: str
    source: str
    host: str
    device: str
    left: str
    tests: tuple[str, ...]


def load_hazards(path: Path = DATA) -> tuple[Hazard, ...]:
    """Read the hazards.

    Raises
    ------
    ConfigError
        With every entry that lacks something, names nothing to prove it, or stands twice.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["hazard"]
    problems: list[Problem] = []
    found: dict[str, Hazard] = {}
    for number, entry in enumerate(entries, 1):
        place = f"hazard[{number}]"
        wanted = set(Hazard.__slots__)
        if set(entry) != wanted:
            problems.append(Problem(place, ", ".join(sorted(set(entry) ^ wanted)), "exactly the known keys"))
            continue
        one = Hazard(**{**entry, "tests": tuple(entry["tests"])})
        if one.id in found:
            problems.append(Problem(place, f"the id {one.id!r} again", "an id of its own"))
        problems += [
            Problem(f"{place}.{name}", "nothing", "words")
            for name in ("id", "title", "cause", "source", "host", "device")
            if not getattr(one, name).strip()
        ]
        if not one.tests:
            problems.append(Problem(f"{place}.tests", "none", "at least one test that proves a control"))
        found[one.id] = one
    if problems:
        raise ConfigError("the hazards are not whole", problems=problems, code="hazards")
    return tuple(found.values())


def hazards_page(hazards: tuple[Hazard, ...] | None = None) -> str:
    """The page as Markdown text."""
    known = load_hazards() if hazards is None else hazards
    lines = [_HEAD, "| Id | Hazard and cause | In the host | In the device | What is left | Source | Tests |"]
    lines += ["\n|---|---|---|---|---|---|---|\n"]
    for one in known:
        tests = "<br>".join(f"`{name}`" for name in one.tests)
        cells = [
            f"`{one.id}`", f"**{one.title}.** {_sentence(one.cause)}", _sentence(one.host),
            _sentence(one.device), _sentence(one.left) or "nothing known", one.source, tests,
        ]  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(lines)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


if __name__ == "__main__":
    PAGE.write_text(hazards_page(), encoding="utf-8")
