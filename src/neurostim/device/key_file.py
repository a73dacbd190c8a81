"""Keys of this host in one file under a passphrase: Argon2id makes the key, ChaCha20-Poly1305 seals."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from neurostim.core.errors import ConfigError
from neurostim.device.entropy import system_entropy
from neurostim.device.handshake import DeviceKey
from neurostim.device.keys import KeyStoreError
from neurostim.device.lasting_file import alone, replace
from neurostim.wire.pairing import HOST_ID_BYTES

FORMAT: Final = "neurostim keys 1"
MIN_PASSPHRASE: Final = 8

_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Hardness:
    """What guessing a passphrase costs: the second recommendation of RFC 9106, section 4."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        """Refuse what would guard nothing, and what a forged file could stop this computer with."""
        within = (
            8 * 1024 <= self.memory_kib <= 1024 * 1024
            and 1 <= self.iterations <= 64
            and 1 <= self.lanes <= 16
        )
        if not within:
            raise ConfigError(
                "a passphrase cannot be used with this hardness",
                allowed="8 MiB to 1 GiB, 1 to 64 iterations, 1 to 16 lanes",
                code="key-file-hardness",
            )


@dataclass(slots=True)
class _Contents:
    host_id: bytes
    keys: dict[str, bytes]


class KeyFile:
    """Keys in a file that only its passphrase opens.

    Parameters
    ----------
    path : Path
        The file; it is made where there is none, readable by its owner only.
    passphrase : callable
        Asked once, when it is first needed: called with whether the file is new, returns the passphrase.
    entropy : callable
        Returns so many random bytes.
    hardness : Hardness
        Of a new file.
    """

    def __init__(
        self,
        path: Path,
        passphrase: Callable[[bool], str],
        *,
        entropy: Callable[[int], bytes] = system_entropy,
        hardness: Hardness | None = None,
    ) -> None:
        self._path = path
        self._passphrase = passphrase
        self._entropy = entropy
        self._hardness = hardness or Hardness()
        self._salt = b""
        self._key = b""
        self._turn = threading.Lock()

    @property
    def place(self) -> str:
        """Path of the file."""
        return str(self._path)

    @property
    def host_id(self) -> bytes:
        """16 bytes by which devices tell this host apart; made with the file, where there is none yet."""
        return self._change(lambda _held: False, make=True).host_id

    def get(self, serial_number: str) -> DeviceKey | None:
        """The key this host was given by a device, or None where it was given none.

        Raises
        ------
        KeyStoreError
            Where there is no such file, it is not one of keys or was altered, or the passphrase is wrong.
        """
        with self._turn:
            held = self._load()
        key = held.keys.get(serial_number)
        return None if key is None else DeviceKey(serial_number, key, held.host_id)

    def put(self, serial_number: str, key: bytes) -> None:
        """Keep a key durably."""

        def put(held: _Contents) -> bool:
            held.keys[serial_number] = DeviceKey(serial_number, key, held.host_id).key
            return True

        self._change(put, make=True)

    def remove(self, serial_number: str) -> bool:
        """Forget a key; return whether there was one."""
        known = False

        def remove(held: _Contents) -> bool:
            nonlocal known
            known = held.keys.pop(serial_number, None) is not None
            return known

        self._change(remove)
        return known

    def _change(self, change: Callable[[_Contents], bool], *, make: bool = False) -> _Contents:
        """Read, change and store with nobody in between; ``change`` returns whether it did."""
        with self._turn:
            # The passphrase is asked for before others are kept waiting.
            self._look(make=make)
            try:
                with alone(self._path, self._busy):
                    held = self._look(make=make)
                    if held is None:
                        held = _Contents(self._entropy(HOST_ID_BYTES), {})
                        self._store(held)
                    if change(held):
                        self._store(held)
            except OSError as error:
                raise self._unusable(error.strerror or str(error)) from error
            return held

    def _look(self, *, make: bool) -> _Contents | None:
        """What the file holds; None where there is none yet, and a key for it is ready."""
        if not make or self._path.exists():
            return self._load()
        if not self._key:
            self._derive(self._entropy(_SALT_BYTES), new=True)
        return None

    def _load(self) -> _Contents:
        """Read anew each time: another program may have paired meanwhile."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError as error:
            raise self._unusable("there is no such file of keys") from error
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        try:
            outer = json.loads(data)
            head = {name: outer[name] for name in ("format", "hardness", "salt", "nonce")}
            if head["format"] != FORMAT:
                raise self._not_keys()
            hardness = Hardness(**{name: int(value) for name, value in head["hardness"].items()})
            salt, nonce = bytes.fromhex(head["salt"]), bytes.fromhex(head["nonce"])
            sealed = base64.b64decode(outer["sealed"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise self._not_keys() from error
        if len(nonce) != _NONCE_BYTES or len(salt) != _SALT_BYTES:
            raise self._not_keys()
        if salt != self._salt or hardness != self._hardness:
            self._hardness = hardness
            self._derive(salt, new=False)
        try:
            plain = ChaCha20Poly1305(self._key).decrypt(nonce, sealed, _bound(head))
        except InvalidTag as error:
            self._salt = self._key = b""
            raise KeyStoreError(
                f"{self._path}: the passphrase is wrong, or the file was altered",
                remedy="Try again; where the passphrase is lost, pair with a new file.",
                code="passphrase",
            ) from error
        inner: dict[str, Any] = json.loads(plain)
        keys = {serial: bytes.fromhex(key) for serial, key in inner["keys"].items()}
        return _Contents(bytes.fromhex(inner["host_id"]), keys)

    def _derive(self, salt: bytes, *, new: bool) -> None:
        words = self._passphrase(new)
        if new and len(words) < MIN_PASSPHRASE:
            raise KeyStoreError(
                "the passphrase is too short",
                allowed=f"{MIN_PASSPHRASE} characters or more",
                code="passphrase-short",
            )
        cost = self._hardness
        argon = Argon2id(
            salt=salt,
            length=32,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        )
        self._salt, self._key = salt, argon.derive(words.encode())

    def _store(self, held: _Contents) -> None:
        """Replace the file as a whole: a loss of power leaves the old one or the new one."""
        nonce = self._entropy(_NONCE_BYTES)
        head: dict[str, Any] = {
            "format": FORMAT,
            "hardness": asdict(self._hardness),
            "salt": self._salt.hex(),
            "nonce": nonce.hex(),
        }
        keys = {serial: key.hex() for serial, key in held.keys.items()}
        plain = json.dumps({"host_id": held.host_id.hex(), "keys": keys}).encode()
        sealed = ChaCha20Poly1305(self._key).encrypt(nonce, plain, _bound(head))
        text = json.dumps({**head, "sealed": base64.b64encode(sealed).decode()}, indent=1) + "\n"
        try:
            replace(self._path, text.encode("ascii"))
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _unusable(self, why: str) -> KeyStoreError:
        return KeyStoreError(
            f"{self._path}: {why}", remedy="Choose another file for the keys.", code="key-file"
        )

    def _busy(self) -> KeyStoreError:
        return KeyStoreError(
            f"{self._path}: another program is changing it", remedy="Try again.", code="key-file-busy"
        )

    def _not_keys(self) -> KeyStoreError:
        return KeyStoreError(
            f"{self._path} is not a file of keys", remedy="Choose another file.", code="key-file-format"
        )


def _bound(head: dict[str, Any]) -> bytes:
    """What the seal covers beside the keys: an altered salt or hardness is noticed."""
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
