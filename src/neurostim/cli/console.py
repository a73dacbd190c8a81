"""What all commands share: consoles, JSON output, and the one place where errors become exit codes."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from neurostim.cli import exits
from neurostim.core.errors import (
    CommandTimeout,
    ConfigError,
    DeliveryUncertain,
    DeviceFault,
    NeurostimError,
    ProtocolError,
    SafetyError,
    TransportError,
)

if TYPE_CHECKING:
    from rich.console import Console

RESEARCH_NOTICE = (
    "For research use with the simulator or a bench load. "
    "Not a cleared medical device; not for use on people."
)

_CODES: tuple[tuple[type[NeurostimError], int], ...] = (
    (ConfigError, exits.CONFIG),
    (SafetyError, exits.SAFETY),
    (DeliveryUncertain, exits.UNCERTAIN),
    (ProtocolError, exits.DEVICE),
    (TransportError, exits.DEVICE),
    (CommandTimeout, exits.DEVICE),
    (DeviceFault, exits.DEVICE),
)
# Errors of a session that say more by their code than by their kind.
_REFUSED_BY_DEVICE = "refused-"
_WORDS = {"session-in-flight": exits.UNCERTAIN, "session-role": exits.DEVICE}


def out(plain_width: int = 160) -> Console:
    """Console for results, on standard output; ``plain_width`` columns where that is no terminal."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, soft_wrap=True, width=plain_width)


def err() -> Console:
    """Console for errors and progress, on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def json_text(value: Any) -> str:
    """One JSON document as text, with a last line end."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def emit_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json_text(value))


def exit_code(error: NeurostimError) -> int:
    """The documented exit code of an error."""
    by_kind = next((code for kind, code in _CODES if isinstance(error, kind)), exits.FAILED)
    if error.code.startswith(_REFUSED_BY_DEVICE):
        by_kind = exits.DEVICE
    return _WORDS.get(error.code, by_kind)


def error_document(error: NeurostimError) -> dict[str, Any]:
    """An error as data, for ``--json``."""
    document: dict[str, Any] = {
        "error": error.code,
        "kind": type(error).__name__,
        "message": error.message,
        "allowed": error.allowed,
        "remedy": error.remedy,
        "exit_code": exit_code(error),
    }
    if isinstance(error, ConfigError):
        document["problems"] = [
            {"place": item.place, "found": item.found, "allowed": item.allowed} for item in error.problems
        ]
    if isinstance(error, SafetyError):
        document["rules"] = list(error.rules)
    return document


def usage_document(message: str) -> dict[str, Any]:
    """Words of the command that are off, as data, for ``--json``."""
    return {
        "error": "usage",
        "kind": "UsageError",
        "message": message,
        "allowed": "",
        "remedy": "The command with --help lists its words.",
        "exit_code": exits.USAGE,
    }


def report_error(error: NeurostimError, *, as_json: bool) -> int:
    """Show an error (as JSON on standard output where asked) and return its exit code."""
    if as_json:
        emit_json(error_document(error))
    else:
        console = err()
        console.print(f"[bold red]{type(error).__name__}[/] [dim]({error.code})[/]:", end=" ")
        console.print(str(error), markup=False)
    return exit_code(error)


def close_output_quietly() -> None:
    """Point standard output at nothing after its reader went away, so that the exit is silent."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
