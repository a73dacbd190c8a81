"""Over USB/IP through the unmodified USB driver: whole sessions, and what can happen to a cable."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from neurostim.cli import exits
from neurostim.cli.demo_device import SimulatedDevice
from neurostim.core.errors import DeliveryUncertain, TransportError
from neurostim.core.program_file import parse_program
from neurostim.device.host_core import LinkState
from neurostim.device.native import NativeStimulator
from neurostim.device.notices import Notice, NoticeKind
from neurostim.electrode.library import lead
from neurostim.session import Session
from neurostim.transport import open_url
from neurostim.transport.usb_link import UsbTransport
from neurostim.wire.messages import DeviceState, Role, StopCause
from support.cli_processes import ended

PROGRAM = """
format = "neurostim-program/1"
name = "a pair at 50 Hz"
therapy = "scs"
lead = "octrode"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "active-symmetric" }
train = { rate = "50 Hz" }
ramp = { up = "500 ms", down = "500 ms" }
"""
T = TypeVar("T")

STOPS = (StopCause.STOP, StopCause.EMERGENCY_STOP)
RETURN_SECONDS = 10


class Bench:
    """A simulated device on USB/IP, a stimulator opened there, and a session on it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.simulator = stack.enter_context(simulated(folder))
        self.stimulator = stack.enter_context(NativeStimulator(self.simulator.url))
        self._folder = folder
        self._stack = stack

    def deliver(self) -> Session:
        self.stimulator.open()
        folder = self._folder / "journal"
        session = Session(self.stimulator, parse_program(PROGRAM), [lead("octrode")], folder)
        self._stack.callback(session.close)
        session.open()
        for step in (session.measure, session.check, session.approve, session.load, session.start):
            step()
        while not session.delivering:
            session.watch()
        return session

    def link(self) -> UsbTransport:
        link = self.stimulator._link
        assert isinstance(link, UsbTransport)
        return link


def simulated(folder: Path) -> SimulatedDevice:
    options = ["--usbip", "127.0.0.1:0", "--profile", "scs", "--seed", "1", "--lead", "octrode"]
    return SimulatedDevice(options, folder / "simulator.log")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def again(connect: Callable[[], T], stimulator: NativeStimulator) -> T:
    """Connect again as soon as the device is back; it is away for a moment."""
    for _ in range(RETURN_SECONDS * 20):
        try:
            return connect()
        except TransportError:
            stimulator.wait(0.05)
    raise AssertionError("the device never came back")


def test_a_program_is_delivered_and_reconciled_over_usb(tmp_path: Path) -> None:
    program = tmp_path / "program.toml"
    program.write_text(PROGRAM, encoding="utf-8")
    with simulated(tmp_path) as device:
        code, document, progress = ended(
            *("run", program, "--device", device.url, "--for", "1 s"),
            *("--journal", tmp_path / "journal", "--json"),
        )
        assert code == exits.OK, progress
        assert document["reconciliation"]["agrees"]
        code, document, _ = ended("devices", "--device", device.url, "--json")
    assert (code, document["devices"][0]["state"]) == (exits.OK, "idle")


def test_a_stop_over_usb_is_confirmed_and_hinted(bench: Bench) -> None:
    session = bench.deliver()
    confirmation = session.stop()
    assert confirmation.state is DeviceState.STOPPED
    assert confirmation.stop_cause in STOPS
    hint = bench.link().last_hint
    assert hint is not None
    assert hint.counter > 0
    assert session.finish().agrees


@pytest.mark.hazard("slow-stop")
def test_a_stop_goes_past_a_pipe_that_takes_nothing(bench: Bench) -> None:
    """For a second the device takes no byte from its pipe: only the control request can carry the stop."""
    session = bench.deliver()
    bench.simulator.order("fault usb-refuse")
    confirmation = session.stop()
    assert confirmation.state is DeviceState.STOPPED
    assert confirmation.stop_cause in STOPS


