"""``neurostim assign``: bind a device to a subject, by a code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.links import KEYS_OPTION, SETTLE_OPTION, opened

app = typer.Typer()


@app.command("assign")
def assign(
    device: Annotated[str, typer.Argument(metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL.")],
    subject: Annotated[
        str, typer.Option("--subject", metavar="CODE", help="Code of the subject, not a name.")
    ],
    settle: SETTLE_OPTION = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="DIR", help="Folder of the session journals.")
    ] = None,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Bind a device to a subject; another subject is refused until it is retired."""
    from neurostim.cli.run import await_control, settle_earlier
    from neurostim.session.home import HomeSession

    screen = console.err()
    folder = journal or paths.default_journal()
    with opened(device, keys) as stimulator:
        settle_earlier(folder, stimulator, settle, screen)
        await_control(stimulator, screen)
        with HomeSession(stimulator, None, (), folder) as session:
            number = session.assign(subject)
    if as_json:
        console.emit_json({"assignment": number, "subject": subject.strip(), "exit_code": exits.OK})
        return
    screen.print(f"[green]assigned[/] to {subject.strip()} (assignment {number})", highlight=False)
