"""The device behind its USB cable, in virtual time: stops, pulled cables, restarts and faults of the bus."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from neurostim.core.errors import ConfigError
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim_sim.settings import Settings
from neurostim_sim.usb.attached import RETURN_NS, UsbAttachedDevice, switch_on
from neurostim_sim.usb.connection import Connection, UsbIpBus
from neurostim_sim.usb.faults import AWAY_NS, USB_FAULTS
from neurostim_sim.usb.transfers import EOVERFLOW, EPIPE, ESHUTDOWN
from support.sim_bench import MS, SimHost, device, tonic
from support.usb_requests import UsbHost

OUT, IN = 0x03, 0x83


def frame(message: Any, command: int = 1) -> bytes:
    return pack(message, session=0, sequence=0, command_id=command, lease_us=0)


class Bed:
    """A device that delivers, with a host on its core for the heartbeats and one on its USB."""

    def __init__(self, *, delivering: bool = True) -> None:
        self.core = device("scs")
        self.attached = UsbAttachedDevice(self.core)
        self.usb = UsbHost(self.attached.usb)
        self.usb.configure()
        self.now_ns = 0
        if delivering:
            host = SimHost(self.core)
            host.start(tonic())
            host.live_until(200 * MS)
            self.now_ns = 200 * MS
        self.ask(m.Identify())

    def advance(self, to_ns: int) -> None:
        self.now_ns = to_ns
        self.attached.advance(to_ns)

    def send(self, message: Any) -> int:
        number = self.usb.submit(OUT, data=frame(message))
        self.attached.advance(self.now_ns)
        return number

    def ask(self, message: Any) -> list[Any]:
        self.send(message)
        return self.heard()

    def heard(self) -> list[Any]:
        """Replies that the bulk pipe has brought; events of sessions of the core's own host are put aside."""
        data = b""
        while True:
            number = self.usb.submit(IN, 4096)
            done = self.usb.result(number)
            if done is None:
                assert self.usb.device.unlink(number)
                break
            data += done.data
        found = [unpack(one) for one in FrameDecoder().feed(data) if isinstance(one, Frame)]
        return [one for one in found if not isinstance(one, (m.StateChanged, m.Telemetry, m.Compliance))]


def test_bytes_go_both_ways():
    bed = Bed(delivering=False)
    assert isinstance(bed.ask(m.Identify())[0], m.IdentifyReply)


@pytest.mark.parametrize("message", [m.Stop(), m.EmergencyStop()])
def test_a_stop_by_control_goes_before_everything_that_waits_in_the_pipes(message):
    bed = Bed()
    bed.attached.inject("usb-refuse", bed.now_ns)
    bed.advance(bed.now_ns)
    stuck = bed.send(m.Identify())
    assert bed.usb.result(stuck) is None
    assert bed.core.output_on
    assert bed.usb.control(0x41, 0x53, 0, 2, frame(message)).status == 0
    bed.attached.advance(bed.now_ns)
    assert bed.core.state is m.DeviceState.STOPPED
    assert bed.usb.result(stuck) is None
    [reply] = bed.heard()
    assert isinstance(reply, m.StopReply | m.EmergencyStopReply)


def test_an_emergency_stop_by_control_takes_no_time():
    bed = Bed()
    bed.usb.control(0x41, 0x53, 0, 2, frame(m.EmergencyStop()))
    bed.attached.advance(bed.now_ns)
    assert bed.core.memory.cause == m.StopCause.EMERGENCY_STOP
    assert bed.core.memory.doses[-1].end_tick == bed.now_ns // bed.core.profile.capabilities.grid.tick_ns


def test_a_stop_by_control_overtakes_what_came_down_the_pipe_in_the_same_moment():
    bed = Bed(delivering=False)
    bed.usb.submit(OUT, data=frame(m.Identify()))
    bed.usb.control(0x41, 0x53, 0, 2, frame(m.Stop()))
    bed.attached.advance(bed.now_ns)
    assert [type(one) for one in bed.heard()] == [m.StopReply, m.IdentifyReply]


def test_a_stop_by_control_does_not_cut_a_frame_that_is_half_sent():
    bed = Bed(delivering=False)
    data = frame(m.Identify())
    bed.usb.submit(OUT, data=data[:20])
    bed.usb.control(0x41, 0x53, 0, 2, frame(m.Stop()))
    bed.usb.submit(OUT, data=data[20:])
    bed.attached.advance(bed.now_ns)
    assert [type(one) for one in bed.heard()] == [m.StopReply, m.IdentifyReply]


