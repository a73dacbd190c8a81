"""What pairs a host with a device: the code on the label, keys made of it, and what a handshake binds.

The code is 128 random bits as 28 characters of Crockford's base 32: 26 for the bits (and two zero bits),
2 for a check, so that a slip of the hand is told apart from a code that is not this device's.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from neurostim.core.errors import ConfigError

CODE_BYTES: Final = 16
CODE_CHARACTERS: Final = 28
HOST_ID_BYTES: Final = 16
SERIAL_BYTES: Final = 32
PROLOGUE: Final = b"neurostim wire 1"
"""How a prologue begins."""
CODE_INFO: Final = b"neurostim pairing code"
"""The info of the HKDF that makes a key of a code."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)} | {"I": 1, "L": 1, "O": 0}
_SEPARATORS: Final = frozenset(" -\t\n\r\u2010\u2011\u2012\u2013\u2014\u00a0")
_GROUP: Final = 4
_BITS: Final = 8 * CODE_BYTES
_PADDING_BITS: Final = 2
_CHECK_BITS: Final = 10
_QR_WORD: Final = "NEUROSTIM"


class PairingCodeError(ConfigError):
    """The code was not typed as it stands on the label; nothing was sent to the device.

    ``code`` tells what is off: ``code-length``, ``code-character``, ``code-check``,
    ``code-label`` or ``code-of-another``.
    """

    default_code = "code-check"


def format_code(secret: bytes) -> str:
    """The 28 characters of a code, in seven groups of four.

    Parameters
    ----------
    secret : bytes
        The 16 random bytes.
    """
    if len(secret) != CODE_BYTES:
        raise ConfigError(f"a pairing code of {len(secret)} bytes", allowed="16 bytes", code="code-bytes")
    number = int.from_bytes(secret, "big") << _PADDING_BITS + _CHECK_BITS | _check(secret)
    letters = [_ALPHABET[number >> 5 * place & 31] for place in reversed(range(CODE_CHARACTERS))]
    return "-".join("".join(letters[at : at + _GROUP]) for at in range(0, CODE_CHARACTERS, _GROUP))


def parse_code(text: str) -> bytes:
    """The 16 bytes of a code as a person typed it.

    Case, blanks and hyphens do not matter; I and L count as 1, and O as 0.

    Raises
    ------
    PairingCodeError
        Where it was not typed as it stands on the label. The text is not repeated in the message: it
        is most of a secret.
    """
    letters = [letter for letter in text.upper() if letter not in _SEPARATORS]
    for place, letter in enumerate(letters, start=1):
        if letter not in _VALUES:
            raise PairingCodeError(
                f"the pairing code has a character that codes never have, at place {place}",
                allowed="digits and letters but U",
                remedy="Look at that place on the label again.",
                code="code-character",
            )
    if len(letters) != CODE_CHARACTERS:
        raise PairingCodeError(
            f"the pairing code has {len(letters)} characters",
            allowed="28: seven groups of four",
            remedy="Look at the label again.",
            code="code-length",
        )
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    secret = (number >> _PADDING_BITS + _CHECK_BITS).to_bytes(CODE_BYTES, "big")
    # The padding is compared with the check: a code has one spelling, but for look-alike letters.
    if number & (1 << _PADDING_BITS + _CHECK_BITS) - 1 != _check(secret):
        raise PairingCodeError(
            "the pairing code has a slip: its check characters do not fit",
            remedy="Compare it with the label; nothing was sent, so this counts as no try.",
            code="code-check",
        )
    return secret


def qr_text(serial_number: str, secret: bytes) -> str:
    """What the label's QR code says: whose code it is, and the code without separators."""
    return f"{_QR_WORD}:{serial_number}:{format_code(secret).replace('-', '')}"


def parse_qr(text: str) -> tuple[str, bytes]:
    """Serial number and code of a scanned label.

    Raises
    ------
    PairingCodeError
        Where the text is not that of a label.
    """
    word, _, rest = text.strip().partition(":")
    serial_number, found, code = rest.rpartition(":")
    if word.upper() != _QR_WORD or not found or not serial_number:
        raise PairingCodeError(
            "this is not the QR code of a stimulator's label",
            allowed=f"{_QR_WORD}:SERIAL:CODE",
            remedy="Scan the label of the device, or type its 28 characters.",
            code="code-label",
        )
    return serial_number, parse_code(code)


def read_code(text: str, serial_number: str) -> bytes:
    """The 16 bytes of a device's code, typed or scanned.

    Raises
    ------
    PairingCodeError
        As `parse_code`; code ``code-of-another`` where the scanned label is that of another device.
    """
    if ":" not in text:
        return parse_code(text)
    labelled, secret = parse_qr(text)
    if labelled != serial_number:
        raise PairingCodeError(
            f"this is the label of {labelled}, and {serial_number} is connected",
            remedy="Scan the label of the device that is connected.",
            code="code-of-another",
        )
    return secret


def pairing_psk(secret: bytes) -> bytes:
    """The pre-shared key of a pairing handshake: HKDF-SHA256 of the code's 16 bytes."""
    if len(secret) != CODE_BYTES:
        raise ConfigError(f"a pairing code of {len(secret)} bytes", allowed="16 bytes", code="code-bytes")
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=CODE_INFO).derive(secret)


def prologue(purpose: int, host_id: bytes, serial_number: str) -> bytes:
    """What both sides of a handshake must agree on, 65 bytes: protocol, purpose, host and device.

    Parameters
    ----------
    purpose : int
        Purpose of the HANDSHAKE message.
    host_id : bytes
        16 bytes by which the device tells hosts apart.
    serial_number : str
        Serial number of the device as IDENTIFY tells it, at most 32 ASCII characters: who answers a
        handshake for one device cannot pass for another.
    """
    serial = serial_number.encode("ascii")
    if len(host_id) != HOST_ID_BYTES or len(serial) > SERIAL_BYTES or not 0 <= purpose < 256:
        raise ConfigError(
            "a handshake cannot be bound to these",
            allowed="a host id of 16 bytes, a serial number of at most 32 characters, a purpose below 256",
            code="bad-prologue",
        )
    return PROLOGUE + bytes([purpose]) + host_id + serial.ljust(SERIAL_BYTES, b"\0")


def _check(secret: bytes) -> int:
    """Two zero bits and the first ten bits of the SHA-256 of the code."""
    return int.from_bytes(hashlib.sha256(secret).digest()[:2], "big") >> 16 - _CHECK_BITS
