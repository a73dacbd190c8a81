"""The simulated USB device moves packets as a controller sees them: short, empty, too long, refused."""

from __future__ import annotations

import pytest

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim_sim.usb.device import MOST_BYTES, MOST_REQUESTS, Function
from neurostim_sim.usb.pipes import MOST_HELD
from neurostim_sim.usb.transfers import ENOMEM, EOVERFLOW, EPIPE, EPROTO, EREMOTEIO, ESHUTDOWN
from support.usb_requests import UsbHost, bare_device, configured

OUT, IN, HINT = 0x03, 0x83, 0x84
CDC_OUT, CDC_IN, NOTIFY = 0x01, 0x81, 0x82


@pytest.mark.parametrize("length", [1, 63, 65, 100, 130])
def test_a_short_packet_ends_a_read(length):
    host = configured()
    host.device.feed(bytes(range(length)))
    done = host.read(IN)
    assert (done.status, done.data, done.actual) == (0, bytes(range(length)), length)
    assert host.read(IN) is None


@pytest.mark.parametrize("length", [64, 128, 192])
def test_an_empty_packet_ends_a_read_that_the_data_fill_packet_by_packet(length):
    host = configured()
    host.device.feed(b"x" * length)
    assert host.read(IN).actual == length
    waiting = host.submit(IN, 512)
    assert host.result(waiting) is None


def test_a_read_that_is_just_full_leaves_the_empty_packet_to_the_next():
    host = configured()
    host.device.feed(b"x" * 64)
    assert host.read(IN, 64).actual == 64
    empty = host.read(IN, 64)
    assert (empty.status, empty.actual) == (0, 0)
    assert host.read(IN, 64) is None


def test_a_read_waits_until_there_is_something():
    host = configured()
    waiting = host.submit(IN, 512)
    assert host.result(waiting) is None
    host.device.feed(b"now")
    assert host.result(waiting).data == b"now"


def test_reads_are_served_in_order():
    host = configured()
    first, second = host.submit(IN, 512), host.submit(IN, 512)
    host.device.feed(b"one")
    assert host.result(first).data == b"one"
    assert host.result(second) is None
    host.device.feed(b"two")
    assert host.result(second).data == b"two"


@pytest.mark.parametrize(("room", "length"), [(10, 11), (63, 64), (100, 128), (64 + 1, 70)])
def test_a_packet_that_the_buffer_cannot_hold_is_babble(room, length):
    host = configured()
    host.device.feed(b"x" * length)
    assert host.read(IN, room).status == EOVERFLOW


def test_babble_loses_one_packet_and_then_the_line_is_well():
    host = configured()
    host.device.babble()
    host.device.feed(b"x" * 70)
    assert host.read(IN).status == EOVERFLOW
    assert host.read(IN).data == b"x" * 6


def test_a_short_read_is_an_error_where_the_host_insists():
    host = configured()
    host.device.feed(b"short")
    done = host.read(IN, whole=True)
    assert (done.status, done.data) == (EREMOTEIO, b"short")


def test_a_halted_endpoint_stalls_until_the_host_clears_it():
    host = configured()
    waiting = host.submit(IN, 512)
    host.device.stall()
    assert host.result(waiting).status == EPIPE
    assert host.write(OUT, b"lost\0").status == EPIPE
    assert host.control(0x82, 0, 0, IN, 2).data == b"\1\0"
    assert host.control(0x02, 1, 0, IN).status == 0
    assert host.control(0x82, 0, 0, IN, 2).data == b"\0\0"
    host.device.feed(b"again")
    assert host.read(IN).data == b"again"
    assert host.write(OUT, b"still\0").status == EPIPE
    host.control(0x02, 1, 0, OUT)
    assert host.write(OUT, b"heard\0").status == 0
    assert host.device.take_heard() == b"\0heard\0"


def test_the_host_can_halt_an_endpoint():
    host = configured()
    assert host.control(0x02, 3, 0, OUT).status == 0
    assert host.write(OUT, b"x").status == EPIPE


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128])
@pytest.mark.parametrize("ends_with_zero", [False, True])
def test_writes_of_any_length_arrive_whole(length, ends_with_zero):
    host = configured()
    host.device.take_heard()
    done = host.write(OUT, b"y" * length, ends_with_zero=ends_with_zero)
    assert (done.status, done.actual, done.data) == (0, length, b"")
    host.write(OUT, b"\0")
    assert host.device.take_heard() == b"y" * length + b"\0"


def test_frames_of_the_two_functions_never_garble_each_other():
    host = configured()
    host.device.take_heard()
    host.write(OUT, b"\0ven")
    host.write(CDC_OUT, b"\0serial\0")
    host.write(OUT, b"dor\0")
    assert host.device.take_heard(Function.SERIAL) == b"\0serial\0"
    assert host.device.take_heard() == b"\0vendor\0"
    host.write(CDC_OUT, b"\0a")
    host.write(OUT, b"\0b\0")
    host.write(CDC_OUT, b"a\0")
    assert host.device.take_heard() == b"\0b\0"
    assert host.device.take_heard(Function.SERIAL) == b"\0aa\0"


def test_what_never_becomes_a_frame_is_not_held_without_bound():
    host = configured()
    for _ in range(64):
        host.write(OUT, b"x" * 4096)
    host.write(OUT, b"\0frame\0")
    heard = host.device.take_heard()
    assert heard.endswith(b"\0frame\0")
    assert len(heard) < 4096


