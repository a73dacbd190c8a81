"""The commands of use at home: describing a release, committing it, reading what was used, taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.wire import messages as m
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import DeviceState, ErrorCode, FaultCode
from neurostim_sim.assignment import Assignment
from neurostim_sim.commands.table import Handlers
from neurostim_sim.home import battery
from neurostim_sim.home.release import (
    Release,
    ReleasedProgram,
    require_end,
    require_for_home,
    require_ranges,
    verified,
)
from neurostim_sim.home.usage import RESERVE
from neurostim_sim.records import NO_DIGEST, Slot
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

MOST_PROGRAMS: Final = 8


def _require_quiet(device: DeviceCore) -> None:
    if device.output_on:
        raise Refusal(ErrorCode.OUTPUT_ON)
    if device.state not in (DeviceState.IDLE, DeviceState.STOPPED):
        raise Refusal(ErrorCode.LATCHED if device.state is DeviceState.FAULT else ErrorCode.WRONG_STATE)


def require_subject(device: DeviceCore, session: Session, subject: str) -> None:
    """Refuse what is for another subject than the one the device is bound to, or that this session named.

    Raises
    ------
    Refusal
    """
    bound = Assignment(device.memory).subject
    if not bound:
        raise Refusal(ErrorCode.NOT_ASSIGNED)
    if subject != bound or session.subject != bound:
        raise Refusal(ErrorCode.SUBJECT_MISMATCH)


def _require_room(device: DeviceCore) -> None:
    """Refuse a release that would expire as it begins: nothing is given that cannot be recorded."""
    if device.home.usage.room < 2 * RESERVE:
        raise Refusal(ErrorCode.EXPIRY, 0, "the usage log has no room: retire the device")


def _slot(device: DeviceCore, number: int) -> Slot:
    if number >= len(device.memory.slots):
        raise Refusal(ErrorCode.BAD_SLOT)
    return device.memory.slots[number]


def _draft(device: DeviceCore, session: Session | None) -> Release:
    """What this session has described so far."""
    draft = device.home.draft
    if draft is None or session is None or device.home.draft_session != session.number:
        raise Refusal(ErrorCode.RELEASE_INCOMPLETE, m.NO_SLOT, "no release was begun in this session")
    return draft


def _begin(device: DeviceCore, request: m.ReleaseBegin, session: Session | None) -> Reply:
    assert session is not None
    _require_quiet(device)
    require_subject(device, session, request.subject)
    require_end(request.expires_s, corridor=request.corridor)
    _require_room(device)
    number = device.home.state.kept["number"] + 1
    device.home.draft = Release(number, request.subject, request.expires_s, request.corridor, request.wall_s)
    device.home.draft_session = session.number
    return m.ReleaseBeginReply(number)


def _add_slot(device: DeviceCore, request: m.ReleaseSlot, session: Session | None) -> Reply:
    draft = _draft(device, session)
    if draft.program_of(request.slot) is not None or len(draft.programs) == MOST_PROGRAMS:
        raise Refusal(ErrorCode.RELEASE_INCOMPLETE, request.slot, "the slot is in the release already")
    if not request.name:
        raise Refusal(ErrorCode.RELEASE_INCOMPLETE, request.slot, "a program for the patient has a name")
    held = _slot(device, request.slot)
    image = verified(held, request.image_sha256, request.approval_sha256)
    require_for_home(image)
    draft.programs.append(
        ReleasedProgram(request.slot, request.name, request.image_sha256, request.approval_sha256)
    )
    return m.ReleaseSlotReply(request.slot, request.image_sha256)


def _set_ranges(device: DeviceCore, request: m.ReleaseRanges, session: Session | None) -> Reply:
    program = _draft(device, session).program_of(request.slot)
    if program is None:
        raise Refusal(ErrorCode.RELEASE_INCOMPLETE, request.slot)
    held = _slot(device, request.slot)
    image = verified(held, program.image_sha256, program.approval_sha256)
    require_ranges(image, held, request.ranges, device.profile)
    program.ranges = request.ranges
    return m.ReleaseRangesReply(request.slot)


def _commit(device: DeviceCore, request: m.ReleaseCommit, session: Session | None) -> Reply:
    draft = _draft(device, session)
    assert session is not None
    _require_quiet(device)
    require_subject(device, session, draft.subject)
    if not draft.programs:
        raise Refusal(ErrorCode.RELEASE_INCOMPLETE, m.NO_SLOT)
    for program in draft.programs:
        if not program.ranges:
            raise Refusal(ErrorCode.RELEASE_INCOMPLETE, program.slot)
        held = _slot(device, program.slot)
        image = verified(held, program.image_sha256, program.approval_sha256)
        require_for_home(image)
        require_ranges(image, held, program.ranges, device.profile)
    digest = draft.digest()
    if digest != request.release_sha256:
        raise Refusal(ErrorCode.RELEASE_INCOMPLETE, m.NO_SLOT, "the digest of the release differs")
    if device.battery <= battery.LOW_PERMILLE:
        raise Refusal(ErrorCode.BATTERY, device.battery)
    if not device.hardware.sensor_works:
        device.fault(FaultCode.SENSOR)
        raise Refusal(ErrorCode.INTERNAL, 0, "the output sensor fails its self-test")
    device.output.drop_token()
    device.home.release_now(draft, digest)
    return m.ReleaseCommitReply(draft.number, digest)


def _info(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    home = device.home
    state, release = home.state, home.state.release
    programs = release.programs if release is not None else []
    return m.ReleaseInfoReply(
        home.autonomous,
        state.expired,
        release is not None and release.corridor,
        state.kept["number"],
        bytes.fromhex(state.kept["sha256"]) if release is not None else NO_DIGEST,
        -(-state.left_us // 1_000_000),
        -(-state.locked_us // 1_000_000),
        state.kept["chosen"],
        home.battery_hours,
        tuple(m.ReleasedSlot(one.slot, one.name, one.image_sha256) for one in programs),
    )


def _usage(device: DeviceCore, request: m.Usage, _session: Session | None) -> Reply:
    usage = device.home.usage
    device.home.watch()
    records = tuple(usage.records(request.first_index, request.max_records))
    return m.UsageReply(usage.oldest_index, usage.next_index, records)


def _usage_digest(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    usage = device.home.usage
    device.home.watch()
    return m.UsageDigestReply(usage.oldest_index, usage.next_index, usage.sha256)


def _take_back(device: DeviceCore, request: m.TakeBack, session: Session | None) -> Reply:
    home = device.home
    assert session is not None
    if not home.autonomous:
        raise Refusal(ErrorCode.NOT_AUTONOMOUS)
    require_subject(device, session, request.subject)
    if device.output_on:
        raise Refusal(ErrorCode.OUTPUT_ON)
    home.watch()
    if request.usage_sha256 != home.usage.sha256:
        raise Refusal(ErrorCode.USAGE_UNREAD)
    number = home.take_back()
    return m.TakeBackReply(number)


HANDLERS: Final[Handlers] = {
    m.ReleaseBegin: _begin,
    m.ReleaseSlot: _add_slot,
    m.ReleaseRanges: _set_ranges,
    m.ReleaseCommit: _commit,
    m.ReleaseInfo: _info,
    m.Usage: _usage,
    m.UsageDigest: _usage_digest,
    m.TakeBack: _take_back,
}
