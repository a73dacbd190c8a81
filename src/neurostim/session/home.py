"""Between clinic and home, on record: assigning, releasing, taking back and retiring a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from neurostim.core.errors import CommandTimeout, ConfigError, DeliveryUncertain, Problem, TransportError
from neurostim.device import CommandRefused
from neurostim.device.home import ReleaseState, cleaning_note, slot_name, subject_code
from neurostim.device.usage import UsageLog
from neurostim.safety.approval import ApprovedProgram
from neurostim.session.errors import SessionError
from neurostim.session.keeper import SLICE_S
from neurostim.session.preparation import Preparation, Stage
from neurostim.session.usage_file import write_usage
from neurostim.wire.messages import CORRIDOR_S, RELEASE_MAX_S, RangeOfArea
from neurostim.wire.release import Release, ReleaseSlot

MAX_SLOTS: Final = 8
QUIET_NS: Final = 4_000_000_000


class HomeSession(Preparation):
    """A session in which nothing is started: what it changes goes into the journal before and after.

    Parameters are those of `neurostim.session.preparation.Preparation`, with no program.
    """

    def assign(self, subject: str) -> int:
        """Bind the device to a subject; returns the number of the assignment."""
        self._need(Stage.IDENTIFIED)
        code = subject_code(subject)
        self._record("assign_intended", {"subject": code}, durable=True)
        number = self._await(self._stimulator.home.assign(code))
        self._record("assigned", {"subject": code, "assignment": number}, durable=True)
        return number

    def release(
        self, release: Release, acknowledged: Mapping[int, Mapping[str, str]] | None = None
    ) -> ReleaseState:
        """Send the device home; returns its own word on it.

        Parameters
        ----------
        release : Release
        acknowledged : mapping of int to mapping of str to str, optional
            By slot, the warnings accepted for its program with their reasons, for the record.

        Raises
        ------
        CommandRefused
            Where the device does not accept it; it stays supervised.
        DeliveryUncertain
            Code ``release-uncertain`` where its answer was lost: read its state before it leaves the clinic.
        """
        self._need(Stage.IDENTIFIED)
        reasons = acknowledged or {}
        self._record(
            "release_intended",
            {
                "subject": release.subject,
                "expires_s": release.expires_s,
                "corridor": release.corridor,
                "release_sha256": release.digest().hex(),
                "slots": [
                    {
                        "slot": one.slot,
                        "name": one.name,
                        "image_sha256": one.image_sha256.hex(),
                        "approval_sha256": one.approval_sha256.hex(),
                        "ranges": [[r.area, r.min_na, r.max_na, r.step_na] for r in one.ranges],
                        "acknowledged": dict(reasons.get(one.slot, {})),
                    }
                    for one in release.slots
                ],
            },
            durable=True,
        )
        self._wait_until_supervised()
        wall_s = int(datetime.fromisoformat(self._clock.wall_text()).timestamp())
        try:
            number = self._await(self._stimulator.home.release(release, wall_s))
            state = self._await(self._stimulator.home.release_state())
        except (TransportError, CommandTimeout) as error:
            raise DeliveryUncertain(
                f"it is not known whether the release has begun: {error.message}",
                remedy="Connect again and read it, before the device leaves: neurostim devices --device URL.",
                code="release-uncertain",
            ) from error
        self._record("released", {"release": number, "expires_left_s": state.expires_left_s}, durable=True)
        return state

    def end_output(self) -> bool:
        """Take output that is on to zero, along its ramp where the device lets a host do that.

        Returns whether it was on.

        Raises
        ------
        DeliveryUncertain
            Code ``stop-not-confirmed``: pull the lead cable.
        """
        self._need(Stage.IDENTIFIED)
        if not self._await(self._stimulator.status()).output_on:
            return False
        self._maybe_on = True
        try:
            self._await(self._stimulator.soft_stop())
        except CommandRefused:
            self._stop_now()
            return True
        end_ns = self._clock.monotonic_ns() + QUIET_NS
        while self._await(self._stimulator.status()).output_on:
            if self._clock.monotonic_ns() >= end_ns:
                self._stop_now()
                return True
            self._stimulator.wait(SLICE_S)
            self._take_in()
        self._maybe_on = False
        return True

    def _stop_now(self) -> None:
        self._stop_for_sure()
        if self._maybe_on:
            raise DeliveryUncertain(
                "the stop is not confirmed", remedy="Pull the lead cable.", code="stop-not-confirmed"
            )

    def read_usage(self, path: Path) -> UsageLog:
        """Read the usage log, compare digests, and keep it durably in a new file."""
        self._need(Stage.IDENTIFIED)
        log = self._await(self._stimulator.home.usage())
        subject = self._await(self._stimulator.home.assignment()).subject
        write_usage(path, self._stimulator.identity, subject, log, opener=self._opener)
        self._record(
            "usage_read",
            {"file": str(path), "records": len(log.records), "usage_sha256": log.sha256.hex()},
            durable=True,
        )
        return log

    def require_released(self) -> None:
        """Refuse a device that is not released: there is nothing to take back.

        Raises
        ------
        SessionError
            Code ``session-not-released``.
        """
        self._need(Stage.IDENTIFIED)
        if not self._await(self._stimulator.home.release_state()).autonomous:
            raise SessionError(
                "the device is not released: there is nothing to take back",
                remedy="Nothing was read or written. Read its usage log with: neurostim usage.",
                code="session-not-released",
            )

    def require_retirable(self, cleaning: str) -> None:
        """Refuse what the device would refuse of a retirement, before anything is read or written.

        Raises
        ------
        SessionError
            Code ``session-released`` for a device that is at home, ``session-output-on`` while output is on.
        ConfigError
            For words on the cleaning that the device does not take.
        """
        self._need(Stage.IDENTIFIED)
        cleaning_note(cleaning)
        if self._await(self._stimulator.home.release_state()).autonomous:
            raise SessionError(
                "the device is released for use at home",
                remedy="Take it back first: neurostim takeback. Nothing was read or written.",
                code="session-released",
            )
        if self._await(self._stimulator.status()).output_on:
            raise SessionError(
                "output is on", remedy="Stop it first. Nothing was read or written.", code="session-output-on"
            )

    def take_back(self, subject: str, log: UsageLog) -> int:
        """End autonomous mode; returns the number of the release that ended."""
        self._need(Stage.IDENTIFIED)
        self._wait_until_supervised()
        number = self._await(self._stimulator.home.take_back(subject_code(subject), log))
        self._record("taken_back", {"release": number, "usage_sha256": log.sha256.hex()}, durable=True)
        return number

    def retire(self, subject: str, log: UsageLog, cleaning: str) -> int:
        """End the assignment; returns its number."""
        self._need(Stage.IDENTIFIED)
        code = subject_code(subject)
        self._record("retire_intended", {"subject": code, "cleaning": cleaning}, durable=True)
        self._wait_until_supervised()
        number = self._await(self._stimulator.home.retire(code, log, cleaning))
        self._record("retired", {"subject": code, "assignment": number}, durable=True)
        return number


def release_of(
    subject: str,
    programs: Sequence[tuple[int, str, ApprovedProgram]],
    *,
    expires_s: int | None,
) -> Release:
    """A release of approved programs; each patient's range is the range that was approved.

    Parameters
    ----------
    subject : str
        Code of the subject.
    programs : sequence of (slot, name, ApprovedProgram)
        As loaded; the first is chosen at the beginning.
    expires_s : int or None
        Powered time after which it ends [s]; None for the corridor, 20 minutes.

    Raises
    ------
    ConfigError
        With everything that is wrong.
    """
    problems: list[Problem] = []
    if not 1 <= len(programs) <= MAX_SLOTS:
        problems.append(Problem("programs", f"{len(programs)} programs", f"1 to {MAX_SLOTS}"))
    if expires_s is not None and not 0 < expires_s <= RELEASE_MAX_S:
        problems.append(Problem("expiry", f"{expires_s} s", f"above 0, at most {RELEASE_MAX_S} s (90 days)"))
    names = [slot_name(name) for _, name, _ in programs]
    problems += [
        Problem("programs", f"the name {name!r} twice", "a name of its own for each")
        for name in sorted({one for one in names if names.count(one) > 1})
    ]
    if problems:
        raise ConfigError("the release is not possible", problems=problems, code="release")
    return Release(
        subject_code(subject),
        CORRIDOR_S if expires_s is None else expires_s,
        expires_s is None,
        tuple(_slot(slot, name, program) for (slot, _, program), name in zip(programs, names, strict=True)),
    )


def _slot(slot: int, name: str, program: ApprovedProgram) -> ReleaseSlot:
    program.verify()
    ranges = tuple(RangeOfArea(r.area, r.min_na, r.max_na, r.step_na) for r in program.ranges)
    return ReleaseSlot(slot, name, program.image_sha256, program.approval_sha256, ranges)
