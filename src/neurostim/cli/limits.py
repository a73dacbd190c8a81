"""``neurostim limits``: what the safety gate allows on a port, each bound with its layer and reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurostim.cli import console
from neurostim.core.errors import ConfigError

if TYPE_CHECKING:
    from neurostim.safety.limits import EffectiveLimit, LimitLayer

app = typer.Typer()

_STYLES = {"note": "cyan", "warn": "yellow", "refuse": "red"}
_WIDE = 120  # columns, from which titles, layers and sources stand beside the limits


@app.command("limits")
def limits(
    port: Annotated[str, typer.Option(help="Kind of output port: scs, drg, pns, surface or bench.")] = "scs",
    lead: Annotated[str | None, typer.Option(help="A lead of the library, which tightens the port.")] = None,
    subject: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tightenings for one subject (TOML).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Show the limits that hold on a port with a lead: the tightest of every layer, and why."""
    from neurostim.core.hardware import PortKind
    from neurostim.electrode.library import lead as lead_of
    from neurostim.safety.limits import effective_limits, packaged

    kinds = {kind.name.lower(): kind for kind in PortKind}
    if port not in kinds:
        raise ConfigError(f"found --port {port}", allowed=", ".join(kinds), code="port")
    lead_class = lead_of(lead).lead_class if lead else None
    layer = subject_layer(subject) if subject else None
    rows = [_row(limit) for limit in effective_limits(kinds[port], lead_class, subject=layer).values()]
    if as_json:
        console.emit_json({"port": port, "lead": lead, "limits_sha256": packaged().sha256, "limits": rows})
        return
    from rich.table import Table

    screen = console.out(plain_width=200)
    # In a narrow window the sources would squeeze the limits into single letters; --json has them too.
    headings = ["Rule", "What", "Note", "Warn", "Refuse", "Set by", "Source"]
    shown = headings if screen.width >= _WIDE else ["Rule", "Note", "Warn", "Refuse"]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in shown:
        table.add_column(heading, no_wrap=heading == "Rule", overflow="fold")
    for row in rows:
        tiers = [_shown(row["tiers"].get(tier), style) for tier, style in _STYLES.items()]
        layers = ", ".join(dict.fromkeys(tier["layer"] for tier in row["tiers"].values()))
        cells = [row["code"], row["title"], *tiers, layers, f"{row['source']} ({row['grade']})"]
        table.add_row(*(cell for heading, cell in zip(headings, cells, strict=True) if heading in shown))
    screen.print(table)
    if shown != headings:
        screen.print(f"A window of {_WIDE} columns also shows titles, layers and sources; so does --json.")
    screen.print(f"Limits {packaged().sha256[:16]}; limits only tighten: base, port, lead, device, subject.")


def _shown(tier: dict[str, Any] | None, style: str) -> str:
    return f"[{style}]{tier['limit']}[/]" if tier else ""


def _row(limit: EffectiveLimit) -> dict[str, Any]:
    from neurostim.safety.limits import TIERS, describe

    row = limit.row
    bounds = {tier: bound for tier in TIERS if (bound := limit.tier(tier)) is not None}
    return {
        "code": row.code,
        "title": row.title,
        "formula": row.formula,
        "scope": row.scope,
        "fires": row.fires,
        "source": row.source,
        "grade": row.grade,
        "conditions": row.conditions,
        "tiers": {
            tier: {"limit": describe(row, bound), "layer": bound.layer, "reason": bound.reason}
            for tier, bound in bounds.items()
        },
    }


def subject_layer(path: Path) -> LimitLayer:
    """Read the tightenings for one subject.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or with everything wrong in it.
    """
    from neurostim.safety.limits import read_layer

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", code="file") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", allowed="TOML in UTF-8", code="syntax") from error
    return read_layer("subject", table)
