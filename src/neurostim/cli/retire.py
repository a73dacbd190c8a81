"""``neurostim retire``: end a device's assignment, with its usage read and its cleaning on record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened

app = typer.Typer()


@app.command("retire")
def retire(
    device: Annotated[str, typer.Argument(metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL.")],
    subject: Annotated[str, typer.Option("--subject", metavar="CODE", help="Subject it is assigned to.")],
    cleaning: Annotated[
        str, typer.Option("--cleaning", metavar="TEXT", help="How it was cleaned, and by whom.")
    ],
    save: Annotated[
        Path, typer.Option("--save", metavar="FILE", help="New file for the usage log, written first.")
    ],
    settle: SETTLE_OPTION = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="DIR", help="Folder of the session journals.")
    ] = None,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Make a device ready for another subject: its usage is read and kept, its programs are erased."""
    from neurostim.cli.run import await_control, settle_earlier
    from neurostim.session.home import HomeSession
    from neurostim.session.usage_file import require_new

    screen = console.err()
    require_new(save)
    folder = journal or paths.default_journal()
    with opened(device, keys) as stimulator:
        settle_earlier(folder, stimulator, settle, screen)
        await_control(stimulator, screen)
        with HomeSession(stimulator, None, (), folder, subject=subject) as session:
            session.require_retirable(cleaning)
            log = session.read_usage(save)
            number = session.retire(subject, log, cleaning)
    if as_json:
        console.emit_json(
            {"assignment": number, "file": str(save), "usage_sha256": log.sha256.hex(), "exit_code": exits.OK}
        )
        return
    screen.print(f"usage log kept in {save}", markup=False)
    screen.print(f"[green]retired[/]: assignment {number} has ended, the slots are erased")
