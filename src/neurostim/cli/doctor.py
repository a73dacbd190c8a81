"""``neurostim doctor``: is this machine fit to run a session? Ports, permissions, timers, versions, disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from neurostim.cli import console, exits, paths
from neurostim.cli.doctor_check import Check
from neurostim.cli.doctor_keys import check_keys
from neurostim.cli.doctor_usb import check_usb

app = typer.Typer()

PACKAGES: Final = (
    "neurostim",
    "numpy",
    "numba",
    "pyserial",
    "pyusb",
    "cryptography",
    "keyring",
    "pydantic",
    "typer",
    "rich",
    "matplotlib",
)
FREE_BYTES_WANTED: Final = 200 * 2**20
# An FTDI adapter holds short answers back for 16 ms unless told otherwise (pyftdi issue 338).
LATENCY_MS_WANTED: Final = 1
_MARKS: Final = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[bold red]FAIL[/]"}


def check_python() -> Iterator[Check]:
    """The interpreter and the packages it found."""
    from importlib import metadata

    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Check("python", "ok" if fits else "fail", version, "" if fits else "Use Python 3.11 to 3.13.")
    for name in PACKAGES:
        try:
            yield Check(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(
                name, "fail", "not installed", "Run `make demo`, or install the neurostim wheel again."
            )


def check_simulator() -> Iterator[Check]:
    """The simulated device is found by its entry point."""
    from importlib import metadata

    found = metadata.entry_points(group="neurostim.transports", name="sim")
    if found:
        yield Check("simulator", "ok", next(iter(found)).value)
    else:
        remedy = "Install the neurostim wheel, which carries neurostim_sim."
        yield Check("simulator", "warn", "no entry point neurostim.transports: sim", remedy)


def check_kernels() -> Iterator[Check]:
    """The compiled kernels can be cached, or each start compiles them again."""
    core = Path(__file__).resolve().parents[1] / "core"
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", core))
    if os.access(folder, os.W_OK):
        yield Check("kernel cache", "ok", f"{folder} is writable")
    else:
        remedy = "Set NUMBA_CACHE_DIR to a folder you may write to; without it each start takes seconds."
        yield Check("kernel cache", "warn", f"{folder} is read-only; the user cache is used", remedy)


def check_ports() -> Iterator[Check]:
    """Serial ports, whether this user may open them, and their latency timers."""
    from neurostim.device import discover

    ports = discover()
    if not ports:
        yield Check("serial ports", "ok", "none attached; a simulated device needs none")
    for port in ports:
        if os.access(port.path, os.R_OK | os.W_OK):
            yield Check(port.path, "ok", port.title)
        else:
            remedy = (
                "Add yourself to the group that owns it (Debian: sudo adduser $USER dialout), log in again."
            )
            yield Check(port.path, "fail", "no permission to read and write", remedy)
        if port.latency_timer_ms is not None:
            slow = port.latency_timer_ms > LATENCY_MS_WANTED
            remedy = _latency_remedy(port.path) if slow else ""
            yield Check(
                f"{port.path} latency timer", "warn" if slow else "ok", f"{port.latency_timer_ms} ms", remedy
            )


def _latency_remedy(path: str) -> str:
    wanted = f"Set the adapter's latency timer to {LATENCY_MS_WANTED} ms"
    setting = f"/sys/class/tty/{Path(path).name}/device/latency_timer"
    return f"{wanted}, until it is plugged in again: echo {LATENCY_MS_WANTED} | sudo tee {setting}"


def check_disk(folder: Path) -> Iterator[Check]:
    """The journal can be written, durably, and has room."""
    from tempfile import NamedTemporaryFile

    if folder.exists() and not folder.is_dir():
        yield Check("journal", "fail", f"{folder} is no folder", "Choose another with --journal.")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"durable?")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        yield Check("journal", "fail", f"{folder}: {error.strerror}", "Choose another with --journal.")
        return
    free = shutil.disk_usage(folder).free
    state = "ok" if free >= FREE_BYTES_WANTED else "fail"
    remedy = "" if state == "ok" else f"Free at least {FREE_BYTES_WANTED // 2**20} MiB."
    yield Check("journal", state, f"{folder}: durable, {free / 2**30:.1f} GiB free", remedy)


@app.command("doctor")
def doctor(
    journal: Annotated[Path | None, typer.Option(help="Folder of journals to look at.")] = None,
    udev: Annotated[bool, typer.Option("--udev", help="Write the udev rule, and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Look at this machine: ports, USB, permissions, latency timer, versions, disk."""
    if udev:
        from neurostim.device.discovery import rule_text

        sys.stdout.write(rule_text())
        return
    checks = [
        *check_python(),
        *check_simulator(),
        *check_kernels(),
        *check_ports(),
        *check_usb(),
        *check_keys(),
        *check_disk(journal or paths.default_journal()),
    ]
    failed = any(check.state == "fail" for check in checks)
    if as_json:
        console.emit_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        screen = console.out()
        for check in checks:
            screen.print(f"{_MARKS[check.state]} [bold]{check.name}[/]: {check.seen}")
            if check.remedy:
                screen.print(f"       {check.remedy}", style="dim")
    raise typer.Exit(exits.FAILED if failed else exits.OK)
