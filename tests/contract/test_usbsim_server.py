"""The USB/IP server on real sockets: lists, imports, transfers, unlinks, refusals and surprise removal."""

from __future__ import annotations

import socket
import struct

import pytest
import usbip
import usbip.host
from usbip.transport import USBIP

from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim_sim.servers.usbip import MOST_CONNECTIONS
from support.usbip_raw import IN, OUT, Raw, served

IDENTIFY = pack(m.Identify(), session=0, sequence=0, command_id=1, lease_us=0)
STOP = pack(m.Stop(), session=0, sequence=0, command_id=2, lease_us=0)


def replies(data: bytes) -> list[object]:
    frames = FrameDecoder().feed(data)
    assert all(isinstance(one, Frame) for one in frames)
    return [unpack(one) for one in frames if isinstance(one, Frame)]


def test_the_device_is_listed_as_the_kernel_s_tools_read_it():
    with served() as device, Raw(device.port) as host:
        [(entry, interfaces)] = host.devices()
        path, bus_id, bus, number, speed, *rest = struct.unpack(">256s32sIIIHHHBBBBBB", entry)
        assert path.startswith(b"/")
        assert bus_id.rstrip(b"\0") == b"1-1"
        assert (bus, number, speed) == (1, 2, 2)
        assert rest == [0x1209, 0x0001, 0x0100, 0xEF, 2, 1, 0, 1, 3]
        assert interfaces == [b"\2\2\0\0", b"\x0a\0\0\0", b"\xff\0\0\0"]
        assert host.is_closed()


def test_the_address_names_host_port_and_bus():
    with served() as device:
        assert device.url == f"usbip://127.0.0.1:{device.port}/1-1"


@pytest.mark.parametrize("bus_id", ["", "1-2", "2-1", "1-1.1", "x" * 32])
def test_a_bus_that_is_not_there_cannot_be_imported(bus_id):
    with served() as device, Raw(device.port) as host:
        assert host.attach(bus_id) == (4, b"")
        assert host.is_closed()


def test_a_device_that_one_host_has_is_busy_for_another_until_that_one_goes():
    with served() as device:
        with Raw(device.port) as first:
            first.start()
            with Raw(device.port) as second:
                assert second.attach() == (2, b"")
                assert second.is_closed()
            with Raw(device.port) as third:
                assert len(third.devices()) == 1
            assert first.control(0x80, 8, 0, 0, 1)[2] == b"\1"
        for _ in range(200):
            with Raw(device.port) as later:
                status, _ = later.attach()
                if status == 0:
                    # The cable was out in between: nothing of the first host is left.
                    assert later.control(0x80, 8, 0, 0, 1)[2] == b"\0"
                    return
        pytest.fail("the device stayed busy")


@pytest.mark.parametrize(("out", "into"), [(3, 3), (1, 1)])
def test_both_functions_carry_the_protocol(out, into):
    with served() as device, Raw(device.port) as host:
        host.start()
        assert host.write(out, IDENTIFY)[:2] == (0, len(IDENTIFY))
        status, _, data = host.read(into)
        assert status == 0
        [reply] = replies(data)
        assert isinstance(reply, m.IdentifyReply)
        assert reply.serial_number == "SIM-0001"


def test_a_read_that_waits_is_taken_back_and_then_never_answered():
    with served() as device, Raw(device.port) as host:
        host.start()
        waiting = host.submit(3, IN, 512)
        assert host.unlink_status(waiting) == -104
        host.write(3, IDENTIFY)
        host.read(3)
        assert waiting not in host.returned


def test_a_read_that_ended_before_its_unlink_keeps_its_data():
    with served() as device, Raw(device.port) as host:
        host.start()
        waiting = host.submit(3, IN, 512)
        host.write(3, IDENTIFY)
        assert host.unlink_status(waiting) == 0
        assert len(host.returned[waiting][2]) > 0
        assert host.order.index(("returned", waiting)) < len(host.order) - 1
        assert host.unlink_status(999_999) == 0


