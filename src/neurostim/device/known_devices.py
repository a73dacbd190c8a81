"""Which devices this computer was paired with, and where their keys are: a plain file without a secret.

It is asked before a keyring or a passphrase is, so that a bench device needs neither, and so that a keyring
which does not answer today never makes a paired device look like one that is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from neurostim.device.handshake import DeviceKey
from neurostim.device.keys import KeyStore, KeyStoreError


class KnownDevices:
    """The devices this computer was paired with.

    Parameters
    ----------
    path : Path
        The file; where there is none, nothing was paired.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def places(self) -> dict[str, str]:
        """Where the key of each device is kept, by serial number: ``keyring``, or the path of a file.

        Raises
        ------
        KeyStoreError
            Where the file is there and cannot be read: what was paired is then not known.
        """
        try:
            read = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._unusable(str(error)) from error
        if not isinstance(read, dict) or not all(isinstance(place, str) for place in read.values()):
            raise self._unusable("it does not list devices")
        return read

    def note(self, serial_number: str, place: str) -> None:
        """Remember where the key of a device is."""
        self._write({**self.places(), serial_number: place})

    def forget(self, serial_number: str) -> None:
        """Remember no key of this device."""
        places = self.places()
        if places.pop(serial_number, None) is not None:
            self._write(places)

    def _write(self, places: dict[str, str]) -> None:
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(places, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _unusable(self, why: str) -> KeyStoreError:
        return KeyStoreError(
            f"{self._path}: {why}",
            remedy="Put it right or delete it, and name the place of the keys.",
            code="known-devices",
        )


class KnownKeys:
    """Keys wherever they were put when their device was paired.

    Parameters
    ----------
    known : KnownDevices
        Tells where.
    store_at : callable
        Opens the store at a place.
    chosen : KeyStore, optional
        The one to ask, wherever a key was put; a device whose key it does not hold is refused.
    """

    def __init__(
        self,
        known: KnownDevices,
        store_at: Callable[[str], KeyStore],
        chosen: KeyStore | None = None,
    ) -> None:
        self._known = known
        self._store_at = store_at
        self._chosen = chosen

    def get(self, serial_number: str) -> DeviceKey | None:
        """The key of a device; None only where no store was chosen and it was never paired here.

        Raises
        ------
        KeyStoreError
            Where it was paired, or a store was chosen, and its key cannot be had: that is no reason to go on
            without it.
        """
        place = self._known.places().get(serial_number)
        if self._chosen is None and place is None:
            return None
        store = self._chosen or self._store_at(place or "")
        key = store.get(serial_number)
        if key is None:
            put = "it was never paired here" if place is None else f"it was put in {place}"
            raise KeyStoreError(
                f"the key of {serial_number} is not in {store.place}; {put}",
                remedy="Name its place, pair (again), or forget the device: neurostim pair --forget SERIAL.",
                code="key-missing",
            )
        return key