def test_a_stop_goes_past_a_pipe_that_is_stalled_and_full(bench: Bench) -> None:
    session = bench.deliver()
    bench.simulator.order("fault usb-refuse")
    requests = [bench.stimulator.status() for _ in range(40)]
    bench.simulator.order("fault usb-stall")
    confirmation = session.stop()
    assert confirmation.state is DeviceState.STOPPED
    assert confirmation.stop_cause in STOPS
    for request in requests:
        request.error(30)


def test_a_stop_that_a_frozen_server_swallows_is_told_in_time_and_arrives_after_all(bench: Bench) -> None:
    bench.stimulator.open()
    os.kill(bench.simulator.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        error = bench.stimulator.stop().error(10)
        took = time.monotonic() - begun
    finally:
        os.kill(bench.simulator.pid, signal.SIGCONT)
    assert isinstance(error, DeliveryUncertain)
    assert error.code == "stop-not-confirmed"
    assert took < 1.2, "600 ms, and what a busy machine adds"
    assert bench.stimulator.stop().result(10).stop_cause in STOPS


@pytest.mark.hazard("usb-removal")
def test_an_emergency_stop_by_control_request_alone(bench: Bench) -> None:
    session = bench.deliver()
    link = bench.link()
    stop_path = bench.stimulator._core._stops
    _, frame = stop_path._frames[True]
    assert link.urgent(frame) is True
    while bench.stimulator.status().result().state is not DeviceState.STOPPED:
        session.watch()
    assert bench.stimulator.status().result().stop_cause is StopCause.EMERGENCY_STOP


@pytest.mark.hazard("usb-removal")
def test_a_dose_survives_stalls_and_babble(bench: Bench) -> None:
    session = bench.deliver()
    for fault in ("usb-stall", "usb-babble", "usb-stall"):
        bench.simulator.order(f"fault {fault}")
        for _ in range(3):
            assert bench.stimulator.status().result(10).state is DeviceState.DELIVERING
    assert bench.stimulator._core.state is LinkState.OPEN
    assert session.stop().stop_cause in STOPS


@pytest.mark.hazard("usb-removal")
def test_a_cable_pulled_in_mid_dose_ends_it_and_nothing_resumes(bench: Bench) -> None:
    session = bench.deliver()
    bench.simulator.order("unplug")
    while not any(isinstance(one, Notice) and one.kind is NoticeKind.LINK_LOST for one in session.watch()):
        continue
    request = bench.stimulator.status()
    assert isinstance(request.error(10), TransportError)
    bench.simulator.order("plug")
    status = again(session.reconnect, bench.stimulator)
    assert session.delivering is False
    while status.output_on:
        status = bench.stimulator.status().result()
    assert status.state is DeviceState.STOPPED
    assert status.stop_cause in (StopCause.DEAD_MAN, StopCause.STOP)
    assert session.finish().agrees


def test_a_device_that_restarts_comes_back_as_another_boot(bench: Bench) -> None:
    bench.stimulator.open()
    boots = bench.stimulator.identity.boot_count
    bench.simulator.order("fault reset")
    while not any(
        isinstance(one, Notice) and one.kind is NoticeKind.LINK_LOST
        for one in bench.stimulator.take_critical()
    ):
        bench.stimulator.wait(0.05)
    again(bench.stimulator.reopen, bench.stimulator)
    assert bench.stimulator.identity.boot_count == boots + 1


def test_hosts_come_and_go_one_at_a_time_and_only_stops_are_urgent(tmp_path: Path) -> None:
    with simulated(tmp_path) as device:
        for _ in range(3):
            with NativeStimulator(device.url) as stimulator:
                stimulator.open(Role.OBSERVE)
                with pytest.raises(TransportError) as caught:
                    open_url(device.url)
                assert caught.value.code == "usb-busy"
                link = stimulator._link
                assert link is not None
                assert link.urgent(b"\0nonsense\0") is False
                assert stimulator.status().result().state is DeviceState.IDLE
