"""Frames: what a decoder accepts, drops and reports, and where the bounds are."""

from __future__ import annotations

import struct
import zlib

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.codec import (
    error_code,
    frame_error_code,
    pack,
    stop_frame,
    unpack,
    unpack_request,
)
from neurostim.wire.frame import (
    FLAG_AUTHENTICATED,
    MAX_FRAME_BYTES,
    MAX_PAYLOAD_BYTES,
    TAG_BYTES,
    Frame,
    FrameDecoder,
    FrameError,
    FrameFault,
    decode_frame,
    encode_frame,
)
from neurostim.wire.layout import Kind
from neurostim.wire.messages import DeviceState as State
from neurostim.wire.messages import (
    EmergencyStop,
    ErrorCode,
    Heartbeat,
    Status,
    Stop,
    StopCause,
    StopReply,
    Telemetry,
)

HEADER = struct.Struct("<BBBBIQIQH")
LINE = pack(Heartbeat(1, 2), session=3, sequence=4, command_id=5, lease_us=6)


def sealed(*, version=1, kind=0x05, flags=0, reserved=0, payload=b"", length=None, tail=b"") -> bytes:
    """Line of a frame with any header and a right checksum."""
    stated = len(payload) if length is None else length
    body = HEADER.pack(version, kind, flags, reserved, 1, 2, 3, 4, stated) + payload + tail
    return b"\0" + cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def only(line: bytes) -> Frame | FrameError:
    (found,) = FrameDecoder().feed(line)
    return found


def test_frames_begin_and_end_with_a_delimiter_and_hold_none():
    assert LINE[0] == 0
    assert LINE[-1] == 0
    assert 0 not in LINE[1:-1]


def test_delimiters_alone_are_nothing():
    decoder = FrameDecoder()
    assert decoder.feed(b"\0" * 50) == []
    assert decoder.counts.dropped_frames == 0
    assert decoder.counts.frames == 0


def test_frames_that_share_a_delimiter_are_both_read():
    found = FrameDecoder().feed(LINE + LINE[1:])
    assert [unpack(frame) for frame in found if isinstance(frame, Frame)] == [Heartbeat(1, 2)] * 2


def test_frames_and_errors_come_in_the_order_of_the_line():
    found = FrameDecoder().feed(LINE + b"\x11\x22\0" + LINE)
    assert [type(item) for item in found] == [Frame, FrameError, Frame]


def test_a_byte_at_a_time_is_as_good_as_all_at_once():
    decoder, found = FrameDecoder(), []
    for at in range(len(LINE)):
        found += decoder.feed(LINE[at : at + 1])
    assert found == FrameDecoder().feed(LINE)
    assert decoder.counts.frames == 1


def test_a_frame_with_the_authenticated_flag_carries_its_tag_apart():
    tag = bytes(range(TAG_BYTES))
    frame = only(sealed(flags=FLAG_AUTHENTICATED, payload=b"ab", tail=tag))
    assert isinstance(frame, Frame)
    assert (frame.authenticated, frame.sealed, frame.payload, frame.tag) == (True, True, b"ab", tag)
    assert encode_frame(frame) == sealed(flags=FLAG_AUTHENTICATED, payload=b"ab", tail=tag)


@pytest.mark.parametrize("length", [0, 1, TAG_BYTES - 1, TAG_BYTES + 1])
def test_the_authenticated_flag_with_another_length_than_a_tag_is_refused(length):
    error = only(sealed(flags=FLAG_AUTHENTICATED, tail=bytes(length)))
    assert isinstance(error, FrameError)
    assert error.fault is FrameFault.HEADER
    assert frame_error_code(error) is ErrorCode.MALFORMED


def test_a_sealed_frame_is_not_read_before_it_is_opened():
    frame = only(sealed(flags=FLAG_AUTHENTICATED, tail=bytes(TAG_BYTES)))
    with pytest.raises(ProtocolError) as caught:
        unpack(frame)
    assert caught.value.code == "sealed"


def test_a_frame_marked_authenticated_is_not_sent_without_a_tag():
    for tag in (b"", bytes(TAG_BYTES - 1)):
        with pytest.raises(ProtocolError) as caught:
            encode_frame(Frame(1, Kind.REQUEST, 1, 1, 1, 0, b"", authenticated=True, tag=tag))
        assert caught.value.code == "bad-length"


def test_another_version_is_refused_with_its_own_error():
    for version in (0, 2, 255):
        error = only(sealed(version=version))
        assert isinstance(error, FrameError)
        assert error.fault is FrameFault.VERSION
        assert frame_error_code(error) is ErrorCode.UNSUPPORTED_VERSION


@pytest.mark.parametrize(
    "header",
    [
        {"flags": 3},
        {"flags": 8},
        {"flags": 0x80},
        {"flags": 0x81},
        {"reserved": 1},
        {"kind": 0},
        {"kind": 0x80},
        {"length": 1},
        {"payload": b"ab", "length": 1},
        {"payload": b"ab", "length": 3},
        {"payload": b"a" * (MAX_PAYLOAD_BYTES + 1)},
        {"tail": bytes(16)},
    ],
    ids=str,
)
def test_headers_that_version_1_does_not_know_are_refused(header):
    error = only(sealed(**header))
    assert isinstance(error, FrameError)
    assert error.fault is FrameFault.HEADER
    assert frame_error_code(error) is ErrorCode.MALFORMED


