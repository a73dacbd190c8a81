"""Frames on the line: delimiter, byte stuffing, header, CRC-32; and a decoder that survives any bytes.

A frame is 0x00, the stuffed bytes of header | payload | CRC-32, and 0x00. It begins with a delimiter so
that a half-sent frame before it dies and cannot swallow it: a stop must never be swallowed.
"""

from __future__ import annotations

import enum
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.layout import Kind

VERSION: Final = 1
MAX_FRAME_BYTES: Final = 1024
HEADER_BYTES: Final = 30
CRC_BYTES: Final = 4
TAG_BYTES: Final = 16
MAX_PAYLOAD_BYTES: Final = 960
"""Longest payload: with header, a tag and CRC it still fits `MAX_FRAME_BYTES`, stuffed and delimited."""

FLAG_REPLY: Final = 0x01
FLAG_EVENT: Final = 0x02
FLAG_AUTHENTICATED: Final = 0x04

_HEADER: Final = struct.Struct("<BBBBIQIQH")
_CRC: Final = struct.Struct("<I")
_KINDS_OF_FLAGS: Final = {kind | mark: kind for kind in Kind for mark in (0, FLAG_AUTHENTICATED)}
# What the CRC-32 of any bytes and their own CRC-32 is: one pass over the frame, and no parts of it copied.
_RIGHT_CRC: Final = 0x2144DF1C
# Called with a row of values it spares the call that only passes them on.
_frame: Final = tuple.__new__
_MIN_BYTES: Final = HEADER_BYTES + CRC_BYTES
_MAX_STUFFED: Final = MAX_FRAME_BYTES - 2


class Frame(NamedTuple):
    """One frame, unpacked.

    Attributes
    ----------
    type : int
        Message type, 1..127. Whether this version has such a message is judged later.
    kind : Kind
        Request, reply or event.
    session : int
        Session the device gave, 0 for none.
    sequence : int
        Number of the frame, one more than that of the sender's last frame.
    command_id : int
        Number of the command; a reply repeats it; 0 in events.
    lease_us : int
        From a host: the device clock last heard [us]. From a device: its clock at sending [us].
    payload : bytes
        Bytes of the message; of a sealed frame the encrypted bytes.
    authenticated : bool
        Whether the frame carries the authenticated flag. It proves nothing while ``tag`` is not empty.
    tag : bytes
        The 16 bytes that authenticate a sealed frame; empty in others, and once a channel has opened it.
    """

    type: int
    kind: Kind
    session: int
    sequence: int
    command_id: int
    lease_us: int
    payload: bytes
    authenticated: bool = False
    tag: bytes = b""

    @property
    def sealed(self) -> bool:
        """Whether it is still as it came from the line: nobody has checked who sent it."""
        return self.authenticated and bool(self.tag)


class FrameFault(enum.Enum):
    """Why bytes between two delimiters were dropped. The values are the codes of the errors."""

    TOO_LONG = "frame-too-long"
    STUFFING = "bad-cobs"
    TOO_SHORT = "frame-too-short"
    CHECKSUM = "bad-crc"
    VERSION = "unsupported-version"
    HEADER = "bad-header"


@dataclass(frozen=True, slots=True)
class FrameError:
    """A dropped frame: why, how many bytes, and in words."""

    fault: FrameFault
    size: int
    message: str


@dataclass(slots=True)
class FrameCounts:
    """What a decoder has seen since it was made."""

    frames: int = 0
    dropped_frames: int = 0
    dropped_bytes: int = 0
    faults: dict[FrameFault, int] = field(default_factory=lambda: dict.fromkeys(FrameFault, 0))


class Seal(Protocol):
    """What encrypts a payload and authenticates it with its header; see `neurostim.wire.channel.Channel`."""

    def seal(self, sequence: int, head: bytes, payload: bytes) -> bytes:
        """Encrypted payload and tag."""


