"""Transfers as a host controller carries them out: setup packets, requests, their ends and status codes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Self

OK: Final = 0
EPIPE: Final = -32
"""The endpoint answered STALL."""
EPROTO: Final = -71
"""Nobody answered: there is no such endpoint, or the device is not configured."""
EOVERFLOW: Final = -75
"""Babble: a packet larger than what was asked for."""
ECONNRESET: Final = -104
"""The host took the request back."""
ESHUTDOWN: Final = -108
"""The device is gone."""
EREMOTEIO: Final = -121
"""Fewer bytes than the host insisted on."""
ENOMEM: Final = -12
"""More requests at once than are held."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The eight bytes that begin a control transfer."""

    request_type: int
    request: int
    value: int
    index: int
    length: int

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read eight bytes."""
        return cls(*struct.unpack("<BBHHH", data))

    @property
    def is_in(self) -> bool:
        """Whether the data stage goes to the host."""
        return bool(self.request_type & 0x80)


@dataclass(slots=True, eq=False)
class Request:
    """One transfer that a host asked for (a URB).

    Attributes
    ----------
    number : int
        By which the host knows it.
    endpoint : int
        Address with direction bit; 0 and 0x80 are the control endpoint.
    length : int
        Bytes to send, or at most to receive.
    data : bytes
        What an OUT transfer sends.
    setup : bytes
        Of a control transfer.
    ends_with_zero : bool
        An OUT transfer that fills its last packet is followed by an empty one.
    whole : bool
        An IN transfer that ends short is an error.
    """

    number: int
    endpoint: int
    length: int
    data: bytes = b""
    setup: bytes = bytes(8)
    ends_with_zero: bool = False
    whole: bool = False
    sent: int = 0
    received: bytearray = field(default_factory=bytearray)

    def receive(self, packet: bytes, size: int) -> int | None:
        """Take one IN packet of an endpoint of ``size``; the status where it ends the transfer."""
        if len(packet) > size or len(self.received) + len(packet) > self.length:
            return EOVERFLOW
        self.received += packet
        if len(self.received) == self.length:
            return OK
        if len(packet) < size:
            return EREMOTEIO if self.whole else OK
        return None


@dataclass(frozen=True, slots=True)
class Completion:
    """How a transfer ended: its number, status, the bytes that went over, and the data of an IN transfer."""

    number: int
    status: int
    actual: int
    data: bytes = b""
