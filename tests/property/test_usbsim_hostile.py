"""No bytes of a USB/IP host harm the device, make the server fail, or make it hold more than it says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim_sim.usb.attached import UsbAttachedDevice
from neurostim_sim.usb.connection import LONGEST_TRANSFER, MOST_UNSENT, Connection, UsbIpBus
from neurostim_sim.usb.protocol import Malformed
from support.sim_bench import device

IMPORT = struct.pack(">HHI32s", 0x0111, 0x8003, 0, b"1-1")
IDENTIFY = pack(m.Identify(), session=0, sequence=0, command_id=1, lease_us=0)
LARGEST_ANSWER = 1 << 17


def submit(
    number: int, endpoint: int, direction: int, data: bytes, length: int, setup: bytes = bytes(8)
) -> bytes:
    head = struct.pack(">IIIII", 1, number, 0x00010002, direction, endpoint)
    return head + struct.pack(">Iiiii8s", 0, length, 0, 0, 0, setup) + data


def setup(kind: int, request: int, value: int, index: int, length: int) -> bytes:
    return struct.pack("<BBHHH", kind, request, value, index, length)


CONFIGURE = submit(1, 0, 0, b"", 0, setup(0, 9, 1, 0, 0))

numbers = st.integers(0, 40)
endpoints = st.sampled_from([1, 2, 3, 4]) | st.integers(0, 15)
lengths = st.sampled_from([0, 1, 16, 63, 64, 65, 512])
payloads = st.binary(max_size=130) | st.just(IDENTIFY) | st.just(b"\0" * 5)
setups = st.builds(
    setup,
    st.sampled_from([0x00, 0x01, 0x02, 0x21, 0x41, 0x80, 0x81, 0x82, 0xA1, 0xC0]) | st.integers(0, 255),
    st.integers(0, 12) | st.sampled_from([0x20, 0x21, 0x22, 0x4D, 0x53]) | st.integers(0, 255),
    st.sampled_from([0, 1, 0x100, 0x200, 0x303, 0xF00]) | st.integers(0, 65535),
    st.sampled_from([0, 1, 2, 7, 0x03, 0x83, 0x81]) | st.integers(0, 65535),
    st.sampled_from([0, 7, 18, 255]) | st.integers(0, 65535),
)
writes = st.builds(lambda n, e, d: submit(n, e, 0, d, len(d)), numbers, endpoints, payloads)
reads = st.builds(lambda n, e, size: submit(n, e, 1, b"", size), numbers, endpoints, lengths)
controls = st.builds(
    lambda n, d, s: submit(n, 0, d, b"", struct.unpack("<H", s[6:])[0] if d else 0, s),
    numbers,
    st.integers(0, 1),
    setups,
)
unlinks = st.builds(
    lambda n, other: struct.pack(">IIIIII24x", 2, n, 0x00010002, 0, 0, other), numbers, numbers
)
commands = st.lists(writes | reads | controls | unlinks, max_size=25)


class Hostile:
    """A bus without a server: the same device for every example, as one on a desk is."""

    def __init__(self) -> None:
        self.device = UsbAttachedDevice(device("scs"))
        self.bus = UsbIpBus(self.device)
        self.now_ns = 0

    def talk(self, pieces: list[bytes]) -> tuple[bytes, bool]:
        """What one connection says to these pieces, and whether it ended as malformed."""
        connection = Connection(self.bus)
        said = b""
        malformed = False
        for piece in pieces:
            try:
                connection.feed(piece, self.now_ns)
            except Malformed:
                malformed = True
                break
            assert len(connection.unsent) <= MOST_UNSENT + LARGEST_ANSWER
            said += connection.unsent
            connection.sent(len(connection.unsent))
            if connection.ending:
                break
        said += connection.unsent
        self.bus.release(connection)
        self.bus.collect()
        return said, malformed


@pytest.fixture(scope="module")
def hostile() -> Hostile:
    return Hostile()


def unharmed(hostile: Hostile) -> None:
    """The device is as it was, and the next host is served."""
    core = hostile.device.core
    assert core.state is m.DeviceState.IDLE or core.memory.cause in (
        m.StopCause.STOP,
        m.StopCause.EMERGENCY_STOP,
    )
    assert not core.output_on
    assert hostile.bus.importer is None
    said, malformed = hostile.talk([IMPORT, CONFIGURE, submit(2, 3, 0, IDENTIFY, len(IDENTIFY))])
    assert not malformed
    assert len(said) == 8 + 312 + 48 + 48


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_bytes_at_all(hostile, pieces):
    hostile.talk(pieces)
    unharmed(hostile)


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_bytes_after_an_import(hostile, pieces):
    hostile.talk([IMPORT, *pieces])
    unharmed(hostile)


@given(commands)
@settings(max_examples=300)
def test_any_commands(hostile, given_commands):
    said, _ = hostile.talk([IMPORT, CONFIGURE, *given_commands])
    assert said.startswith(struct.pack(">HHI", 0x0111, 0x0003, 0))
    unharmed(hostile)


@given(commands, st.data())
@settings(max_examples=60)
def test_how_bytes_are_cut_changes_nothing(given_commands, data):
    stream = IMPORT + CONFIGURE + b"".join(given_commands)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert Hostile().talk([stream]) == Hostile().talk(pieces)


@given(st.integers(LONGEST_TRANSFER + 1, (1 << 31) - 1), st.integers(0, 1))
def test_a_transfer_beyond_the_longest_ends_the_connection_at_its_head(hostile, length, direction):
    head = submit(2, 3, direction, b"", length)
    assert hostile.talk([IMPORT, CONFIGURE, head])[1]
    unharmed(hostile)


def test_a_host_that_reads_nothing_is_not_heard_until_it_does(hostile):
    connection = Connection(hostile.bus)
    connection.feed(IMPORT, 0)
    ask = submit(3, 0, 1, b"", 255, setup(0x80, 6, 0x0200, 0, 255))
    for _ in range(MOST_UNSENT // 100):
        connection.feed(ask, 0)
    assert connection.stuffed
    assert MOST_UNSENT <= len(connection.unsent) < MOST_UNSENT + 1024
    connection.sent(len(connection.unsent))
    connection.feed(b"", 0)
    assert len(connection.unsent) > 0
    hostile.bus.release(connection)
    unharmed(hostile)


def test_what_ended_is_told_before_an_unlink_that_came_too_late():
    hostile = Hostile()
    connection = Connection(hostile.bus)
    connection.feed(IMPORT + CONFIGURE + submit(2, 3, 0, b"\0", 1) + submit(7, 3, 1, b"", 512), 0)
    connection.sent(len(connection.unsent))
    hostile.device.usb.feed(b"just in time")
    connection.feed(struct.pack(">IIIIII24x", 2, 8, 0x00010002, 0, 0, 7), 0)
    told = connection.unsent
    assert struct.unpack_from(">II", told) == (3, 7)
    assert told[48:60] == b"just in time"
    assert struct.unpack_from(">IIIIIi", told, 60) == (4, 8, 0, 0, 0, 0)
    assert len(told) == 48 + 12 + 48
