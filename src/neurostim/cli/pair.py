"""``neurostim pair``: be given a key by a device, list who holds one, and take keys back."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from neurostim.cli import console
from neurostim.cli.links import KEYS_OPTION, ask_secret, keys_of, known_devices, store_at
from neurostim.core.errors import ConfigError

if TYPE_CHECKING:
    from neurostim.device import HostKeys, KeyStore, PairedHosts
    from neurostim.device.native import NativeStimulator
    from neurostim.wire.messages import IdentifyReply, Role

app = typer.Typer()

NAME_CHARACTERS: Final = 32
_KEYRING: Final = "keyring"

Stores = Callable[[str], "KeyStore"]


@app.command("pair")
def pair(
    device: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="Port, pty, usb://, socket:// or sim:// URL of the device."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of this computer, for people; at most 32 characters."),
    ] = None,
    keys: KEYS_OPTION = None,
    list_hosts: Annotated[bool, typer.Option("--list", help="Show who is paired; change nothing.")] = False,
    remove: Annotated[
        str | None,
        typer.Option("--remove", metavar="HOST", help="Erase in the device the key of this host."),
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option("--forget", metavar="SERIAL", help="Forget here the key of a device that is gone."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
) -> None:
    """Pair this computer with a device, by the 28 characters on its label.

    They are asked for without being shown, and not kept. From then on the device takes commands of paired
    computers only; stopping it needs no key.
    """
    asked = [word for word in (list_hosts, remove, forget) if word]
    if len(asked) > 1 or (device is None) == (forget is None):
        raise ConfigError(
            "it is not said what to do",
            allowed="URL, URL --list, URL --remove HOST, or --forget SERIAL",
            code="pair-option",
        )
    if forget is not None:
        document = _forget(forget, keys)
    elif list_hosts:
        document = _list(str(device), keys)
    elif remove is not None:
        document = _remove(str(device), keys, remove)
    else:
        document = _pair(str(device), keys or _KEYRING, _name(name))
    if as_json:
        console.emit_json(document)
    else:
        _show(document)


def _pair(url: str, place: str, name: str) -> dict[str, Any]:
    from neurostim.device.errors import CommandRefused
    from neurostim.device.native import NativeStimulator

    console.err().print(console.RESEARCH_NOTICE, style="bold yellow")
    store, known = store_at(place), known_devices()
    noted: list[tuple[str, str | None]] = []

    def note(serial_number: str) -> None:
        """Before there is a key: what dies from here on leaves a device that is not opened without one."""
        noted.append((serial_number, known.places().get(serial_number)))
        known.note(serial_number, store.place)

    try:
        given = NativeStimulator(url).pair(_ask_for_code, name, store, note)
    except CommandRefused:
        # The device has given nothing, so that all is as it was.
        for serial_number, before in noted:
            if before is None:
                known.forget(serial_number)
            else:
                known.note(serial_number, before)
        raise
    # Only a session under the new key shows that both sides hold the same one.
    with _opened(url, store) as stimulator:
        document = _document(stimulator, stimulator.pairings().result())
    return {"paired": given.serial_number, "name": name, "keys": store.place, **document}


def _opened(url: str, keys: HostKeys, role: Role | None = None) -> NativeStimulator:
    """An open stimulator of the native protocol; by default to read."""
    from neurostim.device.native import NativeStimulator
    from neurostim.wire.messages import Role

    stimulator = NativeStimulator(url, keys=keys)
    stimulator.open(role or Role.OBSERVE)
    return stimulator


def _list(url: str, keys: str | None) -> dict[str, Any]:
    with _opened(url, keys_of(keys)) as stimulator:
        return _document(stimulator, stimulator.pairings().result())


def _remove(url: str, keys: str | None, wanted: str) -> dict[str, Any]:
    """Erase a key; of this computer's own also here, since it opens nothing any more."""
    from neurostim.wire.messages import Role

    stores = cache(store_at)  # a passphrase is asked for once
    with _opened(url, keys_of(keys, stores), Role.CONTROL) as stimulator:
        hosts = stimulator.pairings().result()
        host_id = _host_of(hosts, wanted)
        own = stimulator.host_id
        serial_number = stimulator.identity.serial_number
        left = stimulator.unpair(host_id).result()
    if host_id == own:
        _forget(serial_number, keys, stores)
    return {"serial_number": serial_number, "removed": hosts.names[host_id], "hosts_left": left}


def _forget(serial_number: str, keys: str | None, stores: Stores = store_at) -> dict[str, Any]:
    known = known_devices()
    place = keys or known.places().get(serial_number)
    if place is None:
        raise ConfigError(
            f"this computer was not paired with {serial_number}",
            allowed=", ".join(sorted(known.places())) or "none: it was paired with no device",
            code="not-paired-here",
        )
    stores(place).remove(serial_number)
    known.forget(serial_number)
    return {"forgotten": serial_number, "keys": place}


def _ask_for_code(who: IdentifyReply) -> str:
    return ask_secret(f"Code on the label of {who.model} {who.serial_number}: ")


def _name(name: str | None) -> str:
    """The name by which people will know this computer in the device's list."""
    if name is None:
        plain = platform.node().encode("ascii", "ignore").decode()
        return plain[:NAME_CHARACTERS] or "a computer"
    text = name.strip()
    if not text or len(text) > NAME_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise ConfigError(
            f"the name of this computer is {name!r}",
            allowed=f"1 to {NAME_CHARACTERS} printable ASCII characters",
            code="host-name",
        )
    return text


def _host_of(hosts: PairedHosts, wanted: str) -> bytes:
    """The one host that a name, or the beginning of an id, names."""
    found = [
        host_id
        for host_id, name in hosts.names.items()
        if name == wanted or (len(wanted) >= 4 and host_id.hex().startswith(wanted.lower()))
    ]
    if len(found) != 1:
        raise ConfigError(
            f"{wanted!r} names {len(found) or 'none'} of the hosts that are paired",
            allowed=", ".join(f"{host_id.hex()} ({name})" for host_id, name in hosts.names.items()),
            code="host",
        )
    return found[0]


def _document(stimulator: NativeStimulator, hosts: PairedHosts) -> dict[str, Any]:
    return {
        "serial_number": stimulator.identity.serial_number,
        "model": stimulator.identity.model,
        "hosts": [
            {"host_id": host_id.hex(), "name": name, "this_computer": host_id == stimulator.host_id}
            for host_id, name in hosts.names.items()
        ],
        "tries_left": hosts.tries_left,
        "locked_s": hosts.locked_s,
    }


def _show(document: dict[str, Any]) -> None:
    screen = console.out()
    if "forgotten" in document:
        screen.print(f"forgotten: the key of {document['forgotten']}, in {document['keys']}", markup=False)
        return
    if "removed" in document:
        screen.print(
            f"removed from {document['serial_number']}: {document['removed']}; "
            f"{document['hosts_left']} still paired",
            markup=False,
        )
        return
    if "paired" in document:
        screen.print(
            f"[green]paired[/] with {document['model']} {document['paired']}; key in {document['keys']}"
        )
    for host in document["hosts"]:
        own = "  this computer" if host["this_computer"] else ""
        screen.print(f"{host['host_id']}  {host['name']}{own}", markup=False)
    if document["locked_s"]:
        screen.print(f"pairing is locked for {document['locked_s']} s of powered time")
    elif document["tries_left"] < 3:
        screen.print(f"{document['tries_left']} wrong codes left until pairing is locked")
