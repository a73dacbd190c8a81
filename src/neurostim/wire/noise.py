"""The handshake that opens a sealed channel: exactly Noise_NNpsk0_25519_ChaChaPoly_SHA256, without any I/O.

After the Noise Protocol Framework, revision 34 (T. Perrin, 2018): NN means that neither side has a key
of its own, psk0 that both know the same 32 bytes, mixed in before anything else. Who does not know them
makes no message that the other accepts, and learns nothing by asking. Two messages, one each way.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from neurostim.core.errors import ProtocolError

PROTOCOL_NAME: Final = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
EMPTY_MESSAGE_BYTES: Final = KEY_BYTES + TAG_BYTES
"""Bytes of a handshake message that carries no payload: a public key and a tag."""

_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class TransportKeys:
    """What a finished handshake gives to one side.

    ``send`` and ``receive`` are the 32-byte keys of the two directions, as this side uses them; each
    seals frames of one direction only. ``handshake_hash`` names this handshake: no other has it.
    """

    send: bytes
    receive: bytes
    handshake_hash: bytes

    def __repr__(self) -> str:
        return f"TransportKeys(handshake_hash={self.handshake_hash.hex()})"


class _Symmetric:
    """The symmetric state of the framework: chaining key, hash, and a key for one tag."""

    __slots__ = ("_chain", "_hash", "_key")

    def __init__(self, psk: bytes, prologue: bytes) -> None:
        if len(psk) != KEY_BYTES:
            raise ProtocolError(f"a pre-shared key of {len(psk)} bytes", allowed="32 bytes", code="bad-key")
        self._hash = _sha256(PROTOCOL_NAME)
        self._chain = self._hash
        self._key = b""
        self.mix_hash(prologue)
        self._chain, mixed, self._key = _hkdf3(self._chain, psk)
        self.mix_hash(mixed)

    def copy(self) -> _Symmetric:
        """A state that goes on alone, so that a message which is refused changes nothing."""
        other = object.__new__(_Symmetric)
        other._chain, other._hash, other._key = self._chain, self._hash, self._key
        return other

    def mix_hash(self, data: bytes) -> None:
        self._hash = _sha256(self._hash + data)

    def mix_key(self, material: bytes) -> None:
        self._chain, self._key = _hkdf2(self._chain, material)

    def mix_public(self, public: bytes) -> None:
        """Token e of a pattern with a pre-shared key: the public key goes into hash and key."""
        self.mix_hash(public)
        self.mix_key(public)

    # Every key here seals one payload and is then replaced, so that its nonce is always 0.

    def seal(self, payload: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self._key).encrypt(_NONCE, payload, self._hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        try:
            payload = ChaCha20Poly1305(self._key).decrypt(_NONCE, sealed, self._hash)
        except InvalidTag as error:
            raise _refused("its tag is not made with the same key and the same prologue") from error
        self.mix_hash(sealed)
        return payload

    def split(self) -> tuple[bytes, bytes, bytes]:
        """Keys from initiator to responder and back, and the handshake hash."""
        return (*_hkdf2(self._chain, b""), self._hash)


class Initiator:
    """The side that begins: `write`, then `read`, then `split`.

    Parameters
    ----------
    psk : bytes
        32 bytes that both sides know and nobody else.
    prologue : bytes
        What both sides must agree on; see `neurostim.wire.pairing.prologue`.
    ephemeral : bytes
        32 bytes of entropy, new for each handshake: the private X25519 key.
    """

    def __init__(self, psk: bytes, prologue: bytes, ephemeral: bytes) -> None:
        self._state = _Symmetric(psk, prologue)
        self._private = _private(ephemeral)
        self._written = False
        self._keys: TransportKeys | None = None

    def write(self, payload: bytes = b"") -> bytes:
        """Make the first message: the public key and a sealed payload, 48 bytes where that is empty."""
        if self._written:
            raise _out_of_order("the first message was made already")
        self._written = True
        public = _public_bytes(self._private)
        self._state.mix_public(public)
        return public + self._state.seal(payload)

    def read(self, message: bytes) -> bytes:
        """Take the answer; return its payload. An answer that is refused changes nothing: another may follow.

        Raises
        ------
        ProtocolError
            Code ``handshake-refused`` where the other side does not know the same key and prologue.
        """
        if not self._written or self._keys is not None:
            raise _out_of_order("an answer is read once, after the first message")
        state = self._state.copy()
        public = _public_of(message)
        state.mix_public(public)
        state.mix_key(_agree(self._private, public))
        payload = state.open(message[KEY_BYTES:])
        there, back, handshake_hash = state.split()
        self._keys = TransportKeys(there, back, handshake_hash)
        return payload

    def split(self) -> TransportKeys:
        """Keys of the channel, once the answer was read."""
        if self._keys is None:
            raise _out_of_order("no answer was read")
        return self._keys


class Responder:
    """The side that answers: `read`, then `write`, then `split`. Parameters as for `Initiator`."""

    def __init__(self, psk: bytes, prologue: bytes, ephemeral: bytes) -> None:
        self._state = _Symmetric(psk, prologue)
        self._private = _private(ephemeral)
        self._peer: bytes | None = None
        self._keys: TransportKeys | None = None

    def read(self, message: bytes) -> bytes:
        """Take the first message; return its payload. One that is refused changes nothing.

        Raises
        ------
        ProtocolError
            Code ``handshake-refused`` where the other side does not know the same key and prologue.
        """
        if self._peer is not None:
            raise _out_of_order("the first message was read already")
        state = self._state.copy()
        public = _public_of(message)
        state.mix_public(public)
        payload = state.open(message[KEY_BYTES:])
        self._state, self._peer = state, public
        return payload

    def write(self, payload: bytes = b"") -> bytes:
        """Make the answer, 48 bytes where the payload is empty."""
        if self._peer is None or self._keys is not None:
            raise _out_of_order("an answer is made once, after the first message was read")
        public = _public_bytes(self._private)
        self._state.mix_public(public)
        self._state.mix_key(_agree(self._private, self._peer))
        message = public + self._state.seal(payload)
        there, back, handshake_hash = self._state.split()
        self._keys = TransportKeys(back, there, handshake_hash)
        return message

    def split(self) -> TransportKeys:
        """Keys of the channel, once the answer was made."""
        if self._keys is None:
            raise _out_of_order("no answer was made")
        return self._keys


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _hkdf2(chain: bytes, material: bytes) -> tuple[bytes, bytes]:
    secret = _mac(chain, material)
    first = _mac(secret, b"\x01")
    return first, _mac(secret, first + b"\x02")


def _hkdf3(chain: bytes, material: bytes) -> tuple[bytes, bytes, bytes]:
    secret = _mac(chain, material)
    first = _mac(secret, b"\x01")
    second = _mac(secret, first + b"\x02")
    return first, second, _mac(secret, second + b"\x03")


def _private(ephemeral: bytes) -> X25519PrivateKey:
    if len(ephemeral) != KEY_BYTES:
        raise ProtocolError(f"an ephemeral key of {len(ephemeral)} bytes", allowed="32 bytes", code="bad-key")
    return X25519PrivateKey.from_private_bytes(ephemeral)


def _public_bytes(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _public_of(message: bytes) -> bytes:
    if len(message) < EMPTY_MESSAGE_BYTES:
        raise _refused(f"it has {len(message)} bytes, not {EMPTY_MESSAGE_BYTES} or more")
    return message[:KEY_BYTES]


def _agree(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        # A public key of low order makes the same secret with every private key.
        raise _refused("its public key is one of those that agree on nothing") from error


def _refused(why: str) -> ProtocolError:
    return ProtocolError(
        f"the handshake message was refused: {why}",
        remedy="Host and device do not hold the same key: pair them again.",
        code="handshake-refused",
    )


def _out_of_order(what: str) -> ProtocolError:
    return ProtocolError(f"handshake out of order: {what}", code="handshake-order")
