"""What ``neurostim doctor`` says of keys: the keyring of this system, and the keys of paired devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurostim.cli.doctor_check import Check
from neurostim.cli.links import known_devices


def check_keys() -> Iterator[Check]:
    """Whether the keyring can keep keys, and whether those of paired devices are there."""
    from neurostim.device import KeyringStore, KeyStoreError

    try:
        places = known_devices().places()
    except KeyStoreError as error:
        yield Check("paired devices", "fail", error.message, error.remedy)
        return
    ring = KeyringStore()
    try:
        held = {
            serial: ring.get(serial) is not None for serial, place in places.items() if place == ring.place
        }
        yield Check("keyring", "ok", ring.backend_name())
    except KeyStoreError as error:
        # A bench needs no keyring; a device whose key is in it cannot be used without.
        held = {serial: False for serial, place in places.items() if place == ring.place}
        yield Check("keyring", "fail" if held else "warn", error.message, error.remedy)
    for serial, place in sorted(places.items()):
        there = held[serial] if serial in held else Path(place).is_file()
        remedy = "" if there else f"Pair again, or forget it: neurostim pair --forget {serial}"
        yield Check(
            f"key of {serial}",
            "ok" if there else "fail",
            f"in {place}" if there else f"not in {place}",
            remedy,
        )
