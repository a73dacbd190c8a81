"""What a host may read: who the device is, how it is, what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.wire import messages as m
from neurostim.wire.capabilities import encode_capabilities
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    ArmKind,
    CommandOutcome,
    DeviceState,
    ErrorCode,
    FaultCode,
    StopCause,
)
from neurostim_sim.commands.table import Handlers
from neurostim_sim.output import ON
from neurostim_sim.records import NO_DIGEST
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

REPLY_BYTES: Final = 128
READ_CONTACTS: Final = 16


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
    if device.output.token is not None:
        active = device.output.token.slot
    elif device.delivery is not None and device.state in ON:
        active = device.delivery.record.slot
    if device.delivery is not None:
        amplitudes = tuple(device.delivery.engine.amplitudes_na)
        if device.state not in ON:
            amplitudes = (0,) * len(amplitudes)
    if active != m.NO_SLOT:
        digest = memory.slots[active].digest
    watched = device.state in ON or device.state is DeviceState.ARMED
    left = device.supervision.dead_man_us if watched else 0
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
        device.link.telemetry_dropped,
        min(device.link.frames_refused, 0xFFFFFFFF),
        memory.log_next,
        amplitudes,
    )


def _query(device: DeviceCore, request: m.QueryCommand, _session: Session | None) -> Reply:
    asked = device.sessions.any(request.session)
    outcome, kind, error, payload = CommandOutcome.UNKNOWN, 0, ErrorCode.NONE, b""
    if asked is None:
        # Of an earlier boot nothing is held or forgotten: the boot count tells, and then the dose count.
        if device.link.numbers.before < request.session <= device.link.numbers.last:
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
    return m.ImpedanceReadReply(*device.output.measured)


def _clock_sync(device: DeviceCore, request: m.ClockSync, _session: Session | None) -> Reply:
    return m.ClockSyncReply(request.host_ns, device.now_ticks, device.now_ticks, device.clock.tick_ns)


HANDLERS: Final[Handlers] = {
    m.Identify: _identify,
    m.Capabilities: _capabilities,
    m.Ports: _ports,
    m.Status: _status,
    m.QueryCommand: _query,
    m.Dose: _dose,
    m.Counters: _counters,
    m.EventLog: _event_log,
    m.ImpedanceRead: _impedance_read,
    m.ClockSync: _clock_sync,
}
