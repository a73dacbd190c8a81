"""The rule by which Linux gives programs access to a stimulator: its text, and whether it is in place."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neurostim.core.resources import protocols

RULE_NAME: Final = "60-neurostim.rules"
# Earlier folders win: a file in one of them hides a file of the same name in those after it (udev(7)).
RULE_FOLDERS: Final = tuple(
    Path(folder) / "udev/rules.d" for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
)
INSTALL_RULE: Final = (
    f"neurostim doctor --udev | sudo tee /etc/udev/rules.d/{RULE_NAME}"
    " && sudo udevadm control --reload && sudo udevadm trigger"
)
SEAT_RULE: Final = "73-seat-late.rules"
"""Gives what is tagged ``uaccess`` to whoever sits at the computer; later files come too late for it."""


class RuleState(enum.Enum):
    """Whether the rule is in place."""

    NO_UDEV = "no udev"
    MISSING = "missing"
    OUTDATED = "outdated"
    TOO_LATE = "too late"
    CURRENT = "current"


@dataclass(frozen=True, slots=True)
class InstalledRule:
    """What was found, and in which file."""

    state: RuleState
    path: Path | None = None


def rule_text() -> str:
    """The rule as it has to be installed.

    Raises
    ------
    ConfigError
        Where this installation does not carry it.
    """
    return (protocols("usb") / RULE_NAME).read_text(encoding="utf-8")


def installed_rule(folders: Iterable[Path] = RULE_FOLDERS) -> InstalledRule:
    """Look for the rule where udev looks, under its name and under others that end in ``neurostim.rules``."""
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        return InstalledRule(RuleState.NO_UDEV)
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*neurostim.rules")):
            found.setdefault(path.name, path)
    states = [InstalledRule(_judge(path), path) for path in found.values()]
    for wanted in (RuleState.CURRENT, RuleState.TOO_LATE, RuleState.OUTDATED):
        for one in states:
            if one.state is wanted:
                return one
    return InstalledRule(RuleState.MISSING)


def _judge(path: Path) -> RuleState:
    if _rules(_text(path)) != _rules(rule_text()):
        return RuleState.OUTDATED
    return RuleState.TOO_LATE if path.name > SEAT_RULE else RuleState.CURRENT


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # A rule that nobody but its owner may read is none that can be told to be current.
        return ""


def _rules(text: str) -> list[str]:
    """What counts in a file of rules: neither comments nor spaces around lines."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
