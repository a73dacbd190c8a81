"""The vendor interface as a link: it wakes, drops, recovers, and never holds a stop up."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from neurostim.core.errors import TransportError
from neurostim.transport import Transport
from neurostim.transport.usb_link import (
    BLOCKED_WRITE_MS,
    MAX_FAILURES,
    MAX_WAITING_READS,
    URGENT_MS,
    WRITE_MS,
    Hint,
    UsbTransport,
)
from neurostim.transport.usb_open import open_usb
from support.usb_bus import HINT, IN, OUT, FakeBus, FakeDevice, timed_out, usb_error

LONG = 5.0
PROMPT = 1.0


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def link(device: FakeDevice) -> Iterator[UsbTransport]:
    link = open_usb(0x1209, 0x0001, backend=FakeBus(device))
    device.cleared.clear()
    yield link
    link.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("usb 1209")]


def read_until(link: UsbTransport, done: Callable[[], bool]) -> bytes:
    data = b""
    deadline = time.monotonic() + LONG
    while not done():
        data += link.read(0.01)
        assert time.monotonic() < deadline
    return data


def read_to_the_end(link: UsbTransport) -> tuple[bytes, TransportError]:
    """What was read, and the error that ended it."""
    data = b""
    try:
        while True:
            data += link.read(LONG)
    except TransportError as error:
        return data, error


def test_it_is_a_transport(link: UsbTransport) -> None:
    assert isinstance(link, Transport)
    assert link.description == "usb 1209:0001"


def test_bytes_go_both_ways_as_they_are(link: UsbTransport, device: FakeDevice) -> None:
    every_byte = bytes(range(256))
    link.write(every_byte[:255])
    assert device.stream == every_byte[:255]
    device.say(every_byte)
    assert link.read(LONG) == every_byte


def test_pieces_that_arrived_are_read_together_in_order(link: UsbTransport, device: FakeDevice) -> None:
    pieces = [bytes([number]) * 3 for number in range(20)]
    for piece in pieces:
        device.say(piece)
    data = b""
    while len(data) < 60:
        data += link.read(LONG)
    assert data == b"".join(pieces)


def test_a_read_without_bytes_ends_at_its_timeout(link: UsbTransport) -> None:
    assert link.read(0) == b""
    assert link.read(0.01) == b""


def test_a_wake_from_another_thread_ends_a_read(link: UsbTransport) -> None:
    waker = threading.Timer(0.02, link.wake)
    waker.start()
    start = time.monotonic()
    assert link.read(LONG) == b""
    assert time.monotonic() - start < PROMPT
    waker.join()


def test_wakes_before_a_read_are_not_lost_and_wake_once(link: UsbTransport) -> None:
    for _ in range(1000):
        link.wake()
    start = time.monotonic()
    assert link.read(LONG) == b""
    assert time.monotonic() - start < PROMPT
    assert link.read(0.01) == b""


@pytest.mark.parametrize(
    ("size", "pieces"),
    [(1, [1]), (63, [63]), (64, [64, 0]), (65, [65]), (128, [128, 0]), (4096, [4096, 0]), (4097, [4096, 1])],
)
def test_a_transfer_that_ends_with_a_full_packet_is_followed_by_an_empty_one(
    link: UsbTransport, device: FakeDevice, size: int, pieces: list[int]
) -> None:
    link.write(bytes(size))
    assert [len(piece) for piece in device.written] == pieces


def test_what_a_full_device_did_not_take_leaves_later_and_its_end_is_told(
    link: UsbTransport, device: FakeDevice
) -> None:
    room = [40, 0, 24, 0]

    def take(piece: bytes, _timeout: int) -> int:
        if not room:
            return len(piece)
        space = room.pop(0)
        if not space:
            raise timed_out()
        return min(space, len(piece))

    device.on_write = take
    data = bytes(range(128))
    link.write(data)
    assert device.stream == data[:40]
    device.say(b"heard meanwhile")
    assert read_until(link, lambda: device.stream == data and device.written[-1] == b"") == b"heard meanwhile"


def test_a_full_device_holds_neither_reads_nor_writes_up(link: UsbTransport, device: FakeDevice) -> None:
    waits: list[int] = []

    def refuse(_piece: bytes, timeout: int) -> int:
        waits.append(timeout)
        raise timed_out()

    device.on_write = refuse
    link.write(b"x" * 256)
    assert link.read(LONG) == b""
    assert waits == [WRITE_MS, BLOCKED_WRITE_MS], "one offer for a write, one for a read, the second shorter"
    device.say(b"heard")
    while not (heard := link.read(0)):
        continue
    assert heard == b"heard"
    device.on_write = None
    link.write(b"y")
    device.on_write = refuse
    link.write(b"z")
    assert waits[-1] == WRITE_MS, "a device that takes again is offered as before"
    assert device.stream == b"x" * 256 + b"y"


def test_what_has_arrived_is_read_before_anything_is_offered(link: UsbTransport, device: FakeDevice) -> None:
    offers: list[int] = []

    def refuse(_piece: bytes, timeout: int) -> int:
        offers.append(timeout)
        raise timed_out()

    device.on_write = refuse
    link.write(b"x")
    device.say(b"heard")
    while link._inbox.empty():
        assert device.reading.acquire(timeout=LONG)
    assert link.read(LONG) == b"heard"
    assert len(offers) == 1


def test_what_was_dropped_never_leaves(link: UsbTransport, device: FakeDevice) -> None:
    full = True

    def take(piece: bytes, _timeout: int) -> int:
        if full:
            raise timed_out()
        return len(piece)

    device.on_write = take
    link.write(b"old" * 50)
    link.drop_pending_output()
    full = False
    link.write(b"STOP")
    link.read(0)
    assert device.stream == b"STOP"


def test_an_urgent_frame_goes_by_a_control_request_past_a_full_pipe(
    link: UsbTransport, device: FakeDevice
) -> None:
    requests = []

    def take(setup: tuple[int, int, int, int], data: bytes, timeout: int) -> int:
        requests.append((setup, data, timeout))
        return len(data)

    def refuse(_piece: bytes, _timeout: int) -> int:
        raise timed_out()

    device.on_control, device.on_write = take, refuse
    link.write(b"full")
    assert link.urgent(b"\0stop\0") is True
    assert requests == [((0x41, 0x53, 0, 2), b"\0stop\0", URGENT_MS)]
    assert URGENT_MS <= 20


@pytest.mark.parametrize(
    "error", [timed_out(), usb_error(errno.EPIPE), usb_error(errno.ENODEV), NotImplementedError()]
)
def test_an_urgent_frame_that_does_not_arrive_is_no_error(
    link: UsbTransport, device: FakeDevice, error: Exception
) -> None:
    def fail(_setup: tuple[int, int, int, int], _data: bytes, _timeout: int) -> int:
        raise error

    device.on_control = fail
    assert link.urgent(b"\0stop\0") is False
    link.write(b"\0stop\0")
    assert device.stream == b"\0stop\0"


def test_half_an_urgent_frame_has_not_arrived(link: UsbTransport, device: FakeDevice) -> None:
    device.on_control = lambda _setup, data, _timeout: len(data) - 1
    assert link.urgent(b"\0stop\0") is False


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.EOVERFLOW])
def test_a_stall_of_either_pipe_is_cleared_and_the_link_goes_on(
    link: UsbTransport, device: FakeDevice, number: int
) -> None:
    device.say(usb_error(number))
    device.say(b"after")
    assert link.read(LONG) == b"after"
    failures = [usb_error(number)]

    def take(piece: bytes, _timeout: int) -> int:
        if failures:
            raise failures.pop()
        return len(piece)

    device.on_write = take
    link.write(b"hello")
    assert device.stream == b"hello"
    assert device.cleared == [IN, OUT]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EPIPE, "usb-stall"), (errno.EIO, "link-lost"), (errno.EOVERFLOW, "usb-babble")],
)
def test_a_pipe_that_stays_broken_ends_the_link_with_its_reason(
    link: UsbTransport, device: FakeDevice, number: int, code: str
) -> None:
    for _ in range(MAX_FAILURES + 1):
        device.say(usb_error(number))
    assert read_to_the_end(link)[1].code == code
    assert len(device.cleared) == MAX_FAILURES


def test_stalls_with_bytes_between_them_never_end_the_link(link: UsbTransport, device: FakeDevice) -> None:
    for number in range(3 * MAX_FAILURES):
        device.say(usb_error(errno.EPIPE))
        device.say(bytes([number]))
    data = b""
    while len(data) < 3 * MAX_FAILURES:
        data += link.read(LONG)
    assert data == bytes(range(3 * MAX_FAILURES))


def test_a_stall_that_cannot_be_cleared_ends_the_link(link: UsbTransport, device: FakeDevice) -> None:
    def refuse(_endpoint: int) -> None:
        raise usb_error(errno.ENODEV)

    device.on_clear = refuse
    device.say(usb_error(errno.EPIPE))
    assert read_to_the_end(link)[1].code == "link-lost"


def test_a_halt_that_is_not_cleared_in_time_is_looked_at_again(
    link: UsbTransport, device: FakeDevice
) -> None:
    def late(_endpoint: int) -> None:
        raise timed_out()

    device.on_clear = late
    device.say(usb_error(errno.EPIPE))
    device.say(b"after all")
    assert link.read(LONG) == b"after all"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (usb_error(errno.ENODEV), "link-lost"),
        (usb_error(errno.ENOMEM), "link-lost"),
        (NotImplementedError("none"), "link-lost"),
    ],
)
def test_a_read_that_fails_for_good_is_explained_after_what_came_before(
    link: UsbTransport, device: FakeDevice, error: Exception, code: str
) -> None:
    device.say(b"last words")
    device.say(error)
    data, lost = read_to_the_end(link)
    assert (data, lost.code) == (b"last words", code)
    assert lost.remedy
    assert read_to_the_end(link) == (b"", lost), "and so it stays"
    with pytest.raises(TransportError):
        link.write(b"x")
    assert link.urgent(b"x") is False


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EPIPE])
def test_a_write_that_fails_for_good_is_an_error_from_then_on(
    link: UsbTransport, device: FakeDevice, number: int
) -> None:
    def fail(_piece: bytes, _timeout: int) -> int:
        raise usb_error(number)

    device.on_write = fail
    code = {errno.ENODEV: "link-lost", errno.EPIPE: "usb-stall"}[number]
    with pytest.raises(TransportError) as caught:
        link.write(b"x")
    assert caught.value.code == code
    device.on_write = None
    with pytest.raises(TransportError):
        link.write(b"x")
    with pytest.raises(TransportError):
        link.read(0)
    assert device.stream == b""


def test_a_hint_wakes_the_reader_and_is_kept(link: UsbTransport, device: FakeDevice) -> None:
    assert link.last_hint is None
    device.say(bytes((1, 6, 3, 0)) + (7).to_bytes(4, "little"), HINT)
    start = time.monotonic()
    assert link.read(LONG) == b""
    assert time.monotonic() - start < PROMPT
    assert link.last_hint == Hint(state=6, stop_cause=3, fault=0, counter=7)


@pytest.mark.parametrize("data", [b"", b"\1", bytes(8), bytes((2, 6, 3, 0, 0, 0, 0, 0)), bytes((1,)) * 9])
def test_what_is_no_hint_is_passed_over(link: UsbTransport, device: FakeDevice, data: bytes) -> None:
    device.say(data, HINT)
    device.say(bytes((1, 4, 0, 0, 1, 0, 0, 0)), HINT)
    assert link.read(LONG) == b""
    assert link.last_hint == Hint(state=4, stop_cause=0, fault=0, counter=1)


def test_a_dead_hint_pipe_leaves_the_link_as_it_is(link: UsbTransport, device: FakeDevice) -> None:
    device.say(usb_error(errno.ENOMEM), HINT)
    link._threads[1].join(LONG)
    device.say(b"bytes")
    assert link.read(LONG) == b"bytes"


def test_a_device_without_hints_is_a_link_all_the_same() -> None:
    device = FakeDevice()
    vendor = bytearray(device.configuration_bytes)
    vendor[vendor.index(bytes((7, 5, HINT))) + 3] = 2  # a bulk pipe instead
    device.configuration_bytes = bytes(vendor)
    link = open_usb(0x1209, 0x0001, backend=FakeBus(device))
    device.say(b"bytes")
    assert link.read(LONG) == b"bytes"
    link.close()


def test_while_the_owner_does_not_read_the_rest_stays_in_the_device(
    link: UsbTransport, device: FakeDevice
) -> None:
    count = 2 * MAX_WAITING_READS
    for number in range(count):
        device.say(number.to_bytes(2, "big"))
    while device.arriving[IN].qsize() > count - MAX_WAITING_READS - 1:
        device.reading.acquire(timeout=LONG)
    assert device.arriving[IN].qsize() >= count - MAX_WAITING_READS - 1
    data = b""
    while len(data) < 2 * count:
        data += link.read(LONG)
    assert data == b"".join(number.to_bytes(2, "big") for number in range(count))


def test_closing_twice_and_using_it_after(device: FakeDevice) -> None:
    link = open_usb(0x1209, 0x0001, backend=FakeBus(device))
    link.close()
    link.close()
    link.wake()
    link.drop_pending_output()
    assert link.urgent(b"x") is False
    for use in (lambda: link.read(0), lambda: link.write(b"x")):
        with pytest.raises(TransportError):
            use()
    assert (device.claimed, device.opened - device.closed) == (set(), 0)
