"""``neurostim devices``: the serial ports of this computer, and who answers at an address."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurostim.cli import console
from neurostim.core.units import format_current, format_time

if TYPE_CHECKING:
    from neurostim.device import Stimulator

app = typer.Typer()


@app.command("devices")
def devices(
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="URL", help="Ask who answers here, reading only; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """List serial ports without opening any; with --device, identify the stimulators named."""
    from neurostim.device import discover

    ports = discover()
    identified = [identify(url) for url in device or []]
    if as_json:
        console.emit_json({"ports": [asdict(port) for port in ports], "devices": identified})
        return
    screen = console.out()
    for port in ports:
        usb = "" if port.vendor_id is None else f" [dim]{port.vendor_id:04x}:{port.product_id or 0:04x}[/]"
        screen.print(f"[bold]{port.path}[/]  {port.title}{usb}  {port.serial_number}")
    if not ports and not identified:
        screen.print("No serial port is attached. A simulated device: neurostim sim --pty ./stimulator")
    for found in identified:
        screen.print(f"[bold]{found['url']}[/]")
        for name, value in found.items():
            if name != "url":
                text = ", ".join(value) if isinstance(value, list) else value
                screen.print(f"  {name.replace('_', ' '):<18} {text}")


def identify(url: str) -> dict[str, Any]:
    """Who answers at ``url``, asked without taking control."""
    from neurostim.device import driver
    from neurostim.device.registry import NATIVE
    from neurostim.wire.messages import Role

    stimulator: Stimulator = driver(NATIVE)(url)
    with stimulator:
        stimulator.open(Role.OBSERVE)
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
            "state": status.state.name.lower(),
            "doses": status.dose_count,
            "battery": f"{status.battery_permille / 10:g} %",
            "tick": format_time(capabilities.grid.tick_ns),
            "step": format_current(capabilities.grid.step_na),
            "contacts": capabilities.contact_count,
            "ports": [f"{port.kind.name.lower()} {port.contact_count}" for port in capabilities.ports],
        }
