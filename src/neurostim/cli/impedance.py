"""``neurostim impedance``: measure every contact of the leads with the device's own gated program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from neurostim.core.hardware import ContactImpedance

app = typer.Typer()

_STYLES = {"ok": "green", "open": "bold red", "short": "bold red", "clipped": "yellow"}


@app.command("impedance")
def impedance(
    device: Annotated[
        str, typer.Option("--device", metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL.")
    ],
    lead: Annotated[list[str], typer.Option("--lead", help="Lead of the library; repeat in port order.")],
    settle: SETTLE_OPTION = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="DIR", help="Folder of the session journals.")
    ] = None,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Measure impedances: balanced pulses of 0.5 mA and 50 us, each contact against all others.

    The measurement counts as a dose of its own. Exit code 1 where a contact is open, short or clipped.
    """
    from neurostim.cli.run import await_control, settle_earlier
    from neurostim.electrode.library import lead as lead_of
    from neurostim.session import Session

    screen = console.err()
    screen.print(console.RESEARCH_NOTICE, style="bold yellow")
    leads = [lead_of(name) for name in lead]
    folder = journal or paths.default_journal()
    with opened(device, keys) as stimulator:
        settle_earlier(folder, stimulator, settle, screen)
        await_control(stimulator, screen)
        with Session(stimulator, None, leads, folder) as session:
            measured = session.measure()
    readings = list(measured.contacts.values())
    if as_json:
        console.emit_json({"contacts": [_document(one) for one in readings]})
    else:
        console.out().print(table_of(readings))
    whole = all(one.status == "ok" for one in readings)
    raise typer.Exit(exits.OK if whole else exits.FAILED)


def table_of(readings: Iterable[ContactImpedance]) -> Table:
    """What was measured, a row a contact."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("Contact", "Series", "Late", "Status"):
        table.add_column(heading, justify="left" if heading == "Status" else "right")
    for one in readings:
        status = f"[{_STYLES[one.status]}]{one.status}[/]"
        table.add_row(str(one.contact), f"{one.series_ohm} Ohm", f"{one.late_ohm} Ohm", status)
    return table


def _document(one: ContactImpedance) -> dict[str, int | str]:
    return {
        "contact": one.contact,
        "series_ohm": one.series_ohm,
        "late_ohm": one.late_ohm,
        "status": one.status,
    }
