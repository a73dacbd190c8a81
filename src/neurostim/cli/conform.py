"""``neurostim conform``: judge a recorded trace or event table against its program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurostim.cli import console, exits
from neurostim.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer()
MAX_FILE_BYTES = 16 << 20


@app.command("conform")
def conform(
    trace: Annotated[
        Path, typer.Argument(help="Event table or trace, .csv or .npz, with its .json sidecar beside it.")
    ],
    program: Annotated[
        str, typer.Option("--program", help="The program file it should follow, or a preset.")
    ],
    limits: Annotated[
        Path | None,
        typer.Option("--limits", help="TOML or JSON file with contact_current_na, phase_charge_ac ..."),
    ] = None,
    tolerance: Annotated[
        int, typer.Option("--tolerance", min=0, help="Ticks of deviation that pass where the clock is free.")
    ] = 1,
    max_ppm: Annotated[
        int, typer.Option("--max-ppm", min=0, help="Largest clock error that passes where the clock is free.")
    ] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Judge a trace or event table against its program; exit code 7 where it does not conform."""
    from neurostim.conformance import judge, read_trace

    text = _parsed(_program_path(program))
    table, sidecar = read_trace(trace)
    report = judge(
        text,
        table,
        sidecar,
        contact_index=_contact_index(text) if sidecar.get("contacts") == "device" else None,
        limits=None if limits is None else _parsed(limits),
        max_ppm=max_ppm,
        tolerance_ticks=tolerance,
    )
    if as_json:
        console.emit_json(report.to_dict())
    else:
        typer.echo(report.to_text())
    if not report.conforms:
        raise typer.Exit(exits.CONFORMANCE)


def _program_path(word: str) -> Path:
    """The file of a program, or of a preset by its bare name."""
    from neurostim.core.presets import presets

    known = presets()
    return known[word] if word in known and not Path(word).exists() else Path(word)


def _parsed(path: Path) -> dict[str, Any]:
    """A TOML file, or JSON by its suffix, as a mapping."""
    import json
    import tomllib

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is too large", allowed=f"at most {MAX_FILE_BYTES} bytes", code="file")
        content = path.read_text(encoding="utf-8")
        parsed = json.loads(content) if path.suffix == ".json" else tomllib.loads(content)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", allowed="a readable file", code="file"
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} cannot be parsed: {error}", allowed="TOML or JSON", code="file") from error
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} holds no table", allowed="a table of keys", code="file")
    return parsed


def _contact_index(program: Mapping[str, Any]) -> dict[str, int] | None:
    """Device contact of each label where several leads share a device; None for one lead."""
    names = program.get("lead")
    if not isinstance(names, list):
        return None
    from neurostim.electrode.library import contact_map, lead

    return contact_map([lead(str(name)) for name in names])