def test_a_stop_by_control_is_not_lost_where_the_line_loses_frames():
    for seed in range(8):
        attached = UsbAttachedDevice(device("scs"), seed)
        usb = UsbHost(attached.usb)
        usb.configure()
        attached.inject("lost", 0)
        attached.inject("late", 0)
        assert usb.control(0x41, 0x53, 0, 2, frame(m.Stop())).status == 0
        attached.advance(0)
        assert attached.core.state is m.DeviceState.STOPPED


def test_an_import_begins_with_a_reset():
    attached = UsbAttachedDevice(device("scs"))
    UsbHost(attached.usb).configure()
    connection = Connection(UsbIpBus(attached))
    connection.feed(struct.pack(">HHI32s", 0x0111, 0x8003, 0, b"1-1"), 0)
    assert connection.imported
    assert attached.usb.configuration == 0


@pytest.mark.parametrize("gone", [False, True])
def test_nothing_of_a_host_that_has_gone_arrives_later(gone):
    core = device("scs")
    attached = UsbAttachedDevice(core)
    bus = UsbIpBus(attached)
    connection = Connection(bus)
    connection.feed(struct.pack(">HHI32s", 0x0111, 0x8003, 0, b"1-1"), 0)
    attached.inject("late", 0)
    host = UsbHost(attached.usb)
    host.configure()
    for _ in range(16):
        host.submit(OUT, data=frame(m.Identify()))
    attached.advance(0)
    arrived: list[bytes] = []
    core.receive = lambda data, line=0: arrived.append(data)
    if gone:
        bus.release(connection)
    attached.advance(AWAY_NS)
    assert bool(arrived) != gone


def test_a_pulled_cable_leaves_the_output_to_the_dead_man():
    bed = Bed()
    waiting = bed.usb.submit(IN, 512)
    bed.attached.unplug()
    assert bed.usb.result(waiting).status == ESHUTDOWN
    assert not bed.attached.on_bus
    bed.advance(bed.now_ns + 500 * MS)
    assert bed.core.state is m.DeviceState.STOPPED
    assert bed.core.memory.cause == m.StopCause.DEAD_MAN


def test_what_is_said_while_the_cable_is_out_is_lost():
    bed = Bed()
    bed.attached.unplug()
    bed.advance(bed.now_ns + 600 * MS)
    bed.attached.plug()
    bed.usb.configure()
    assert bed.usb.read(IN) is None


def test_a_host_that_lets_go_leaves_an_unconfigured_device():
    bed = Bed(delivering=False)
    bed.usb.write(OUT, b"\0half a fra")
    bed.attached.let_go()
    assert bed.attached.usb.configuration == 0
    bed.usb.configure()
    bed.usb.write(OUT, b"me\0")
    bed.attached.advance(bed.now_ns)
    assert isinstance(bed.ask(m.Identify())[0], m.IdentifyReply)


@pytest.mark.parametrize("fault", ["reset", "brown-out"])
def test_a_restarted_processor_leaves_the_bus_and_comes_back_unconfigured(fault):
    bed = Bed()
    waiting = bed.usb.submit(IN, 512)
    bed.attached.inject(fault, bed.now_ns + 50 * MS)
    bed.advance(bed.now_ns + 50 * MS)
    assert not bed.attached.on_bus
    assert bed.usb.result(waiting).status == ESHUTDOWN
    begun = bed.now_ns
    assert bed.attached.next_ns() <= begun + RETURN_NS
    bed.advance(begun + RETURN_NS - 1)
    assert not bed.attached.on_bus
    bed.advance(begun + RETURN_NS)
    assert bed.attached.on_bus
    assert bed.attached.usb.configuration == 0
    assert not bed.core.output_on


def test_an_unplugged_cable_comes_back_after_a_second():
    bed = Bed(delivering=False)
    begun = bed.now_ns + 30 * MS
    bed.attached.inject("usb-unplug", begun)
    assert bed.attached.next_ns() == begun
    bed.advance(begun)
    assert not bed.attached.on_bus
    bed.advance(begun + AWAY_NS - 1)
    assert not bed.attached.on_bus
    bed.advance(begun + AWAY_NS)
    assert bed.attached.on_bus


def test_refusal_ends_after_a_second_and_what_waited_arrives():
    bed = Bed(delivering=False)
    bed.attached.inject("usb-refuse", 0)
    bed.advance(0)
    stuck = bed.send(m.Identify())
    bed.advance(AWAY_NS - 1)
    assert bed.usb.result(stuck) is None
    bed.advance(AWAY_NS)
    assert bed.usb.result(stuck).status == 0
    assert isinstance(bed.heard()[0], m.IdentifyReply)


