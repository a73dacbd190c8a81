"""Hypothesis strategies for wire messages, images and capabilities, and a source of hostile bytes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from neurostim.core.hardware import Capabilities, Port, PortKind
from neurostim.core.image import RETURN_INDEX, Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.wire import cobs
from neurostim.wire.codec import pack
from neurostim.wire.fields import Data, Field, Member, Octets, Parts, Tail, Text, Truth, Whole, Wholes
from neurostim.wire.frame import TAG_BYTES, Frame, encode_frame
from neurostim.wire.layout import Message, Record
from neurostim.wire.messages import MESSAGES
from support.wire_data import crc32_by_definition

U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def of_field(field: Field | Tail) -> st.SearchStrategy[Any]:
    """Values that a field allows, its bounds among them."""
    match field:
        case Whole():
            return st.integers(field.low, field.high) | st.sampled_from([field.low, field.high])
        case Truth():
            return st.booleans()
        case Member():
            return st.sampled_from(list(field.enumeration))
        case Octets():
            return st.binary(min_size=field.length, max_size=field.length)
        case Text():
            return st.text(PRINTABLE, max_size=field.length)
        case Data():
            return st.binary(min_size=field.low, max_size=field.high)
        case Wholes():
            item = st.integers(field.low, field.high)
            return st.lists(item, max_size=field.count).map(tuple)
        case Parts():
            return st.lists(of_record(field.kind), max_size=field.count).map(tuple)
    raise AssertionError(f"no strategy for {type(field).__name__}")


def of_record(cls: Any) -> st.SearchStrategy[Any]:
    """Records of a class."""
    layout = cls.LAYOUT
    fields = [*layout.fields, *([layout.tail] if layout.tail else [])]
    return st.builds(cls, **{field.name: of_field(field) for field in fields})


messages = st.sampled_from(list(MESSAGES.values())).flatmap(of_record)
headers = st.fixed_dictionaries({"session": U32, "sequence": U64, "command_id": U32, "lease_us": U64})


@st.composite
def _shares(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    contacts = draw(
        st.lists(st.sampled_from([*range(1, 33), RETURN_INDEX]), min_size=2, max_size=33, unique=True).map(
            sorted
        )
    )
    split = draw(st.integers(1, len(contacts) - 1))
    order = draw(st.permutations(contacts))
    made: dict[int, int] = {}
    for sign, group in ((-1, order[:split]), (1, order[split:])):
        inside = st.lists(
            st.integers(1, 999), min_size=len(group) - 1, max_size=len(group) - 1, unique=True
        ).map(sorted)
        cuts = [0, *draw(inside), 1000]
        parts = zip(group, cuts, cuts[1:], strict=False)
        made |= {contact: sign * (high - low) for contact, low, high in parts}
    return tuple(sorted(made.items()))


@st.composite
def _period(draw: st.DrawFn) -> tuple[int, int]:
    if draw(st.booleans()):
        return draw(st.integers(50_000, 1000 * 10**9)), 1
    millihertz = draw(st.integers(1, 20_000_000))
    common = math.gcd(10**12, millihertz)
    return 10**12 // common, millihertz // common


@st.composite
def _areas(draw: st.DrawFn, grid: Grid, bench: bool, duration_ns: int) -> ImageArea:
    pulses = draw(st.just(1) | st.integers(2, 1000))
    kinds = [kind for kind in Recharge if bench or kind is not Recharge.NONE]
    if pulses == 1:
        kinds.remove(Recharge.PASSIVE_AFTER_BURST)
    recharge = draw(st.sampled_from(kinds))
    ratio = draw(st.integers(2, 20)) if recharge is Recharge.ACTIVE_ASYMMETRIC else 1
    period, burst = draw(_period()), draw(_period()) if pulses > 1 else (0, 1)
    ramp = st.integers(0 if bench else 1, 60 * 10**9)
    cycle = st.tuples(st.integers(10**8, 86_400 * 10**9), st.integers(0, 86_400 * 10**9))
    on_ns, off_ns = draw(st.just((0, 0)) | cycle)
    latest = min(60 * 10**9, duration_ns - 1) if duration_ns else 60 * 10**9
    longest = 10_000_000 // grid.tick_ns
    return ImageArea(
        amplitude_na=draw(st.integers(0, 150_000_000)),
        shares=draw(_shares()),
        width_ticks=draw(st.integers(max(1, -(-1000 // grid.tick_ns)), longest)),
        interphase_ticks=draw(st.integers(0, longest)),
        recharge=recharge,
        ratio=ratio,
        period_num=period[0],
        period_den=period[1],
        burst_pulses=pulses,
        burst_period_num=burst[0],
        burst_period_den=burst[1],
        ramp_up_ns=draw(ramp),
        ramp_down_ns=draw(ramp),
        delay_ns=draw(st.integers(0, latest)),
        on_ns=on_ns,
        off_ns=off_ns,
        priority=draw(st.integers(0, 255)),
    )


@st.composite
def images(draw: st.DrawFn) -> ProgramImage:
    """Program images inside the bounds of the format."""
    tick = draw(st.sampled_from([1, 7, 100, 1000, 30_500, 1_000_000]) | st.integers(1, 1_000_000))
    grid = Grid(
        tick,
        draw(st.integers(1, 10_000_000)),
        draw(st.integers(0, 10_000_000 // tick)),
        draw(st.integers(0, 100_000_000 // tick)),
    )
    bench = draw(st.booleans())
    duration = draw(st.just(0) | st.integers(1, 365 * 86_400 * 10**9))
    areas = draw(st.lists(_areas(grid, bench, duration), min_size=1, max_size=8))
    return ProgramImage(grid, tuple(areas), duration, draw(st.booleans()), bench)


@st.composite
def capabilities(draw: st.DrawFn) -> Capabilities:
    """Capabilities that do not contradict themselves."""
    tick, step = draw(st.integers(1, 1_000_000)), draw(st.integers(1, 10_000_000))
    guard, recovery = draw(st.integers(0, 10_000_000)), draw(st.integers(0, 100_000_000))
    widths = sorted(draw(st.tuples(st.integers(1, 10_000_000), st.integers(1, 10_000_000))))
    currents = sorted(draw(st.tuples(st.integers(0, 150_000_000), st.integers(0, 150_000_000))))
    counts = draw(st.lists(st.integers(1, 16), min_size=1, max_size=8).filter(lambda held: sum(held) <= 32))
    ports, first = [], 1
    for count in counts:
        ports.append(Port(draw(st.sampled_from(list(PortKind))), first, count, draw(st.booleans())))
        first += count
    words = st.text(PRINTABLE, max_size=16)
    return Capabilities(
        profile=draw(words),
        model=draw(words),
        serial_number=draw(words),
        firmware=draw(words),
        protocol_version=1,
        grid=Grid.of(tick, step, guard, recovery),
        guard_ns=guard,
        recovery_min_ns=recovery,
        ports=tuple(ports),
        slots=draw(st.integers(1, 16)),
        max_areas=draw(st.integers(1, 8)),
        max_contact_na=currents[0],
        max_total_na=currents[1],
        min_width_ns=widths[0],
        max_width_ns=widths[1],
        max_rate_mhz=draw(st.integers(1, 20_000_000)),
        rail_mv=draw(st.integers(1, 500_000)),
        discharge_ohm=draw(st.integers(0, 1_000_000)),
        min_ramp_ns=draw(st.integers(0, 60 * 10**9)),
        max_image_bytes=draw(st.integers(1, 65_535)),
    )


def examples() -> list[Message]:
    """One message of every class, each field in the middle of what it allows."""
    return [_example(cls) for cls in MESSAGES.values()]


def _example(cls: Any) -> Any:
    layout = cls.LAYOUT
    fields = [*layout.fields, *([layout.tail] if layout.tail else [])]
    return cls(**{field.name: _middle(field) for field in fields})


def _middle(field: Field | Tail) -> Any:
    match field:
        case Whole():
            return (field.low + field.high) // 2
        case Truth():
            return True
        case Member():
            return list(field.enumeration)[-1]
        case Octets():
            return bytes(range(field.length))
        case Text():
            return "abc"
        case Data():
            return bytes(range(field.high // 2))
        case Wholes():
            return ((field.low + field.high) // 2,) * field.count
        case Parts():
            return (_example(field.kind),) * (field.count // 2 + 1)
    raise AssertionError(f"no example for {type(field).__name__}")


def hostile(seed: int, count: int) -> Iterator[bytes]:
    """Bytes that no honest peer sends, ``count`` pieces from a seed; about a tenth are honest.

    Garbage, honest frames cut short, with bits turned, bytes doubled or lost, frames that begin inside
    others, and frames with a right checksum whose header or payload is not.
    """
    source = random.Random(seed)
    honest = [
        pack(message, session=7, sequence=at, command_id=at, lease_us=at)
        for at, message in enumerate(examples())
    ]
    for _ in range(count):
        kind = source.randrange(10)
        line = source.choice(honest)
        if kind == 0:
            yield line
        elif kind == 1:
            yield source.randbytes(source.randrange(1, 64))
        elif kind == 2:
            yield bytes(source.choices((0, 1, 2, 0xFE, 0xFF), k=source.randrange(1, 64)))
        elif kind == 3:
            yield line[: source.randrange(len(line))]
        elif kind == 4:
            yield _turned(source, line)
        elif kind == 5:
            cut = source.randrange(len(line))
            yield line[:cut] + line[cut : cut + 3] + line[cut:]
        elif kind == 6:
            yield line[: source.randrange(len(line))] + source.choice(honest)
        elif kind == 7:
            yield _sealed(_turned(source, cobs.decode(line[1:-1])[:-4]))
        elif kind == 8:
            yield _sealed(source.randbytes(source.randrange(80)))
        else:
            frame_type, frame_kind = source.choice(list(MESSAGES))
            payload = source.randbytes(source.choice((0, 1, 8, 9, 16, 33, 66, source.randrange(200))))
            tag = source.randbytes(TAG_BYTES) if source.randrange(4) == 0 else b""
            yield encode_frame(Frame(frame_type, frame_kind, 7, 1, 1, 1, payload, bool(tag), tag))


def _turned(source: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(source.randrange(1, 4)):
        out[source.randrange(len(out))] ^= 1 << source.randrange(8)
    return bytes(out)


def _sealed(body: bytes) -> bytes:
    """Frame with a right checksum around any body."""
    return b"\0" + cobs.encode(body + crc32_by_definition(body).to_bytes(4, "little")) + b"\0"


__all__ = ["Record", "capabilities", "examples", "headers", "hostile", "images", "messages", "of_record"]
