"""Everything there is in one schedule: device, line, hosts and body on one clock, nothing real."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from neurostim.core.errors import ProtocolError
from neurostim.core.image import Grid
from neurostim.safety.gate import ApprovedProgram
from neurostim.wire.codec import unpack
from neurostim.wire.frame import decode_frame
from neurostim.wire.layout import Kind, Message
from neurostim_sim.core import DeviceCore
from neurostim_sim.entropy import seeded
from neurostim_sim.impedance import WIDTH_NS, Given
from neurostim_sim.profiles import Profile
from neurostim_sim.servers.line import Dice
from neurostim_sim.store import MemoryMedium
from neurostim_sim.trace import TraceFiles
from neurostim_torture import strikes
from neurostim_torture.disk import VirtualDisk
from neurostim_torture.faults import Fault
from neurostim_torture.host import VirtualHost
from neurostim_torture.keys import LABEL, Keys
from neurostim_torture.line import TRANSIT_NS, Way
from neurostim_torture.monitor import records as r
from neurostim_torture.programs import told, told_at_home

MOMENT_NS: Final = 1_000
SECOND_NS: Final = 1_000_000_000
MEMORY: Final = 64
LIFE_GRAIN_NS: Final = 10_000_000
PORT_BYTES: Final = 2048
# What nothing can be judged by is not told, or told without its contents.
QUIET: Final = frozenset({"TELEMETRY", "HEARTBEAT", "CLOCK_SYNC"})
FLEETING: Final = frozenset({"HEARTBEAT", "CLOCK_SYNC"})

Plain = tuple[Message, int, int, int, int]

_NOTHING: Final[dict[str, Any]] = {}

_ANNOUNCING: Final = frozenset(
    {
        b"start_intended",
        b"started",
        b"start_failed",
        b"amplitude_intended",
        b"reconciled",
        b"measured",
        b"resolved",
    }
)


class Tap(TraceFiles):
    """Takes each dose's rows from the device's recorder and gives them to the monitor."""

    def __init__(self, world: World) -> None:
        self._world = world

    def write(  # type: ignore[override]
        self,
        dose_number: int,
        rows: NDArray[np.int64],
        grid: Grid,
        commands: list[dict[str, Any]],
        *,
        image_sha256: str,
        end_ticks: int,
        ppm: int,
    ) -> None:
        """One dose is over."""
        self._world.flowed(dose_number, rows, image_sha256)


class World:
    """One schedule while it runs.

    Parameters
    ----------
    seed : int
        Decides everything that the faults do not.
    faults : sequence of Fault
    profile : Profile
        The device.
    keys : Keys, optional
        Of a device that is paired; a device of a bench, without keys, otherwise.
    memory : bytes, optional
        What the device holds when it is switched on.
    """

    def __init__(
        self,
        seed: int,
        faults: Sequence[Fault],
        profile: Profile,
        keys: Keys | None = None,
        memory: bytes = b"",
    ) -> None:
        self.now_ns = 0
        self.dice = Dice(seed ^ 0x5DEECE66D)
        self.records: list[r.Record] = []
        self.struck: Counter[str] = Counter()
        self.jumped_s = 0
        self.at_home = False
        self.visits: list[int] = []
        self.moments: list[tuple[int, str]] = []
        self.crashes: list[str] = []
        self.plugged = True
        self.hosts: list[VirtualHost] = []
        self.sent: deque[bytes] = deque(maxlen=MEMORY)
        self.keys = keys
        self._plain: dict[bytes, Plain] = {}
        self._known: dict[bytes, Plain] = {}
        self._port = b""
        self.steps = 0
        self.programs: dict[tuple[str, str], r.Program] = {}
        self._nonce = 0
        self._seed = seed
        self._drawn = 0
        self._lives: dict[str, int] = {}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._due_ns: int | None = 0
        self._ran: dict[int, str] = {}
        self.ppm = sum(fault.value for fault in faults if fault.what == "skew")
        self.medium = MemoryMedium()
        if memory or keys is not None:
            self.medium.data = bytearray(memory or keys.memory)  # type: ignore[union-attr]
        self.device = DeviceCore(
            profile, seed=seed, medium=self.medium, ppm=self.ppm, traces=Tap(self), label_code=LABEL
        )
        self._boots = self.device.memory.boot_count
        self._fired_ns = {self.device.memory.dose_count: 0}
        self.released = self.device.autonomous
        self._at_home_doses: set[int] = set()
        self.release_lasts_s = 0
        self.release_slots: tuple[str, ...] = ()
        self.doses_at_start = self.device.memory.dose_count
        self.counters_at_start = {
            number: r.Counter(*kept) for number, kept in self.device.memory.contacts.items()
        }
        self.disk = VirtualDisk(self._kept)
        self.ways = {
            name: Way(
                [fault for fault in faults if fault.way == name and fault.key],
                self._deliverer(name),
                self._keyed,
                self._note,
            )
            for name in ("host", "device")
        }
        self.device.link.recorder = self.recorded
        self.see(r.Power(0, "boot"))
        for fault in faults:
            if fault.what == "skew":
                self.struck["skew"] += 1
            elif not fault.key:
                self.at(fault.at_ns, lambda fault=fault: self.strike(fault, "", b""))  # type: ignore[misc]

    # ------------------------------------------------------------------------------------- time

    def at(self, at_ns: int, what: Callable[[], None]) -> None:
        """Let something happen at a true time."""
        self._order += 1
        heapq.heappush(self._heap, (max(at_ns, self.now_ns), self._order, what))

    def step(self, limit_ns: int) -> None:
        """Go to the next moment at which anything happens, at the latest ``limit_ns``, and let it happen."""
        self.steps += 1
        moment = limit_ns
        heap = self._heap
        if heap and heap[0][0] < moment:
            moment = heap[0][0]
        due = self._due_ns
        if due is not None and due < moment:
            moment = due
        for host in self.hosts:
            moment = min(moment, host.wakes_ns)
        now = self.now_ns
        if moment > now:
            self.now_ns = now = moment
        while heap and heap[0][0] <= now:
            heapq.heappop(heap)[2]()
        due = self._due_ns
        if due is not None and due <= now:
            self.run_device()
        for host in tuple(self.hosts):
            if host.wakes_ns <= now:
                host.poll()

    def pass_ns(self, duration_ns: int) -> None:
        """Let time pass."""
        end = self.now_ns + duration_ns
        while self.now_ns < end:
            self.step(end)

    # ----------------------------------------------------------------------------------- device

    def run_device(self, data: bytes = b"", touch: Callable[[], object] | None = None) -> None:
        """Let the device come to the present moment, and take bytes or what a hand does to it."""
        device = self.device
        measuring, begun, began_ns = device.output.measurement, None, 0
        if measuring is not None:
            begun = device.memory.doses[-1]
            began_ns = self._true_of(begun.start_tick)
        try:
            device.advance(self.now_ns)
            if data:
                device.receive(data)
            if touch is not None:
                touch()
            told = device.take_output()
        except Exception as error:  # noqa: BLE001
            self.crash("device", error)
            return
        if measuring is not None and begun is not None and device.output.measurement is not measuring:
            self._measured(begun.number, began_ns, measuring.given)
        memory, delivery, autonomous, dead = device.memory, device.delivery, device.autonomous, device.dead
        if delivery is not None and delivery.record.number not in self._ran:
            # What the bytes are that run, not what the device calls them.
            held = memory.slots[delivery.record.slot].data
            self._ran[delivery.record.number] = hashlib.sha256(held).hexdigest()
        if memory.dose_count not in self._fired_ns:
            self._fired_ns[memory.dose_count] = self.now_ns
            if autonomous:
                self._at_home_doses.add(memory.dose_count)
        if autonomous != self.released and not dead:
            self._mode_changed(released=autonomous)
        if memory.boot_count != self._boots:
            self._boots = memory.boot_count
            device.link.recorder = self.recorded
            self.see(r.Power(self.now_ns, "boot"))
        if dead:
            strikes.supply_failed(self)
        due = device.next_event_ns()
        self._due_ns = None if due is None else max(due, self.now_ns + MOMENT_NS)
        if told:
            self._tell(told)

    def flowed(self, dose: int, rows: NDArray[np.int64], digest: str) -> None:
        """The recorder tells what one dose was."""
        device = self.device
        record = next(one for one in reversed(device.memory.doses) if one.number == dose)
        began = self._true_of(record.start_tick)
        if not len(rows):
            # A dose that was ended in the tick before its first never came to its own time 0.
            began = min(began, self._fired_ns.get(dose, self.now_ns))
        # A dose whose supply fails in the moment it is counted is over before it could be noted.
        at_home = dose in self._at_home_doses or (self.released and dose not in self._fired_ns)
        by: Literal["host", "patient"] = "patient" if at_home else "host"
        self.see(r.Flow(self.now_ns, dose, began, self._ran.get(dose, digest), rows, by))

    def _mode_changed(self, *, released: bool) -> None:
        """The device is at home from now on, or no longer."""
        self.released = released
        self.see(r.Mode(self.now_ns, released))
        if released:
            self.tell_release()
        else:
            self.see(r.Intent(self.now_ns, "take_back"))

    def tell_release(self) -> None:
        """What a person has released is in force from now on."""
        until = self.now_ns + self.release_lasts_s * SECOND_NS
        self.see(r.Intent(self.now_ns, "release", slots=self.release_slots, until_ns=until))

    def _true_of(self, tick: int) -> int:
        """True time of a tick of the present boot [ns]."""
        return self.device.clock.true_of(tick * self.device.profile.capabilities.grid.tick_ns)

    def _measured(self, dose: int, began_ns: int, given: Sequence[Given]) -> None:
        """Tell what a measurement that is over has given: balanced pulses, one phase after the other."""
        tick = self.device.profile.capabilities.grid.tick_ns
        width = WIDTH_NS // tick
        rows = [
            (pulse.at_ns // tick + part * width, width, contact, part, sign * current, 0, number, 0, 0)
            for number, pulse in enumerate(given)
            for part, sign in ((r.STIM, 1), (r.RECHARGE, -1))
            for contact, current in pulse.currents_na.items()
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, r.COLUMNS)
        if not rows:
            began_ns = min(began_ns, self._fired_ns.get(dose, self.now_ns))
        by: Literal["measurement", "patient"] = "patient" if dose in self._at_home_doses else "measurement"
        self.see(r.Flow(self.now_ns, dose, began_ns, "", table, by))

    def _tell(self, data: bytes) -> None:
        way = self.ways["device"]
        for piece in data.split(b"\0"):
            if not piece:
                continue
            frame = b"\0" + piece + b"\0"
            name = self._say(frame)
            if self.plugged:
                way.put(frame, name, self.now_ns)
                self._attend(way)

    def _say(self, frame: bytes) -> str:
        """Tell the monitor of a frame of the device; its name."""
        known = self._plain.pop(frame, None) or _read(frame)
        if known is None:
            return "?"
        message, session, sequence, command_id, _ = known
        name = message.NAME
        if name not in QUIET:
            event = message.KIND is Kind.EVENT
            self.see(
                r.DeviceFrame(
                    self.now_ns,
                    name,
                    "event" if event else "reply",
                    session,
                    sequence,
                    command_id,
                    plain(message),
                )
            )
        return name

    # ------------------------------------------------------------------------------------- line

    def recorded(
        self, frame: bytes, message: Message, session: int, sequence: int, command_id: int, lease_us: int, /
    ) -> None:
        """Take what somebody is about to send, in plain."""
        self._plain[frame] = message, session, sequence, command_id, lease_us

    def collect(self, host: VirtualHost) -> None:
        """Put on the line what a host has written."""
        take, way = host.core.take_output, self.ways["host"]
        while (outgoing := take()) is not None:
            if outgoing.flush:
                way.flush()
            if not outgoing.data or not host.port or not self.plugged:
                continue
            for piece in outgoing.data.split(b"\0"):
                if piece:
                    frame = b"\0" + piece + b"\0"
                    name = self._heard(frame, host.origin)
                    if host.origin == "host":
                        self.sent.append(frame)
                    way.put(frame, name, self.now_ns)
                    self._attend(way)

    def inject(self, frame: bytes, origin: r.Origin) -> None:
        """Somebody else puts a frame on the line."""
        if not self.plugged:
            return
        self._heard(frame, origin)
        self.at(self.now_ns + TRANSIT_NS, lambda: self._arrive_at_device(frame, origin))

    def _heard(self, frame: bytes, origin: r.Origin) -> str:
        """Tell the monitor of a frame for the device; its name."""
        sealed = self._plain.pop(frame, None)
        known = sealed or self._known.get(frame) or _read(frame)
        if known is None:
            return "?"
        message, session, sequence, command_id, lease_us = known
        self._known[frame] = known
        name = message.NAME
        self.see(
            r.HostFrame(
                self.now_ns,
                name,
                origin,
                session,
                sequence,
                command_id,
                lease_us,
                name == "HEARTBEAT" and origin == "host",
                self.keys is not None and sealed is not None and session > 0,
                _NOTHING if name in FLEETING else plain(message),
            )
        )
        return name

    def _attend(self, way: Way) -> None:
        due = way.next_ns()
        if due is not None:
            self.at(due, lambda: self._release(way))

    def _release(self, way: Way) -> None:
        way.release(self.now_ns)
        way.open(self.now_ns)

    def _deliverer(self, name: str) -> Callable[[int, bytes], None]:
        if name == "host":
            return lambda at_ns, data: self.at(at_ns, lambda: self._arrive_at_device(data, "host"))
        return lambda at_ns, data: self.at(at_ns, lambda: self._arrive_at_hosts(data))

    def _arrive_at_device(self, data: bytes, origin: r.Origin) -> None:
        if not self.plugged:
            return
        *ended, rest = (self._port + data).split(b"\0")
        self._port = rest[-PORT_BYTES:]
        for piece in ended:
            known = self._known.get(b"\0" + piece + b"\0") if piece else None
            if known is not None:
                message, session, sequence, command_id, _ = known
                self.see(r.Taken(self.now_ns, message.NAME, origin, session, sequence, command_id))
        self.run_device(data)

    def _arrive_at_hosts(self, data: bytes) -> None:
        if self.plugged:
            for host in tuple(self.hosts):
                host.hear(data)

    # ------------------------------------------------------------------------------------ faults

    def _keyed(self, fault: Fault, name: str, frame: bytes) -> None:
        self.at(self.now_ns + fault.at_ns, lambda: self.strike(fault, name, frame))

    def _note(self, fault: Fault) -> None:
        self.note(fault.what)

    def note(self, what: str) -> None:
        """A fault has met something to happen to."""
        self.struck[what] += 1
        self.moments.append((self.now_ns, what))

    def strike(self, fault: Fault, name: str, frame: bytes) -> None:
        """Let a fault happen now; it counts only where it met something to happen to."""
        if strikes.strike(self, fault, name, frame):
            self.note(fault.what)

    # ------------------------------------------------------------------------------------- people

    @property
    def host(self) -> VirtualHost | None:
        """The person's own host, where one runs."""
        return next((host for host in self.hosts if host.origin == "host"), None)

    def new_nonce(self) -> int:
        """A number nobody had before."""
        self._nonce += 1 + self.dice.below(1 << 32)
        return self._nonce

    def new_bytes(self, count: int) -> bytes:
        """Bytes nobody can guess, for the host."""
        self._drawn += 1
        return seeded("torture", self._seed, self._drawn)(count)

    def start_host(self) -> VirtualHost:
        """A program is started on the person's computer."""
        host = VirtualHost(self, 1, key=None if self.keys is None else self.keys.own)
        self.disk.dead = False
        self.disk.on_killed = lambda: self.kill(host)
        self.hosts.append(host)
        return host

    def kill(self, host: VirtualHost) -> None:
        """A program ends without a word."""
        host.dead = True
        if host in self.hosts:
            self.hosts.remove(host)
        if host.origin == "host":
            self.disk.dead = True
            self.disk.locked.clear()
            self.see(r.Life(self.now_ns, "killed"))

    def lives(self, host: VirtualHost, party: str) -> None:
        """The program, or its journal, has shown that it lives."""
        if host.origin == "host" and self._lives.get(party, -LIFE_GRAIN_NS) + LIFE_GRAIN_NS <= self.now_ns:
            self._lives[party] = self.now_ns
            self.see(r.Life(self.now_ns, "ui" if party == "ui" else "journal"))

    def approve(self, approved: ApprovedProgram) -> None:
        """A person has approved a program."""
        self.programs[approved.image_sha256.hex(), approved.approval_sha256.hex()] = told(approved)

    def release(self, *approved: ApprovedProgram) -> None:
        """Somebody at the clinic has decided what goes home."""
        for one in approved:
            self.programs[one.image_sha256.hex(), one.approval_sha256.hex()] = told_at_home(one)
        self.release_slots = tuple(one.image_sha256.hex() for one in approved)

    def intent(self, what: r.IntentWhat, *, digest: str = "", area: int = 0, amplitude_na: int = 0) -> None:
        """A person wants something, deliberately, and asks for it now."""
        count = self.device.memory.dose_count
        self.see(r.Intent(self.now_ns, what, count, digest, area, amplitude_na))

    # ------------------------------------------------------------------------------------ the end

    def see(self, record: r.Record) -> None:
        """Tell the monitor."""
        self.records.append(record)

    def crash(self, who: str, error: BaseException) -> None:
        """Something failed in a way nobody planned."""
        trace = error.__traceback__
        place = ""
        while trace is not None:
            place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
            trace = trace.tb_next
        self.crashes.append(f"{who}: {type(error).__name__}: {error} at {place}")
        self._due_ns = None

    def close(self) -> None:
        """Switch everything off, and let the recorder finish."""
        try:
            self.device.advance(self.now_ns)
            self.device.close()
        except Exception as error:  # noqa: BLE001
            self.crash("device", error)

    def _kept(self, _path: str, fresh: bytes) -> None:
        for line in fresh.split(b"\n"):
            # A record's kind is the last of that name in its line: what it holds comes before.
            kind, whole, _ = line.rpartition(b'"kind":"')[2].partition(b'","prev":')
            if whole and kind in _ANNOUNCING:
                self.see(r.Kept(self.now_ns, kind.decode(), json.loads(line)["data"]))


def _read(frame: bytes) -> Plain | None:
    """A frame that carries no seal."""
    try:
        found = decode_frame(frame.strip(b"\0"))
        return unpack(found), found.session, found.sequence, found.command_id, found.lease_us
    except ProtocolError:
        return None


def plain(message: Message) -> dict[str, Any]:
    """A message's fields by name."""
    names: tuple[str, ...] = tuple(message.__slots__)
    return dict(zip(names, _reader(names)(message), strict=True))


@cache
def _reader(names: tuple[str, ...]) -> Callable[[Message], Iterable[Any]]:
    """What reads all these fields of a message at once."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: [getattr(message, name) for name in names]
