"""The key of the demonstration: given by the simulated device, and forgotten with the process."""

from __future__ import annotations

from neurostim.device import DeviceKey, Paired
from neurostim.device.entropy import system_entropy
from neurostim.device.native import NativeStimulator

HOST_NAME = "the demonstration"


class PassingKeys:
    """A key store in memory: what the device is told to keep for it ends with the device."""

    place = "memory"

    def __init__(self) -> None:
        self.host_id = system_entropy(16)
        self._keys: dict[str, bytes] = {}

    def get(self, serial_number: str) -> DeviceKey | None:
        """The key of a device that was paired in this demonstration."""
        key = self._keys.get(serial_number)
        return None if key is None else DeviceKey(serial_number, key, self.host_id)

    def put(self, serial_number: str, key: bytes) -> None:
        """Hold a key."""
        self._keys[serial_number] = key

    def remove(self, serial_number: str) -> bool:
        """Forget a key; whether there was one."""
        return self._keys.pop(serial_number, None) is not None


def pair(url: str, label_code: str) -> tuple[PassingKeys, Paired]:
    """Pair with the device by the code on its label.

    Raises
    ------
    NeurostimError
        Where it refuses, or does not answer.
    """
    keys = PassingKeys()
    return keys, NativeStimulator(url).pair(label_code, HOST_NAME, keys)
