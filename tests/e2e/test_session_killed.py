"""A host program that dies or is suspended: output ends, the start is on record, nothing is given twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurostim.device import SystemClock
from neurostim.device.native import NativeStimulator
from neurostim.session import SessionError, in_flight, read_journal, resolve_with_device
from neurostim.wire import messages as m
from neurostim.wire.messages import StopCause
from support.device_server import DeviceServer
from support.scripted_device import BENCH, ScriptedDevice

HOST = Path(__file__).parents[1] / "support" / "host_process.py"


class Host:
    """A host program in a process of its own."""

    def __init__(self, url: str, folder: Path, until: str = "run") -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HOST), url, str(folder), until],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        pytest.fail(f"the host ended before {word!r}")

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server() -> Iterator[DeviceServer]:
    with DeviceServer(ScriptedDevice(BENCH)) as served:
        yield served


@pytest.fixture
def host(server, tmp_path) -> Iterator[Host]:
    running = Host(server.url, tmp_path)
    yield running
    running.end()


def settle(server: DeviceServer, folder: Path):
    (start,) = in_flight(folder)
    clock = SystemClock()
    with NativeStimulator(server.url) as stimulator:
        stimulator.open()
        return resolve_with_device(
            start, stimulator, monotonic_ns=clock.monotonic_ns, wall_text=clock.wall_text
        )


@pytest.mark.hazard("host-crash")
def test_a_host_killed_in_mid_dose_leaves_silence_and_a_record_that_is_settled(
    server, host, tmp_path
) -> None:
    host.wait_for("ready")
    server.until(lambda device: device.output_on)
    host.signal(signal.SIGKILL)
    host.process.wait()
    server.until(lambda device: not device.output_on)
    assert server.ask(lambda: server.device.cause) is StopCause.DEAD_MAN
    resolution = settle(server, tmp_path)
    assert resolution.delivered is True
    assert "dead_man" in resolution.text
    assert in_flight(tmp_path) == ()
    assert server.ask(lambda: server.device.dose_count) == 2


@pytest.mark.parametrize("moment", ["measure", "load", "start"])
def test_a_host_killed_before_a_step_leaves_no_dose_behind(server, tmp_path, moment) -> None:
    running = Host(server.url, tmp_path, moment)
    running.wait_for("ready")
    running.signal(signal.SIGKILL)
    running.end()
    server.until(lambda device: not device.output_on)
    assert in_flight(tmp_path) == ()
    assert server.ask(lambda: server.device.dose_count) == (0 if moment == "measure" else 1)
    for path in tmp_path.glob("*.jsonl"):
        read_journal(path)


@pytest.mark.hazard("lid")
def test_a_suspended_host_loses_the_output_and_does_not_resume_it(server, host) -> None:
    host.wait_for("ready")
    server.until(lambda device: device.output_on)
    host.signal(signal.SIGSTOP)
    server.until(lambda device: not device.output_on)
    doses = server.ask(lambda: server.device.dose_count)
    host.signal(signal.SIGCONT)
    server.until(lambda device: sum(isinstance(one, m.Heartbeat) for one in device.received[-20:]) > 2)
    assert not server.ask(lambda: server.device.output_on)
    assert server.ask(lambda: server.device.dose_count) == doses


@pytest.mark.hazard("stale-fire")
def test_a_fire_that_lay_in_a_buffer_while_the_host_was_suspended_is_refused(server, tmp_path) -> None:
    running = Host(server.url, tmp_path, "start")
    running.wait_for("ready")
    held: list[bytes] = []
    device = server.device
    plain = device.receive

    def hold(data: bytes, now_ns: int) -> None:
        """The line keeps everything from the start on, as a buffer does, and the host is suspended."""
        armed = any(isinstance(one, m.Arm) and one.kind is m.ArmKind.STIMULATION for one in device.received)
        if armed:
            held.append(data)
        else:
            plain(data, now_ns)

    server.ask(lambda: setattr(device, "receive", hold))
    running.go_on()
    server.until(lambda device: bool(held))
    running.signal(signal.SIGSTOP)
    # Ten seconds go by on the device's clock; then the buffer is let go.
    server.ask(lambda: setattr(device, "offset_us", device.offset_us + 10_000_000))
    server.ask(lambda: setattr(device, "receive", plain))
    kept = b"".join(held)
    server.ask(lambda: device.receive(kept, device.now_ns))
    assert server.ask(lambda: device.dose_count) == 1
    assert not server.ask(lambda: device.output_on)
    refused = server.ask(lambda: [reply for link in device.links.values() for _, reply in link.kept.values()])
    assert any(isinstance(one, m.Error) and one.code is m.ErrorCode.LEASE_STALE for one in refused)
    running.end()


def test_the_next_session_asks_about_the_one_that_was_killed(server, host, tmp_path) -> None:
    host.wait_for("ready")
    host.signal(signal.SIGKILL)
    host.process.wait()
    server.until(lambda device: not device.output_on)
    second = subprocess.run(
        [sys.executable, str(HOST), server.url, str(tmp_path), "run"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert second.returncode != 0
    assert SessionError.__name__ in second.stderr
    assert "never accounted for" in second.stderr
    assert server.ask(lambda: server.device.dose_count) == 2
