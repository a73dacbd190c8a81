"""A small stimulator for tests of the host: follows the protocol, and misbehaves exactly where told to.

It is no judge of what is right on the device's side; it exists so that the host can be shown a peer that is
slow, wrong, deaf, forgetful or doubled at a chosen moment. Its doses are counted from the schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from neurostim.core.hardware import Capabilities, Port, PortKind
from neurostim.core.image import Grid
from neurostim.core.schedule import Schedule
from neurostim.wire import messages as m
from neurostim.wire.capabilities import encode_capabilities
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.image import decode_image, image_digest
from neurostim.wire.layout import Event, Message, Need, Reply, Request
from neurostim.wire.messages import ArmKind, DeviceState, ErrorCode, FaultCode, Role, StopCause

NS = 1000
NOBODY = bytes(16)
ON = (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN, DeviceState.MEASURING)
MEASURE_NS = 300_000_000

BENCH = Capabilities(
    profile="bench",
    model="scripted",
    serial_number="TEST-0001",
    firmware="1.0",
    protocol_version=1,
    grid=Grid.of(1000, 1000),
    guard_ns=20_000,
    recovery_min_ns=400_000,
    ports=(Port(PortKind.SCS, 1, 16),),
    slots=2,
    max_areas=4,
    max_contact_na=25_500_000,
    max_total_na=25_500_000,
    min_width_ns=10_000,
    max_width_ns=10_000_000,
    max_rate_mhz=20_000_000,
    rail_mv=18_000,
    discharge_ohm=1000,
    min_ramp_ns=0,
    max_image_bytes=1500,
)


@dataclass
class Slot:
    length: int = 0
    digest: bytes = bytes(32)
    data: bytes = b""
    approval: bytes = bytes(32)
    ranges: tuple[m.RangeOfArea, ...] = ()
    committed: bool = False


@dataclass
class Link:
    """A session as the device keeps it."""

    host: bytes
    nonce: int
    role: Role
    sequence: int = 0
    sent: int = 0
    kept: dict[int, tuple[bytes, Reply]] = field(default_factory=dict)


@dataclass
class DoseKept:
    number: int
    kind: ArmKind
    slot: int
    image: bytes
    start_ns: int
    start_tick: int
    boot: int
    end_ns: int | None = None
    cause: StopCause = StopCause.NONE
    amplitudes: list[tuple[int, int, int]] = field(default_factory=list)


# How a reply is treated: delays [ns] at which it (or what replaces it) is sent.
Treatment = Callable[[Request, Reply], list[tuple[int, Reply]]]


class ScriptedDevice:
    def __init__(self, capabilities: Capabilities = BENCH, offset_us: int = 5_000_000) -> None:
        self.capabilities = capabilities
        self.boot = 1
        self.dose_count = 0
        self.sessions = 0
        self.links: dict[int, Link] = {}
        self.slots = [Slot() for _ in range(capabilities.slots)]
        self.state = DeviceState.IDLE
        self.cause = StopCause.NONE
        self.fault = FaultCode.NONE
        self.token: tuple[int, ArmKind, int, int] | None = None
        self.doses: dict[int, DoseKept] = {}
        self.dose: DoseKept | None = None
        self.readings: tuple[int, tuple[m.ContactReading, ...]] = (0, ())
        self.measuring: list[int] = []
        self.tokens_given = 0
        self.now_ns = 0
        self.offset_us = offset_us
        self.living_ns: int | None = None
        self.tokens_seen: tuple[int, int] | None = None
        self.ramp_end_ns: int | None = None
        self.telemetry_ns: int | None = None
        self.received: list[Request] = []
        self.executed: list[Request] = []
        self.deaf: Callable[[Request], bool] = lambda _request: False
        self.treat: Treatment = lambda _request, reply: [(0, reply)]
        self.mute_events = False
        self._decoder = FrameDecoder()
        self._out: list[tuple[int, int, bytes]] = []
        self._order = 0
        self.contact_reading: Callable[[int], m.ContactReading] = lambda contact: m.ContactReading(
            contact, m.ContactStatus.OK, 600, 650, 500_000, 4
        )

    # Time and bytes.

    @property
    def clock_us(self) -> int:
        return self.now_ns // NS + self.offset_us

    @property
    def ticks(self) -> int:
        return self.clock_us * NS // self.capabilities.grid.tick_ns

    @property
    def output_on(self) -> bool:
        return self.state in ON

    def receive(self, data: bytes, now_ns: int) -> None:
        self.advance(now_ns)
        for frame in self._decoder.feed(data):
            if isinstance(frame, Frame):
                self._take(frame)

    def advance(self, now_ns: int) -> None:
        while (due := self._next_own_ns()) is not None and due <= now_ns:
            self.now_ns = max(self.now_ns, due)
            self._act()
        self.now_ns = max(self.now_ns, now_ns)

    def take_output(self) -> bytes:
        ready = sorted(entry for entry in self._out if entry[0] <= self.now_ns)
        self._out = [entry for entry in self._out if entry[0] > self.now_ns]
        return b"".join(data for _, _, data in ready)

    def next_event_ns(self) -> int | None:
        own = self._next_own_ns()
        return min([entry[0] for entry in self._out] + ([own] if own is not None else []), default=None)

    def say(self, data: bytes, delay_ns: int = 0) -> None:
        """Put raw bytes on the line."""
        self._order += 1
        self._out.append((self.now_ns + delay_ns, self._order, data))

    def reset(self) -> None:
        """Lose power for a moment."""
        if self.output_on:
            self._end(StopCause.POWER_LOST, DeviceState.STOPPED, event=False)
        self.boot += 1
        self.links.clear()
        self.token = None
        self.living_ns = self.tokens_seen = None
        self.offset_us = -(self.now_ns // NS)
        self._out.clear()
        self._decoder.reset()

    def latch_fault(self, fault: FaultCode) -> None:
        self.fault = fault
        self._end(StopCause.FAULT, DeviceState.FAULT)

    # The device's own time.

    def _next_own_ns(self) -> int | None:
        due = []
        watched = (DeviceState.ARMED, DeviceState.DELIVERING, DeviceState.MEASURING)
        if self.state in watched and self.living_ns is not None:
            due.append(self.living_ns + 300_000_000)
        if self.ramp_end_ns is not None:
            due.append(self.ramp_end_ns)
        if self.telemetry_ns is not None:
            due.append(self.telemetry_ns)
        if self.state is DeviceState.MEASURING and self.dose is not None:
            due.append(self.dose.start_ns + MEASURE_NS)
        if self.state is DeviceState.DELIVERING and (end := self._duration_end_ns()) is not None:
            due.append(end)
        return min(due, default=None)

    def _duration_end_ns(self) -> int | None:
        if self.dose is None or self.dose.kind is not ArmKind.STIMULATION:
            return None
        duration = decode_image(self.slots[self.dose.slot].data).duration_ns
        return self.dose.start_ns + duration if duration else None

    def _act(self) -> None:
        if self.telemetry_ns is not None and self.now_ns >= self.telemetry_ns:
            self.telemetry_ns += 100_000_000
            self._telemetry()
            return
        if self.ramp_end_ns is not None and self.now_ns >= self.ramp_end_ns:
            dead = self.cause is StopCause.DEAD_MAN
            self._end(self.cause, DeviceState.STOPPED if dead else DeviceState.IDLE)
            return
        end_ns = self._duration_end_ns()
        if (
            self.state is DeviceState.MEASURING
            and self.dose
            and self.now_ns >= self.dose.start_ns + MEASURE_NS
        ):
            self.readings = (self.dose.number, tuple(self.contact_reading(one) for one in self.measuring))
            number = self.dose.number
            self._end(StopCause.COMPLETED, DeviceState.IDLE)
            self._event(m.ImpedanceResult(number, True, self.readings[1]))
        elif self.state is DeviceState.DELIVERING and end_ns is not None and self.now_ns >= end_ns:
            self._end(StopCause.COMPLETED, DeviceState.IDLE)
        elif self.state is DeviceState.ARMED:
            self.token = None
            self._change(DeviceState.IDLE)
        elif self.living_ns is not None and self.now_ns >= self.living_ns + 300_000_000:
            self._ramp(StopCause.DEAD_MAN, 200_000_000)

    def _ramp(self, cause: StopCause, lasting_ns: int) -> None:
        self.cause = cause
        if self.dose is not None:
            self.dose.cause = cause
        self._change(DeviceState.RAMPING_DOWN)
        self.ramp_end_ns = self.now_ns + lasting_ns

    def _end(self, cause: StopCause, state: DeviceState, *, event: bool = True) -> None:
        self.cause = cause
        if self.dose is not None:
            self.dose.end_ns, self.dose.cause = self.now_ns, cause
        number = self.dose.number if self.dose else 0
        self.ramp_end_ns = self.telemetry_ns = None
        self.token = None
        self.dose = None
        self._change(state, number, event=event)

    def _change(self, state: DeviceState, number: int | None = None, *, event: bool = True) -> None:
        previous, self.state = self.state, state
        if number is None:
            number = self.dose.number if self.dose else 0
        if event and previous is not state:
            self._event(m.StateChanged(previous, state, self.cause, self.fault, number, self.ticks))

    def _telemetry(self) -> None:
        assert self.dose is not None
        left = max(self.living_ns + 300_000_000 - self.now_ns, 0) // NS if self.living_ns is not None else 0
        elapsed = (self.now_ns - self.dose.start_ns) // self.capabilities.grid.tick_ns
        self._event(
            m.Telemetry(
                self.clock_us,
                self.ticks,
                self.state,
                self.dose.number,
                elapsed,
                left,
                900,
                0,
                0,
                self._areas(self.dose),
            )
        )

    def _event(self, event: Event) -> None:
        if self.mute_events:
            return
        for session, link in self.links.items():
            link.sent += 1
            self.say(self._pack(event, session, link.sent, 0))

    def _pack(self, message: Message, session: int, sequence: int, command_id: int) -> bytes:
        return pack(
            message, session=session, sequence=sequence, command_id=command_id, lease_us=self.clock_us
        )

    # Commands.

    def _take(self, frame: Frame) -> None:
        request = unpack(frame)
        assert isinstance(request, Request)
        if self.deaf(request):
            return
        self.received.append(request)
        link = self.links.get(frame.session)
        session = frame.session if link else 0
        reply = self._answer(frame, request)
        for delay_ns, treated in self.treat(request, reply):
            if link is not None:
                link.sent += 1
            sequence = link.sent if link else 0
            self.say(self._pack(treated, session, sequence, frame.command_id), delay_ns)

    def _answer(self, frame: Frame, request: Request) -> Reply:
        if isinstance(request, (m.Stop, m.EmergencyStop)):
            self.executed.append(request)
            return self._stop(emergency=isinstance(request, m.EmergencyStop))
        link = self.links.get(frame.session)
        if request.NEEDS is not Need.NONE and link is None:
            return self._no(request, ErrorCode.NO_SESSION)
        if link is not None and request.ONCE and frame.command_id in link.kept:
            content, kept = link.kept[frame.command_id]
            return kept if content == frame.payload else self._no(request, ErrorCode.COMMAND_ID_REUSED)
        if link is not None and request.ONCE and link.kept and frame.command_id <= max(link.kept):
            return self._no(request, ErrorCode.COMMAND_ID_FORGOTTEN)
        if link is not None and frame.sequence <= link.sequence:
            return self._no(request, ErrorCode.SEQUENCE_STALE)
        if link is not None:
            link.sequence = frame.sequence
        reply = self._judge(frame, request, link)
        if link is not None and request.ONCE:
            link.kept[frame.command_id] = (frame.payload, reply)
        return reply

    def _judge(self, frame: Frame, request: Request, link: Link | None) -> Reply:
        if request.NEEDS is Need.CONTROL and (link is None or link.role is not Role.CONTROL):
            return self._no(request, ErrorCode.NOT_CONTROLLER)
        if request.LEASE:
            if frame.lease_us > self.clock_us:
                return self._no(request, ErrorCode.LEASE_FUTURE)
            if self.clock_us - frame.lease_us > 500_000:
                return self._no(request, ErrorCode.LEASE_STALE)
        handler = getattr(self, f"_on_{type(request).__name__.lower()}")
        reply: Reply = handler(request, frame, link)
        if not isinstance(reply, m.Error):
            self.executed.append(request)
        return reply

    def _no(self, request: Request, code: ErrorCode, detail: int = 0) -> m.Error:
        return m.Error(code, request.TYPE, self.state, detail, "")

    def _stop(self, *, emergency: bool) -> Reply:
        cause = StopCause.EMERGENCY_STOP if emergency else StopCause.STOP
        if self.state is not DeviceState.FAULT and self.state is not DeviceState.STOPPED:
            self._end(cause, DeviceState.STOPPED)
        self.token = None
        if emergency:
            return m.EmergencyStopReply(self.state, self.cause, False, self.ticks)
        return m.StopReply(self.state, self.cause, False, self.ticks)

    def _on_hello(self, request: m.Hello, _frame: Frame, _link: Link | None) -> Reply:
        for session, link in self.links.items():
            if (link.host, link.nonce) == (request.host_id, request.nonce):
                return self._hello_reply(session, link, ErrorCode.NONE)
        holder = next((one for one in self.links.values() if one.role is Role.CONTROL), None)
        role, refusal = request.role, ErrorCode.NONE
        if role is Role.CONTROL and holder is not None:
            stale = self.living_ns is None or self.now_ns - self.living_ns > 300_000_000
            named = request.takeover_from == holder.host
            if not self.output_on and (named or (holder.host == request.host_id and stale)):
                holder.role = Role.OBSERVE
            else:
                role, refusal = Role.OBSERVE, ErrorCode.CONTROL_HELD
        self.sessions += 1
        link = Link(request.host_id, request.nonce, role)
        self.links[self.sessions] = link
        if role is Role.CONTROL:
            self.living_ns = self.tokens_seen = None
        return self._hello_reply(self.sessions, link, refusal)

    def _hello_reply(self, session: int, link: Link, refusal: ErrorCode) -> Reply:
        return m.HelloReply(
            session,
            link.nonce,
            link.role,
            refusal,
            self._controller(),
            self.clock_us,
            self.ticks,
            self.boot,
            self.dose_count,
            self.state,
        )

    def _controller(self) -> bytes:
        return next((one.host for one in self.links.values() if one.role is Role.CONTROL), NOBODY)

    def _on_identify(self, *_: object) -> Reply:
        return encode_capabilities(self.capabilities, self.boot)[0]

    def _on_capabilities(self, *_: object) -> Reply:
        return encode_capabilities(self.capabilities, self.boot)[1]

    def _on_ports(self, *_: object) -> Reply:
        return encode_capabilities(self.capabilities, self.boot)[2]

    def _on_assignment(self, request: m.Assignment, *_: object) -> Reply:
        return self._no(request, ErrorCode.NOT_ASSIGNED)  # nothing here is for a patient at home

    def _on_status(self, *_: object) -> Reply:
        slot = self.dose.slot if self.dose else m.NO_SLOT
        image = self.dose.image if self.dose else bytes(32)
        number = self.dose.number if self.dose else 0
        return m.StatusReply(
            clock_us=self.clock_us,
            clock_ticks=self.ticks,
            boot_count=self.boot,
            state=self.state,
            output_on=self.output_on,
            stop_cause=self.cause,
            fault=self.fault,
            active_slot=slot,
            image_sha256=image,
            dose_count=self.dose_count,
            dose_number=number,
            dead_man_us=0,
            controller=self._controller(),
            battery_permille=900,
            events_dropped=0,
            frames_refused=0,
            log_next=1,
            amplitudes_na=(),
        )

    def _on_loadbegin(self, request: m.LoadBegin, *_: object) -> Reply:
        self.slots[request.slot] = Slot(request.length, request.image_sha256)
        return m.LoadBeginReply(request.slot, 0)

    def _on_loadchunk(self, request: m.LoadChunk, *_: object) -> Reply:
        slot = self.slots[request.slot]
        if request.offset != len(slot.data):
            return self._no(request, ErrorCode.LOAD_ORDER, len(slot.data))
        slot.data += request.data
        return m.LoadChunkReply(request.slot, len(slot.data))

    def _on_loadcommit(self, request: m.LoadCommit, *_: object) -> Reply:
        slot = self.slots[request.slot]
        digest = image_digest(slot.data)
        if digest != slot.digest:
            return self._no(request, ErrorCode.DIGEST_MISMATCH)
        slot.approval, slot.ranges, slot.committed = request.approval_sha256, request.ranges, True
        slot.digest = digest
        return m.LoadCommitReply(request.slot, digest)

    def _on_slotinfo(self, request: m.SlotInfo, *_: object) -> Reply:
        slot = self.slots[request.slot]
        state = m.SlotState.COMMITTED if slot.committed else m.SlotState.EMPTY
        return m.SlotInfoReply(request.slot, state, len(slot.data), slot.digest, slot.approval, slot.ranges)

    def _on_arm(self, request: m.Arm, *_: object) -> Reply:
        if self.living_ns is None or self.now_ns - self.living_ns > 300_000_000:
            return self._no(request, ErrorCode.NOT_SUPERVISED)
        if self.state in (DeviceState.STOPPED, DeviceState.FAULT):
            return self._no(request, ErrorCode.LATCHED)
        if self.state not in (DeviceState.IDLE, DeviceState.ARMED):
            return self._no(request, ErrorCode.WRONG_STATE)
        self.tokens_given += 1
        self.token = (7000 + self.tokens_given, request.kind, request.slot, self.now_ns)
        self._change(DeviceState.ARMED)
        return m.ArmReply(self.token[0], 2_000_000, self.dose_count)

    def _on_fire(self, request: m.Fire, *_: object) -> Reply:
        return self._start(request, ArmKind.STIMULATION)

    def _on_impedancefire(self, request: m.ImpedanceFire, *_: object) -> Reply:
        bits = [bit for bit in range(33) if request.contact_mask >> bit & 1]
        self.measuring = [255 if bit == 32 else bit + 1 for bit in bits]
        return self._start(request, ArmKind.IMPEDANCE)

    def _start(self, request: m.Fire | m.ImpedanceFire, kind: ArmKind) -> Reply:
        token, self.token = self.token, None
        if token is None or token[:2] != (request.token, kind):
            return self._no(request, ErrorCode.TOKEN_INVALID)
        if self.now_ns - token[3] > 2_000_000_000:
            return self._no(request, ErrorCode.TOKEN_EXPIRED)
        if request.expected_dose_count != self.dose_count:
            return self._no(request, ErrorCode.DOSE_COUNT_MISMATCH, self.dose_count)
        self.dose_count += 1
        stimulation = kind is ArmKind.STIMULATION
        image = self.slots[token[2]].digest if stimulation else bytes(32)
        self.dose = DoseKept(self.dose_count, kind, token[2], image, self.now_ns, self.ticks, self.boot)
        self.doses[self.dose_count] = self.dose
        self.cause = StopCause.NONE
        self._change(DeviceState.DELIVERING if stimulation else DeviceState.MEASURING)
        if stimulation:
            self.telemetry_ns = self.now_ns + 100_000_000
            return m.FireReply(self.dose_count, self.ticks)
        return m.ImpedanceFireReply(self.dose_count, self.ticks)

    def _on_setamplitude(self, request: m.SetAmplitude, *_: object) -> Reply:
        if self.dose is None or request.dose_number != self.dose.number:
            return self._no(request, ErrorCode.WRONG_DOSE)
        if self._amplitude(self.dose, request.area) != request.from_na:
            return self._no(request, ErrorCode.AMPLITUDE_MISMATCH)
        self.dose.amplitudes.append((self.now_ns, request.area, request.to_na))
        return m.SetAmplitudeReply(request.dose_number, request.area, request.to_na, self.ticks)

    def _amplitude(self, dose: DoseKept, area: int) -> int:
        image = decode_image(self.slots[dose.slot].data)
        return ([image.areas[area].amplitude_na] + [v for _, a, v in dose.amplitudes if a == area])[-1]

    def _on_softstop(self, request: m.SoftStop, *_: object) -> Reply:
        if self.state is DeviceState.DELIVERING:
            self._ramp(StopCause.SOFT_STOP, 500_000_000)
        elif self.state is DeviceState.MEASURING:
            self._end(StopCause.SOFT_STOP, DeviceState.IDLE)
        return m.SoftStopReply(self.state, self.ticks, self.ticks + 500_000)

    def _on_clear(self, request: m.Clear, *_: object) -> Reply:
        if (request.stop_cause, request.fault) != (self.cause, self.fault):
            return self._no(request, ErrorCode.CLEAR_MISMATCH)
        self.fault = FaultCode.NONE
        self._change(DeviceState.IDLE)
        return m.ClearReply(self.state)

    def _on_heartbeat(self, request: m.Heartbeat, *_: object) -> Reply:
        living = self.tokens_seen != (request.ui_token, request.journal_token)
        self.tokens_seen = (request.ui_token, request.journal_token)
        if living or self.living_ns is None or self.now_ns - self.living_ns < 1_000_000_000:
            living = True
            self.living_ns = self.now_ns
        number = self.dose.number if self.dose else 0
        return m.HeartbeatReply(self.clock_us, self.ticks, self.state, living, number)

    def _on_clocksync(self, request: m.ClockSync, *_: object) -> Reply:
        return m.ClockSyncReply(request.host_ns, self.ticks, self.ticks, self.capabilities.grid.tick_ns)

    def _on_querycommand(self, request: m.QueryCommand, *_: object) -> Reply:
        link = self.links.get(request.session)
        kept = link.kept.get(request.command_id) if link else None
        args = (request.session, request.command_id)
        if kept is None:
            return m.QueryCommandReply(*args, m.CommandOutcome.UNKNOWN, 0, ErrorCode.NONE, b"")
        reply = kept[1]
        if isinstance(reply, m.Error):
            return m.QueryCommandReply(*args, m.CommandOutcome.REFUSED, reply.request_type, reply.code, b"")
        return m.QueryCommandReply(*args, m.CommandOutcome.DONE, reply.TYPE, ErrorCode.NONE, reply.encode())

    def _on_dose(self, request: m.Dose, *_: object) -> Reply:
        dose = self.doses.get(request.dose_number or self.dose_count)
        if dose is None:
            return self._no(request, ErrorCode.NO_RECORD)
        end_ns = dose.end_ns if dose.end_ns is not None else self.now_ns
        tick_ns = self.capabilities.grid.tick_ns
        start = dose.start_tick
        return m.DoseReply(
            dose.number,
            dose.kind,
            dose.slot,
            dose.image,
            dose.boot,
            start,
            start + (end_ns - dose.start_ns) // tick_ns,
            dose.end_ns is None,
            dose.cause,
            self.fault,
            0,
            self._areas(dose),
        )

    def _areas(self, dose: DoseKept) -> tuple[m.AreaDose, ...]:
        if dose.kind is ArmKind.IMPEDANCE:
            return ()
        image = decode_image(self.slots[dose.slot].data)
        end_ns = dose.end_ns if dose.end_ns is not None else self.now_ns
        lasted = end_ns - dose.start_ns
        if image.duration_ns:
            lasted = min(lasted, image.duration_ns)
        found = []
        for area in Schedule.from_image(image).dose(lasted).areas:
            nc, ac = divmod(area.stimulation_ac, m.ATTOCOULOMB_PER_NC)
            found.append(m.AreaDose(area.area, self._amplitude(dose, area.area), area.pulses, nc, ac))
        return tuple(found)

    def _on_counters(self, request: m.Counters, *_: object) -> Reply:
        total = sum(
            area.stim_nc * m.ATTOCOULOMB_PER_NC + area.stim_ac
            for dose in self.doses.values()
            for area in self._areas(dose)
        )
        nc, ac = divmod(total, m.ATTOCOULOMB_PER_NC)
        last = self.capabilities.contact_count
        page = range(request.first_contact, min(request.first_contact + 8, last + 1))
        contacts = tuple(
            m.ContactDose(one, 0, *((nc, ac) if one == 1 else (0, 0)), 0, 0, 0, 0) for one in page
        )
        following = page[-1] + 1 if page and page[-1] < last else 0
        return m.CountersReply(self.boot, self.sessions, self.dose_count, following, contacts)

    def _on_eventlog(self, request: m.EventLog, *_: object) -> Reply:
        records = tuple(
            m.EventRecord(index, self.boot, 0, m.EventCode.BOOT, 0, 0, index)
            for index in range(request.first_index, min(request.first_index + request.max_records, 41))
        )
        return m.EventLogReply(1, 41, records)

    def _on_impedanceread(self, *_: object) -> Reply:
        return m.ImpedanceReadReply(*self.readings)

    def _on_goodbye(self, request: m.Goodbye, frame: Frame, link: Link | None) -> Reply:
        assert link is not None
        if link.role is Role.CONTROL and self.output_on:
            return self._no(request, ErrorCode.OUTPUT_ON)
        session = frame.session
        del self.links[session]
        return m.GoodbyeReply(session)


def with_serial(serial: str) -> Capabilities:
    return replace(BENCH, serial_number=serial)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
