"""``neurostim devices``: serial ports and USB stimulators of this computer, and who answers at an address."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console
from neurostim.cli.links import KEYS_OPTION, opened, words_of_key
from neurostim.core.errors import TransportError
from neurostim.core.units import format_current, format_time

if TYPE_CHECKING:
    from rich.console import Console

    from neurostim.device import Stimulator
    from neurostim.device.discovery import BusWatch, Change, SerialPortInfo, UsbDeviceInfo

app = typer.Typer()

LOOK_SECONDS: Final = 0.5


@app.command("devices")
def devices(
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="URL", help="Ask who answers here, reading only; may be repeated."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on telling what arrives and leaves, until Ctrl-C.")
    ] = False,
    keys: KEYS_OPTION = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List serial ports and USB stimulators without opening any; with --device, identify those named."""
    from neurostim.device import discover, discover_usb, watch_ports

    if watch and device:
        raise typer.BadParameter("--watch tells ports only; ask who answers without it", param_hint="--watch")
    if watch:
        tell_changes(watch_ports(), threading.Event(), as_json=as_json)
        return
    ports = discover()
    problem = None
    usb: tuple[UsbDeviceInfo, ...] = ()
    try:
        usb = discover_usb()
    except TransportError as error:
        # Serial ports are there all the same; what is wrong with the USB is told beside them.
        problem = str(error)
    identified = [identify(url, keys) for url in device or []]
    if as_json:
        console.emit_json(
            {
                "ports": [asdict(port) for port in ports],
                "usb": [asdict(found) for found in usb],
                "usb_problem": problem,
                "devices": identified,
            }
        )
        return
    screen = console.out()
    for port in ports:
        screen.print(_port_line(port))
    for found in usb:
        _print_usb(screen, found)
    if problem is not None:
        screen.print(f"[yellow]{problem}[/]")
    if not ports and not usb and not identified:
        screen.print(
            "No serial port and no USB stimulator is attached. "
            "A simulated device: neurostim sim --pty ./stimulator"
        )
    for answer in identified:
        screen.print(f"[bold]{answer['url']}[/]")
        for name, value in answer.items():
            if name != "url":
                text = ", ".join(value) if isinstance(value, list) else value
                screen.print(f"  {name.replace('_', ' '):<18} {text}")


def tell_changes(bus: BusWatch, ended: threading.Event, *, as_json: bool) -> None:
    """Tell what arrives and leaves, one line each, until ``ended`` is set; first what is there already."""
    screen = console.out()
    while True:
        for change in bus.poll():
            if as_json:
                sys.stdout.write(json.dumps(_change_document(change), ensure_ascii=False) + "\n")
            else:
                screen.print(f"{change.passage.value:<8}{_line(change.port)}")
            sys.stdout.flush()
        if ended.wait(LOOK_SECONDS):
            return


def _change_document(change: Change) -> dict[str, Any]:
    from neurostim.device.discovery import UsbDeviceInfo

    kind = "usb" if isinstance(change.port, UsbDeviceInfo) else "port"
    return {"change": change.passage.value, kind: asdict(change.port)}


def _line(port: SerialPortInfo | UsbDeviceInfo) -> str:
    from neurostim.device.discovery import UsbDeviceInfo

    if isinstance(port, UsbDeviceInfo):
        return f"[bold]{port.url}[/]  {port.product}"
    return _port_line(port)


def _port_line(port: SerialPortInfo) -> str:
    usb = "" if port.vendor_id is None else f" [dim]{port.vendor_id:04x}:{port.product_id or 0:04x}[/]"
    return f"[bold]{port.path}[/]  {port.title}{usb}  {port.serial_number}"


def _print_usb(screen: Console, found: UsbDeviceInfo) -> None:
    screen.print(_line(found))
    if found.problem:
        screen.print(f"  [yellow]{found.problem}[/] {found.remedy}")


def identify(url: str, keys: str | None = None) -> dict[str, Any]:
    """Who answers at ``url``, asked without taking control."""
    from neurostim.wire.messages import Role

    with opened(url, keys, role=Role.OBSERVE) as stimulator:
        identity, capabilities = stimulator.identity, stimulator.capabilities
        status = stimulator.status().result()
        return {
            "url": url,
            "model": identity.model,
            "serial_number": identity.serial_number,
            "firmware": identity.firmware,
            "profile": identity.profile,
            "protocol": identity.protocol_version,
            "boots": identity.boot_count,
            "session": words_of_key(stimulator),
            "state": status.state.name.lower(),
            "doses": status.dose_count,
            "battery": f"{status.battery_permille / 10:g} %",
            "tick": format_time(capabilities.grid.tick_ns),
            "step": format_current(capabilities.grid.step_na),
            "contacts": capabilities.contact_count,
            "ports": [f"{port.kind.name.lower()} {port.contact_count}" for port in capabilities.ports],
            **_at_home(stimulator),
        }


def _at_home(stimulator: Stimulator) -> dict[str, str]:
    """For whom a device is and whether it is released, where it tells this host."""
    from neurostim.device import CommandRefused

    try:
        assignment = stimulator.home.assignment().result()
        state = stimulator.home.release_state().result()
    except CommandRefused:
        return {}
    if not state.autonomous:
        release = "not released"
    elif state.expired:
        release = f"release {state.number} at home, expired"
    else:
        hours, rest_s = divmod(state.expires_left_s, 3600)
        left = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours} h {rest_s // 60:02} min"
        release = f"release {state.number} at home, {left} left"
    return {"subject": assignment.subject or "assigned to nobody", "release": release}
