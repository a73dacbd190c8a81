"""X25519, ChaCha20-Poly1305 and the handshake, written from RFC 7748, RFC 8439 and the Noise paper, slowly.

It shares nothing with the wire package or the library that stands under it: whole numbers and hashlib only.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
P = 2**255 - 19
BASE = (9).to_bytes(32, "little")


def x25519(private: bytes, public: bytes) -> bytes:
    """RFC 7748, section 5: the Montgomery ladder over whole numbers."""
    scalar = bytearray(private)
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    k = int.from_bytes(scalar, "little")
    x1 = int.from_bytes(public, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a % P, c * b % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        aa, bb = a * a % P, b * b % P
        e = aa - bb
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """RFC 8439, section 2.3."""
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter]
    start += struct.unpack("<3I", nonce)
    now = list(start)

    def turn(word: int, by: int) -> int:
        return (word << by | word >> 32 - by) & 0xFFFFFFFF

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            now[first] = now[first] + now[second] & 0xFFFFFFFF
            now[third] = turn(now[third] ^ now[first], by)

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12)
    return struct.pack("<16I", *((one + other) & 0xFFFFFFFF for one, other in zip(now, start, strict=True)))


def chacha20(key: bytes, counter: int, nonce: bytes, data: bytes) -> bytes:
    """RFC 8439, section 2.4."""
    stream = b"".join(chacha20_block(key, counter + at, nonce) for at in range((len(data) + 63) // 64))
    return bytes(one ^ other for one, other in zip(data, stream, strict=False))


def poly1305(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def seal(key: bytes, number: int, bound: bytes, plain: bytes) -> bytes:
    """RFC 8439, section 2.8, with the nonce of the Noise framework: four zero bytes and the number."""
    nonce = bytes(4) + number.to_bytes(8, "little")
    hidden = chacha20(key, 1, nonce, plain)
    padded = b"".join(part + bytes(-len(part) % 16) for part in (bound, hidden))
    lengths = struct.pack("<QQ", len(bound), len(hidden))
    return hidden + poly1305(chacha20_block(key, 0, nonce)[:32], padded + lengths)


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(chain: bytes, material: bytes, outputs: int) -> list[bytes]:
    """The HKDF of the framework, section 4.3."""
    secret, found = mac(chain, material), [b""]
    for number in range(1, outputs + 1):
        found.append(mac(secret, found[-1] + bytes([number])))
    return found[1:]


def hkdf_rfc5869(material: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, an empty salt and 32 bytes of output."""
    return mac(mac(bytes(32), material), info + b"\x01")


class Handshake:
    """Both sides at once, with every value on the way."""

    def __init__(self, psk: bytes, prologue: bytes, initiator: bytes, responder: bytes) -> None:
        self.values: dict[str, bytes] = {}
        h = hashlib.sha256(NAME).digest()
        ck = h
        self.note("h0", h)
        h = self.mixed("h1", h, prologue)
        ck, temporary, _ = hkdf(ck, psk, 3)
        h = self.mixed("h2", h, temporary)
        public = self.note("e_initiator", x25519(initiator, BASE))
        h = self.mixed("h3", h, public)
        ck, k = hkdf(ck, public, 2)
        self.note("k1", k)
        tag = seal(k, 0, h, b"")
        self.note("message_1", public + tag)
        h = self.mixed("h4", h, tag)
        other = self.note("e_responder", x25519(responder, BASE))
        h = self.mixed("h5", h, other)
        ck, _ = hkdf(ck, other, 2)
        shared = self.note("ee", x25519(responder, public))
        assert shared == x25519(initiator, other)
        ck, k = hkdf(ck, shared, 2)
        self.note("k2", k)
        tag = seal(k, 0, h, b"")
        self.note("message_2", other + tag)
        self.mixed("handshake_hash", h, tag)
        there, back = hkdf(ck, b"", 2)
        self.note("key_initiator_to_responder", there)
        self.note("key_responder_to_initiator", back)

    def note(self, name: str, value: bytes) -> bytes:
        self.values[name] = value
        return value

    def mixed(self, name: str, h: bytes, data: bytes) -> bytes:
        return self.note(name, hashlib.sha256(h + data).digest())
