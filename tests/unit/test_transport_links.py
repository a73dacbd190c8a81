"""Real descriptors: a pty and a TCP connection carry bytes, break, and say so."""

from __future__ import annotations

import errno
import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Iterator

import pytest
import serial

from neurostim.core.errors import TransportError
from neurostim.transport import Transport, open_url, ports
from neurostim.transport.serial_port import PortableSerialTransport, open_serial

LONG = 5.0


class Peer:
    """The far end of a link under test."""

    def __init__(self, url: str, end: int) -> None:
        self.url = url
        self.end = end

    def unplug(self) -> None:
        os.close(self.end)
        self.end = -1


@pytest.fixture
def pty_peer() -> Iterator[Peer]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    peer = Peer(os.ttyname(slave), master)
    os.close(slave)
    yield peer
    if peer.end >= 0:
        peer.unplug()


@pytest.fixture
def tcp_peer() -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        peer = Peer(f"socket://{host}:{port}", -1)

        def accept() -> None:
            link, _ = server.accept()
            peer.end = link.detach()

        thread = threading.Thread(target=accept)
        thread.start()
        peer.thread = thread  # type: ignore[attr-defined]
        yield peer
        thread.join()
        if peer.end >= 0:
            peer.unplug()


@pytest.fixture(params=["pty_peer", "tcp_peer"])
def link_and_peer(request) -> Iterator[tuple[Transport, Peer]]:
    peer = request.getfixturevalue(request.param)
    link = open_url(peer.url)
    if hasattr(peer, "thread"):
        peer.thread.join()
    yield link, peer
    link.close()


def read_until_it_breaks(link: Transport) -> None:
    while True:
        link.read(LONG)


def write_until_it_breaks(link: Transport) -> None:
    for _ in range(1000):
        link.write(b"x" * 100)


def test_bytes_arrive_both_ways_as_they_are(link_and_peer) -> None:
    link, peer = link_and_peer
    every_byte = bytes(range(256))
    link.write(every_byte)
    assert os.read(peer.end, 4096) == every_byte
    os.write(peer.end, every_byte)
    assert link.read(LONG) == every_byte


def test_a_read_without_bytes_ends_at_its_timeout(link_and_peer) -> None:
    link, _ = link_and_peer
    assert link.read(0) == b""
    assert link.read(0.01) == b""


def test_a_wake_from_another_thread_ends_a_read(link_and_peer) -> None:
    link, _ = link_and_peer
    begun = threading.Event()
    took: list[float] = []

    def reader() -> None:
        begun.set()
        start = time.monotonic()
        assert link.read(LONG) == b""
        took.append(time.monotonic() - start)

    thread = threading.Thread(target=reader)
    thread.start()
    begun.wait()
    link.wake()
    thread.join()
    assert took[0] < LONG / 2


def test_a_wake_before_a_read_is_not_lost_and_wakes_once(link_and_peer) -> None:
    link, _ = link_and_peer
    for _ in range(100_000):
        link.wake()
    start = time.monotonic()
    assert link.read(LONG) == b""
    assert time.monotonic() - start < LONG / 2


def test_a_vanished_peer_is_a_typed_error_with_a_remedy(link_and_peer) -> None:
    link, peer = link_and_peer
    peer.unplug()
    with pytest.raises(TransportError, match="connect again") as caught:
        read_until_it_breaks(link)
    assert caught.value.code == "link-lost"
    assert isinstance(caught.value, OSError)


def test_writing_to_a_vanished_peer_is_a_typed_error(link_and_peer) -> None:
    link, peer = link_and_peer
    peer.unplug()
    with pytest.raises(TransportError, match="is gone"):
        write_until_it_breaks(link)


def test_what_the_system_does_not_take_leaves_later_in_order(link_and_peer) -> None:
    link, peer = link_and_peer
    sent = bytes(range(251)) * 40_000
    link.write(sent)
    received = bytearray()
    os.set_blocking(peer.end, False)
    while len(received) < len(sent):
        try:
            received += os.read(peer.end, 1 << 20)
        except BlockingIOError:
            link.read(0.01)
    assert received == sent


