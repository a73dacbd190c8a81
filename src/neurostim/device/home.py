"""Assigning a device to a subject, sending it home with a release, reading its use and taking it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from neurostim.core.errors import ConfigError, ProtocolError
from neurostim.device.futures import CommandFuture
from neurostim.device.scripts import expect
from neurostim.device.tasks import Script
from neurostim.device.usage import UsageLog, require_unbroken, usage_digest
from neurostim.wire import messages as m
from neurostim.wire.layout import Request
from neurostim.wire.release import NAME_BYTES, SUBJECT_BYTES, Release

T = TypeVar("T")

USAGE_RECORDS: Final = 16
# The device writes while it is read: a log that never stands still long enough is not read for ever.
READ_AGAIN: Final = 8


class Runner(Protocol):
    """How a stimulator carries out a script."""

    def __call__(self, name: str, script: Script[T], *, changes: bool = False) -> CommandFuture[T]:
        """Begin it; ``changes`` says whether it changes anything in the device."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """For whom a device is; ``number`` counts assignments, 0 before the first."""

    number: int
    subject: str | None
    cleaning: str


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """Whether a device is released for use at home, and how it stands with it.

    Attributes
    ----------
    autonomous, expired, corridor : bool
    number : int
        0 where there never was a release.
    sha256 : bytes
    expires_left_s, locked_s : int
        Powered time left, and time for which starts are locked [s].
    chosen_slot : int or None
    battery_hours : int
        Predicted for the chosen program on the present charge [h].
    slots : tuple of ReleasedSlot
    """

    autonomous: bool
    expired: bool
    corridor: bool
    number: int
    sha256: bytes
    expires_left_s: int
    locked_s: int
    chosen_slot: int | None
    battery_hours: int
    slots: tuple[m.ReleasedSlot, ...]


class HomeCommands:
    """What a native stimulator can be asked about subjects and use at home; all that changes needs a key.

    Parameters
    ----------
    run : callable
        Carries out a script on the stimulator's link.
    """

    def __init__(self, run: Runner) -> None:
        self._run = run

    def assignment(self) -> CommandFuture[Assignment]:
        """Read for whom the device is."""
        return self._run("ASSIGNMENT", _assignment())

    def assign(self, subject: str) -> CommandFuture[int]:
        """Bind the device to a subject; the result is the number of the assignment."""
        request = m.Assign(subject_code(subject))
        return self._change("ASSIGN", request, m.AssignReply, lambda told: told.assignment)

    def work_for(self, subject: str) -> CommandFuture[int]:
        """Say for whom this session works; a device that is assigned arms nothing before."""
        request = m.Subject(subject_code(subject))
        return self._change("SUBJECT", request, m.SubjectReply, lambda told: told.assignment)

    def retire(self, subject: str, usage: UsageLog, cleaning: str) -> CommandFuture[int]:
        """End the assignment: erases slots, release and usage log, and records the cleaning."""
        request = m.Retire(subject_code(subject), usage.sha256, cleaning_note(cleaning))
        return self._change("RETIRE", request, m.RetireReply, lambda told: told.assignment)

    def release(self, release: Release, wall_s: int) -> CommandFuture[int]:
        """Send home: the result is the number of the release, which the device has begun.

        Parameters
        ----------
        release : Release
            Its slots are loaded and verified.
        wall_s : int
            The host's time of day [s since 1970-01-01 UTC].
        """
        return self._run("RELEASE", _release(release, wall_s), changes=True)

    def release_state(self) -> CommandFuture[ReleaseState]:
        """Read whether the device is released."""
        return self._run("RELEASE_INFO", _release_state())

    def usage(self) -> CommandFuture[UsageLog]:
        """Read the whole usage log and compare its digest with the device's."""
        return self._run("USAGE", _usage())

    def take_back(self, subject: str, usage: UsageLog) -> CommandFuture[int]:
        """End autonomous mode, with the usage log that was read; the result is the release that ended."""
        request = m.TakeBack(subject_code(subject), usage.sha256)
        return self._change("TAKE_BACK", request, m.TakeBackReply, lambda told: told.release_number)

    def _change(
        self, name: str, request: Request, reply: type[Any], read: Callable[[Any], int]
    ) -> CommandFuture[int]:
        return self._run(name, _one(request, reply, read), changes=True)


