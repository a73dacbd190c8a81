"""A native stimulator in virtual time: host core and device side by side, no thread, no waiting."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol, TypeVar

from neurostim.core.errors import TransportError
from neurostim.device import scripts
from neurostim.device.clock_estimate import ClockFit
from neurostim.device.commands import WireStimulator
from neurostim.device.futures import CommandFuture
from neurostim.device.handshake import DeviceKey
from neurostim.device.host_core import NOBODY, HostCore
from neurostim.device.lanes import EventLanes
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters
from neurostim.device.records import SoftStopped
from neurostim.device.stop_path import StopConfirmation
from neurostim.device.supervisor import Supervisor
from neurostim.device.tasks import Script
from neurostim.wire.messages import HelloReply, PairReply, Role

T = TypeVar("T")


class Device(Protocol):
    def receive(self, data: bytes, now_ns: int) -> None: ...
    def advance(self, now_ns: int) -> None: ...
    def take_output(self) -> bytes: ...
    def next_event_ns(self) -> int | None: ...


class VirtualClock:
    """Time that moves when told to; its time of day may jump as it likes."""

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self.now_ns = start_ns
        self.wall = "2026-01-01T00:00:00.000+00:00"

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_text(self) -> str:
        return self.wall


class VirtualStimulator(WireStimulator):
    """`transit_ns` is the time a byte takes each way; `line` may alter what passes or drop it."""

    def __init__(
        self,
        device: Device,
        clock: VirtualClock | None = None,
        *,
        host: int = 1,
        transit_ns: int = 200_000,
        key: DeviceKey | None = None,
    ) -> None:
        super().__init__()
        self.key = key
        self.device = device
        self.clock = clock or VirtualClock()
        self.transit_ns = transit_ns
        self.plugged = True
        self.to_device: Callable[[bytes], bytes] = lambda data: data
        self.to_host: Callable[[bytes], bytes] = lambda data: data
        self.flushes = 0
        self.longest_unproven = 0
        self.before_step: Callable[[int], None] = lambda _now: None
        self._supervisor = Supervisor()
        nonces = iter(range(1, 1 << 60))
        self.core = HostCore(
            host_id=host.to_bytes(16, "big"),
            supervisor=self._supervisor.tokens,
            new_nonce=lambda: next(nonces),
            entropy=lambda size: hashlib.sha256(f"host {host} {next(nonces)}".encode()).digest()[:size],
            wait=self._pass_time,
        )
        self.lanes = EventLanes()
        self._under_way: list[tuple[int, bytes]] = []

    # Moving bytes and time.

    def step(self, limit_ns: int) -> None:
        """Go to the next moment at which anything happens, at the latest `limit_ns`."""
        self._carry()
        moments = [limit_ns]
        moments += [due for due in (self.core.next_deadline_ns(), self.device.next_event_ns()) if due]
        moments += [arrival for arrival, _ in self._under_way]
        self.clock.now_ns = max(self.clock.now_ns, min(moments))
        self.before_step(self.clock.now_ns)
        self._carry()

    def _carry(self) -> None:
        now = self.clock.now_ns
        self.core.poll(now)
        self._send()
        arrived = [data for arrival, data in self._under_way if arrival <= now]
        self._under_way = [entry for entry in self._under_way if entry[0] > now]
        for data in arrived:
            self.device.receive(data, now)
        self.device.advance(now)
        answer = self.device.take_output()
        if answer and self.plugged and (heard := self.to_host(answer)):
            self.core.feed(heard, now)
        self._send()
        self.lanes.put(self.core.take_happenings())

    def _send(self) -> None:
        while (outgoing := self.core.take_output()) is not None:
            if outgoing.flush:
                self.flushes += 1
                self._under_way.clear()
            self.longest_unproven = max(self.longest_unproven, sum(len(d) for _, d in self._under_way))
            if outgoing.data and self.plugged and (data := self.to_device(outgoing.data)):
                self._under_way.append((self.clock.now_ns + self.transit_ns, data))

    def _pass_time(self, done: Callable[[], bool], timeout: float | None) -> None:
        end = self.clock.now_ns + round((60.0 if timeout is None else timeout) * 1e9)
        while not done() and self.clock.now_ns < end:
            self.step(end)

    def pass_ns(self, duration_ns: int) -> None:
        end = self.clock.now_ns + duration_ns
        while self.clock.now_ns < end:
            self.step(end)

    def unplug(self) -> None:
        self.plugged = False
        self._under_way.clear()
        self.core.link_lost(self.clock.now_ns, TransportError("the cable was pulled", code="link-lost"))
        self.lanes.put(self.core.take_happenings())

    # The stimulator.

    @property
    def description(self) -> str:
        return "virtual"

    @property
    def authenticated(self) -> bool:
        return self.core.authenticated

    def open(self, role: Role = Role.CONTROL) -> None:
        self._adopt(self._greet(role))

    def pair(self, secret: bytes, serial: str, name: str = "the bench") -> PairReply:
        future: CommandFuture[PairReply] = self.core.future("PAIR")
        now_ns = self.clock.now_ns
        self.core.pair(future, now_ns, secret=secret, serial_number=serial, host_name=name)
        return future.result()

    def reopen(self) -> None:
        self.plugged = True
        self._adopt(self._greet(Role.OBSERVE))

    def take_control(self, takeover_from: bytes | None = None) -> None:
        self._adopt(self._greet(Role.CONTROL, takeover_from or NOBODY))

    def close(self) -> None:
        self.core.shut_down(self.clock.now_ns)

    def soft_stop(self) -> CommandFuture[SoftStopped]:
        future = self.core.future("SOFT_STOP")
        self.core.soft_stop(future, scripts.soft_stopped, self.clock.now_ns)
        return future

    def stop(self, *, emergency: bool = False) -> CommandFuture[StopConfirmation]:
        future = self.core.future("STOP")
        self.core.stop(future, self.clock.now_ns, emergency=emergency)
        return future

    def beat(self, party: str) -> None:
        self._supervisor.beat(party, self.clock.now_ns)

    def wait(self, timeout: float) -> bool:
        self._pass_time(self.lanes.waiting, timeout)
        return self.lanes.waiting()

    def take_critical(self) -> list[Happening]:
        return self.lanes.take_critical()

    def take_telemetry(self) -> list[DeviceEvent]:
        return self.lanes.take_telemetry()

    @property
    def supervised(self) -> bool:
        return self.core.supervised(self.clock.now_ns)

    @property
    def telemetry_dropped(self) -> int:
        return self.lanes.telemetry_dropped

    @property
    def uncertain(self) -> str | None:
        return self.core.uncertain.request.NAME if self.core.uncertain else None

    def settle_by_decision(self, reason: str) -> None:
        self.core.settle_by_decision(self.clock.now_ns, reason)

    @property
    def link_counters(self) -> LinkCounters:
        return self.core.counters

    def clock_fit(self) -> ClockFit | None:
        return self.core.clock_fit()

    def _run(self, name: str, script: Script[T], *, changes: bool = False) -> CommandFuture[T]:
        future: CommandFuture[T] = self.core.future(name)
        self.core.run(future, script, self.clock.now_ns, changes=changes)
        return future

    def _greet(self, role: Role, takeover_from: bytes = NOBODY) -> HelloReply:
        future: CommandFuture[HelloReply] = self.core.future("HELLO")
        self.core.connect(future, self.clock.now_ns, role, takeover_from, self.key)
        return future.result()

    def _now_ns(self) -> int:
        return self.clock.now_ns
