"""Arming, starting, and raising or lowering what runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from neurostim.wire import messages as m
from neurostim.wire.image import decode_image
from neurostim.wire.layout import Reply
from neurostim.wire.messages import (
    ArmKind,
    DeviceState,
    ErrorCode,
    EventCode,
    FaultCode,
)
from neurostim_sim.clock import US
from neurostim_sim.commands.assigning import require_session_for_subject
from neurostim_sim.commands.loading import slot_of, within_limits
from neurostim_sim.commands.table import Handlers
from neurostim_sim.hardware import LEAST_BATTERY
from neurostim_sim.impedance import contacts_of_mask
from neurostim_sim.output import LATCHED, ON, Token
from neurostim_sim.records import NO_DIGEST, DoseRecord
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

SECOND_NS: Final = 1_000_000_000


def _arm(device: DeviceCore, request: m.Arm, session: Session | None) -> Reply:
    if device.state in LATCHED:
        raise Refusal(ErrorCode.LATCHED)
    if device.state not in (DeviceState.IDLE, DeviceState.ARMED):
        raise Refusal(ErrorCode.WRONG_STATE)
    if not device.supervision.supervised:
        raise Refusal(ErrorCode.NOT_SUPERVISED)
    _check_battery(device, 0)
    _test_self(device)
    if request.kind is ArmKind.STIMULATION:
        require_session_for_subject(device, session)
        slot = slot_of(device, request.slot)
        if not slot.committed:
            raise Refusal(ErrorCode.SLOT_NOT_COMMITTED)
        digest = hashlib.sha256(slot.data).digest()
        if not digest == slot.digest == request.image_sha256:
            raise Refusal(ErrorCode.DIGEST_MISMATCH)
        if slot.approval != request.approval_sha256:
            raise Refusal(ErrorCode.APPROVAL_MISMATCH)
        image = decode_image(slot.data)
        within_limits(device, image, slot.ranges)
        _check_battery(device, image.duration_ns)
    elif request.slot != m.NO_SLOT:
        raise Refusal(ErrorCode.BAD_SLOT)
    elif request.image_sha256 != NO_DIGEST:
        raise Refusal(ErrorCode.DIGEST_MISMATCH)
    elif request.approval_sha256 != NO_DIGEST:
        raise Refusal(ErrorCode.APPROVAL_MISMATCH)
    token = device.output.give_token(request.kind, request.slot)
    device.memory.note(device.now_us, EventCode.ARMED, value=int(request.kind))
    device.output.enter(DeviceState.ARMED)
    return m.ArmReply(token, m.ARM_TOKEN_VALID_US, device.memory.dose_count)


def _check_battery(device: DeviceCore, duration_ns: int) -> None:
    """Nothing is started that the battery could not carry to its end; 0 is a program without one."""
    if device.battery < LEAST_BATTERY or duration_ns >= device.hardware.carries_ns:
        raise Refusal(ErrorCode.BATTERY, device.battery)


def _duration_ns(device: DeviceCore, token: Token) -> int:
    if token.kind is not ArmKind.STIMULATION:
        return 0
    return decode_image(device.memory.slots[token.slot].data).duration_ns


def _test_self(device: DeviceCore) -> None:
    """Nothing is armed or started by a device that finds a fault in itself."""
    code = device.test_self()
    if code is not FaultCode.NONE:
        raise Refusal(ErrorCode.INTERNAL, int(code), f"the self-test found a fault: {code.name}")


def _use_token(device: DeviceCore, value: int, kind: ArmKind, expected: int) -> int:
    """The checks of a start; returns the slot. The present token is used up, whatever they say."""
    if device.state in LATCHED:
        raise Refusal(ErrorCode.LATCHED)
    if device.state in ON:
        raise Refusal(ErrorCode.WRONG_STATE)
    if not device.supervision.supervised:
        raise Refusal(ErrorCode.NOT_SUPERVISED)
    token = device.output.token
    if token is None or token.value != value:
        age_ns = device.now_ns - device.output.last_token_ns
        expired = value == device.output.last_token and age_ns > m.ARM_TOKEN_VALID_US * US
        raise Refusal(ErrorCode.TOKEN_EXPIRED if expired else ErrorCode.TOKEN_INVALID)
    device.output.token = None
    device.output.last_token = 0
    _test_self(device)
    try:
        if token.kind is not kind:
            raise Refusal(ErrorCode.TOKEN_INVALID)
        if device.now_ns - token.given_ns > m.ARM_TOKEN_VALID_US * US:
            raise Refusal(ErrorCode.TOKEN_EXPIRED)
        if expected != device.memory.dose_count:
            raise Refusal(ErrorCode.DOSE_COUNT_MISMATCH, device.memory.dose_count)
        _check_battery(device, _duration_ns(device, token))
    except Refusal:
        device.output.enter(DeviceState.IDLE)
        raise
    return token.slot


def _fire(device: DeviceCore, request: m.Fire, _session: Session | None) -> Reply:
    slot = _use_token(device, request.token, ArmKind.STIMULATION, request.expected_dose_count)
    record: DoseRecord = device.output.start_program(slot)
    return m.FireReply(record.number, record.start_tick)


def _impedance_fire(device: DeviceCore, request: m.ImpedanceFire, _session: Session | None) -> Reply:
    contacts = contacts_of_mask(request.contact_mask)
    if any(contact not in device.tissue.contacts for contact in contacts):
        raise Refusal(ErrorCode.BAD_CONTACT)
    _use_token(device, request.token, ArmKind.IMPEDANCE, request.expected_dose_count)
    record = device.output.start_measurement(contacts)
    return m.ImpedanceFireReply(record.number, record.start_tick)


def _set_amplitude(device: DeviceCore, request: m.SetAmplitude, _session: Session | None) -> Reply:
    if device.state in LATCHED:
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
        recent = [at for at in device.output.steps if device.now_ns - at < SECOND_NS]
        if len(recent) >= m.AMPLITUDE_STEPS_PER_S or not delivery.may_rise(request.area):
            raise Refusal(ErrorCode.AMPLITUDE_RATE)
        device.output.steps[:] = [*recent, device.now_ns]
    delivery.set_amplitude(request.area, request.to_na, device.now_ticks)
    device.memory.note(
        device.now_us, EventCode.AMPLITUDE_SET, delivery.record.number, request.area, request.to_na
    )
    return m.SetAmplitudeReply(delivery.record.number, request.area, request.to_na, device.now_ticks)


HANDLERS: Final[Handlers] = {
    m.Arm: _arm,
    m.Fire: _fire,
    m.ImpedanceFire: _impedance_fire,
    m.SetAmplitude: _set_amplitude,
}
