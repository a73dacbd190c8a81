"""pyusb over USB/IP against a scripted server: races, errors, and servers that vanish or say nonsense."""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import usb.core
import usb.util

from neurostim.core.errors import TransportError
from neurostim.transport import open_url, usbip_connection
from neurostim.transport.usbip_backend import attach
from support.usbip_script import (
    SUBMIT,
    UNLINK,
    Asked,
    UsbipScript,
    device_record,
    enumeration,
    returned,
    unlinked,
)

Answer = Callable[[Asked], bytes | None]
LONG_MS = 5000


class Bench:
    """A scripted server and the device imported from it."""

    def __init__(self) -> None:
        self.rule: Answer = lambda _asked: None
        self.server = UsbipScript(lambda asked: enumeration(asked) or self.rule(asked))
        self.device = usb.core.find(backend=attach("127.0.0.1", self.server.port, "1-1"))

    @property
    def last(self) -> Asked:
        return self.server.asked[-1]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    usb.util.dispose_resources(bench.device)
    bench.device.backend.finalize()
    bench.server.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("usbip")]


def test_the_device_is_what_its_descriptors_say(bench: Bench) -> None:
    device = bench.device
    assert (device.idVendor, device.idProduct, device.bcdUSB) == (0x1209, 1, 0x0210)
    assert (device.manufacturer, device.product, device.serial_number) == (
        "neurostim",
        "neurostim stimulator",
        "SN-1",
    )
    configuration = device.get_active_configuration()
    assert [interface.bInterfaceNumber for interface in configuration] == [0, 1, 2]
    assert [endpoint.bEndpointAddress for endpoint in configuration[(2, 0)]] == [0x03, 0x83, 0x84]
    with pytest.raises(IndexError):
        device[1]


def test_bytes_go_out_and_come_in(bench: Bench) -> None:
    bench.rule = lambda asked: returned(asked.sequence, 0, 3)
    assert bench.device.write(0x03, b"abc", LONG_MS) == 3
    assert (bench.last.endpoint, bench.last.direction, bench.last.data) == (3, 0, b"abc")
    assert bench.last.packets == 0
    bench.rule = lambda asked: returned(asked.sequence, 0, 5, b"hello")
    assert bytes(bench.device.read(0x83, 64, LONG_MS)) == b"hello"
    assert (bench.last.endpoint, bench.last.direction, bench.last.length) == (3, 1, 64)


def test_a_packet_without_bytes_is_a_transfer_too(bench: Bench) -> None:
    bench.rule = lambda asked: returned(asked.sequence)
    assert bench.device.write(0x03, b"", LONG_MS) == 0
    assert (bench.last.command, bench.last.length) == (SUBMIT, 0)


def test_a_control_request_carries_its_eight_bytes_and_data(bench: Bench) -> None:
    bench.rule = lambda asked: returned(asked.sequence, 0, len(asked.data))
    assert bench.device.ctrl_transfer(0x41, 0x53, 0, 2, b"stop", LONG_MS) == 4
    assert (bench.last.setup, bench.last.data) == (struct.pack("<BBHHH", 0x41, 0x53, 0, 2, 4), b"stop")


def test_clearing_a_halt_is_the_standard_request(bench: Bench) -> None:
    bench.device.clear_halt(0x83)
    assert bench.last.setup == struct.pack("<BBHHH", 0x02, 0x01, 0, 0x83, 0)


@pytest.mark.parametrize(
    ("status", "number"),
    [
        (-32, errno.EPIPE),
        (-75, errno.EOVERFLOW),
        (-108, errno.ENODEV),
        (-19, errno.ENODEV),
        (-71, errno.EIO),
        (-12345, errno.EIO),
    ],
)
def test_each_status_is_the_error_libusb_gives(bench: Bench, status: int, number: int) -> None:
    bench.rule = lambda asked: returned(asked.sequence, status)
    with pytest.raises(usb.core.USBError) as caught:
        bench.device.read(0x83, 64, LONG_MS)
    assert caught.value.errno == number
    assert not isinstance(caught.value, usb.core.USBTimeoutError)


def test_a_short_read_is_no_error(bench: Bench) -> None:
    bench.rule = lambda asked: returned(asked.sequence, -121, 2, b"ok")
    assert bytes(bench.device.read(0x83, 64, LONG_MS)) == b"ok"


def test_a_timeout_cancels_the_transfer(bench: Bench) -> None:
    bench.rule = lambda asked: unlinked(asked.sequence) if asked.command == UNLINK else None
    with pytest.raises(usb.core.USBTimeoutError):
        bench.device.read(0x83, 64, 1)
    submitted, cancelled = bench.server.asked[-2:]
    assert (cancelled.command, cancelled.unlinks) == (UNLINK, submitted.sequence)


def test_a_transfer_that_ends_while_it_is_cancelled_keeps_its_bytes(bench: Bench) -> None:
    def answer(asked: Asked) -> bytes | None:
        if asked.command != UNLINK:
            return None
        return returned(asked.unlinks, 0, 5, b"hello") + unlinked(asked.sequence, 0)

    bench.rule = answer
    assert bytes(bench.device.read(0x83, 64, 1)) == b"hello"


def test_a_write_that_ends_while_it_is_cancelled_has_gone(bench: Bench) -> None:
    def answer(asked: Asked) -> bytes | None:
        if asked.command != UNLINK:
            return None
        return returned(asked.unlinks, 0, 3) + unlinked(asked.sequence, 0)

    bench.rule = answer
    assert bench.device.write(0x03, b"abc", 1) == 3


