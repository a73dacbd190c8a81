"""The commands of the native protocol as scripts: what is asked, in which order, and what is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, TypeVar

from neurostim.core.errors import CommandTimeout, ConfigError, DeviceFault, ProtocolError
from neurostim.core.hardware import Capabilities, ContactImpedance, Impedances
from neurostim.core.image import RETURN_INDEX
from neurostim.device.records import (
    AreaCharge,
    Armed,
    ContactCharge,
    DeviceStatus,
    DoseRecord,
    Identity,
    LifeCounters,
    PairedHosts,
    SlotContents,
    SoftStopped,
    Started,
)
from neurostim.device.tasks import Pause, Script
from neurostim.safety.approval import ApprovedProgram
from neurostim.wire import messages as m
from neurostim.wire.capabilities import decode_capabilities
from neurostim.wire.layout import Reply

CHUNK_BYTES: Final = 128
LOG_RECORDS: Final = 16
MEASURE_POLL_NS: Final = 20_000_000
MEASURE_POLLS: Final = 1500

R = TypeVar("R", bound=Reply)


def expect(kind: type[R], reply: Reply | None) -> R:
    """The reply as what it must be; the core has matched type and command before."""
    if not isinstance(reply, kind):
        raise ProtocolError(f"found {type(reply).__name__} where {kind.__name__} belongs", code="wrong-reply")
    return reply


def identify() -> Script[tuple[Identity, Capabilities]]:
    """Read who the device is and what it can do; refused where it contradicts itself."""
    who = expect(m.IdentifyReply, (yield m.Identify()))
    limits = expect(m.CapabilitiesReply, (yield m.Capabilities()))
    ports = expect(m.PortsReply, (yield m.Ports()))
    identity = Identity(
        who.model, who.serial_number, who.firmware, who.profile, who.protocol_version, who.boot_count
    )
    if who.protocol_version != m.PROTOCOL_VERSION:
        raise ProtocolError(
            f"the device speaks version {who.protocol_version} of the protocol",
            allowed=f"version {m.PROTOCOL_VERSION}",
            remedy="Update the device or this program.",
            code="protocol-version",
        )
    return identity, decode_capabilities(who, limits, ports)


def status(heard_ns: int) -> Script[DeviceStatus]:
    """Read the present state."""
    told = expect(m.StatusReply, (yield m.Status()))
    return DeviceStatus(
        heard_ns=heard_ns,
        clock_us=told.clock_us,
        boot_count=told.boot_count,
        state=told.state,
        output_on=told.output_on,
        stop_cause=told.stop_cause,
        fault=told.fault,
        dose_count=told.dose_count,
        dose_number=told.dose_number,
        active_slot=None if told.active_slot == m.NO_SLOT else told.active_slot,
        image_sha256=told.image_sha256,
        controller=told.controller,
        battery_permille=told.battery_permille,
        amplitudes_na=told.amplitudes_na,
    )


def slot_contents(slot: int) -> Script[SlotContents]:
    """Read what a slot holds."""
    told = expect(m.SlotInfoReply, (yield m.SlotInfo(slot)))
    if told.slot != slot:
        raise _about_another("slot", slot, told.slot)
    return SlotContents(told.slot, told.state, told.length, told.image_sha256, told.approval_sha256)


def load(program: ApprovedProgram, slot: int) -> Script[bytes]:
    """Load, commit, and read the slot back: its digest is what the device holds, not what was sent."""
    data = program.image_bytes
    digest = hashlib.sha256(data).digest()
    if digest != program.image_sha256:
        raise ConfigError("the approved program's digest is not that of its bytes", code="approval-digest")
    yield m.LoadBegin(slot, len(data), digest)
    for offset in range(0, len(data), CHUNK_BYTES):
        piece = data[offset : offset + CHUNK_BYTES]
        told = expect(m.LoadChunkReply, (yield m.LoadChunk(slot, offset, piece)))
        if told.expected_offset != offset + len(piece):
            raise _about_another("offset", offset + len(piece), told.expected_offset)
    ranges = tuple(m.RangeOfArea(r.area, r.min_na, r.max_na, r.step_na) for r in program.ranges)
    done = expect(m.LoadCommitReply, (yield m.LoadCommit(slot, program.approval_sha256, ranges)))
    held = yield from slot_contents(slot)
    if held.state is not m.SlotState.COMMITTED or held.approval_sha256 != program.approval_sha256:
        raise ProtocolError(
            f"slot {slot} does not hold the program that was committed to it",
            remedy="Load again; if it happens again, do not use this device.",
            code="slot-contents",
        )
    if done.image_sha256 != held.image_sha256:
        raise ProtocolError("the device tells two digests for one slot", code="slot-digest")
    return held.image_sha256


def arm(program: ApprovedProgram, slot: int) -> Script[Armed]:
    """Prepare a start."""
    request = m.Arm(m.ArmKind.STIMULATION, slot, program.image_sha256, program.approval_sha256)
    told = expect(m.ArmReply, (yield request))
    return Armed(told.token, told.valid_us, told.dose_count)


def fire(armed: Armed) -> Script[Started]:
    """Start what was armed."""
    told = expect(m.FireReply, (yield m.Fire(armed.token, armed.dose_count)))
    if told.dose_number != armed.dose_count + 1:
        raise _about_another("dose", armed.dose_count + 1, told.dose_number)
    return Started(told.dose_number, told.start_tick)


def set_amplitude(dose_number: int, area: int, from_na: int, to_na: int) -> Script[int]:
    """Change one area's amplitude [nA]."""
    request = m.SetAmplitude(dose_number, area, from_na, to_na)
    told = expect(m.SetAmplitudeReply, (yield request))
    if (told.dose_number, told.area) != (dose_number, area):
        raise _about_another("area", area, told.area)
    if told.amplitude_na != to_na:
        raise ProtocolError(
            f"asked for {to_na} nA, the device says it set {told.amplitude_na} nA",
            remedy="Stop, and do not use this device.",
            code="amplitude-not-set",
        )
    return told.amplitude_na


