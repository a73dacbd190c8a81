"""The endpoints that carry data, packet by packet: what each answers to a token of the host controller.

A request that the endpoint answers with NAK waits; nothing else can hold it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from neurostim_sim.servers.line import DELIMITER, HOLD_BYTES
from neurostim_sim.usb.descriptors import Endpoint
from neurostim_sim.usb.transfers import EPIPE, OK, Completion, Request

MOST_HELD: Final = 1 << 16
"""Bytes for the host that wait in an endpoint; beyond, the oldest are lost, as nobody reads."""
BABBLE: Final = 1
"""Bytes by which a babbling packet is too long."""


class InPipe:
    """An IN endpoint in front of a stream: full packets, and a short or empty one where the stream pauses."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.halted = False
        self.babbling = False
        self.waiting: deque[Request] = deque()
        self._held = bytearray()
        self._unfinished = False

    def offer(self, data: bytes) -> None:
        """Hold bytes until the host asks for them."""
        if len(self._held) + len(data) > MOST_HELD:
            self._held.clear()
        self._held += data[-MOST_HELD:]

    def run(self) -> list[Completion]:
        """Answer tokens for as long as there are requests and an answer other than NAK."""
        ended = []
        while self.waiting:
            request = self.waiting[0]
            if self.halted:
                status: int | None = EPIPE
            else:
                packet = self._next_packet()
                if packet is None:
                    break
                status = request.receive(packet, self.endpoint.packet)
            if status is not None:
                self.waiting.popleft()
                data = bytes(request.received)
                ended.append(Completion(request.number, status, len(data), data))
        return ended

    def reset(self) -> None:
        """Forget halt and data: the endpoint begins anew. What the host asked for stays asked for."""
        self.halted = self.babbling = self._unfinished = False
        self._held.clear()

    def _next_packet(self) -> bytes | None:
        size = self.endpoint.packet
        if self.babbling and self._held:
            self.babbling = False
            packet = bytes(self._held[:size]).ljust(size + BABBLE, b"\xff")
            del self._held[:size]
            return packet
        if not self._held and not self._unfinished:
            return None
        packet = bytes(self._held[:size])
        del self._held[:size]
        # After a full packet the host still expects more: the pause is told by an empty one.
        self._unfinished = len(packet) == size
        return packet


class HintPipe(InPipe):
    """An interrupt IN endpoint that holds one short message: a new one replaces what nobody fetched."""

    def offer(self, data: bytes) -> None:
        """Hold a message instead of the one before."""
        self._held[:] = data


class OutPipe:
    """An OUT endpoint: takes packets while it has room, and hands on whole frames."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.halted = False
        self.refusing = False
        self.heard_any = False
        self.waiting: deque[Request] = deque()
        self._held = b""
        self._frames: list[bytes] = []

    def run(self) -> list[Completion]:
        """Take packets until there are no more, or the endpoint answers NAK."""
        ended = []
        while self.waiting and (self.halted or not self.refusing):
            request = self.waiting.popleft()
            if self.halted:
                ended.append(Completion(request.number, EPIPE, request.sent))
                continue
            for packet in _packets(request, self.endpoint.packet):
                self._take(packet)
                request.sent += len(packet)
            ended.append(Completion(request.number, OK, request.sent))
        return ended

    def take_frames(self) -> bytes:
        """Whole frames that have come in since the last call."""
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    def reset(self) -> None:
        """Forget halt, and what was half sent."""
        self.halted = self.heard_any = False
        self._held = b""
        self._frames.clear()

    def _take(self, packet: bytes) -> None:
        # Only whole frames go on: a stop by control comes on the same line, and must not cut one in two.
        whole, delimiter, rest = (self._held + packet).rpartition(DELIMITER)
        if len(rest) > HOLD_BYTES:
            rest = b""
        self._held = rest
        if delimiter:
            self.heard_any = True
            self._frames.append(whole + delimiter)


def _packets(request: Request, size: int) -> list[bytes]:
    packets = [request.data[start : start + size] for start in range(0, request.length, size)]
    if not packets or (request.ends_with_zero and len(packets[-1]) == size):
        packets.append(b"")
    return packets
