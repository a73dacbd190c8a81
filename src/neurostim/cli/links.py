"""Opening a device for a command: its address, and the key this computer holds for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from neurostim.cli import paths

if TYPE_CHECKING:
    from neurostim.device import HostKeys, KeyStore, KnownDevices, Stimulator
    from neurostim.wire.messages import Role

KEYS_OPTION = Annotated[
    str | None,
    typer.Option(
        "--keys",
        metavar="keyring|FILE",
        help="Where the key of the device is, which it then must have; by default where pairing put it.",
    ),
]
SETTLE_OPTION = Annotated[
    str | None,
    typer.Option(
        "--settle",
        metavar='device|"reason"',
        help="Settle an earlier start of unknown outcome: by this device's counters, or by a decision.",
    ),
]
PASSPHRASE_FD: Final = "NEUROSTIM_PASSPHRASE_FD"

_KEYRING: Final = "keyring"


def opened(url: str, keys: str | None = None, *, role: Role | None = None) -> Stimulator:
    """An open stimulator; under its key where this computer holds one.

    Parameters
    ----------
    url : str
        Address of the device.
    keys : str, optional
        ``keyring`` or a file of keys, which must hold the device's; by default where pairing put it.
    role : Role, optional
        Control by default; where another host has it, to read and stop.

    Raises
    ------
    KeyStoreError
        Where there is a key and it cannot be had: nothing is opened without it.
    """
    from neurostim.device import connect
    from neurostim.wire.messages import Role

    return connect(url, keys=keys_of(keys), role=role or Role.CONTROL)


def keys_of(place: str | None, stores: Callable[[str], KeyStore] | None = None) -> HostKeys:
    """The keys at a place, or wherever pairing put them; ``stores`` opens the store at a place."""
    from neurostim.device import KnownKeys

    at = stores or store_at
    return KnownKeys(known_devices(), at, None if place is None else at(place))


def known_devices() -> KnownDevices:
    """The devices that were paired with this computer."""
    from neurostim.device import KnownDevices

    return KnownDevices(paths.default_paired())


def store_at(place: str) -> KeyStore:
    """The store at a place, ``keyring`` or the path of a file; nothing is read or asked yet."""
    if place == _KEYRING:
        from neurostim.device import KeyringStore

        return KeyringStore()
    from neurostim.device import KeyFile

    # A pairing is remembered wherever the next command is started.
    path = Path(place).expanduser().absolute()
    return KeyFile(path, lambda new: passphrase_of(path, new=new))


def passphrase_of(path: Path, *, new: bool) -> str:
    """The passphrase of a file of keys: from the file descriptor that is named, or asked without echo.

    It is never taken from a command line or the environment, where others could read it.
    """
    from neurostim.device import KeyStoreError

    named = os.environ.get(PASSPHRASE_FD)
    if named is not None:
        try:
            return _line_of(int(named))
        except (ValueError, OSError) as error:
            raise KeyStoreError(
                f"{PASSPHRASE_FD} names no file descriptor that can be read: {named!r}",
                allowed="the number of one that is open for reading",
                code="passphrase-fd",
            ) from error
    words = ask_secret(f"Passphrase of {path}: ")
    if new and words != ask_secret("The same once more: "):
        raise KeyStoreError("the passphrases are not the same", remedy="Try again.", code="passphrase-twice")
    return words


def _line_of(handle: int) -> str:
    """One line, and not a byte more: what follows belongs to the next who asks."""
    line = bytearray()
    while (byte := os.read(handle, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode().rstrip("\r")


def ask_secret(prompt: str) -> str:
    """One line of a person that is not shown; from standard input where that is no terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    return getpass.getpass(prompt, stream=sys.stderr)


def words_of_key(stimulator: Stimulator) -> str:
    """How a session is known to its device, in two words."""
    return "authenticated" if stimulator.authenticated else "without a key"
