"""A USB/IP server on a real socket that answers as a test says, written from the kernel's document."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from neurostim_sim.usb import descriptors as d

BUS_ID = "1-1"
BASIC = struct.Struct(">IIIII")
SUBMIT, UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4


@dataclass(frozen=True)
class Asked:
    """One request of the host: a transfer, or the wish to cancel one."""

    command: int
    sequence: int
    device_id: int
    direction: int
    endpoint: int
    length: int
    packets: int
    setup: bytes
    data: bytes
    unlinks: int


def returned(sequence: int, status: int = 0, actual: int = 0, data: bytes = b"") -> bytes:
    return BASIC.pack(RET_SUBMIT, sequence, 0, 0, 0) + struct.pack(">iiiii8x", status, actual, 0, 0, 0) + data


def unlinked(sequence: int, status: int = -104) -> bytes:
    return BASIC.pack(RET_UNLINK, sequence, 0, 0, 0) + struct.pack(">i24x", status)


def device_record(bus_id: str = BUS_ID) -> bytes:
    return (
        b"/sys/x".ljust(256, b"\0")
        + bus_id.encode().ljust(32, b"\0")
        + struct.pack(">IIIHHHBBBBBB", 1, 2, 2, 0x1209, 1, 0x100, 0xEF, 2, 1, 1, 1, 3)
    )


def enumeration(asked: Asked) -> bytes | None:
    """What a healthy device answers to the requests that tell what it is; None to all others."""
    kind, request, value, _index, length = struct.unpack("<BBHHH", asked.setup)
    if asked.endpoint or asked.command != SUBMIT:
        return None
    if (kind, request) == (0x80, 6):
        texts = (4).to_bytes(1, "little") + b"\3\x09\4"
        answer = {
            0x0100: d.device_descriptor(),
            0x0200: d.configuration_descriptor(),
            0x0300: texts,
        }.get(value) or d.string_descriptor(value & 0xFF, "SN-1")
        assert answer is not None
        return returned(asked.sequence, 0, len(answer[:length]), answer[:length])
    if (kind, request) == (0x80, 8):
        return returned(asked.sequence, 0, 1, b"\1")
    return returned(asked.sequence, 0, 0) if kind in (0x00, 0x01, 0x02) else None


class UsbipScript:
    """One server; ``answer`` is asked for the bytes to send for each request."""

    def __init__(self, answer: Callable[[Asked], bytes | None]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.import_reply = struct.pack(">HHI", 0x0111, 3, 0) + device_record()
        self.list_reply = struct.pack(">HHII", 0x0111, 5, 0, 1) + device_record() + bytes(12)
        self.link: socket.socket | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def say(self, data: bytes) -> None:
        assert self.link is not None
        self.link.sendall(data)

    def hang_up(self) -> None:
        assert self.link is not None
        self.link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # A listening socket that is shut down ends its accept.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        if self.link is not None:
            with contextlib.suppress(OSError):
                self.link.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError, EOFError):
                self._converse(link)

    def _converse(self, link: socket.socket) -> None:
        version, code, _status = struct.unpack(">HHI", _take(link, 8))
        assert version == 0x0111
        if code == 0x8005:
            link.sendall(self.list_reply)
            return
        assert code == 0x8003
        assert _take(link, 32).rstrip(b"\0").decode() == BUS_ID
        self.link = link
        link.sendall(self.import_reply)
        while True:
            command, sequence, device_id, direction, endpoint = BASIC.unpack(_take(link, 20))
            rest = _take(link, 28)
            length, packets = struct.unpack(">xxxxixxxxi", rest[:16])
            data = _take(link, length) if command == SUBMIT and direction == 0 else b""
            unlinks = struct.unpack(">I", rest[:4])[0] if command == UNLINK else 0
            asked = Asked(
                command, sequence, device_id, direction, endpoint, length, packets, rest[20:], data, unlinks
            )
            self.asked.append(asked)
            answer = self.answer(asked)
            if answer:
                link.sendall(answer)


def _take(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