def clear(stop_cause: m.StopCause, fault: m.FaultCode) -> Script[None]:
    """Release a latch."""
    yield m.Clear(stop_cause, fault)


def dose(number: int | None) -> Script[DoseRecord]:
    """Read the record of a dose."""
    told = expect(m.DoseReply, (yield m.Dose(number or 0)))
    if number is not None and told.dose_number != number:
        raise _about_another("dose", number, told.dose_number)
    return DoseRecord(
        number=told.dose_number,
        kind=told.kind,
        slot=None if told.slot == m.NO_SLOT else told.slot,
        image_sha256=told.image_sha256,
        boot_count=told.boot_count,
        start_tick=told.start_tick,
        end_tick=told.end_tick,
        running=told.running,
        stop_cause=told.stop_cause,
        fault=told.fault,
        compliance_pulses=told.compliance_pulses,
        areas=tuple(area_charge(area) for area in told.areas),
    )


def area_charge(area: m.AreaDose) -> AreaCharge:
    """Exact charge from whole nanocoulombs and remainder."""
    return AreaCharge(area.area, area.amplitude_na, area.pulses, _exact(area.stim_nc, area.stim_ac))


def counters() -> Script[LifeCounters]:
    """Read all life-long counters, page by page."""
    contacts: list[ContactCharge] = []
    following = 1
    while True:
        told = expect(m.CountersReply, (yield m.Counters(following)))
        contacts += (
            ContactCharge(
                c.contact,
                c.pulses,
                _exact(c.cathodic_nc, c.cathodic_ac),
                _exact(c.anodic_nc, c.anodic_ac),
                _exact(c.recovered_nc, c.recovered_ac),
            )
            for c in told.contacts
        )
        if told.next_contact == 0:
            return LifeCounters(told.boot_count, told.session_count, told.dose_count, tuple(contacts))
        if told.next_contact <= following:
            raise ProtocolError("the device's counters do not come to an end", code="counters-order")
        following = told.next_contact


