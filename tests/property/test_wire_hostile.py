"""Hostile bytes into the decoder: nothing escapes or is swallowed, only canonical frames are accepted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ProtocolError
from neurostim.wire.codec import error_code, frame_error_code, pack, unpack
from neurostim.wire.frame import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, FrameFault, encode_frame
from neurostim.wire.messages import ErrorCode, Heartbeat, Stop
from support.wire_strategies import hostile

STOP = pack(Stop(), session=0, sequence=0, command_id=1, lease_us=0)


def campaign(seed: int, count: int) -> Counter[str]:
    """Feed hostile pieces to one decoder, checking every frame that comes out; what was found, counted."""
    decoder, found = FrameDecoder(), Counter[str]()
    fed = zeros = 0
    accepted_bytes = 0
    answers: set[ErrorCode] = set()
    for piece in hostile(seed, count):
        fed += len(piece)
        zeros += piece.count(0)
        for item in decoder.feed(piece):
            if not isinstance(item, Frame):
                found[item.fault.value] += 1
                assert (frame_error_code(item) is None) == (item.fault.value in NOISE)
                continue
            line = encode_frame(item)
            accepted_bytes += len(line) - 2
            try:
                message = unpack(item)
            except ProtocolError as error:
                found[error.code] += 1
                answers.add(error_code(error))
                continue
            found["accepted"] += 1
            again = pack(
                message,
                session=item.session,
                sequence=item.sequence,
                command_id=item.command_id,
                lease_us=item.lease_us,
            )
            assert again == line
    assert answers <= {ErrorCode.MALFORMED, ErrorCode.UNKNOWN_TYPE}
    decoder.reset()
    # Every byte that came is a delimiter, part of an accepted frame, or counted as dropped.
    assert fed == zeros + accepted_bytes + decoder.counts.dropped_bytes
    assert decoder.counts.dropped_frames == sum(decoder.counts.faults.values())
    (frame,) = decoder.feed(STOP)
    assert isinstance(frame, Frame)
    assert isinstance(unpack(frame), Stop)
    return found


NOISE = {"frame-too-long", "bad-cobs", "frame-too-short", "bad-crc"}
MET = NOISE - {"frame-too-long"} | {
    "unsupported-version",
    "authentication-unsupported",
    "bad-header",
    "unknown-type",
    "bad-length",
    "bad-content",
    "accepted",
}


def test_hostile_pieces_are_survived_and_counted():
    found = campaign(seed=1, count=20_000)
    assert set(found) >= MET


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_million_hostile_pieces_are_survived_and_counted(seed):
    found = campaign(seed=1000 + seed, count=100_000)
    assert set(found) >= MET


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_any_bytes_are_survived_and_a_stop_after_them_is_heard(pieces):
    decoder = FrameDecoder()
    for piece in pieces:
        decoder.feed(piece)
    heard = [unpack(item) for item in decoder.feed(STOP) if isinstance(item, Frame)]
    assert heard[-1] == Stop()


@given(st.integers(0, 44))
def test_a_stop_inside_a_half_sent_frame_is_heard(cut):
    half = pack(Heartbeat(1, 2), session=1, sequence=2, command_id=3, lease_us=4)[:cut]
    heard = [unpack(item) for item in FrameDecoder().feed(half + STOP) if isinstance(item, Frame)]
    assert heard[-1] == Stop()


def test_a_line_without_delimiters_takes_no_memory():
    decoder = FrameDecoder()
    for _ in range(1001):
        assert decoder.feed(b"\x55" * 1000) == []
        assert len(decoder._held) <= MAX_FRAME_BYTES
    error, frame = decoder.feed(STOP)
    assert isinstance(error, FrameError)
    assert error.fault is FrameFault.TOO_LONG
    assert error.size == decoder.counts.dropped_bytes == 1_001_000
    assert isinstance(frame, Frame)
    assert unpack(frame) == Stop()
