"""USB/IP as bytes: what is asked, what an answer ends, and what no answer may say."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.transport import usbip_client as client
from neurostim.transport.usbip_client import Completion, Transfers, UsbipError
from support.usbip_script import device_record, returned, unlinked

DEVICE_ID = 1 << 16 | 2


def test_requests_are_those_of_the_kernels_document() -> None:
    assert client.encode_devices_request() == bytes.fromhex("0111 8005 00000000")
    assert client.encode_import_request("1-1") == bytes.fromhex("0111 8003 00000000") + b"1-1" + bytes(29)
    transfers = Transfers(DEVICE_ID)
    number, message = transfers.submit(0x83, length=64)
    assert (number, message) == (
        1,
        struct.pack(">12I", 1, 1, DEVICE_ID, 1, 3, 0, 64, 0, 0, 0, 0, 0),
    )
    number, message = transfers.submit(0x03, data=b"abc")
    assert message == struct.pack(">12I", 1, 2, DEVICE_ID, 0, 3, 0, 3, 0, 0, 0, 0, 0) + b"abc"
    setup = bytes(range(8))
    _, message = transfers.submit(0x00, data=b"x", setup=setup)
    assert message[40:48] == setup
    assert transfers.unlink(2) == struct.pack(">6I", 2, 4, DEVICE_ID, 0, 0, 2) + bytes(24)


@pytest.mark.parametrize("bus_id", ["", "x" * 32, "1\n1", "1\0", "ü"])
def test_what_is_no_bus_id_is_not_asked_for(bus_id: str) -> None:
    with pytest.raises(UsbipError):
        client.encode_import_request(bus_id)


def test_an_exported_device_is_read() -> None:
    found = client.read_device(device_record("3-2.1"))
    assert (found.bus_id, found.bus, found.address, found.device_id) == ("3-2.1", 1, 2, DEVICE_ID)
    assert (found.vendor_id, found.product_id, found.interfaces) == (0x1209, 1, 3)


@pytest.mark.parametrize(
    "reply", [struct.pack(">HHI", 0x0106, 3, 0), struct.pack(">HHI", 0x0111, 5, 0), b"HTTP/1.1"]
)
def test_another_protocol_is_noticed_at_once(reply: bytes) -> None:
    with pytest.raises(UsbipError):
        client.read_operation(reply, client.REPLY_IMPORT)


def test_a_list_longer_than_any_server_has_is_refused() -> None:
    with pytest.raises(UsbipError):
        client.read_count(b"\xff\xff\xff\xff")


def test_completions_come_in_any_order_and_any_pieces() -> None:
    transfers = Transfers(DEVICE_ID)
    into, _ = transfers.submit(0x83, length=64)
    out, _ = transfers.submit(0x03, data=b"abc")
    stream = returned(out, 0, 3) + returned(into, 0, 5, b"hello")
    ended = [one for byte in stream for one in transfers.feed(bytes([byte]))]
    assert ended == [Completion(out, 0, 3), Completion(into, 0, 5, b"hello")]


def test_an_error_may_come_with_the_bytes_before_it() -> None:
    transfers = Transfers(DEVICE_ID)
    into, _ = transfers.submit(0x83, length=64)
    assert transfers.feed(returned(into, -75, 5, b"hello")) == [Completion(into, -75, 5, b"hello")]


def test_a_cancelled_transfer_ends_once() -> None:
    transfers = Transfers(DEVICE_ID)
    into, _ = transfers.submit(0x83, length=64)
    transfers.unlink(into)
    assert transfers.feed(unlinked(into + 1)) == [Completion(into, -104, 0, unlinked=True)]
    with pytest.raises(UsbipError):
        transfers.feed(returned(into, 0, 0))


def test_a_transfer_that_wins_the_race_keeps_its_bytes() -> None:
    transfers = Transfers(DEVICE_ID)
    into, _ = transfers.submit(0x83, length=64)
    transfers.unlink(into)
    assert transfers.feed(returned(into, 0, 5, b"hello") + unlinked(into + 1, 0)) == [
        Completion(into, 0, 5, b"hello")
    ]


def test_a_reply_after_its_cancellation_is_stepped_over() -> None:
    transfers = Transfers(DEVICE_ID)
    into, _ = transfers.submit(0x83, length=64)
    transfers.unlink(into)
    out, _ = transfers.submit(0x03, data=b"abc")
    stream = unlinked(into + 1, 0) + returned(into, 0, 5, b"hello") + returned(out, 0, 3)
    assert transfers.feed(stream) == [
        Completion(into, 0, 0, unlinked=True),
        Completion(out, 0, 3),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        returned(9),
        returned(1, 0, 65, bytes(65)),
        returned(1, 0, -1),
        unlinked(9),
        struct.pack(">12I", 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    ],
)
def test_what_no_server_may_say_ends_the_conversation(reply: bytes) -> None:
    transfers = Transfers(DEVICE_ID)
    transfers.submit(0x83, length=64)
    with pytest.raises(UsbipError):
        transfers.feed(reply)


def test_numbers_begin_again_after_the_last_and_never_are_zero() -> None:
    transfers = Transfers(DEVICE_ID)
    transfers._sequence = 0xFFFFFFFE
    assert [transfers.submit(0x83, length=1)[0] for _ in range(3)] == [0xFFFFFFFF, 1, 2]


def test_late_replies_that_never_come_do_not_pile_up() -> None:
    transfers = Transfers(DEVICE_ID)
    for _ in range(3 * client.MAX_GIVEN_UP):
        number, _message = transfers.submit(0x83, length=1)
        transfers.unlink(number)
        transfers.feed(unlinked(number + 1, 0))
    assert len(transfers._given_up) <= client.MAX_GIVEN_UP


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_hostile_bytes_end_nothing_that_was_not_begun(pieces: list[bytes]) -> None:
    transfers = Transfers(DEVICE_ID)
    number, _ = transfers.submit(0x83, length=16)
    ended = []
    with contextlib.suppress(UsbipError):
        for piece in pieces:
            ended += transfers.feed(piece)
    assert all(one.sequence == number and len(one.data) <= 16 for one in ended)
    assert len(ended) <= 1


@given(
    st.sampled_from([3, 4]),
    st.integers(0, 3),
    st.integers(-200, 5),
    st.integers(-3, 20),
    st.binary(max_size=99),
)
def test_hostile_heads_end_nothing_that_was_not_begun(
    command: int, sequence: int, status: int, actual: int, data: bytes
) -> None:
    transfers = Transfers(DEVICE_ID)
    number, _ = transfers.submit(0x83, length=16)
    transfers.unlink(number)
    head = struct.pack(">IIIIIiiiii8x", command, sequence, 0, 0, 0, status, actual, 0, 0, 0)
    ended = []
    with contextlib.suppress(UsbipError):
        ended = transfers.feed(head + data)
    assert all(one.sequence == number and len(one.data) == one.actual <= 16 for one in ended)