def test_transfers_that_wait_do_not_hold_up_others():
    with served() as device, Raw(device.port) as host:
        host.start()
        waiting = [host.submit(endpoint, IN, 16) for endpoint in (1, 2, 3, 4)]
        assert host.control(0x80, 6, 0x0100, 0, 18)[1] == 18
        assert host.returned.keys().isdisjoint(waiting)


def test_pieces_of_a_message_are_put_together():
    with served() as device, Raw(device.port) as host:
        host.start()
        setup = struct.pack("<BBHHH", 0x80, 6, 0x0100, 0, 18)
        head = struct.pack(">IIIIIIiiii8s", 1, 77, 0x00010002, 1, 0, 0, 18, 0, 0, 0, setup)
        host.directions[77] = IN
        for byte in head:
            host.socket.sendall(bytes([byte]))
        assert host.result(77)[1] == 18


def test_what_is_not_the_protocol_ends_the_connection_and_nothing_else():
    wrong = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack(">HHI", 0x0110, 0x8005, 0),
        struct.pack(">HHI", 0x0111, 0x8006, 0),
    ]
    with served() as device:
        for data in wrong:
            with Raw(device.port) as host:
                host.socket.sendall(data)
                assert host.is_closed()
        with Raw(device.port) as host:
            assert len(host.devices()) == 1


@pytest.mark.parametrize(
    "head",
    [
        struct.pack(">IIIII28x", 5, 1, 0x00010002, 0, 0),
        struct.pack(">IIIII28x", 1, 1, 0x00010003, 0, 0),
        struct.pack(">IIIII28x", 1, 1, 0x00010002, 2, 0),
        struct.pack(">IIIII28x", 1, 1, 0x00010002, 0, 16),
        struct.pack(">IIIIIIiiii8x", 1, 1, 0x00010002, 0, 3, 0, -1, 0, 0, 0),
        struct.pack(">IIIIIIiiii8x", 1, 1, 0x00010002, 0, 3, 0, 1 << 30, 0, 0, 0),
        struct.pack(">IIIIIIiiii8x", 1, 1, 0x00010002, 1, 9, 0, 64, 0, 8, 0),
    ],
)
def test_a_malformed_command_is_a_pulled_cable(head):
    with served() as device:
        with Raw(device.port) as host:
            host.start()
            host.socket.sendall(head)
            assert host.is_closed()
        with Raw(device.port) as host:
            host.start()


def test_pulling_the_cable_ends_what_waits_and_the_connection():
    with served() as device, Raw(device.port) as host:
        host.start()
        waiting = [host.submit(endpoint, IN, 512) for endpoint in (3, 4, 1)]
        # An answer to what was asked after them: the device has them all.
        assert host.control(0x80, 8, 0, 0, 1)[2] == b"\1"
        assert device.order("unplug")["ok"]
        assert {host.result(one)[0] for one in waiting} == {-108}
        assert host.is_closed()
        with Raw(device.port) as other:
            assert other.devices() == []
        with Raw(device.port) as other:
            assert other.attach() == (4, b"")
        assert device.order("plug")["ok"]
        with Raw(device.port) as other:
            other.start()


@pytest.mark.parametrize(("fault", "status"), [("usb-stall", -32), ("usb-babble", -75)])
def test_faults_of_the_bus_come_by_order(fault, status):
    with served() as device, Raw(device.port) as host:
        host.start()
        host.write(3, IDENTIFY)
        assert host.read(3)[0] == 0
        assert device.order(f"fault {fault}")["ok"]
        host.write(3, IDENTIFY)
        assert host.read(3)[0] == status
        for endpoint in (0x03, 0x83):
            host.control(0x02, 1, 0, endpoint, b"")
        host.write(3, IDENTIFY)
        assert host.read(3)[2].endswith(b"\0")