def log(first_index: int) -> Script[tuple[m.EventRecord, ...]]:
    """Read the event log, page by page."""
    records: list[m.EventRecord] = []
    index = first_index
    while True:
        told = expect(m.EventLogReply, (yield m.EventLog(index, LOG_RECORDS)))
        records += told.records
        if not told.records or told.records[-1].index + 1 >= told.next_index:
            return tuple(records)
        if told.records[-1].index < index:
            raise ProtocolError("the device's event log runs backwards", code="log-order")
        index = told.records[-1].index + 1


def soft_stopped(reply: Reply) -> SoftStopped:
    """What a soft stop's reply says."""
    told = expect(m.SoftStopReply, reply)
    return SoftStopped(told.state, told.at_tick, told.silent_tick)


def measure(contacts: Iterable[int], expected_dose_count: int) -> Script[Impedances]:
    """Arm and run the device's impedance program, wait for its end, and read the results."""
    mask = contact_mask(contacts)
    nothing = bytes(32)
    armed = expect(m.ArmReply, (yield m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, nothing, nothing)))
    if armed.dose_count != expected_dose_count:
        raise _about_another("dose count", expected_dose_count, armed.dose_count)
    started = expect(m.ImpedanceFireReply, (yield m.ImpedanceFire(armed.token, expected_dose_count, mask)))
    for _ in range(MEASURE_POLLS):
        yield Pause(MEASURE_POLL_NS)
        now = expect(m.StatusReply, (yield m.Status()))
        if now.state is m.DeviceState.FAULT:
            name = now.fault.name.lower().replace("_", "-")
            raise DeviceFault(f"the measurement ended in a fault: {name}", fault=name)
        if now.state is not m.DeviceState.MEASURING:
            break
    else:
        raise CommandTimeout("the measurement does not end", remedy="Stop the device.")
    told = expect(m.ImpedanceReadReply, (yield m.ImpedanceRead()))
    if told.dose_number != started.dose_number:
        raise _about_another("measurement", started.dose_number, told.dose_number)
    measured = {
        r.contact: ContactImpedance(r.contact, r.series_ohm, r.late_ohm, r.status.name.lower())
        for r in told.readings
    }
    missing = [contact for contact in _contacts(mask) if contact not in measured]
    if missing:
        raise ProtocolError(
            f"the measurement ended without contacts {missing}",
            remedy=f"The device is {now.state.name.lower()}, {now.stop_cause.name.lower()}; measure again.",
            code="impedance-incomplete",
        )
    return Impedances(measured)


def contact_mask(contacts: Iterable[int]) -> int:
    """Bits of the contacts to measure."""
    mask = 0
    for contact in contacts:
        if contact != RETURN_INDEX and not 1 <= contact <= 32:
            raise ConfigError(f"there is no contact {contact}", allowed="1 to 32, or 255 for the return pad")
        mask |= 1 << (m.RETURN_MASK_BIT if contact == RETURN_INDEX else contact - 1)
    if not mask:
        raise ConfigError("no contact was named to be measured", allowed="at least one contact")
    return mask


def _contacts(mask: int) -> list[int]:
    numbered = [bit + 1 for bit in range(m.RETURN_MASK_BIT) if mask >> bit & 1]
    return numbered + ([RETURN_INDEX] if mask >> m.RETURN_MASK_BIT & 1 else [])


def _exact(whole_nc: int, remainder_ac: int) -> int:
    return whole_nc * m.ATTOCOULOMB_PER_NC + remainder_ac


def _about_another(what: str, asked: int, told: int) -> ProtocolError:
    return ProtocolError(
        f"asked about {what} {asked}, the device answered about {told}",
        remedy="Stop if output may be on; read the device's state.",
        code="answer-mismatch",
    )


def pairings() -> Script[PairedHosts]:
    """Read which hosts hold a key."""
    told = expect(m.PairingsReply, (yield m.Pairings()))
    return PairedHosts({one.host_id: one.name for one in told.hosts}, told.tries_left, told.locked_s)


def unpair(host_id: bytes) -> Script[int]:
    """Erase a host's key."""
    return expect(m.UnpairReply, (yield m.Unpair(host_id))).hosts
