"""Hosts on a TCP port of the bench: a crowd neither ends it nor drives out who is heard."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim.wire.frame import FrameDecoder
from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.bench import MOST_HOSTS, Bench
from neurostim_sim.servers.clock import SystemClock
from neurostim_sim.servers.ports import TcpPort
from support.sim_bench import device


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    port = TcpPort("127.0.0.1", 0)
    bench = Bench(AttachedDevice(device()), port, SystemClock(), lambda _told: None)
    bench.plug()
    serving = threading.Thread(target=bench.run)
    serving.start()
    host, _, number = port.url.removeprefix("socket://").rpartition(":")
    yield host, int(number)
    bench.order("quit")
    serving.join(30)
    assert not serving.is_alive()


def asks(link: socket.socket, command_id: int) -> None:
    """Ask who is there, and be answered."""
    link.sendall(pack(m.Identify(), session=0, sequence=0, command_id=command_id, lease_us=0))
    decoder = FrameDecoder()
    while not decoder.feed(link.recv(4096)):
        continue


def test_a_crowd_is_bounded_and_who_is_heard_stays(address: tuple[str, int]) -> None:
    with ExitStack() as all_links:

        def connect() -> socket.socket:
            return all_links.enter_context(socket.create_connection(address, 30))

        living, silent = connect(), connect()
        asks(living, 1)
        for number in range(MOST_HOSTS + 8):
            asks(connect(), 1)
            asks(living, number + 2)
        assert silent.recv(1) == b""


def test_a_port_without_descriptors_takes_nobody_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    port = TcpPort("127.0.0.1", 0).plug()

    def refuse(_listener: socket.socket) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", refuse)
    assert port.accept() is None
    port.close()