def test_dropped_output_lets_a_stop_overtake_it(pty_peer) -> None:
    link = open_url(pty_peer.url)
    link.write(b"stale" * 100_000)
    link.drop_pending_output()
    link.write(b"stop")
    # What the system has already handed to the far end's line buffer cannot be taken back.
    arrived = b""
    while not arrived.endswith(b"stop"):
        arrived += os.read(pty_peer.end, 1 << 20)
    assert len(arrived) < 8192
    os.set_blocking(pty_peer.end, False)
    link.read(0)
    with pytest.raises(BlockingIOError):
        os.read(pty_peer.end, 1)
    link.close()


def test_a_closed_link_refuses_and_closing_twice_is_harmless(link_and_peer) -> None:
    link, _ = link_and_peer
    link.close()
    link.close()
    link.wake()
    link.drop_pending_output()
    with pytest.raises(TransportError, match="closed"):
        link.read(0)
    with pytest.raises(TransportError, match="closed"):
        link.write(b"x")


def test_a_second_program_cannot_open_the_same_port(pty_peer) -> None:
    link = open_url(pty_peer.url)
    with pytest.raises(TransportError, match="in use") as caught:
        open_url(pty_peer.url)
    assert caught.value.code == "port-busy"
    link.close()
    open_url(pty_peer.url).close()


def test_a_missing_port_says_how_to_list_ports(tmp_path) -> None:
    with pytest.raises(TransportError, match="neurostim devices") as caught:
        open_url(str(tmp_path / "ttyACM9"))
    assert caught.value.code == "port-missing"


def test_a_file_is_no_port(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("no port")
    with pytest.raises(TransportError) as caught:
        open_url(str(path))
    assert caught.value.code == "port-kind"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "port-permission"),
        (errno.EPERM, "port-permission"),
        (errno.EBUSY, "port-busy"),
        (errno.EIO, "link-open"),
    ],
)
def test_what_the_system_refuses_is_explained(monkeypatch, pty_peer, number, code) -> None:
    def refuse(*_args, **_kwargs):
        raise serial.SerialException(number, "refused")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(TransportError) as caught:
        open_serial(pty_peer.url, 115200)
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_permission_error_names_the_group(monkeypatch, pty_peer) -> None:
    def refuse(*_args, **_kwargs):
        raise serial.SerialException(errno.EACCES, "refused")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(TransportError, match="usermod -aG"):
        open_serial(pty_peer.url, 115200)


def test_nobody_listening_is_a_typed_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, port = server.getsockname()
    with pytest.raises(TransportError, match="running there") as caught:
        open_url(f"socket://127.0.0.1:{port}")
    assert caught.value.code == "link-open"


def test_the_portable_serial_link_carries_bytes_and_breaks_typed() -> None:
    link = PortableSerialTransport(serial.serial_for_url("loop://", timeout=0), "loop")
    link.write(b"hello")
    assert link.read(LONG) == b"hello"
    assert link.read(0.01) == b""
    link.drop_pending_output()
    link.wake()
    link.close()
    link.close()
    with pytest.raises(TransportError, match="closed"):
        link.read(0)
    with pytest.raises(TransportError, match="closed"):
        link.write(b"x")


def test_every_link_keeps_the_interface(link_and_peer) -> None:
    assert isinstance(link_and_peer[0], Transport)
    assert isinstance(PortableSerialTransport(serial.serial_for_url("loop://"), "loop"), Transport)


def test_ports_are_listed_as_plain_data_in_order(monkeypatch) -> None:
    class Port:
        manufacturer, serial_number, vid, pid, description = None, "A1", 0x1209, 1, "n/a"

        def __init__(self, device: str) -> None:
            self.device = device

    monkeypatch.setattr(ports.list_ports, "comports", lambda: [Port("/dev/ttyUSB1"), Port("/dev/ttyUSB0")])
    found = ports.serial_ports()
    assert [info.path for info in found] == ["/dev/ttyUSB0", "/dev/ttyUSB1"]
    assert found[0].vendor_id == 0x1209
    assert found[0].manufacturer == ""


def test_the_latency_timer_is_read_where_the_system_tells_it(tmp_path) -> None:
    folder = tmp_path / "ttyUSB0" / "device"
    folder.mkdir(parents=True)
    (folder / "latency_timer").write_text("16\n")
    assert ports.latency_timer_ms("/dev/ttyUSB0", tmp_path) == 16
    assert ports.latency_timer_ms("/dev/ttyACM0", tmp_path) is None
