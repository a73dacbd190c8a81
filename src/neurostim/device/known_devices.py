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
from neurostim.device.lasting_file import alone, replace


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
        """Remember where the key of a device is; durable when this returns."""
        self._change(lambda places: {**places, serial_number: place})

    def forget(self, serial_number: str) -> None:
        """Remember no key of this device."""
        self._change(lambda places: {one: place for one, place in places.items() if one != serial_number})

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Read, change and store with nobody in between."""
        try:
            with alone(self._path, self._busy):
                before = self.places()
                after = change(before)
                if after != before:
                    replace(self._path, (json.dumps(after, indent=1, sort_keys=True) + "\n").encode())
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _busy(self) -> KeyStoreError:
        return KeyStoreError(
            f"{self._path}: another program is changing it", remedy="Try again.", code="known-devices-busy"
        )

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