def test_a_fault_that_does_not_exist_is_refused():
    with served() as device:
        assert "usb-melt" in device.order("fault usb-melt")["error"]


def test_a_stop_passes_a_pipe_that_the_device_does_not_empty():
    with served() as device, Raw(device.port) as host:
        host.start()
        host.write(3, IDENTIFY)
        host.read(3)
        device.order("fault usb-refuse")
        stuck = [host.submit(3, OUT, len(IDENTIFY), IDENTIFY) for _ in range(4)]
        assert host.control(0x41, 0x53, 0, 2, STOP)[0] == 0
        [reply] = replies(host.read(3)[2])
        assert isinstance(reply, m.StopReply)
        assert reply.state is m.DeviceState.STOPPED
        assert host.returned.keys().isdisjoint(stuck)


def test_a_host_that_reads_nothing_is_not_served_without_bound():
    with served() as device, Raw(device.port) as host:
        host.start()
        setup = struct.pack("<BBHHH", 0x80, 6, 0x0200, 0, 255)
        head = struct.pack(">IIIIIIiiii8s", 1, 5, 0x00010002, 1, 0, 0, 255, 0, 0, 0, setup)
        host.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            host.socket.sendall(head * 2_000_000)
        with Raw(device.port) as other:
            assert other.attach() == (2, b"")


def test_idle_connections_make_room():
    with served() as device:
        idle = [socket.create_connection(("127.0.0.1", device.port)) for _ in range(2 * MOST_CONNECTIONS)]
        with Raw(device.port) as host:
            host.start()
        for one in idle:
            one.close()


def test_a_second_implementation_lists_imports_and_exchanges():
    with served() as device:
        transport = USBIP("127.0.0.1", device.port)
        [listed] = usbip.host.list_devices(transport)
        assert (listed["busid"], listed["idVendor"], listed["idProduct"]) == ("1-1", 0x1209, 0x0001)
        assert listed["interfaces"] == [(2, 2, 0), (10, 0, 0), (255, 0, 0)]
        with usbip.open(0x1209, 0x0001, transport=transport) as handle:
            assert handle.device_descriptor.bcdUSB == 0x0210
            assert handle.control(0x80, 6, 0x0303, 0x0409, 255)[2:].decode("utf-16-le") == "SIM-0001"
            assert handle.control(0x80, 8, 0, 0, 1) == b"\1"
            for out, into in ((0x03, 0x83), (0x01, 0x81)):
                assert handle.bulk_out(out, IDENTIFY) == len(IDENTIFY)
                assert isinstance(replies(handle.bulk_in(into, 512))[0], m.IdentifyReply)
            # Its own `open` would leave the socket of a refused import to the garbage collector.
            with transport.connect() as second, pytest.raises(usbip.host.NotFound, match="status 2"):
                usbip.protocol.client_import(second)


def test_a_second_implementation_sees_a_stall_clears_it_and_stops_by_control():
    with served() as device, usbip.open(transport=USBIP("127.0.0.1", device.port)) as handle:
        device.order("fault usb-stall")
        with pytest.raises(usbip.host.Stall):
            handle.bulk_in(0x83, 64)
        handle.clear_halt(0x83)
        handle.clear_halt(0x03)
        handle.bulk_out(0x03, IDENTIFY)
        assert isinstance(replies(handle.bulk_in(0x83, 512))[0], m.IdentifyReply)
        assert handle.control(0x41, 0x53, 0, 2, STOP) == len(STOP)
        assert isinstance(replies(handle.bulk_in(0x83, 512))[0], m.StopReply)


def test_a_second_implementation_loses_a_device_that_is_pulled():
    with served() as device, usbip.open(transport=USBIP("127.0.0.1", device.port)) as handle:
        device.order("unplug")
        with pytest.raises((usbip.host.USBError, OSError)):
            handle.control(0x80, 8, 0, 0, 1)
