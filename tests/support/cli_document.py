"""The sections of docs/reference/cli.md, by command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^##+ (neurostim.*?)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(TEXT))


def undocumented(name: str, entry: dict[str, Any], *more: str) -> set[str]:
    """Keys of a JSON document that its section, and those of `more`, do not name."""
    text = "".join(SECTIONS[one] for one in (name, *more))
    return {key for key in entry if f"`{key}`" not in text}
