"""Time of one message to the line and back, against the bare floor: struct, a C checksum and no stuffing.

Run ``python benchmarks/wire_codec.py``. The floor is what no Python codec can be faster than: the same bytes
packed by `struct`, closed by `zlib.crc32` and taken apart again, unstuffed, unchecked, untyped. ``make`` is
what it takes to check the values of a message; ``both`` does not count it.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
import time
import timeit
import zlib
from collections.abc import Callable

from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.layout import Message
from neurostim.wire.messages import (
    AreaDose,
    DeviceState,
    FaultCode,
    Heartbeat,
    HeartbeatReply,
    LoadChunk,
    StatusReply,
    StopCause,
    Telemetry,
)

HEADS = ("make", "to line", "from line", "both", "floor", "ratio")
HEADER = struct.Struct("<BBBBIQIQH")
CRC = struct.Struct("<I")
DIGEST = bytes(range(100, 132))
DOSE = (0, 1_500_000, 123_456, 789_012, 345_678_901)
STATUS = (10**9, 10**9, 3, 4, 1, 0, 0, 0, DIGEST, 3, 3, 250_000, DIGEST[:16], 990, 0, 0, 44)
MESSAGES: list[tuple[Message, str, tuple[object, ...]]] = [
    (Heartbeat(17, 42), "<II", (17, 42)),
    (
        HeartbeatReply(10**9, 10**9, DeviceState.DELIVERING, True, 3),
        "<QQBBQ",
        (10**9, 10**9, 4, 1, 3),
    ),
    (
        StatusReply(
            10**9, 10**9, 3, DeviceState.DELIVERING, True, StopCause.NONE, FaultCode.NONE, 0, DIGEST, 3, 3,
            250_000, DIGEST[:16], 990, 0, 0, 44, (1_500_000, 1_600_000),
        ),
        "<QQIBBBBB32sQQI16sHIIQBII",
        (*STATUS, 2, 1_500_000, 1_600_000),
    ),
    (
        Telemetry(10**9, 10**9, DeviceState.DELIVERING, 3, 10**9, 250_000, 990, 0, 0, (AreaDose(*DOSE),) * 2),
        "<QQBQQIHIQB" + "BIQQI" * 2,
        (10**9, 10**9, 4, 3, 10**9, 250_000, 990, 0, 0, 2, *DOSE, *DOSE),
    ),
    (LoadChunk(0, 128, bytes(range(64, 192))), "<BHH128s", (0, 128, 128, bytes(range(64, 192)))),
]  # fmt: skip


def microseconds(action: Callable[[], object], number: int = 5_000, repeat: int = 7) -> float:
    """Best of several runs, in time of this process [us]: not what else the machine did."""
    return min(timeit.repeat(action, timer=time.process_time, number=number, repeat=repeat)) / number * 1e6


def floor(body: struct.Struct, values: tuple[object, ...]) -> Callable[[], object]:
    def both_ways() -> object:
        payload = body.pack(*values)
        line = HEADER.pack(1, 64, 0, 0, 3, 4, 5, 6, len(payload)) + payload
        line += CRC.pack(zlib.crc32(line))
        if zlib.crc32(line[:-4]) != CRC.unpack_from(line, len(line) - 4)[0]:
            raise ValueError
        return HEADER.unpack_from(line), body.unpack_from(line, HEADER.size)

    return both_ways


def main() -> int:
    print(f"{'message':<16}{'bytes':>6}" + "".join(f"{head:>11}" for head in HEADS) + "   [us]")
    for message, layout, values in MESSAGES:
        line = pack(message, session=3, sequence=4, command_id=5, lease_us=6)
        body = struct.Struct(layout)
        if body.pack(*values) != message.encode():
            raise SystemExit(f"{message.NAME}: the floor packs other bytes")
        decoder = FrameDecoder()

        def from_line(line: bytes = line, decoder: FrameDecoder = decoder) -> Message:
            (frame,) = decoder.feed(line)
            assert isinstance(frame, Frame)
            return unpack(frame)

        def to_line(message: Message = message) -> bytes:
            return pack(message, session=3, sequence=4, command_id=5, lease_us=6)

        if from_line() != message:
            raise SystemExit(f"{message.NAME}: did not come back equal")
        held = [getattr(message, field.name) for field in dataclasses.fields(message)]

        def make(message: Message = message, held: list[object] = held) -> Message:
            return type(message)(*held)

        made, out, back = microseconds(make), microseconds(to_line), microseconds(from_line)
        bare = microseconds(floor(body, values))
        row = (made, out, back, out + back, bare, (out + back) / bare)
        print(f"{type(message).__name__:<16}{len(line):>6}" + "".join(f"{value:>11.2f}" for value in row))
    garbage = bytes(range(1, 256)) * 4_000
    decoder = FrameDecoder()
    took = microseconds(lambda: decoder.feed(garbage + b"\0"), number=5)
    print(f"garbage without a delimiter, 1 MB at once: {len(garbage) / took:.0f} MB/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
