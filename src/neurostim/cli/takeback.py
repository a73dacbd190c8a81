"""``neurostim takeback``: read and keep the usage log of a device that was at home, and end its release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened

app = typer.Typer()


@app.command("takeback")
def takeback(
    device: Annotated[str, typer.Argument(metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL.")],
    subject: Annotated[str, typer.Option("--subject", metavar="CODE", help="Subject it is assigned to.")],
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
    """Take a device back: output is ramped down, the usage log read and kept, the release ended."""
    from neurostim.cli import usage
    from neurostim.cli.run import await_control, settle_earlier
    from neurostim.session.home import HomeSession
    from neurostim.session.usage_file import SavedUsage, require_new

    screen = console.err()
    screen.print(console.RESEARCH_NOTICE, style="bold yellow")
    require_new(save)
    folder = journal or paths.default_journal()
    with opened(device, keys) as stimulator:
        settle_earlier(folder, stimulator, settle, screen)
        await_control(stimulator, screen)
        with HomeSession(stimulator, None, (), folder, subject=subject) as session:
            session.require_released()
            if session.end_output():
                screen.print("output was on and has been ramped down")
            log = session.read_usage(save)
            screen.print(f"usage log kept in {save}", markup=False)
            number = session.take_back(subject, log)
            path = session.journal_path
            who = stimulator.identity
            saved = SavedUsage(who.model, who.serial_number, subject, log)
    if as_json:
        document = {"release": number, "file": str(save), "journal": str(path), **usage.document_of(saved)}
        console.emit_json({**document, "exit_code": exits.OK})
        return
    screen.print(f"[green]taken back[/]: release {number} has ended, the device is supervised again")
    usage.show(saved)