def test_header_and_longest_payload_are_accepted():
    frame = only(sealed(payload=b"\xaa" * MAX_PAYLOAD_BYTES))
    assert isinstance(frame, Frame)
    assert len(frame.payload) == MAX_PAYLOAD_BYTES


def test_a_tag_has_room_in_the_longest_frame():
    body = 30 + MAX_PAYLOAD_BYTES + TAG_BYTES + 4
    assert cobs.encoded_length(body) + 2 <= MAX_FRAME_BYTES


def test_noise_is_counted_and_gets_no_answer():
    damaged = bytearray(LINE)
    damaged[10] ^= 0x40
    for line, fault in (
        (bytes(damaged), FrameFault.CHECKSUM),
        (b"\x05\x01\0", FrameFault.STUFFING),
        (b"\x03\x01\x02\0", FrameFault.TOO_SHORT),
        (b"\x01" * 1023 + b"\0", FrameFault.TOO_LONG),
    ):
        decoder = FrameDecoder()
        (error,) = decoder.feed(line)
        assert isinstance(error, FrameError)
        assert error.fault is fault
        assert error.size == len(line.strip(b"\0"))
        assert frame_error_code(error) is None
        assert decoder.counts.faults[fault] == 1
        assert decoder.counts.dropped_bytes == error.size


def test_longest_line_is_not_too_long_and_one_more_byte_is():
    for size, fault in ((1022, FrameFault.CHECKSUM), (1023, FrameFault.TOO_LONG)):
        for step in (1, 100, 2000):
            decoder, found = FrameDecoder(), []
            line = cobs.encode(b"\x07" * 1017)[:size] if size == 1022 else b"\x01" * size
            for at in range(0, len(line), step):
                found += decoder.feed(line[at : at + step])
            (error,) = decoder.feed(b"\0")
            assert isinstance(error, FrameError)
            assert error.fault is fault
            assert error.size == size
    with pytest.raises(ProtocolError) as caught:
        decode_frame(b"\x01" * 1023)
    assert caught.value.code == FrameFault.TOO_LONG.value


def test_reset_forgets_a_frame_begun_and_counts_it():
    decoder = FrameDecoder()
    decoder.feed(LINE[:20])
    decoder.reset()
    assert decoder.counts.dropped_bytes == 19
    (frame,) = decoder.feed(LINE[1:])
    assert isinstance(frame, Frame)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(0, Kind.REQUEST, 0, 0, 0, 0, b""),
        Frame(0x80, Kind.REQUEST, 0, 0, 0, 0, b""),
        Frame(1, Kind.REQUEST, -1, 0, 0, 0, b""),
        Frame(1, Kind.REQUEST, 2**32, 0, 0, 0, b""),
        Frame(1, Kind.REQUEST, 0, 2**64, 0, 0, b""),
        Frame(1, Kind.REQUEST, 0, 0, 2**32, 0, b""),
        Frame(1, Kind.REQUEST, 0, 0, 0, -1, b""),
        Frame(1, Kind.REQUEST, 0, 0, 0, 0.5, b""),  # type: ignore[arg-type]
        Frame(1, Kind.REQUEST, 0, 0, 0, 0, bytes(MAX_PAYLOAD_BYTES + 1)),
    ],
    ids=str,
)
def test_a_frame_that_does_not_fit_is_not_made(frame):
    with pytest.raises(ProtocolError):
        encode_frame(frame)


def test_a_device_refuses_replies_and_events():
    reply = StopReply(State.STOPPED, StopCause.STOP, False, 1)
    for message in (reply, Telemetry(1, 1, State.IDLE, 0, 0, 0, 1000, 0, 0, ())):
        frame = only(pack(message, session=1, sequence=1, command_id=1, lease_us=0))
        assert isinstance(frame, Frame)
        assert unpack(frame) == message
        with pytest.raises(ProtocolError) as caught:
            unpack_request(frame)
        assert error_code(caught.value) is ErrorCode.UNKNOWN_TYPE


def test_a_device_reads_commands_and_refuses_unknown_ones():
    frame = only(sealed(kind=0x05))
    assert isinstance(frame, Frame)
    assert unpack_request(frame) == Status()
    for kind, flags in ((0x7E, 0), (0x7F, 0), (0x50, 0), (0x05, 2), (0x50, 1)):
        frame = only(sealed(kind=kind, flags=flags))
        assert isinstance(frame, Frame)
        with pytest.raises(ProtocolError) as caught:
            unpack(frame)
        assert caught.value.code == "unknown-type"
        assert error_code(caught.value) is ErrorCode.UNKNOWN_TYPE


@pytest.mark.hazard("interference")
def test_content_that_is_not_valid_is_malformed():
    frame = only(sealed(kind=0x31, payload=b"x"))
    assert isinstance(frame, Frame)
    with pytest.raises(ProtocolError) as caught:
        unpack_request(frame)
    assert error_code(caught.value) is ErrorCode.MALFORMED


def test_stop_frames_are_made_ahead_of_time():
    for emergency, message in ((False, Stop()), (True, EmergencyStop())):
        frame = only(stop_frame(emergency=emergency, session=9, command_id=77))
        assert isinstance(frame, Frame)
        assert unpack_request(frame) == message
        assert (frame.session, frame.sequence, frame.command_id, frame.lease_us) == (9, 0, 77, 0)
