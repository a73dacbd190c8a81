"""Front door of the command line: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer

import neurostim
from neurostim.cli import console, exits
from neurostim.core.errors import NeurostimError

# Each module defines `app`; importing one must stay cheap, since the list of commands imports them all.
_GROUPS = ("program",)
_COMMANDS = (
    "demo", "run", "impedance", "devices", "pair", "assign", "release", "usage", "takeback", "retire",
    "conform", "limits", "doctor", "sim",
)  # fmt: skip

# The kind of error typer raises for words it does not know; it has no public name of its own.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neurostim {neurostim.__version__}")
        raise typer.Exit


def build(words: Sequence[str] = ()) -> typer.Typer:
    """Assemble the application from its command modules; from one, where ``words`` begin with its name."""
    named = {words[0]} & {*_COMMANDS, *_GROUPS} if words else set()
    wanted = named or {*_COMMANDS, *_GROUPS}
    app = typer.Typer(
        name="neurostim",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help=f"Open trial bench for neuromodulation. {console.RESEARCH_NOTICE}",
    )

    @app.callback()
    def root(
        version: Annotated[
            bool,
            typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
        ] = False,
    ) -> None:
        del version  # eager: its callback has already answered

    for name in (*_COMMANDS, *_GROUPS):
        if name in wanted:
            group = name if name in _GROUPS else None
            app.add_typer(importlib.import_module(f"neurostim.cli.{name}").app, name=group)
    return app


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    # Leaves through every `finally`: nothing half written stays behind, and output that is on is stopped.
    sys.exit(exits.TERMINATED)


def main() -> None:
    """Run the command line; exit codes are those of `neurostim.cli.exits`."""
    as_json = "--json" in sys.argv
    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Left to itself typer writes usage errors for people and ends the process.
        sys.exit(build(sys.argv[1:])(standalone_mode=not as_json))
    except NeurostimError as error:
        sys.exit(console.report_error(error, as_json=as_json))
    except BrokenPipeError:
        console.close_output_quietly()
        sys.exit(exits.FAILED)
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
    except _USAGE_ERROR as error:
        # Unlike its text, the message for people names the option.
        told = getattr(error, "format_message", error.__str__)()
        console.emit_json(console.usage_document(told))
        sys.exit(exits.USAGE)