def encode_frame(frame: Frame) -> bytes:
    """Bytes of a frame, with a delimiter on both sides; of a sealed one with its tag.

    Raises
    ------
    ProtocolError
        Where a header value does not fit its field, the payload is too long, or the tag is not one.
    """
    if frame.authenticated:
        if len(frame.tag) != TAG_BYTES:
            raise ProtocolError(f"a tag of {len(frame.tag)} bytes", allowed=f"{TAG_BYTES}", code="bad-length")
        head = frame_header(frame)
        return _line(head + frame.payload + frame.tag)
    return encode_line(
        frame.type,
        frame.kind,
        frame.payload,
        session=frame.session,
        sequence=frame.sequence,
        command_id=frame.command_id,
        lease_us=frame.lease_us,
    )


def encode_line(
    message_type: int,
    kind: Kind,
    payload: bytes,
    *,
    session: int,
    sequence: int,
    command_id: int,
    lease_us: int,
    channel: Seal | None = None,
) -> bytes:
    """Bytes of a frame whose parts are given one by one, sealed where there is a channel; see `Frame`."""
    length = len(payload)
    if length > MAX_PAYLOAD_BYTES:
        raise _too_long(length)
    if not 0 < message_type < 0x80:
        raise ProtocolError(f"message type {message_type}", allowed="1..127", code="bad-header")
    flags = kind if channel is None else kind | FLAG_AUTHENTICATED
    try:
        head = _HEADER.pack(VERSION, message_type, flags, 0, session, sequence, command_id, lease_us, length)
    except struct.error as error:
        raise ProtocolError(f"frame header: {error}", code="bad-header") from error
    return _line(head + (payload if channel is None else channel.seal(sequence, head, payload)))


def line_length_bound(payload_length: int, *, authenticated: bool) -> int:
    """Most bytes on the line that a frame with a payload of this length takes, delimiters included."""
    body = HEADER_BYTES + payload_length + CRC_BYTES + (TAG_BYTES if authenticated else 0)
    return cobs.encoded_length(body) + 2


def opened(frame: Frame, payload: bytes) -> Frame:
    """A sealed frame with what its channel decrypted in the place of payload and tag."""
    message_type, kind, session, sequence, command_id, lease_us, _, authenticated, _ = frame
    return _frame(
        Frame, (message_type, kind, session, sequence, command_id, lease_us, payload, authenticated, b"")
    )


def frame_header(frame: Frame) -> bytes:
    """The 30 bytes of a frame's header, which a tag authenticates with the payload.

    Raises
    ------
    ProtocolError
        Where a header value does not fit its field.
    """
    message_type, kind, session, sequence, command_id, lease_us, payload, authenticated, _ = frame
    length = len(payload)
    if length > MAX_PAYLOAD_BYTES:
        raise _too_long(length)
    flags = kind | FLAG_AUTHENTICATED if authenticated else kind
    try:
        return _HEADER.pack(VERSION, message_type, flags, 0, session, sequence, command_id, lease_us, length)
    except struct.error as error:
        raise ProtocolError(f"frame header: {error}", code="bad-header") from error


def _line(body: bytes) -> bytes:
    return b"\0" + cobs.encode(body + _CRC.pack(zlib.crc32(body))) + b"\0"