def subject_code(text: str) -> str:
    """The code of a subject as the device holds it.

    Raises
    ------
    ConfigError
        Where it is empty, too long or not printable ASCII.
    """
    return _text(text, SUBJECT_BYTES, "the code of the subject")


def slot_name(text: str) -> str:
    """The name of a program for the patient.

    Raises
    ------
    ConfigError
        Where it is empty, too long or not printable ASCII.
    """
    return _text(text, NAME_BYTES, "the name of a program")


def cleaning_note(text: str) -> str:
    """How a device was cleaned, and by whom, as the device records it.

    Raises
    ------
    ConfigError
        Where it is empty, too long or not printable ASCII.
    """
    return _text(text, 64, "how it was cleaned")


def _text(text: str, length: int, what: str) -> str:
    stripped = text.strip()
    if not stripped or len(stripped) > length or not (stripped.isascii() and stripped.isprintable()):
        raise ConfigError(
            f"{what} is {text!r}",
            allowed=f"1 to {length} printable ASCII characters",
            code="text",
        )
    return stripped


def _one(request: Request, reply: type[Any], read: Callable[[Any], int]) -> Script[int]:
    return read(expect(reply, (yield request)))


def _assignment() -> Script[Assignment]:
    told = expect(m.AssignmentReply, (yield m.Assignment()))
    return Assignment(told.assignment, told.subject if told.assigned else None, told.cleaning)


def _release(release: Release, wall_s: int) -> Script[int]:
    begin = m.ReleaseBegin(release.subject, release.expires_s, release.corridor, wall_s)
    number = expect(m.ReleaseBeginReply, (yield begin)).release_number
    for one in release.slots:
        add = m.ReleaseSlot(one.slot, one.name, one.image_sha256, one.approval_sha256)
        held = expect(m.ReleaseSlotReply, (yield add))
        if (held.slot, held.image_sha256) != (one.slot, one.image_sha256):
            raise ProtocolError(
                f"slot {one.slot} holds another program than the one to be released",
                remedy="Load it again; if it happens again, do not use this device.",
                code="digest-mismatch",
            )
        expect(m.ReleaseRangesReply, (yield m.ReleaseRanges(one.slot, one.ranges)))
    digest = release.digest()
    done = expect(m.ReleaseCommitReply, (yield m.ReleaseCommit(digest)))
    if (done.release_number, done.release_sha256) != (number, digest):
        raise ProtocolError(
            "the device has released something else than was asked for",
            remedy="Take it back, and do not use this device.",
            code="release-mismatch",
        )
    return number


def _release_state() -> Script[ReleaseState]:
    told = expect(m.ReleaseInfoReply, (yield m.ReleaseInfo()))
    return ReleaseState(
        told.autonomous,
        told.expired,
        told.corridor,
        told.release_number,
        told.release_sha256,
        told.expires_left_s,
        told.locked_s,
        None if told.chosen_slot == m.NO_SLOT else told.chosen_slot,
        told.battery_hours,
        told.slots,
    )


def _usage() -> Script[UsageLog]:
    for _ in range(READ_AGAIN):
        log = yield from _usage_once()
        if log is not None:
            return log
    raise ProtocolError(
        "the usage log does not match its digest, however often it is read",
        remedy="Stop the output and read again; if it stays so, keep the device as it is.",
        code="usage-digest",
    )


def _usage_once() -> Script[UsageLog | None]:
    """Read all of it; None where the device wrote while it was read, so that the digest is of more."""
    records: list[m.UsageRecord] = []
    index, oldest = 1, 0
    while True:
        told = expect(m.UsageReply, (yield m.Usage(index, USAGE_RECORDS)))
        if not oldest:
            oldest = told.oldest_index
        records += told.records
        if not told.records or told.records[-1].index + 1 >= told.next_index:
            break
        if told.records[-1].index < index:
            raise ProtocolError("the device's usage log runs backwards", code="usage-order")
        index = told.records[-1].index + 1
    require_unbroken(records, oldest)
    state = expect(m.UsageDigestReply, (yield m.UsageDigest()))
    digest = usage_digest(records)
    if (state.oldest_index, state.next_index) != (oldest, oldest + len(records)):
        return None
    if state.usage_sha256 != digest:
        raise ProtocolError(
            "the usage log as read is not the one whose digest the device tells",
            remedy="Read it again; if it stays so, keep the device and its log as they are.",
            code="usage-digest",
        )
    return UsageLog(tuple(records), oldest, digest)
