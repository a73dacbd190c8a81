"""Hostile bytes into the decoder: nothing escapes or is swallowed, only canonical frames are accepted."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ProtocolError
from neurostim.wire.codec import error_code, frame_error_code, pack, unpack
from neurostim.wire.frame import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, FrameFault, encode_frame
from neurostim.wire.image import decode_image, encode_image
from neurostim.wire.messages import ErrorCode, Heartbeat, Stop
from support.wire_data import golden, octets
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
    "sealed",
    "bad-header",
    "unknown-type",
    "bad-length",
    "bad-content",
    "accepted",
}


@pytest.mark.hazard("interference")
def test_hostile_pieces_are_survived_and_counted():
    found = campaign(seed=1, count=20_000)
    assert set(found) >= MET


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_million_hostile_pieces_are_survived_and_counted(seed):
    found = campaign(seed=1000 + seed, count=100_000)
    assert set(found) >= MET


def image_campaign(seed: int, count: int) -> Counter[str]:
    """Read altered images; whatever is accepted must be the only encoding of what was read."""
    source, found = random.Random(seed), Counter[str]()
    honest = [octets(vector["bytes"]) for vector in golden("images")["vector"]]
    for _ in range(count):
        data = bytearray(source.choice(honest))
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(data))
            match source.randrange(4):
                case 0:
                    data[at] ^= 1 << source.randrange(8)
                case 1:
                    data[at] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    other = source.randrange(len(data))
                    data[at : at + 4] = data[other : other + 4].ljust(len(data[at : at + 4]), b"\0")
                case _:
                    del data[at:]
                    data += source.randbytes(source.randrange(8))
            if not data:
                data = bytearray(b"N")
        if source.randrange(2) and len(data) >= 10:
            data[8:10] = len(data).to_bytes(2, "little")
        try:
            image = decode_image(bytes(data))
        except ProtocolError as error:
            found[error.code] += 1
            continue
        found["accepted"] += 1
        assert encode_image(image) == data
    return found


def test_altered_images_are_refused_or_canonical():
    assert set(image_campaign(seed=2, count=5_000)) == {"bad-image", "accepted"}


@pytest.mark.long
def test_two_hundred_thousand_altered_images_are_refused_or_canonical():
    assert set(image_campaign(seed=3, count=200_000)) == {"bad-image", "accepted"}


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_any_bytes_are_survived_and_a_stop_after_them_is_heard(pieces):
    decoder = FrameDecoder()
    for piece in pieces:
        decoder.feed(piece)
    heard = [unpack(item) for item in decoder.feed(STOP) if isinstance(item, Frame)]
    assert heard[-1] == Stop()


@pytest.mark.hazard("slow-stop")
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
