"""What each command of the wire does, once the order of checks has let it through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from neurostim.core.errors import ProtocolError
from neurostim.core.image import ProgramImage
from neurostim.wire import messages as m
from neurostim.wire.capabilities import encode_capabilities
from neurostim.wire.image import decode_image
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    ArmKind,
    CommandOutcome,
    DeviceState,
    ErrorCode,
    EventCode,
    FaultCode,
    Role,
    SlotState,
    StopCause,
)
from neurostim_sim.impedance import contacts_of_mask
from neurostim_sim.limits import breaches, range_fits
from neurostim_sim.records import NO_DIGEST, DoseRecord, Slot
from neurostim_sim.sessions import NOBODY, SESSIONS, Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

US: Final = 1_000
SECOND_NS: Final = 1_000_000_000
LEAST_BATTERY: Final = 20
REPLY_BYTES: Final = 128
READ_CONTACTS: Final = 16

_LATCHED: Final = (DeviceState.STOPPED, DeviceState.FAULT)
_ON: Final = (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN, DeviceState.MEASURING)


def execute(device: DeviceCore, request: Request, session: Session | None) -> Reply:
    """Carry out one command.

    Raises
    ------
    Refusal
        Where it is refused; then nothing was executed.
    """
    return _HANDLERS[type(request)](device, request, session)


# -------------------------------------------------------------------------------------------- reading


def _hello(device: DeviceCore, request: m.Hello, _session: Session | None) -> Reply:
    table = device.sessions
    session = table.same(request)
    refusal = ErrorCode.NONE
    if session is None:
        if len(table.open) >= SESSIONS:
            raise Refusal(ErrorCode.TOO_MANY_SESSIONS)
        role, refusal = _grant(device, request)
        device.memory.session_count += 1
        session = Session(device.memory.session_count, request.host_id, request.nonce, role, device.now_ns)
        device.memory.note(device.now_us, EventCode.SESSION_OPENED, value=session.number)
        device.memory.save()
        table.open[session.number] = session
    session.heard_ns = device.now_ns
    return m.HelloReply(
        session.number,
        request.nonce,
        session.role,
        refusal,
        table.controller_host,
        device.now_us,
        device.now_ticks,
        device.memory.boot_count,
        device.memory.dose_count,
        device.state,
    )


def _grant(device: DeviceCore, request: m.Hello) -> tuple[Role, ErrorCode]:
    if request.role is not Role.CONTROL:
        return Role.OBSERVE, ErrorCode.NONE
    holder = device.sessions.controller
    if holder is None:
        return Role.CONTROL, ErrorCode.NONE
    named = request.takeover_from != NOBODY and request.takeover_from == holder.host
    lost = holder.host == request.host_id and not device.supervised
    if not (named or lost):
        return Role.OBSERVE, ErrorCode.CONTROL_HELD
    if device.state in _ON:
        return Role.OBSERVE, ErrorCode.OUTPUT_ON
    holder.role = Role.OBSERVE
    device.drop_token()
    device.memory.note(device.now_us, EventCode.TAKEOVER, value=device.memory.session_count + 1)
    return Role.CONTROL, ErrorCode.NONE


def _identify(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    return encode_capabilities(device.profile.capabilities, device.memory.boot_count)[0]


def _capabilities(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    return encode_capabilities(device.profile.capabilities, device.memory.boot_count)[1]


def _ports(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    return encode_capabilities(device.profile.capabilities, device.memory.boot_count)[2]


def _status(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    memory = device.memory
    active = m.NO_SLOT
    digest = NO_DIGEST
    amplitudes: tuple[int, ...] = ()
    if device.token is not None:
        active = device.token.slot
    elif device.delivery is not None and device.state in _ON:
        active = device.delivery.record.slot
    if device.delivery is not None:
        amplitudes = tuple(device.delivery.engine.amplitudes_na)
        if device.state not in _ON:
            amplitudes = (0,) * len(amplitudes)
    if active != m.NO_SLOT:
        digest = memory.slots[active].digest
    watched = device.state in _ON or device.state is DeviceState.ARMED
    deadline = device.dead_man_ns
    left = max(0, deadline - device.now_ns) // US if watched and deadline is not None else 0
    return m.StatusReply(
        device.now_us,
        device.now_ticks,
        memory.boot_count,
        device.state,
        device.output_on,
        StopCause.NONE if device.state is DeviceState.DELIVERING else StopCause(memory.cause),
        FaultCode(memory.fault),
        active,
        digest,
        memory.dose_count,
        device.dose_number,
        left,
        device.sessions.controller_host,
        device.battery,
        device.telemetry_dropped,
        min(device.frames_refused, 0xFFFFFFFF),
        memory.log_next,
        amplitudes,
    )


def _query(device: DeviceCore, request: m.QueryCommand, _session: Session | None) -> Reply:
    asked = device.sessions.any(request.session)
    outcome, kind, error, payload = CommandOutcome.UNKNOWN, 0, ErrorCode.NONE, b""
    if asked is None:
        if 0 < request.session <= device.memory.session_count:
            outcome = CommandOutcome.FORGOTTEN
    elif (kept := asked.outcomes.get(request.command_id)) is not None:
        kind, outcome = kept.command_type, CommandOutcome.DONE
        if isinstance(kept.reply, m.Error):
            outcome, error = CommandOutcome.REFUSED, kept.reply.code
        else:
            payload = kept.reply.encode()[:REPLY_BYTES]
    elif request.command_id <= asked.forgotten:
        outcome = CommandOutcome.FORGOTTEN
    return m.QueryCommandReply(request.session, request.command_id, outcome, kind, error, payload)


def _dose(device: DeviceCore, request: m.Dose, _session: Session | None) -> Reply:
    doses = device.memory.doses
    wanted = request.dose_number or (doses[-1].number if doses else 0)
    record = next((one for one in doses if one.number == wanted), None)
    if record is None:
        raise Refusal(ErrorCode.NO_RECORD)
    delivery = device.delivery
    if delivery is not None and delivery.record is record:
        delivery.settle()
    return m.DoseReply(
        record.number,
        ArmKind(record.kind),
        record.slot,
        bytes.fromhex(record.image),
        record.boot,
        record.start_tick,
        device.now_ticks if record.running else record.end_tick,
        record.running,
        StopCause(record.cause),
        FaultCode(record.fault),
        record.clipped,
        tuple(m.AreaDose(*values) for values in record.areas),
    )


def _counters(device: DeviceCore, request: m.Counters, _session: Session | None) -> Reply:
    if device.delivery is not None:
        device.delivery.settle()
    known = sorted(contact for contact in device.tissue.contacts if contact >= request.first_contact)
    told, rest = known[:READ_CONTACTS], known[READ_CONTACTS:]
    memory = device.memory
    return m.CountersReply(
        memory.boot_count,
        memory.session_count,
        memory.dose_count,
        rest[0] if rest else 0,
        tuple(memory.contact_dose(contact) for contact in told),
    )


def _event_log(device: DeviceCore, request: m.EventLog, _session: Session | None) -> Reply:
    memory = device.memory
    oldest = memory.log[0][0] if memory.log else memory.log_next
    return m.EventLogReply(oldest, memory.log_next, memory.records(request.first_index, request.max_records))


def _impedance_read(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    return m.ImpedanceReadReply(*device.measured)


def _clock_sync(device: DeviceCore, request: m.ClockSync, _session: Session | None) -> Reply:
    return m.ClockSyncReply(request.host_ns, device.now_ticks, device.now_ticks, device.tick_ns)


def _heartbeat(device: DeviceCore, request: m.Heartbeat, session: Session | None) -> Reply:
    assert session is not None
    age_ns = m.SUPERVISOR_TOKEN_MAX_AGE_US * US
    living = session.beat((request.ui_token, request.journal_token), device.now_ns, age_ns)
    return m.HeartbeatReply(device.now_us, device.now_ticks, device.state, living, device.dose_number)


def _goodbye(device: DeviceCore, _request: Request, session: Session | None) -> Reply:
    assert session is not None
    if session.role is Role.CONTROL and device.state in _ON:
        raise Refusal(ErrorCode.OUTPUT_ON)
    device.close_session(session)
    return m.GoodbyeReply(session.number)


# -------------------------------------------------------------------------------------------- loading


def _slot(device: DeviceCore, number: int) -> Slot:
    if number >= len(device.memory.slots):
        raise Refusal(ErrorCode.BAD_SLOT)
    return device.memory.slots[number]


def _in_use(device: DeviceCore, number: int) -> bool:
    if device.token is not None and device.token.slot == number:
        return True
    return device.delivery is not None and device.state in _ON and device.delivery.record.slot == number


def _load_begin(device: DeviceCore, request: m.LoadBegin, _session: Session | None) -> Reply:
    _slot(device, request.slot)
    if _in_use(device, request.slot):
        raise Refusal(ErrorCode.SLOT_IN_USE)
    limit = device.profile.capabilities.max_image_bytes
    if request.length > limit:
        raise Refusal(ErrorCode.DEVICE_LIMIT, limit, "the image is too long")
    device.drop_token()
    device.memory.slots[request.slot] = Slot(request.length, request.image_sha256)
    device.memory.save()
    return m.LoadBeginReply(request.slot, 0)


def _load_chunk(device: DeviceCore, request: m.LoadChunk, _session: Session | None) -> Reply:
    slot = _slot(device, request.slot)
    expected = len(slot.data)
    if slot.committed or slot.length == 0 or request.offset != expected:
        raise Refusal(ErrorCode.LOAD_ORDER, 0 if slot.committed else expected)
    if expected + len(request.data) > slot.length:
        raise Refusal(ErrorCode.LOAD_ORDER, expected)
    slot.data += request.data
    return m.LoadChunkReply(request.slot, len(slot.data))


def _load_commit(device: DeviceCore, request: m.LoadCommit, _session: Session | None) -> Reply:
    slot = _slot(device, request.slot)
    if slot.committed or slot.length == 0 or len(slot.data) != slot.length:
        raise Refusal(ErrorCode.LOAD_ORDER, len(slot.data))
    digest = hashlib.sha256(slot.data).digest()
    if digest != slot.digest:
        raise Refusal(ErrorCode.DIGEST_MISMATCH)
    try:
        image = decode_image(slot.data)
    except ProtocolError as error:
        raise Refusal(ErrorCode.IMAGE_REFUSED, 0, error.message) from error
    if image.grid != device.profile.capabilities.grid:
        raise Refusal(ErrorCode.GRID_MISMATCH)
    if not range_fits(image, request.ranges):
        raise Refusal(ErrorCode.AMPLITUDE_RANGE)
    _within_limits(device, image, request.ranges)
    fresh = Slot(slot.length, digest, slot.data, request.approval_sha256, request.ranges, True)
    device.memory.slots[request.slot] = fresh
    device.memory.note(device.now_us, EventCode.LOADED, value=request.slot)
    device.memory.save()
    return m.LoadCommitReply(request.slot, hashlib.sha256(fresh.data).digest())


def _within_limits(device: DeviceCore, image: ProgramImage, ranges: tuple[m.RangeOfArea, ...]) -> None:
    found = breaches(image, ranges, device.profile)
    if found:
        raise Refusal(ErrorCode.DEVICE_LIMIT, found[0].limit, found[0].what)


def _slot_info(device: DeviceCore, request: m.SlotInfo, _session: Session | None) -> Reply:
    slot = _slot(device, request.slot)
    if not slot.committed:
        state = SlotState.LOADING if slot.length else SlotState.EMPTY
        return m.SlotInfoReply(request.slot, state, 0, NO_DIGEST, NO_DIGEST, ())
    digest = hashlib.sha256(slot.data).digest()
    return m.SlotInfoReply(request.slot, SlotState.COMMITTED, slot.length, digest, slot.approval, slot.ranges)


# ------------------------------------------------------------------------------------------- starting


def _arm(device: DeviceCore, request: m.Arm, _session: Session | None) -> Reply:
    if device.state in _LATCHED:
        raise Refusal(ErrorCode.LATCHED)
    if device.state not in (DeviceState.IDLE, DeviceState.ARMED):
        raise Refusal(ErrorCode.WRONG_STATE)
    if not device.supervised:
        raise Refusal(ErrorCode.NOT_SUPERVISED)
    if device.battery < LEAST_BATTERY:
        raise Refusal(ErrorCode.BATTERY, device.battery)
    if not device.sensor_works:
        device.fault(FaultCode.SENSOR)
        raise Refusal(ErrorCode.INTERNAL, 0, "the output sensor fails its self-test")
    if request.kind is ArmKind.STIMULATION:
        slot = _slot(device, request.slot)
        if not slot.committed:
            raise Refusal(ErrorCode.SLOT_NOT_COMMITTED)
        digest = hashlib.sha256(slot.data).digest()
        if not digest == slot.digest == request.image_sha256:
            raise Refusal(ErrorCode.DIGEST_MISMATCH)
        if slot.approval != request.approval_sha256:
            raise Refusal(ErrorCode.APPROVAL_MISMATCH)
        _within_limits(device, decode_image(slot.data), slot.ranges)
    elif request.slot != m.NO_SLOT:
        raise Refusal(ErrorCode.BAD_SLOT)
    elif request.image_sha256 != NO_DIGEST:
        raise Refusal(ErrorCode.DIGEST_MISMATCH)
    elif request.approval_sha256 != NO_DIGEST:
        raise Refusal(ErrorCode.APPROVAL_MISMATCH)
    token = device.give_token(request.kind, request.slot)
    device.memory.note(device.now_us, EventCode.ARMED, value=int(request.kind))
    device.enter(DeviceState.ARMED)
    return m.ArmReply(token, m.ARM_TOKEN_VALID_US, device.memory.dose_count)


def _use_token(device: DeviceCore, value: int, kind: ArmKind, expected: int) -> int:
    """The checks of a start; returns the slot. The present token is used up, whatever they say."""
    if device.state in _LATCHED:
        raise Refusal(ErrorCode.LATCHED)
    if device.state in _ON:
        raise Refusal(ErrorCode.WRONG_STATE)
    if not device.supervised:
        raise Refusal(ErrorCode.NOT_SUPERVISED)
    token = device.token
    if token is None or token.value != value:
        age_ns = device.now_ns - device.last_token_ns
        expired = value == device.last_token and age_ns > m.ARM_TOKEN_VALID_US * US
        raise Refusal(ErrorCode.TOKEN_EXPIRED if expired else ErrorCode.TOKEN_INVALID)
    device.token = None
    device.last_token = 0
    try:
        if token.kind is not kind:
            raise Refusal(ErrorCode.TOKEN_INVALID)
        if device.now_ns - token.given_ns > m.ARM_TOKEN_VALID_US * US:
            raise Refusal(ErrorCode.TOKEN_EXPIRED)
        if expected != device.memory.dose_count:
            raise Refusal(ErrorCode.DOSE_COUNT_MISMATCH, device.memory.dose_count)
        if device.battery < LEAST_BATTERY:
            raise Refusal(ErrorCode.BATTERY, device.battery)
    except Refusal:
        device.enter(DeviceState.IDLE)
        raise
    return token.slot


def _fire(device: DeviceCore, request: m.Fire, _session: Session | None) -> Reply:
    slot = _use_token(device, request.token, ArmKind.STIMULATION, request.expected_dose_count)
    record: DoseRecord = device.start_program(slot)
    return m.FireReply(record.number, record.start_tick)


def _impedance_fire(device: DeviceCore, request: m.ImpedanceFire, _session: Session | None) -> Reply:
    contacts = contacts_of_mask(request.contact_mask)
    if any(contact not in device.tissue.contacts for contact in contacts):
        raise Refusal(ErrorCode.BAD_CONTACT)
    _use_token(device, request.token, ArmKind.IMPEDANCE, request.expected_dose_count)
    record = device.start_measurement(contacts)
    return m.ImpedanceFireReply(record.number, record.start_tick)


def _set_amplitude(device: DeviceCore, request: m.SetAmplitude, _session: Session | None) -> Reply:
    if device.state in _LATCHED:
        raise Refusal(ErrorCode.LATCHED)
    delivery = device.delivery
    if device.state is not DeviceState.DELIVERING or delivery is None:
        raise Refusal(ErrorCode.WRONG_STATE)
    if request.dose_number != delivery.record.number:
        raise Refusal(ErrorCode.WRONG_DOSE, delivery.record.number)
    slot = device.memory.slots[delivery.record.slot]
    if request.area >= len(slot.ranges):
        raise Refusal(ErrorCode.BAD_AREA)
    present = delivery.engine.amplitudes_na[request.area]
    if request.from_na != present:
        raise Refusal(ErrorCode.AMPLITUDE_MISMATCH, present)
    one = slot.ranges[request.area]
    inside = one.min_na <= request.to_na <= one.max_na
    if request.to_na and not (inside and (request.to_na - one.min_na) % one.step_na == 0):
        raise Refusal(ErrorCode.AMPLITUDE_RANGE)
    if request.to_na > present:
        if request.to_na - present > one.step_na:
            raise Refusal(ErrorCode.AMPLITUDE_STEP, one.step_na)
        recent = [at for at in device.steps if device.now_ns - at < SECOND_NS]
        if len(recent) >= m.AMPLITUDE_STEPS_PER_S:
            raise Refusal(ErrorCode.AMPLITUDE_RATE)
        device.steps[:] = [*recent, device.now_ns]
    delivery.set_amplitude(request.area, request.to_na, device.now_ticks)
    device.memory.note(
        device.now_us, EventCode.AMPLITUDE_SET, delivery.record.number, request.area, request.to_na
    )
    return m.SetAmplitudeReply(delivery.record.number, request.area, request.to_na, device.now_ticks)


# ------------------------------------------------------------------------------------------- stopping


def _soft_stop(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    if device.state in _ON:
        silent = device.soft_stop()
        return m.SoftStopReply(device.state, device.stop_tick, silent)
    device.drop_token()
    return m.SoftStopReply(device.state, device.now_ticks, device.now_ticks)


def _clear(device: DeviceCore, request: m.Clear, _session: Session | None) -> Reply:
    memory = device.memory
    if device.state in _ON:
        raise Refusal(ErrorCode.OUTPUT_ON)
    if device.state not in _LATCHED:
        raise Refusal(ErrorCode.WRONG_STATE)
    if (request.stop_cause, request.fault) != (memory.cause, memory.fault):
        raise Refusal(ErrorCode.CLEAR_MISMATCH)
    flat = memory.fault == FaultCode.BATTERY and device.battery < LEAST_BATTERY
    out = memory.fault == FaultCode.LEAD_UNPLUGGED and bool(device.unplugged)
    if flat or out or (memory.fault == FaultCode.SENSOR and not device.sensor_works):
        raise Refusal(ErrorCode.CAUSE_PRESENT)
    memory.note(device.now_us, EventCode.CLEARED, value=memory.cause)
    memory.latched, memory.fault = False, int(FaultCode.NONE)
    memory.save()
    device.enter(DeviceState.IDLE)
    return m.ClearReply(device.state)


_HANDLERS: Final[dict[type[Request], Callable[[DeviceCore, Any, Session | None], Reply]]] = {
    m.Hello: _hello,
    m.Identify: _identify,
    m.Capabilities: _capabilities,
    m.Ports: _ports,
    m.Status: _status,
    m.LoadBegin: _load_begin,
    m.LoadChunk: _load_chunk,
    m.LoadCommit: _load_commit,
    m.SlotInfo: _slot_info,
    m.Arm: _arm,
    m.Fire: _fire,
    m.ImpedanceFire: _impedance_fire,
    m.SetAmplitude: _set_amplitude,
    m.SoftStop: _soft_stop,
    m.Clear: _clear,
    m.Heartbeat: _heartbeat,
    m.ClockSync: _clock_sync,
    m.QueryCommand: _query,
    m.Dose: _dose,
    m.Counters: _counters,
    m.EventLog: _event_log,
    m.ImpedanceRead: _impedance_read,
    m.Goodbye: _goodbye,
}
