"""The host under torture: the toolkit's own core and lanes in virtual time, killed or frozen by faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeVar

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
from neurostim.wire.messages import HelloReply, Role
from neurostim_torture.disk import HostKilled
from neurostim_torture.monitor.records import Origin

if TYPE_CHECKING:
    from neurostim_torture.world import World

T = TypeVar("T")

ORIGIN_NS = 1_000_000_000
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
NEVER = 1 << 62


class VirtualHost(WireStimulator):
    """One program on one computer, with its clock and its port.

    Parameters
    ----------
    world : World
        What it lives in.
    number : int
        Which host it is, from 1.
    origin : str
        How the monitor is told of its frames.
    key : DeviceKey, optional
        What the device gave it when it was paired.

    Attributes
    ----------
    frozen_ns, busy_ns : int
        True time up to which all of it stands still; and up to which the person's thread does [ns].
    wakes_ns : int
        True time at which its core wants to be polled [ns]: found again after everything that is done with
        the core. `NEVER` while it waits for nothing or stands still.
    """

    def __init__(
        self, world: World, number: int, origin: Origin = "host", key: DeviceKey | None = None
    ) -> None:
        super().__init__()
        self.world = world
        self.origin = origin
        self.dead = False
        self.port = True
        self.frozen_ns = 0
        self.busy_ns = 0
        self.slept_ns = 0
        self.wakes_ns = NEVER
        self.inbox: list[bytes] = []
        self._supervisor = Supervisor()
        self.core = HostCore(
            host_id=number.to_bytes(16, "big"),
            supervisor=self._supervisor.tokens,
            new_nonce=world.new_nonce,
            entropy=world.new_bytes,
            wait=self._pass_time,
        )
        self.core.record(world.recorded)
        self._key = key
        self.lanes = EventLanes()

    # The clock of this computer.

    def monotonic_ns(self) -> int:
        """Its monotonic clock, which stands still while the computer sleeps [ns]."""
        return ORIGIN_NS + self.world.now_ns - self.slept_ns

    def wall_text(self) -> str:
        """Its time of day, which somebody may set to anything."""
        days, ms = divmod(self.world.now_ns // 1_000_000 + self.world.jumped_s * 1000, DAY_MS)
        seconds, ms = divmod(ms, 1000)
        minutes, seconds = divmod(seconds, 60)
        return f"{_date(days)}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{ms:03}+00:00"

    def true_ns(self, host_ns: int) -> int:
        """True time of a moment on its clock [ns]."""
        return host_ns - ORIGIN_NS + self.slept_ns

    # What the world does with it.

    def poll(self) -> None:
        """Let the core do what is due."""
        if self.frozen_ns <= self.world.now_ns:
            self.core.poll(self.monotonic_ns())
            self._after()

    def hear(self, data: bytes) -> None:
        """Bytes have come to its port."""
        if not self.port:
            return
        if self.frozen_ns > self.world.now_ns:
            self.inbox.append(data)
            return
        self.core.feed(data, self.monotonic_ns())
        self._after()

    def freeze(self, until_ns: int, slept_ns: int = 0) -> None:
        """Stand still up to a true time, and sleep for so long meanwhile [ns]."""
        self.frozen_ns = max(self.frozen_ns, until_ns)
        self.busy_ns = max(self.busy_ns, until_ns)
        self.slept_ns += slept_ns
        self._find_next()

    def thaw(self) -> None:
        """Go on after standing still: everything that came is there at once."""
        waiting, self.inbox = self.inbox, []
        if waiting and self.port:
            self.core.feed(b"".join(waiting), self.monotonic_ns())
        self.poll()

    def lose_port(self, why: str) -> None:
        """The port is gone, and the program is told when it runs."""
        self.port = False
        self.inbox.clear()
        self.core.link_lost(self.monotonic_ns(), TransportError(why, code="link-lost"))
        self._after()

    def _after(self) -> None:
        """Take what the core has to tell and to send; called after everything that is done with it."""
        happenings = self.core.take_happenings()
        if happenings:
            self.lanes.put(happenings)
        self.world.collect(self)
        self._find_next()

    def _find_next(self) -> None:
        due = self.core.next_deadline_ns() if self.frozen_ns <= self.world.now_ns else None
        self.wakes_ns = NEVER if due is None else self.true_ns(due)

    # Waiting lets the world go on.

    def _live(self) -> None:
        if self.dead:
            raise HostKilled

    def _pass_time(self, done: Callable[[], bool], timeout: float | None) -> None:
        end = self.monotonic_ns() + round((60.0 if timeout is None else timeout) * 1e9)
        self._live()
        world = self.world
        world.collect(self)
        while True:
            end_ns = end - ORIGIN_NS + self.slept_ns
            busy_ns, now_ns = self.busy_ns, world.now_ns
            if now_ns >= busy_ns and (now_ns >= end_ns or done()):
                return
            world.step(max(end_ns, busy_ns))
            if self.dead:
                raise HostKilled

    # The stimulator.

    @property
    def description(self) -> str:
        """What a person would call it."""
        return "under torture"

    def open(self, role: Role = Role.CONTROL) -> None:
        """Connect and identify."""
        self._live()
        self._need_port()
        self._adopt(self._greet(role))

    def reopen(self) -> None:
        """Connect again, to read and stop."""
        self._live()
        self._need_port()
        self._adopt(self._greet(Role.OBSERVE))

    def take_control(self, takeover_from: bytes | None = None) -> None:
        """Ask for control."""
        self._live()
        self._adopt(self._greet(Role.CONTROL, takeover_from or NOBODY))

    def close(self) -> None:
        """End the program's part of the link."""
        self._live()
        self.core.shut_down(self.monotonic_ns())
        self._after()

    def soft_stop(self) -> CommandFuture[SoftStopped]:
        """Ramp down."""
        self._live()
        future = self.core.future("SOFT_STOP")
        self.core.soft_stop(future, scripts.soft_stopped, self.monotonic_ns())
        self._after()
        return future

    def stop(self, *, emergency: bool = False) -> CommandFuture[StopConfirmation]:
        """Stop at once."""
        self._live()
        future = self.core.future("STOP")
        self.core.stop(future, self.monotonic_ns(), emergency=emergency)
        self._after()
        return future

    def beat(self, party: str) -> None:
        """Show that the screen or the journal lives."""
        self._live()
        self.world.lives(self, party)
        self._supervisor.beat(party, self.monotonic_ns())

    def wait(self, timeout: float) -> bool:
        """Wait until something happened."""
        self._pass_time(self.lanes.waiting, timeout)
        return self.lanes.waiting()

    def take_critical(self) -> list[Happening]:
        """Take everything of importance."""
        return self.lanes.take_critical()

    def take_telemetry(self) -> list[DeviceEvent]:
        """Take what the device told of its output."""
        return self.lanes.take_telemetry()

    @property
    def supervised(self) -> bool:
        """Whether the device has lately taken a heartbeat."""
        return self.core.supervised(self.monotonic_ns())

    @property
    def telemetry_dropped(self) -> int:
        """How many telemetry events were dropped here."""
        return self.lanes.telemetry_dropped

    @property
    def uncertain(self) -> str | None:
        """Name of the command in doubt."""
        return self.core.uncertain.request.NAME if self.core.uncertain else None

    def settle_by_decision(self, reason: str) -> None:
        """End an uncertainty because a person has looked."""
        self.core.settle_by_decision(self.monotonic_ns(), reason)
        self._find_next()

    @property
    def link_counters(self) -> LinkCounters:
        """What went over the link."""
        return self.core.counters

    def clock_fit(self) -> ClockFit | None:
        """What is known of the device's clock."""
        return self.core.clock_fit()

    def _need_port(self) -> None:
        if not self.world.plugged:
            raise TransportError("there is no such port", code="no-port")
        self.port = True

    def _run(self, name: str, script: Script[T], *, changes: bool = False) -> CommandFuture[T]:
        self._live()
        future: CommandFuture[T] = self.core.future(name)
        self.core.run(future, script, self.monotonic_ns(), changes=changes)
        self._after()
        return future

    def greet(self, role: Role, takeover_from: bytes = NOBODY) -> CommandFuture[HelloReply]:
        """Ask for a session."""
        future: CommandFuture[HelloReply] = self.core.future("HELLO")
        self.core.connect(future, self.monotonic_ns(), role, takeover_from, self._key)
        self._after()
        return future

    def _greet(self, role: Role, takeover_from: bytes = NOBODY) -> HelloReply:
        return self.greet(role, takeover_from).result()

    def _now_ns(self) -> int:
        return self.monotonic_ns()


@cache
def _date(days: int) -> str:
    """The day so many days after the first, as text: most of a schedule lies within one."""
    return (FIRST_DAY + timedelta(days=days)).date().isoformat()
