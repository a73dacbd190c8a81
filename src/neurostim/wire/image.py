"""The bytes of a program image: one fixed layout, one encoding for each image, nothing lenient.

The layout is in ``protocols/wire/specification.md``; the bounds are those of the program format.
Whether a device can deliver an image is not judged here.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
from fractions import Fraction
from typing import Final

from neurostim.core import bounds
from neurostim.core.bounds import Bound
from neurostim.core.errors import ProtocolError
from neurostim.core.image import RETURN_INDEX, Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge

MAGIC: Final = b"NSPI"
IMAGE_VERSION: Final = 1

_MILLIHERTZ_PERIOD_NS: Final = 10**12
_MIN_RATE_MHZ: Final = math.ceil(bounds.RATE_HZ.low * 1000)
_MAX_RATE_MHZ: Final = math.floor(bounds.RATE_HZ.high * 1000)
_FLAG_DROP: Final = 0x01
_FLAG_BENCH: Final = 0x02

_HEAD: Final = struct.Struct("<4sBBBBHHIIIIQ")
_AREA: Final = struct.Struct("<IIIBBHBBHQIQIQQQQQ")
_SHARE: Final = struct.Struct("<Bh")

_MAX_AREAS: Final = int(bounds.AREAS.high)
_MAX_SHARES: Final = int(bounds.CONTACT.high) + 1
MAX_IMAGE_BYTES: Final = _HEAD.size + _MAX_AREAS * (_AREA.size + _MAX_SHARES * _SHARE.size)
"""Length of the longest image there can be."""


def encode_image(image: ProgramImage) -> bytes:
    """Bytes of an image.

    Raises
    ------
    ProtocolError
        Where a value is outside the bounds of the format; nothing is adjusted.
    """
    check_image(image)
    grid = image.grid
    areas = b"".join(_encode_area(area) for area in image.areas)
    flags = (_FLAG_DROP if image.interleave_drop else 0) | (_FLAG_BENCH if image.bench else 0)
    head = _HEAD.pack(
        MAGIC,
        IMAGE_VERSION,
        flags,
        len(image.areas),
        0,
        _HEAD.size + len(areas),
        0,
        grid.tick_ns,
        grid.step_na,
        grid.guard_ticks,
        grid.recovery_min_ticks,
        image.duration_ns,
    )
    return head + areas


def decode_image(data: bytes) -> ProgramImage:
    """Read an image; accepts exactly what `encode_image` makes.

    Raises
    ------
    ProtocolError
        Where the bytes are not the one encoding of an image inside the bounds of the format.
    """
    return _read(bytes(data))


@functools.lru_cache(maxsize=64)
def _read(data: bytes) -> ProgramImage:
    # A device reads the few images it holds at every boot, arming and start; equal bytes are one image.
    if len(data) < _HEAD.size:
        raise _refuse("length", len(data), f"{_HEAD.size} bytes or more")
    magic, version, flags, count, reserved, length, reserved2, tick, step, guard, recovery, duration = (
        _HEAD.unpack_from(data)
    )
    if magic != MAGIC or version != IMAGE_VERSION:
        raise _refuse("magic and version", (magic, version), f"{MAGIC!r}, {IMAGE_VERSION}")
    if reserved or reserved2 or flags > (_FLAG_DROP | _FLAG_BENCH):
        raise _refuse("reserved bits", (flags, reserved, reserved2), "zero")
    if length != len(data):
        raise _refuse("length", length, f"{len(data)}, the bytes there are")
    areas, at = [], _HEAD.size
    for _ in range(count):
        area, at = _decode_area(data, at)
        areas.append(area)
    if at != len(data):
        raise _refuse("length", length, f"{at}, what the areas take")
    image = ProgramImage(
        Grid(tick, step, guard, recovery),
        tuple(areas),
        duration,
        bool(flags & _FLAG_DROP),
        bool(flags & _FLAG_BENCH),
    )
    check_image(image)
    return image


def image_digest(data: bytes) -> bytes:
    """SHA-256 over the bytes of an image."""
    return hashlib.sha256(data).digest()


def _encode_area(area: ImageArea) -> bytes:
    head = _AREA.pack(
        area.amplitude_na,
        area.width_ticks,
        area.interphase_ticks,
        area.recharge,
        area.ratio,
        area.burst_pulses,
        area.priority,
        len(area.shares),
        0,
        area.period_num,
        area.period_den,
        area.burst_period_num,
        area.burst_period_den,
        area.ramp_up_ns,
        area.ramp_down_ns,
        area.delay_ns,
        area.on_ns,
        area.off_ns,
    )
    return head + b"".join(_SHARE.pack(contact, permille) for contact, permille in area.shares)


def _decode_area(data: bytes, at: int) -> tuple[ImageArea, int]:
    if len(data) < at + _AREA.size:
        raise _refuse("length", len(data), f"{at + _AREA.size} or more")
    values = _AREA.unpack_from(data, at)
    amplitude, width, interphase, recharge, ratio, pulses, priority, count, reserved = values[:9]
    period_num, period_den, burst_num, burst_den, up, down, delay, on, off = values[9:]
    if reserved:
        raise _refuse("reserved bytes", reserved, "zero")
    at += _AREA.size
    stop = at + count * _SHARE.size
    if len(data) < stop:
        raise _refuse("length", len(data), f"{stop} or more")
    try:
        kind = Recharge(recharge)
    except ValueError:
        raise _refuse("recharge", recharge, "0..5") from None
    area = ImageArea(
        amplitude_na=amplitude,
        shares=tuple(_SHARE.iter_unpack(data[at:stop])),
        width_ticks=width,
        interphase_ticks=interphase,
        recharge=kind,
        ratio=ratio,
        period_num=period_num,
        period_den=period_den,
        burst_pulses=pulses,
        burst_period_num=burst_num,
        burst_period_den=burst_den,
        ramp_up_ns=up,
        ramp_down_ns=down,
        delay_ns=delay,
        on_ns=on,
        off_ns=off,
        priority=priority,
    )
    return area, stop


def check_image(image: ProgramImage) -> None:
    """Refuse an image that leaves the bounds of the format.

    Raises
    ------
    ProtocolError
        Naming the first value that does.
    """
    grid = image.grid
    tick = grid.tick_ns
    _bound("", "grid.tick_ns", tick, bounds.TICK_NS)
    _bound("", "grid.step_na", grid.step_na, bounds.STEP_NA)
    # Both are given in ns and rounded up to ticks.
    _within("", "grid.guard_ticks", grid.guard_ticks, 0, -(-int(bounds.GUARD_NS.high) // tick))
    longest = -(-int(bounds.RECOVERY_MIN_NS.high) // tick)
    _within("", "grid.recovery_min_ticks", grid.recovery_min_ticks, 0, longest)
    _within("", "duration_ns", image.duration_ns, 0, int(bounds.DURATION_NS.high))
    _flag("interleave_drop", image.interleave_drop)
    _flag("bench", image.bench)
    _bound("", "areas", len(image.areas), bounds.AREAS)
    for index, area in enumerate(image.areas):
        _check_area(f"area {index}", area, image)


def _check_area(place: str, area: ImageArea, image: ProgramImage) -> None:
    tick, bench = image.grid.tick_ns, image.bench
    _bound(place, "amplitude_na", area.amplitude_na, bounds.AMPLITUDE_NA)
    _check_shares(place, area.shares)
    shortest, longest, longest_interphase = _bounds_in_ticks(tick)
    _within(place, "width_ticks", area.width_ticks, shortest, longest)
    _within(place, "interphase_ticks", area.interphase_ticks, 0, longest_interphase)
    if type(area.recharge) is not Recharge or (area.recharge is Recharge.NONE and not bench):
        raise _refuse(f"{place} recharge", area.recharge, "a Recharge; NONE only with bench")
    if area.recharge is Recharge.ACTIVE_ASYMMETRIC:
        _bound(place, "ratio", area.ratio, bounds.RATIO)
    else:
        _within(place, "ratio", area.ratio, 1, 1)
    _check_period(place, "period", area.period_num, area.period_den)
    _check_burst(place, area)
    shortest_ramp = 0 if bench else 1
    _within(place, "ramp_up_ns", area.ramp_up_ns, shortest_ramp, int(bounds.RAMP_NS.high))
    _within(place, "ramp_down_ns", area.ramp_down_ns, shortest_ramp, int(bounds.RAMP_NS.high))
    _bound(place, "delay_ns", area.delay_ns, bounds.DELAY_NS)
    if image.duration_ns and area.delay_ns >= image.duration_ns:
        raise _refuse(f"{place} delay_ns", area.delay_ns, f"below the duration of {image.duration_ns}")
    if area.on_ns != 0 or area.off_ns != 0:
        _bound(place, "on_ns", area.on_ns, bounds.ON_NS)
        _bound(place, "off_ns", area.off_ns, bounds.OFF_NS)
    _bound(place, "priority", area.priority, bounds.PRIORITY)


@functools.lru_cache(maxsize=64)
def _bounds_in_ticks(tick_ns: int) -> tuple[int, int, int]:
    """Shortest and longest width, and longest interphase, on a grid [ticks]."""
    ends = (bounds.WIDTH_NS.low, bounds.WIDTH_NS.high, bounds.INTERPHASE_NS.high)
    shortest, longest, interphase = (max(1, round(Fraction(end, tick_ns))) for end in ends)
    return shortest, longest, interphase


def _check_shares(place: str, shares: tuple[tuple[int, int], ...]) -> None:
    _within(place, "shares", len(shares), 2, _MAX_SHARES)
    before = cathodes = anodes = 0
    for contact, permille in shares:
        if contact != RETURN_INDEX:
            _bound(place, "contact", contact, bounds.CONTACT)
        if contact <= before:
            raise _refuse(f"{place} contact", contact, "ascending contacts")
        _bound(place, "share", permille, bounds.SHARE_PERMILLE)
        if permille == 0:
            raise _refuse(f"{place} share", permille, "a share that is not zero")
        cathodes += min(permille, 0)
        anodes += max(permille, 0)
        before = contact
    if (cathodes, anodes) != (-1000, 1000):
        raise _refuse(f"{place} shares", (cathodes, anodes), "cathodes -1000, anodes +1000")


def _check_burst(place: str, area: ImageArea) -> None:
    if area.burst_pulses == 1:
        if (area.burst_period_num, area.burst_period_den) != (0, 1):
            found = (area.burst_period_num, area.burst_period_den)
            raise _refuse(f"{place} burst_period", found, "0/1 without a burst")
        if area.recharge is Recharge.PASSIVE_AFTER_BURST:
            raise _refuse(f"{place} recharge", area.recharge.word, "another recharge without a burst")
        return
    _bound(place, "burst_pulses", area.burst_pulses, bounds.BURST_PULSES)
    _check_period(place, "burst_period", area.burst_period_num, area.burst_period_den)


def _check_period(place: str, name: str, num: int, den: int) -> None:
    _within(place, f"{name}_num", num, 1, _MILLIHERTZ_PERIOD_NS)
    _within(place, f"{name}_den", den, 1, 2**32 - 1)
    if math.gcd(num, den) != 1:
        raise _refuse(f"{place} {name}", (num, den), "lowest terms")
    # A rate has at most three decimals in Hz, so its period is 10^12 / m ns; an interval is whole ns.
    millihertz, rest = divmod(_MILLIHERTZ_PERIOD_NS * den, num)
    if rest == 0 and _MIN_RATE_MHZ <= millihertz <= _MAX_RATE_MHZ:
        return
    if den == 1 and bounds.INTERVAL_NS.admits(num):
        return
    raise _refuse(
        f"{place} {name}", (num, den), f"{bounds.RATE_HZ.text}; or {bounds.INTERVAL_NS.text} in whole ns"
    )


def _bound(place: str, name: str, value: int, bound: Bound) -> None:
    if type(value) is not int or not bound.low <= value <= bound.high:
        raise _refuse(_at(place, name), value, bound.text)


def _within(place: str, name: str, value: int, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise _refuse(_at(place, name), value, f"{low}..{high}")


def _flag(name: str, value: bool) -> None:
    if type(value) is not bool:
        raise _refuse(name, value, "a bool")


def _at(place: str, name: str) -> str:
    """Place and name together, which only a refusal needs."""
    return f"{place} {name}" if place else name


def _refuse(place: str, found: object, allowed: str) -> ProtocolError:
    return ProtocolError(
        f"program image, {place}: found {found!r}",
        allowed=allowed,
        remedy="The image was not accepted.",
        code="bad-image",
    )
