"""A sealed channel: what a finished handshake gives, to make and to check the frames of one session.

A sealed frame is encrypted, and authenticated together with its whole header. Its sequence is its nonce,
so that a number is used once in each direction; the receiver takes only numbers above the last it took.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from neurostim.core.errors import ProtocolError
from neurostim.wire.frame import Frame, frame_header, opened
from neurostim.wire.noise import TransportKeys

MAX_SEQUENCE: Final = (1 << 64) - 2
"""Largest sequence of a sealed frame: the framework keeps the last nonce for itself."""

_nonce: Final = struct.Struct("<4xQ").pack


class SealFault(enum.Enum):
    """Why a frame was not opened. The values are the codes of the errors."""

    NOT_SEALED = "not-sealed"
    REPLAYED = "replayed"
    TAG = "bad-tag"


class Channel:
    """Seals the frames of one direction and opens those of the other.

    Parameters
    ----------
    keys : TransportKeys
        What the handshake gave to this side.

    Attributes
    ----------
    sent : int
        Sequence of the last frame that was sealed; 0 before the first.
    received : int
        Sequence of the last frame that was opened; 0 before the first.
    handshake_hash : bytes
        Names the handshake.
    """

    __slots__ = ("_receive", "_send", "handshake_hash", "received", "sent")

    def __init__(self, keys: TransportKeys) -> None:
        self._send = ChaCha20Poly1305(keys.send)
        self._receive = ChaCha20Poly1305(keys.receive)
        self.handshake_hash = keys.handshake_hash
        self.sent = 0
        self.received = 0

    def seal(self, sequence: int, head: bytes, payload: bytes) -> bytes:
        """Encrypted payload and tag, for a frame with this sequence and header.

        Raises
        ------
        ProtocolError
            Code ``sequence-reused``: a number that is not above the last one would give away both payloads.
        """
        if not self.sent < sequence <= MAX_SEQUENCE:
            raise ProtocolError(
                f"sequence {sequence} after {self.sent} in a sealed session",
                allowed=f"{self.sent + 1}..{MAX_SEQUENCE}",
                code="sequence-reused",
            )
        self.sent = sequence
        return self._send.encrypt(_nonce(sequence), payload, head)

    def open(self, frame: Frame) -> Frame:
        """The frame with its payload decrypted, once its tag and its sequence are right.

        A frame that is refused changes nothing.

        Raises
        ------
        ProtocolError
            Whose code is the value of one `SealFault`.
        """
        if not frame.tag or not frame.authenticated:
            raise _refused(SealFault.NOT_SEALED, "it carries no tag")
        sequence = frame.sequence
        if not self.received < sequence <= MAX_SEQUENCE:
            raise _refused(SealFault.REPLAYED, f"sequence {sequence} does not come after {self.received}")
        try:
            payload = self._receive.decrypt(_nonce(sequence), frame.payload + frame.tag, frame_header(frame))
        except InvalidTag as error:
            raise _refused(SealFault.TAG, "its tag was not made with the key of this channel") from error
        self.received = sequence
        return opened(frame, payload)


def _refused(fault: SealFault, why: str) -> ProtocolError:
    return ProtocolError(
        f"a frame was refused: {why}",
        remedy="It was dropped without an answer.",
        code=fault.value,
    )