def test_a_server_that_hangs_up_ends_what_is_under_way_and_all_after_it(bench: Bench) -> None:
    def answer(_asked: Asked) -> bytes | None:
        bench.server.hang_up()
        return None

    bench.rule = answer
    for _ in range(2):
        with pytest.raises(usb.core.USBError) as caught:
            bench.device.read(0x83, 64, LONG_MS)
        assert caught.value.errno == errno.ENODEV


def test_a_server_that_says_nonsense_is_as_good_as_gone(bench: Bench) -> None:
    bench.rule = lambda asked: returned(asked.sequence + 1)
    with pytest.raises(usb.core.USBError) as caught:
        bench.device.read(0x83, 64, LONG_MS)
    assert caught.value.errno == errno.ENODEV


def test_a_server_that_answers_nothing_is_as_good_as_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usbip_connection, "CANCEL_SECONDS", 0.05)
    with pytest.raises(usb.core.USBError) as caught:
        bench.device.read(0x83, 64, 1)
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize("send", ["pipe", "control"])
def test_a_silent_server_holds_no_sender_up_and_is_sent_nothing_twice(bench: Bench, send: str) -> None:
    held: list[Asked] = []
    silent = True

    def answer(asked: Asked) -> bytes | None:
        if silent:
            held.append(asked)
            return None
        return returned(asked.sequence, 0, len(asked.data))

    def offer() -> int:
        if send == "pipe":
            return int(bench.device.write(0x03, b"abc", 1))
        return int(bench.device.ctrl_transfer(0x41, 0x53, 0, 2, b"abc", 1))

    bench.rule = answer
    before = len(bench.server.asked)
    begun = time.monotonic()
    for _ in range(5):
        with pytest.raises(usb.core.USBTimeoutError):
            offer()
    assert time.monotonic() - begun < 1
    while len(held) < 2:
        reading = bench.device.ctrl_transfer(0x80, 8, 0, 0, 1, LONG_MS)
        assert bytes(reading) == b"\1", "other transfers go on"
    submitted, cancelled = held
    assert (submitted.command, cancelled.command) == (SUBMIT, UNLINK)
    assert [asked.data for asked in bench.server.asked[before:] if asked.data] == [b"abc"]
    silent = False
    bench.server.say(unlinked(cancelled.sequence))
    while True:
        try:
            assert offer() == 3
        except usb.core.USBTimeoutError:
            continue
        break


def test_threads_wait_for_transfers_of_their_own(bench: Bench) -> None:
    """A read that waits holds no other transfer up, and each answer finds its asker."""
    held: list[Asked] = []
    reading = threading.Event()

    def answer(asked: Asked) -> bytes | None:
        if asked.endpoint == 3 and asked.direction == 1:
            held.append(asked)
            reading.set()
            return None
        return returned(asked.sequence, 0, len(asked.data))

    bench.rule = answer
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(bytes(bench.device.read(0x83, 64, LONG_MS))))
    reader.start()
    assert reading.wait(5)
    for number in range(50):
        assert bench.device.write(0x03, bytes(number + 1), LONG_MS) == number + 1
    bench.server.say(returned(held[0].sequence, 0, 4, b"last"))
    reader.join()
    assert got == [b"last"]


def refusal(reply: bytes, code: str, bus_id: str = "1-1") -> TransportError:
    server = UsbipScript(enumeration)
    server.import_reply = reply
    try:
        with pytest.raises(TransportError) as caught:
            open_url(f"usbip://127.0.0.1:{server.port}/{bus_id}")
    finally:
        server.close()
    assert caught.value.code == code
    return caught.value


def test_a_refused_device_tells_what_is_exported() -> None:
    error = refusal(struct.pack(">HHI", 0x0111, 3, 4), "usbip-refused")
    assert "1-1" in error.allowed


def test_a_device_in_use_is_told_so() -> None:
    error = refusal(struct.pack(">HHI", 0x0111, 3, 2), "usb-busy")
    assert "other program" in error.remedy


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        struct.pack(">HHI", 0x0111, 3, 0) + device_record("9-9"),
        struct.pack(">HHI", 0x0100, 3, 0) + device_record(),
    ],
)
def test_what_is_no_usbip_server_is_told(reply: bytes) -> None:
    refusal(reply, "usbip-protocol")


def test_an_address_where_nobody_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(TransportError, match="neurostim sim --usbip") as caught:
        open_url(f"usbip://127.0.0.1:{port}/1-1")
    assert caught.value.code == "link-open"


def test_a_device_that_does_not_tell_what_it_is_is_refused() -> None:
    server = UsbipScript(lambda asked: returned(asked.sequence, -32))
    try:
        with pytest.raises(TransportError) as caught:
            attach("127.0.0.1", server.port, "1-1")
    finally:
        server.close()
    assert caught.value.code == "usb-descriptors"


def test_a_device_that_is_no_stimulator_is_refused() -> None:
    def answer(asked: Asked) -> bytes | None:
        if asked.setup[:2] == b"\x80\x06" and asked.setup[3] == 3 and asked.setup[2]:
            text = "toaster".encode("utf-16-le")
            return returned(asked.sequence, 0, 2 + len(text), bytes((2 + len(text), 3)) + text)
        return enumeration(asked)

    server = UsbipScript(answer)
    try:
        with pytest.raises(TransportError, match="toaster") as caught:
            open_url(f"usbip://127.0.0.1:{server.port}/1-1")
    finally:
        server.close()
    assert caught.value.code == "usb-not-neurostim"


def test_the_delay_of_small_messages_is_off(bench: Bench) -> None:
    link = bench.device.backend._connection._link
    assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
