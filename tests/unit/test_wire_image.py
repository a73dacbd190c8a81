"""Program images: every bound of the format is refused from outside and accepted at its edge."""

from __future__ import annotations

import dataclasses
import struct

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.core.image import Grid, ProgramImage
from neurostim.core.program import Recharge
from neurostim.core.program_file import load_preset, presets
from neurostim.wire.image import MAX_IMAGE_BYTES, check_image, decode_image, encode_image
from support.wire_data import golden, image_of, octets

VECTORS = golden("images")["vector"]
BURST = image_of(VECTORS[0])
BENCH = image_of(VECTORS[1])
BYTES = octets(VECTORS[0]["bytes"])
S = 10**9


def with_area(**changes) -> ProgramImage:
    base = BENCH if changes.pop("bench", False) else BURST
    area = dataclasses.replace(base.areas[0], **changes)
    return dataclasses.replace(base, areas=(area, *base.areas[1:]))


ACCEPTED_AREAS = [
    {"amplitude_na": 0},
    {"amplitude_na": 150_000_000},
    {"width_ticks": 1},
    {"width_ticks": 10_000},
    {"interphase_ticks": 0},
    {"interphase_ticks": 10_000},
    {"recharge": Recharge.ACTIVE_ASYMMETRIC, "ratio": 2},
    {"recharge": Recharge.ACTIVE_ASYMMETRIC, "ratio": 20},
    {"recharge": Recharge.TRIPHASIC},
    {"recharge": Recharge.NONE, "ratio": 1, "bench": True},
    {"period_num": 50_000, "period_den": 1},
    {"period_num": 1000 * S, "period_den": 1},
    {"period_num": 50_001, "period_den": 1},
    {"period_num": 10**12, "period_den": 19_999_999},
    {"burst_pulses": 2},
    {"burst_pulses": 1000},
    {"burst_period_num": 3_000_001},
    {"burst_pulses": 1, "burst_period_num": 0, "recharge": Recharge.PASSIVE},
    {"ramp_up_ns": 1, "ramp_down_ns": 1},
    {"ramp_up_ns": 60 * S, "ramp_down_ns": 60 * S},
    {"ramp_up_ns": 0, "ramp_down_ns": 0, "bench": True},
    {"delay_ns": 60 * S},
    {"on_ns": S // 10, "off_ns": 0},
    {"on_ns": 86_400 * S, "off_ns": 86_400 * S},
    {"on_ns": 0, "off_ns": 0},
    {"priority": 0},
    {"priority": 255},
    {"shares": ((1, -1000), (255, 1000))},
    {"shares": ((1, 1), (2, 999), (32, -1000))},
]

REFUSED_AREAS = [
    {"amplitude_na": -1},
    {"amplitude_na": 150_000_001},
    {"amplitude_na": 1.0},
    {"amplitude_na": True},
    {"width_ticks": 0},
    {"width_ticks": 10_001},
    {"interphase_ticks": -1},
    {"interphase_ticks": 10_001},
    {"recharge": Recharge.NONE},
    {"recharge": 2},
    {"ratio": 2},
    {"ratio": 0},
    {"recharge": Recharge.ACTIVE_ASYMMETRIC, "ratio": 1},
    {"recharge": Recharge.ACTIVE_ASYMMETRIC, "ratio": 21},
    {"period_num": 0},
    {"period_num": 49_999, "period_den": 1},
    {"period_num": 1000 * S + 1, "period_den": 1},
    {"period_num": 10**12, "period_den": 20_000_001},
    {"period_num": 50_000_000, "period_den": 2},
    {"period_num": 25_000_000, "period_den": 0},
    {"period_num": 50_000_001, "period_den": 2},
    {"burst_pulses": 0},
    {"burst_pulses": 1001},
    {"burst_pulses": 1},
    {"burst_pulses": 1, "burst_period_num": 0},
    {"burst_pulses": 1, "burst_period_num": 0, "burst_period_den": 2, "recharge": Recharge.PASSIVE},
    {"burst_period_num": 0},
    {"burst_period_num": 4_000_000, "burst_period_den": 2},
    {"ramp_up_ns": 0},
    {"ramp_down_ns": 0},
    {"ramp_up_ns": 60 * S + 1},
    {"ramp_down_ns": 60 * S + 1},
    {"ramp_up_ns": -1, "bench": True},
    {"delay_ns": -1},
    {"delay_ns": 60 * S + 1},
    {"on_ns": S // 10 - 1},
    {"on_ns": 0},
    {"on_ns": 86_400 * S + 1},
    {"off_ns": 86_400 * S + 1},
    {"off_ns": -1},
    {"priority": -1},
    {"priority": 256},
    {"shares": ()},
    {"shares": ((3, -1000),)},
    {"shares": ((5, -1000), (3, 1000))},
    {"shares": ((3, -1000), (3, 1000))},
    {"shares": ((0, -1000), (3, 1000))},
    {"shares": ((3, -1000), (33, 1000))},
    {"shares": ((3, -1000), (254, 1000))},
    {"shares": ((3, -1000), (256, 1000))},
    {"shares": ((3, -1000), (5, 999))},
    {"shares": ((3, -999), (5, 1000))},
    {"shares": ((3, -999), (5, 999))},
    {"shares": ((3, -1000), (4, -1000), (5, 1000), (6, 1000))},
    {"shares": ((3, -1000), (4, 0), (5, 1000))},
    {"shares": ((3, -1001), (4, 1), (5, 1000))},
]

REFUSED_IMAGES = [
    {"areas": ()},
    {"areas": BURST.areas * 9},
    {"duration_ns": -1},
    {"duration_ns": 365 * 86_400 * S + 1},
    {"bench": 1},
    {"interleave_drop": 0},
    {"grid": Grid(0, 1, 0, 0)},
    {"grid": Grid(1_000_001, 1, 0, 0)},
    {"grid": Grid(1000, 0, 0, 0)},
    {"grid": Grid(1000, 10_000_001, 0, 0)},
    {"grid": Grid(1000, 1, -1, 0)},
    {"grid": Grid(1000, 1, 10_001, 0)},
    {"grid": Grid(1000, 1, 0, 100_001)},
]


@pytest.mark.parametrize("changes", ACCEPTED_AREAS, ids=str)
def test_values_at_the_edge_are_carried(changes):
    image = with_area(**changes)
    assert decode_image(encode_image(image)) == image


@pytest.mark.parametrize("changes", REFUSED_AREAS, ids=str)
def test_values_outside_are_refused(changes):
    with pytest.raises(ProtocolError) as caught:
        encode_image(with_area(**changes))
    assert caught.value.code == "bad-image"
    assert caught.value.allowed


@pytest.mark.parametrize("changes", REFUSED_IMAGES, ids=str)
def test_images_outside_are_refused(changes):
    with pytest.raises(ProtocolError):
        check_image(dataclasses.replace(BURST, **changes))


def test_a_delay_that_reaches_the_duration_is_refused():
    for duration, delay, accepted in ((10, 9, True), (10, 10, False), (0, 60 * S, True)):
        image = dataclasses.replace(with_area(delay_ns=delay), duration_ns=duration)
        if accepted:
            assert decode_image(encode_image(image)) == image
        else:
            with pytest.raises(ProtocolError):
                encode_image(image)


def test_widths_are_what_rounding_to_the_grid_can_give():
    grid = Grid(30_500, 1, 0, 0)
    for ticks, accepted in ((0, False), (1, True), (328, True), (329, False)):
        image = dataclasses.replace(with_area(width_ticks=ticks), grid=grid)
        if accepted:
            check_image(image)
        else:
            with pytest.raises(ProtocolError):
                check_image(image)
    fine = dataclasses.replace(BURST, grid=Grid(100, 1, 0, 0))
    for ticks, accepted in ((9, False), (10, True)):
        image = dataclasses.replace(fine, areas=(dataclasses.replace(BURST.areas[0], width_ticks=ticks),))
        if accepted:
            check_image(image)
        else:
            with pytest.raises(ProtocolError):
                check_image(image)


@pytest.mark.parametrize(
    ("at", "raw"),
    [
        (0, b"X"),
        (4, b"\0"),
        (4, b"\2"),
        (5, b"\4"),
        (6, b"\0"),
        (6, b"\2"),
        (7, b"\1"),
        (8, b"\x7d"),
        (8, b"\x7f"),
        (10, b"\1"),
        (36 + 12, b"\6"),
        (36 + 17, b"\1"),
        (36 + 17, b"\3"),
        (36 + 18, b"\1"),
        (36 + 19, b"\1"),
    ],
)
def test_altered_bytes_are_refused(at, raw):
    with pytest.raises(ProtocolError) as caught:
        decode_image(BYTES[:at] + raw + BYTES[at + len(raw) :])
    assert caught.value.code == "bad-image"


def test_every_truncation_and_every_addition_is_refused():
    for length in range(len(BYTES)):
        with pytest.raises(ProtocolError):
            decode_image(BYTES[:length])
        stated = BYTES[:8] + struct.pack("<H", length) + BYTES[10:length]
        if length >= 10:
            with pytest.raises(ProtocolError):
                decode_image(stated)
    for more in (b"\0", BYTES, BYTES[36:]):
        with pytest.raises(ProtocolError):
            decode_image(BYTES + more)
        with pytest.raises(ProtocolError):
            decode_image(BYTES[:8] + struct.pack("<H", len(BYTES + more)) + BYTES[10:] + more)


def test_longest_image_is_as_long_as_stated():
    shares = (*((contact, -1 if contact < 32 else -969) for contact in range(1, 33)), (255, 1000))
    area = dataclasses.replace(BURST.areas[0], shares=shares)
    image = dataclasses.replace(BURST, areas=(area,) * 8)
    assert len(encode_image(image)) == MAX_IMAGE_BYTES == 1500


def test_every_preset_is_a_few_hundred_bytes_and_comes_back_equal():
    from neurostim.core.compile import compile_program

    grid = Grid.of(1000, 5_000)
    lengths = {}
    for name in presets():
        image = compile_program(load_preset(name), grid).image
        data = encode_image(image)
        assert decode_image(data) == image, name
        lengths[name] = len(data)
    assert lengths
    assert max(lengths.values()) < 500