def decode_frame(stuffed: bytes) -> Frame:
    """Read the bytes between two delimiters.

    Raises
    ------
    ProtocolError
        Whose code is the value of one `FrameFault`.
    """
    if len(stuffed) > _MAX_STUFFED:
        raise _fault(FrameFault.TOO_LONG, f"{len(stuffed)} bytes between delimiters", f"{_MAX_STUFFED}")
    body = cobs.decode(stuffed)
    length = len(body) - CRC_BYTES
    if length < HEADER_BYTES:
        raise _fault(FrameFault.TOO_SHORT, f"{len(body)} bytes", f"{_MIN_BYTES} or more")
    if zlib.crc32(body) != _RIGHT_CRC:
        raise _fault(FrameFault.CHECKSUM, "a wrong CRC-32", "the CRC-32 of header and payload")
    version, kind_of_message, flags, reserved, session, sequence, command_id, lease_us, payload_length = (
        _HEADER.unpack_from(body)
    )
    if version != VERSION:
        raise _fault(FrameFault.VERSION, f"version {version}", f"{VERSION}")
    kind = _KINDS_OF_FLAGS.get(flags)
    if kind is None or reserved or not 0 < kind_of_message < 0x80:
        found = f"type 0x{kind_of_message:02X}, flags 0x{flags:02X}, reserved 0x{reserved:02X}"
        raise _fault(FrameFault.HEADER, found, "type 1..127, flags 0..2 and 4..6, reserved 0")
    authenticated = flags >= FLAG_AUTHENTICATED
    end = length - TAG_BYTES if authenticated else length
    if payload_length != end - HEADER_BYTES or payload_length > MAX_PAYLOAD_BYTES:
        found = f"payload length {payload_length} with {end - HEADER_BYTES} bytes"
        raise _fault(FrameFault.HEADER, found, f"equal lengths, at most {MAX_PAYLOAD_BYTES}")
    payload = body[HEADER_BYTES:end]
    if authenticated:
        tag = body[end:length]
        return _frame(
            Frame, (kind_of_message, kind, session, sequence, command_id, lease_us, payload, True, tag)
        )
    return _frame(
        Frame, (kind_of_message, kind, session, sequence, command_id, lease_us, payload, False, b"")
    )


class FrameDecoder:
    """Finds frames in a stream of bytes, whatever the bytes are.

    It never raises on input, never holds more than `MAX_FRAME_BYTES`, and is in step again
    after the next delimiter. Frames and errors come out in the order of the line.
    """

    def __init__(self) -> None:
        self.counts = FrameCounts()
        self._held = b""
        self._overrun = 0

    def feed(self, data: bytes) -> list[Frame | FrameError]:
        """Take bytes from the line; return what they completed."""
        found: list[Frame | FrameError] = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            if self._held or self._overrun:
                if piece:
                    self._hold(piece)
                self._close(found)
            elif piece:
                self._read(piece, found)
        if rest:
            self._hold(rest)
        return found

    def reset(self) -> None:
        """Forget a frame begun, as after a reconnect."""
        self.counts.dropped_bytes += len(self._held) + self._overrun
        self._held = b""
        self._overrun = 0

    def _hold(self, piece: bytes) -> None:
        room = _MAX_STUFFED - len(self._held)
        if len(piece) > room or self._overrun:
            self._overrun += len(self._held) + len(piece)
            self._held = b""
        else:
            self._held += piece

    def _close(self, found: list[Frame | FrameError]) -> None:
        if self._overrun:
            size, self._overrun = self._overrun, 0
            self._drop(found, FrameFault.TOO_LONG, size, f"{size} bytes without a delimiter")
        else:
            held, self._held = self._held, b""
            self._read(held, found)

    def _read(self, stuffed: bytes, found: list[Frame | FrameError]) -> None:
        try:
            frame = decode_frame(stuffed)
        except ProtocolError as error:
            self._drop(found, FrameFault(error.code), len(stuffed), str(error))
        else:
            self.counts.frames += 1
            found.append(frame)

    def _drop(self, found: list[Frame | FrameError], fault: FrameFault, size: int, message: str) -> None:
        self.counts.dropped_frames += 1
        self.counts.dropped_bytes += size
        self.counts.faults[fault] += 1
        found.append(FrameError(fault, size, message))


def _too_long(length: int) -> ProtocolError:
    return ProtocolError(f"payload of {length} bytes", allowed=f"0..{MAX_PAYLOAD_BYTES}", code="bad-length")


def _fault(fault: FrameFault, found: str, allowed: str) -> ProtocolError:
    return ProtocolError(
        f"frame: found {found}", allowed=allowed, remedy="The frame was dropped.", code=fault.value
    )