@pytest.mark.parametrize(("fault", "status"), [("usb-stall", EPIPE), ("usb-babble", EOVERFLOW)])
def test_stall_and_babble_come_at_their_time(fault, status):
    bed = Bed(delivering=False)
    bed.attached.inject(fault, 40 * MS)
    bed.advance(39 * MS)
    waiting = bed.usb.submit(IN, 512)
    bed.send(m.Identify())
    assert bed.usb.result(waiting).status == 0
    bed.advance(41 * MS)
    bed.send(m.Identify())
    assert bed.usb.read(IN).status == status


def test_faults_of_the_bus_are_options_of_a_device_on_usb_alone():
    for name in USB_FAULTS:
        attached = switch_on(Settings("scs", faults=(f"{name}@2 s",)))
        assert attached.next_ns() == 2_000 * MS
        with pytest.raises(ConfigError, match=name):
            Settings("scs", faults=(name,)).switch_on()


def test_the_hint_shows_the_state_at_the_moment_of_the_event():
    bed = Bed()
    hint = bed.usb.submit(0x84, 16)
    bed.usb.control(0x41, 0x53, 0, 2, frame(m.Stop()))
    bed.attached.advance(bed.now_ns)
    state, cause = int(m.DeviceState.STOPPED), int(m.StopCause.STOP)
    done = bed.usb.result(hint)
    assert done.data[:4] == bytes([1, state, cause, 0])
    assert int.from_bytes(done.data[4:], "little") > 0


CDC_OUT, CDC_IN = 0x01, 0x81


class TwoPrograms:
    """One at the vendor interface, one at the serial port of the same device, each with its own session."""

    def __init__(self) -> None:
        self.core = device("scs")
        self.attached = UsbAttachedDevice(self.core)
        self.usb = UsbHost(self.attached.usb)
        self.usb.configure()
        self.usb.control(0x21, 0x22, 1, 0)
        self.now_ns = 0

    def ask(self, out: int, message: Any, session: int = 0, sequence: int = 0) -> list[Frame]:
        """Send as a program's first command, and hear what came back there."""
        lease = self.core.now_us if session else 0
        data = pack(message, session=session, sequence=sequence, command_id=1, lease_us=lease)
        self.usb.submit(out, data=data)
        self.attached.advance(self.now_ns)
        return self.heard(out | 0x80)

    def heard(self, into: int) -> list[Frame]:
        data = b""
        while True:
            number = self.usb.submit(into, 4096)
            done = self.usb.result(number)
            if done is None:
                assert self.usb.device.unlink(number)
                return [one for one in FrameDecoder().feed(data) if isinstance(one, Frame)]
            data += done.data


def hello(program: int) -> m.Hello:
    return m.Hello(bytes([program]) * 16, program, m.Role.CONTROL, bytes(16))


@pytest.mark.hazard("two-hosts")
@pytest.mark.parametrize(("one", "other"), [(OUT, CDC_OUT), (CDC_OUT, OUT)], ids=["vendor", "serial"])
def test_two_programs_at_the_two_functions_never_hear_each_others_replies(one: int, other: int) -> None:
    both = TwoPrograms()
    [first] = [unpack(frame) for frame in both.ask(one, hello(1))]
    assert isinstance(first, m.HelloReply)
    assert both.heard(other | 0x80) == []
    [second] = [unpack(frame) for frame in both.ask(other, hello(2))]
    assert both.heard(one | 0x80) == []
    assert isinstance(second, m.HelloReply)
    assert (first.nonce, second.nonce) == (1, 2)
    assert first.role is m.Role.CONTROL
    assert second.role is m.Role.OBSERVE
    assert first.session != second.session


@pytest.mark.hazard("two-hosts")
def test_a_program_at_the_other_function_stops_and_both_are_told() -> None:
    both = TwoPrograms()
    owner, guest = (unpack(both.ask(out, hello(out))[0]).session for out in (CDC_OUT, OUT))
    both.ask(CDC_OUT, m.Status(), owner, 1)
    both.ask(OUT, m.Status(), guest, 1)
    replies = [unpack(one) for one in both.ask(OUT, m.Stop(), guest, 2)]
    assert [type(one) for one in replies if not isinstance(one, m.StateChanged)] == [m.StopReply]
    for heard in (replies, [unpack(one) for one in both.heard(CDC_IN)]):
        assert [one.state for one in heard if isinstance(one, m.StateChanged)] == [m.DeviceState.STOPPED]
