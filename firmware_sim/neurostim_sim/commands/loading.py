"""Bringing a program into a slot, its commit last."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from neurostim.core.errors import ProtocolError
from neurostim.core.image import ProgramImage
from neurostim.wire import messages as m
from neurostim.wire.image import decode_image
from neurostim.wire.layout import Reply
from neurostim.wire.messages import (
    ErrorCode,
    EventCode,
    SlotState,
)
from neurostim_sim.commands.table import Handlers
from neurostim_sim.limits import breaches, range_fits
from neurostim_sim.output import ON
from neurostim_sim.records import NO_DIGEST, Slot
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore


def slot_of(device: DeviceCore, number: int) -> Slot:
    """A slot by number; BAD_SLOT for one that does not exist."""
    if number >= len(device.memory.slots):
        raise Refusal(ErrorCode.BAD_SLOT)
    return device.memory.slots[number]


def _in_use(device: DeviceCore, number: int) -> bool:
    if device.output.token is not None and device.output.token.slot == number:
        return True
    return device.delivery is not None and device.state in ON and device.delivery.record.slot == number


def _load_begin(device: DeviceCore, request: m.LoadBegin, _session: Session | None) -> Reply:
    slot_of(device, request.slot)
    if _in_use(device, request.slot):
        raise Refusal(ErrorCode.SLOT_IN_USE)
    limit = device.profile.capabilities.max_image_bytes
    if request.length > limit:
        raise Refusal(ErrorCode.DEVICE_LIMIT, limit, "the image is too long")
    device.output.drop_token()
    device.memory.slots[request.slot] = Slot(request.length, request.image_sha256)
    device.memory.save()
    return m.LoadBeginReply(request.slot, 0)


def _load_chunk(device: DeviceCore, request: m.LoadChunk, _session: Session | None) -> Reply:
    slot = slot_of(device, request.slot)
    expected = len(slot.data)
    if slot.committed or slot.length == 0 or request.offset != expected:
        raise Refusal(ErrorCode.LOAD_ORDER, 0 if slot.committed else expected)
    if expected + len(request.data) > slot.length:
        raise Refusal(ErrorCode.LOAD_ORDER, expected)
    slot.data += request.data
    return m.LoadChunkReply(request.slot, len(slot.data))


def _load_commit(device: DeviceCore, request: m.LoadCommit, _session: Session | None) -> Reply:
    slot = slot_of(device, request.slot)
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
    within_limits(device, image, request.ranges)
    fresh = Slot(slot.length, digest, slot.data, request.approval_sha256, request.ranges, True)
    device.memory.slots[request.slot] = fresh
    device.memory.note(device.now_us, EventCode.LOADED, value=request.slot)
    device.memory.save()
    return m.LoadCommitReply(request.slot, hashlib.sha256(fresh.data).digest())


def within_limits(device: DeviceCore, image: ProgramImage, ranges: tuple[m.RangeOfArea, ...]) -> None:
    """Refuse with DEVICE_LIMIT what is beyond the device's own hard limits."""
    found = breaches(image, ranges, device.profile)
    if found:
        raise Refusal(ErrorCode.DEVICE_LIMIT, found[0].limit, found[0].what)


def _slot_info(device: DeviceCore, request: m.SlotInfo, _session: Session | None) -> Reply:
    slot = slot_of(device, request.slot)
    if not slot.committed:
        state = SlotState.LOADING if slot.length else SlotState.EMPTY
        return m.SlotInfoReply(request.slot, state, 0, NO_DIGEST, NO_DIGEST, ())
    digest = hashlib.sha256(slot.data).digest()
    return m.SlotInfoReply(request.slot, SlotState.COMMITTED, slot.length, digest, slot.approval, slot.ranges)


HANDLERS: Final[Handlers] = {
    m.LoadBegin: _load_begin,
    m.LoadChunk: _load_chunk,
    m.LoadCommit: _load_commit,
    m.SlotInfo: _slot_info,
}
