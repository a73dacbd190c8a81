"""Where the keys of this host are kept: in the keyring of the system, or in a file under a passphrase.

There is no silent way from one to the other: a key is where it was put, or there is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from neurostim.core.errors import NeurostimError
from neurostim.device.entropy import system_entropy
from neurostim.device.handshake import DeviceKey
from neurostim.wire.pairing import HOST_ID_BYTES

SERVICE: Final = "neurostim"
KEYRING: Final = "keyring"

_HOST: Final = "host id"


class KeyStoreError(NeurostimError):
    """Keys cannot be read or written; nothing was sent to a device."""

    default_code = "key-store"


class HostKeys(Protocol):
    """What answers whether this host holds the key of a device."""

    def get(self, serial_number: str) -> DeviceKey | None:
        """The key this host was given by a device, or None where it was given none.

        Raises
        ------
        KeyStoreError
            Where that cannot be told; it never means None.
        """


class KeyStore(HostKeys, Protocol):
    """A place that keeps keys, and the id by which devices know their holder."""

    @property
    def place(self) -> str:
        """Where it is: ``keyring``, or the path of a file."""

    @property
    def host_id(self) -> bytes:
        """16 bytes by which devices tell this host apart; made once, then kept."""

    def put(self, serial_number: str, key: bytes) -> None:
        """Keep a key durably, in place of an earlier one of that device."""

    def remove(self, serial_number: str) -> bool:
        """Forget a key; return whether there was one."""


class KeyringStore:
    """Keys in the keyring of the system: Secret Service, macOS Keychain, Windows Credential Locker.

    Parameters
    ----------
    entropy : callable
        Returns so many random bytes.
    """

    def __init__(self, entropy: Callable[[int], bytes] = system_entropy) -> None:
        self._entropy = entropy
        self._backend: Any = None

    @property
    def place(self) -> str:
        """``keyring``."""
        return KEYRING

    @property
    def host_id(self) -> bytes:
        """16 bytes by which devices tell this host apart; made once, then kept."""
        held = self._read(_HOST, HOST_ID_BYTES)
        if held is None:
            held = self._entropy(HOST_ID_BYTES)
            self._write(_HOST, held)
        return held

    def get(self, serial_number: str) -> DeviceKey | None:
        """The key this host was given by a device, or None where it was given none."""
        key = self._read(_entry(serial_number), 32)
        return None if key is None else DeviceKey(serial_number, key, self.host_id)

    def put(self, serial_number: str, key: bytes) -> None:
        """Keep a key, and read it back: some keyrings forget in silence."""
        kept = DeviceKey(serial_number, key, self.host_id)
        self._write(_entry(serial_number), kept.key)
        if self.get(serial_number) != kept:
            raise KeyStoreError("the keyring did not keep the key", remedy=_FILE_INSTEAD)

    def remove(self, serial_number: str) -> bool:
        """Forget a key; return whether there was one."""
        if self._read(_entry(serial_number), 32) is None:
            return False
        self._ask(lambda backend: backend.delete_password(SERVICE, _entry(serial_number)))
        return True

    def backend_name(self) -> str:
        """What the system's keyring is called."""
        return str(self._ask(lambda backend: backend.name))

    def _read(self, entry: str, size: int) -> bytes | None:
        text = self._ask(lambda backend: backend.get_password(SERVICE, entry))
        if text is None:
            return None
        try:
            held = bytes.fromhex(text)
        except ValueError:
            held = b""
        if len(held) != size:
            raise KeyStoreError(
                f"the keyring holds something else under {SERVICE!r}, {entry!r}",
                remedy="Delete that entry and pair again.",
                code="key-store-content",
            )
        return held

    def _write(self, entry: str, value: bytes) -> None:
        self._ask(lambda backend: backend.set_password(SERVICE, entry, value.hex()))

    def _ask(self, action: Callable[[Any], Any]) -> Any:
        """Do something with the keyring that the system offers, and with no lesser one."""
        import keyring.errors

        if self._backend is None:
            backend = keyring.get_keyring()
            # A chain ranks above all it is made of, and goes on to lesser ones: only its best is asked.
            backend = max(getattr(backend, "backends", ()), key=lambda one: one.priority, default=backend)
            # Below 1 are those that keep nothing, or keep it for everybody to read.
            if backend.priority < 1:
                raise KeyStoreError(
                    f"this system offers no keyring that protects keys ({backend.name})",
                    remedy=_FILE_INSTEAD,
                    code="no-keyring",
                )
            self._backend = backend
        try:
            return action(self._backend)
        except keyring.errors.KeyringError as error:
            raise KeyStoreError(
                f"the keyring of the system does not answer: {error or type(error).__name__}",
                remedy=f"Unlock it and try again. {_FILE_INSTEAD}",
                code="keyring-locked",
            ) from error


def _entry(serial_number: str) -> str:
    return f"device {serial_number}"


_FILE_INSTEAD: Final = "Keys can be kept in a file under a passphrase instead."
