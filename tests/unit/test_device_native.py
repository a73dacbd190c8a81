"""The native driver on real descriptors: its one thread, its stop from anywhere, its two lanes, its ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from neurostim.core.errors import CommandTimeout, ConfigError, DeliveryUncertain, TransportError
from neurostim.device import (
    CommandFuture,
    CommandRefused,
    DeviceEvent,
    Notice,
    NoticeKind,
    Stimulator,
    connect,
    discover,
    driver,
    drivers,
)
from neurostim.device.lanes import EventLanes
from neurostim.device.native import NativeStimulator
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, FaultCode, Role, StopCause
from support.device_server import DeviceServer
from support.scripted_device import Link, ScriptedDevice


@pytest.fixture(params=["pty", "tcp"])
def server(request) -> Iterator[DeviceServer]:
    with DeviceServer(ScriptedDevice(), tcp=request.param == "tcp") as served:
        yield served


@pytest.fixture
def pty_server() -> Iterator[DeviceServer]:
    with DeviceServer(ScriptedDevice()) as served:
        yield served


@pytest.fixture
def stimulator(server) -> Iterator[NativeStimulator]:
    opened = NativeStimulator(server.url)
    opened.open()
    yield opened
    opened.close()


def links(kind: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith(kind)]


def supervise(stimulator: Stimulator) -> None:
    end = time.monotonic() + 5
    while not stimulator.supervised:
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.wait(0.01)
        assert time.monotonic() < end


def test_making_a_stimulator_opens_nothing() -> None:
    stimulator = NativeStimulator("/dev/does-not-exist")
    assert stimulator.description == "/dev/does-not-exist"
    assert links("neurostim") == []
    with pytest.raises(TransportError, match="Open it first"):
        assert stimulator.identity
    with pytest.raises(TransportError):
        stimulator.status().result()
    with pytest.raises(TransportError):
        stimulator.stop().result()
    stimulator.close()


def test_one_thread_serves_a_link_and_none_is_left(server) -> None:
    stimulator = NativeStimulator(server.url)
    stimulator.open()
    assert len(links("neurostim")) == 1
    assert stimulator.identity.serial_number == "TEST-0001"
    assert "TEST-0001" in stimulator.description
    with pytest.raises(TransportError, match="open already"):
        stimulator.open()
    stimulator.close()
    stimulator.close()
    assert links("neurostim") == []
    assert server.ask(lambda: dict(server.device.links)) == {}


def test_a_stimulator_can_be_opened_again_after_closing(pty_server) -> None:
    stimulator = NativeStimulator(pty_server.url)
    for _ in range(2):
        stimulator.open()
        assert stimulator.status().result().state is DeviceState.IDLE
        stimulator.close()


def test_opening_what_is_not_there_leaves_no_thread(tmp_path) -> None:
    with pytest.raises(TransportError):
        NativeStimulator(str(tmp_path / "nothing")).open()
    assert links("neurostim") == []


def test_opening_a_port_where_nothing_answers_leaves_no_thread(pty_server) -> None:
    pty_server.device.deaf = lambda _request: True
    with pytest.raises(CommandTimeout):
        NativeStimulator(pty_server.url).open()
    assert links("neurostim") == []


def test_a_measurement_runs_over_a_real_line(stimulator) -> None:
    supervise(stimulator)
    future = stimulator.measure_impedances([1, 2, 3], 0)
    while not future.done():
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.wait(0.05)
    assert sorted(future.result().contacts) == [1, 2, 3]
    events = [one.message for one in stimulator.take_critical() if isinstance(one, DeviceEvent)]
    assert any(isinstance(one, m.ImpedanceResult) for one in events)


def test_stop_from_many_threads_at_once_is_confirmed_to_each(stimulator, server) -> None:
    futures: list[CommandFuture] = []
    start = threading.Barrier(8)

    def press() -> None:
        start.wait()
        futures.append(stimulator.stop())

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.result(5).state for one in futures} == {DeviceState.STOPPED}
    assert server.ask(lambda: server.device.state) is DeviceState.STOPPED


@pytest.mark.hazard("slow-stop")
def test_stop_does_not_wait_for_a_thread_that_holds_every_lock_of_the_lanes(stimulator) -> None:
    with stimulator._lanes._changed, stimulator._supervisor._lock:
        begun = time.monotonic()
        stimulator.stop()
        assert time.monotonic() - begun < 0.2
    assert stimulator.stop().result(5).state is DeviceState.STOPPED


def test_a_stop_reaches_the_line_within_milliseconds(stimulator, server) -> None:
    took = []
    for _ in range(20):
        confirmation = stimulator.stop().result(5)
        took.append(confirmation.took_ns)
        stimulator.clear(StopCause.STOP, FaultCode.NONE).result(5)
    assert sorted(took)[10] < 20_000_000


def test_a_pulled_cable_fails_what_is_under_way_and_is_told(stimulator, server) -> None:
    server.device.deaf = lambda request: isinstance(request, m.Status)
    future = stimulator.status()
    server.unplug()
    assert isinstance(future.error(5), TransportError)
    while not any(
        isinstance(one, Notice) and one.kind is NoticeKind.LINK_LOST for one in stimulator.take_critical()
    ):
        assert stimulator.wait(5)
    with pytest.raises(TransportError, match="Connect again"):
        stimulator.status().result(5)
    assert isinstance(stimulator.stop().error(5), DeliveryUncertain)


def test_after_the_cable_is_back_the_host_reads_and_takes_control_only_deliberately(pty_server) -> None:
    stimulator = NativeStimulator(pty_server.url)
    stimulator.open()
    pty_server.unplug()
    while not any(isinstance(one, Notice) for one in stimulator.take_critical()):
        assert stimulator.wait(5)
    stimulator._url = pty_server.plug()
    stimulator.reopen()
    assert stimulator.role is Role.OBSERVE
    assert stimulator.status().result().state is DeviceState.IDLE
    stimulator.take_control()
    assert stimulator.role is Role.CONTROL
    stimulator.close()


def test_the_device_is_silent_after_closing_in_mid_dose(stimulator, server) -> None:
    supervise(stimulator)
    future = stimulator.measure_impedances([1], 0)
    server.until(lambda device: device.output_on)
    stimulator.close()
    server.until(lambda device: not device.output_on)
    assert future.done()


def test_a_fault_inside_the_links_thread_ends_it_with_every_future_answered(pty_server, monkeypatch) -> None:
    crashes: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    stimulator = NativeStimulator(pty_server.url)
    stimulator.open()
    thread = links("neurostim")[0]

    def broken(_now: int) -> None:
        raise RuntimeError("a defect")

    stimulator._requests.append(broken)
    pending = stimulator.status()
    thread.join(5)
    assert isinstance(pending.error(5), TransportError)
    assert isinstance(stimulator.status().error(5), TransportError)
    assert isinstance(stimulator.stop().error(5), TransportError)
    assert [one.exc_type for one in crashes] == [RuntimeError]
    stimulator.close()


@pytest.mark.hazard("session-reset")
def test_control_held_by_another_host_is_taken_only_by_naming_it(pty_server) -> None:
    other = b"another-host-001"
    device = pty_server.device
    pty_server.ask(lambda: device.links.update({99: Link(other, 1, Role.CONTROL)}))
    stimulator = NativeStimulator(pty_server.url)
    stimulator.open()
    assert stimulator.role is Role.OBSERVE
    with pytest.raises(CommandRefused) as caught:
        stimulator.take_control()
    assert caught.value.refusal is m.ErrorCode.CONTROL_HELD
    assert stimulator.status().result().controller == other
    stimulator.take_control(other)
    assert stimulator.role is Role.CONTROL
    stimulator.close()


# Lanes and futures.


def test_the_critical_lane_keeps_everything_and_telemetry_drops_the_oldest() -> None:
    lanes = EventLanes(telemetry_limit=3)
    telemetry = [
        DeviceEvent(n, m.Telemetry(n, n, DeviceState.DELIVERING, 1, n, 0, 0, 0, 0, ())) for n in range(5)
    ]
    notices = [Notice(n, NoticeKind.STOP_SENT, "") for n in range(1000)]
    lanes.put([*telemetry, *notices])
    assert len(lanes.take_critical()) == 1000
    assert [one.at_ns for one in lanes.take_telemetry()] == [2, 3, 4]
    assert lanes.telemetry_dropped == 2
    assert not lanes.wait(0)


def test_closing_the_lanes_lets_a_waiting_thread_go() -> None:
    lanes = EventLanes()
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(lanes.wait(None)))
    thread.start()
    lanes.close()
    thread.join()
    assert waited == [False]


def test_a_future_keeps_its_first_outcome() -> None:
    future: CommandFuture[int] = CommandFuture("X")
    assert "waiting" in repr(future)
    with pytest.raises(CommandTimeout) as caught:
        future.result(0)
    assert caught.value.code == "wait-timeout"
    future.resolve(1)
    future.fail(RuntimeError())
    future.resolve(2)
    assert (future.result(), future.error()) == (1, None)
    failed: CommandFuture[int] = CommandFuture("Y")
    failed.fail(TransportError("gone"))
    with pytest.raises(TransportError):
        failed.result()


# Finding and opening.


def test_connect_opens_a_stimulator_of_the_registered_driver(pty_server) -> None:
    with connect(pty_server.url) as stimulator:
        assert isinstance(stimulator, NativeStimulator)
        assert stimulator.status().result().state is DeviceState.IDLE
    assert "native" in drivers()
    assert driver("native") is NativeStimulator


def test_an_unknown_driver_names_those_that_are_installed() -> None:
    with pytest.raises(ConfigError, match="native"):
        driver("carrier-pigeon")


def test_connect_checks_the_address_before_anything_else() -> None:
    with pytest.raises(ConfigError) as caught:
        connect("socket://nowhere")
    assert caught.value.code == "address"


def test_discovery_opens_no_port(monkeypatch) -> None:
    monkeypatch.setattr("serial.serial_for_url", lambda *_a, **_k: pytest.fail("a port was opened"))
    assert isinstance(discover(), tuple)