def test_a_device_that_takes_nothing_leaves_writes_waiting():
    host = configured()
    host.device.take_heard()
    host.device.refuse(refusing=True)
    waiting = [host.submit(OUT, data=b"later\0") for _ in range(3)]
    assert [host.result(one) for one in waiting] == [None] * 3
    assert host.device.take_heard() == b""
    host.device.refuse(refusing=False)
    assert [host.result(one).actual for one in waiting] == [6, 6, 6]
    assert host.device.take_heard() == b"later\0" * 3


def test_a_transfer_that_waits_can_be_taken_back_and_one_that_ended_cannot():
    host = configured()
    waiting = host.submit(IN, 512)
    assert host.device.unlink(waiting)
    assert not host.device.unlink(waiting)
    host.device.feed(b"for nobody")
    assert host.result(waiting) is None
    later = host.submit(IN, 512)
    assert host.result(later).data == b"for nobody"
    assert not host.device.unlink(later)


def test_requests_and_bytes_that_wait_are_bounded():
    host = configured()
    numbers = [host.submit(IN, 64) for _ in range(MOST_REQUESTS + 1)]
    assert [host.result(one) for one in numbers[:-1]] == [None] * MOST_REQUESTS
    assert host.result(numbers[-1]).status == ENOMEM
    other = configured()
    other.device.refuse(refusing=True)
    big = bytes(MOST_BYTES)
    assert other.write(OUT, big) is None
    assert other.write(OUT, b"x").status == ENOMEM


def test_bytes_that_nobody_reads_are_bounded_and_the_newest_are_kept():
    host = configured()
    for number in range(3 * MOST_HELD // 1024):
        host.device.feed(b"%04d" % number + b"x" * 1020)
    held = b""
    while (done := host.read(IN, 4096)) is not None:
        held += done.data
    assert len(held) <= MOST_HELD
    assert held.endswith(b"%04d" % (3 * MOST_HELD // 1024 - 1) + b"x" * 1020)


def test_an_endpoint_that_is_not_there_or_not_configured_does_not_answer():
    host = UsbHost(bare_device())
    assert host.read(IN).status == EPROTO
    assert host.write(OUT, b"x").status == EPROTO
    host.configure()
    assert host.read(0x85).status == EPROTO
    assert host.read(0x80 | OUT & 0x0F) is None
    assert host.write(0x05, b"x").status == EPROTO
    host.control(0x00, 9, 0)
    assert host.read(IN).status == EPROTO


def test_nothing_is_sent_to_a_function_that_nobody_uses():
    host = UsbHost(bare_device())
    host.configure()
    for function in Function:
        host.device.feed(b"nobody listens", function)
    host.write(OUT, b"\0")
    host.control(0x21, 0x22, 1, 0)
    assert host.read(IN) is None
    assert host.read(CDC_IN) is None


def test_the_serial_port_speaks_from_dtr_on_and_is_empty_for_the_next_program():
    host = UsbHost(bare_device())
    host.configure()
    assert host.control(0x21, 0x22, 1, 0).status == 0
    host.device.feed(b"to whom it may concern", Function.SERIAL)
    assert host.read(CDC_IN).data == b"to whom it may concern"
    host.device.feed(b"unread", Function.SERIAL)
    host.write(CDC_OUT, b"half a fr")
    host.control(0x21, 0x22, 0, 0)
    host.control(0x21, 0x22, 1, 0)
    assert host.read(CDC_IN) is None
    host.write(CDC_OUT, b"ame\0")
    assert host.device.take_heard(Function.SERIAL) == b"ame\0"


def test_a_function_hears_only_what_is_for_it():
    host = configured()
    host.control(0x21, 0x22, 1, 0)
    host.device.feed(b"vendor")
    host.device.feed(b"serial", Function.SERIAL)
    assert (host.read(IN).data, host.read(CDC_IN).data) == (b"vendor", b"serial")
    assert host.read(IN) is None
    assert host.read(CDC_IN) is None


def test_a_removed_device_ends_what_waits():
    host = configured()
    waiting = [host.submit(IN, 64), host.submit(HINT, 16), host.submit(NOTIFY, 16)]
    host.device.remove()
    assert {host.result(one).status for one in waiting} == {ESHUTDOWN}
    assert host.device.configuration == 0


def event(message: m.StateChanged | m.Telemetry) -> bytes:
    return pack(message, session=1, sequence=1, command_id=0, lease_us=5)


STOPPED = event(
    m.StateChanged(
        m.DeviceState.DELIVERING, m.DeviceState.STOPPED, m.StopCause.DEAD_MAN, m.FaultCode.NONE, 3, 9
    )
)
TELEMETRY = event(m.Telemetry(1, 1, m.DeviceState.IDLE, 0, 0, 0, 1000, 0, 0, ()))


def test_a_critical_event_is_announced_and_telemetry_is_not():
    host = configured()
    hint = host.submit(HINT, 16)
    host.device.feed(TELEMETRY)
    assert host.result(hint) is None
    host.device.feed(STOPPED)
    state, cause = int(m.DeviceState.STOPPED), int(m.StopCause.DEAD_MAN)
    assert host.result(hint).data == bytes([1, state, cause, 0, 1, 0, 0, 0])
    assert host.read(IN, 4096).data == TELEMETRY + STOPPED


def test_only_the_newest_hint_is_held_and_its_counter_tells_how_many_there_were():
    host = configured()
    host.device.feed(STOPPED + STOPPED)
    host.device.feed(STOPPED)
    assert host.read(HINT, 64).data[4:] == (3).to_bytes(4, "little")
    assert host.read(HINT, 64) is None
