"""The way of a session to a start: identify, measure, check, approve, load; and what becomes of a start."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from neurostim.core.compile import compile_program
from neurostim.core.errors import (
    CommandTimeout,
    ConfigError,
    NeurostimError,
    ProtocolError,
)
from neurostim.core.hardware import Impedances
from neurostim.core.image import RETURN_INDEX
from neurostim.core.program import Program
from neurostim.core.schedule import Schedule
from neurostim.device import (
    Clock,
    CommandFuture,
    CommandRefused,
    DeviceStatus,
    LifeCounters,
    Started,
    Stimulator,
    SystemClock,
)
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import check_contacts, contact_map
from neurostim.safety.gate import AmplitudeRange, ApprovedProgram, LayerLike, Verdict, approve, check
from neurostim.safety.interlock import Event
from neurostim.session import recovery
from neurostim.session.adapters import FolderLock, Locker, Opener, new_session_id, open_durable
from neurostim.session.errors import JournalError, SessionError
from neurostim.session.journal import Journal, Json
from neurostim.session.keeper import OFF, SLICE_S, Keeper
from neurostim.session.pace import AmplitudeGuard
from neurostim.wire.messages import ErrorCode, Role

T = TypeVar("T")

SUPERVISED_NS: Final = 2_000_000_000
QUIET_NS: Final = 1_000_000_000


class Stage(enum.Enum):
    """How far a session has come; it only goes forward, but for a new dose after a finished one."""

    CLOSED = "closed"
    IDENTIFIED = "identified"
    MEASURED = "measured"
    CHECKED = "checked"
    APPROVED = "approved"
    LOADED = "loaded"
    DELIVERING = "delivering"
    LOST = "link lost"


class Preparation(Keeper):
    """Everything of a session before its first pulse; see `neurostim.session.session.Session`.

    Parameters
    ----------
    stimulator : Stimulator
        Open.
    program : Program or None
        What to deliver; None for a session that only measures.
    leads : sequence of Lead
        In the order of the device's contacts.
    folder : Path
        Where journals are kept.
    slot : int
        Program slot of the device to load.
    subject : str, optional
        Code of the subject this session works for; a device that is assigned starts nothing without it.
    subject_limits, device_limits : LimitLayer or mapping, optional
        Tightenings for the safety gate.
    clock : Clock, optional
        The host's time.
    session_id : str, optional
        Hexadecimal digits; random by default.
    opener : callable, optional
        How the journal opens its file.
    locker : callable, optional
        How the journal's folder is kept for one session.
    """

    def __init__(
        self,
        stimulator: Stimulator,
        program: Program | None,
        leads: Sequence[Lead],
        folder: Path,
        *,
        slot: int = 0,
        subject: str | None = None,
        subject_limits: LayerLike = None,
        device_limits: LayerLike = None,
        clock: Clock | None = None,
        session_id: str | None = None,
        opener: Opener = open_durable,
        locker: Locker = FolderLock,
    ) -> None:
        super().__init__(stimulator, clock or SystemClock())
        self._stage = Stage.CLOSED
        self.verdict: Verdict | None = None
        self.impedances: Impedances | None = None
        self.approved: ApprovedProgram | None = None
        self.schedule: Schedule | None = None
        self.started: Started | None = None
        self._program = program
        self._leads = tuple(leads)
        self._folder = folder
        self._slot = slot
        self._subject = subject
        self._subject_limits = subject_limits
        self._device_limits = device_limits
        self._session_id = session_id or new_session_id()
        self._opener = opener
        self._locker = locker
        self._guard: AmplitudeGuard | None = None
        self._levels: list[list[int]] = []
        self._before: LifeCounters | None = None

    # Opening and closing.

    def open(self) -> DeviceStatus:
        """Look for unfinished doses, begin the journal, and read the device.

        Raises
        ------
        SessionError
            Code ``session-in-flight`` where an earlier start is not accounted for.
        JournalError, TransportError, CommandTimeout
        """
        self._need(Stage.CLOSED)
        unsettled = recovery.in_flight(self._folder)
        if unsettled:
            # A start of a session that is still running is no crash: the folder is taken then.
            lock = self._locker(self._folder)
            lock.acquire()
            lock.release()
            raise SessionError(
                f"{len(unsettled)} earlier start was announced and never accounted for "
                f"(device {unsettled[0].serial_number}, {unsettled[0].announced_at})",
                remedy="Settle it first, with the command that is to follow: --settle device "
                "by the device's counters; or --settle and a reason, by a decision.",
                code="session-in-flight",
            )
        self._journal = Journal.create(
            self._folder,
            self._session_id,
            monotonic_ns=self._clock.monotonic_ns,
            wall_text=self._clock.wall_text,
            opener=self._opener,
            locker=self._locker,
        )
        try:
            return self._identify()
        except BaseException:
            self._journal.close()
            self._journal = None
            raise

    def close(self) -> None:
        """End the session; output that may be on is stopped first. Idempotent."""
        if self._journal is None:
            return
        try:
            if self._maybe_on:
                self._stop_for_sure()
            if self._journal.failure is None:
                self._record("closed", {"stage": self.stage.value}, durable=True)
        finally:
            self._journal.close()
            self._journal = None
            self._stage = Stage.CLOSED

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._maybe_on:
            self._stop_for_sure()
        self.close()

    @property
    def stage(self) -> Stage:
        """How far the session has come; a lost link stays lost."""
        return Stage.LOST if self.link_lost and self._stage is not Stage.CLOSED else self._stage

    @property
    def journal_path(self) -> Path:
        """File of this session's journal."""
        return self._folder / f"{self._session_id}.journal.jsonl"

    # The way to a start, step by step.

    def measure(self) -> Impedances:
        """Measure every contact of the leads with the device's own gated program."""
        self._need(Stage.IDENTIFIED, Stage.MEASURED, Stage.CHECKED)
        contacts = self._contacts()
        count = self._prepare_start("impedance", b"", {"contacts": contacts})
        future = self._stimulator.measure_impedances(contacts, count)
        measured = self._outcome_of_start(future)
        self._maybe_on = False
        self.impedances = measured
        self._record(
            "measured",
            {
                "contacts": [
                    {
                        "contact": one.contact,
                        "series_ohm": one.series_ohm,
                        "late_ohm": one.late_ohm,
                        "status": one.status,
                    }
                    for one in measured.contacts.values()
                ]
            },
            durable=True,
        )
        self._stage = Stage.MEASURED
        return measured

    def check(self, ranges: Sequence[AmplitudeRange] | None = None) -> Verdict:
        """Compile on the device's grid and judge with the measured impedances."""
        self._need(Stage.MEASURED, Stage.CHECKED, Stage.APPROVED)
        if self._program is None:
            raise SessionError("this session has no program", code="session-order")
        given = tuple(lead.id for lead in self._leads)
        if given != self._program.leads:
            raise ConfigError(
                f"the session has the leads {', '.join(given)}",
                allowed=f"those of the program, in its order: {', '.join(self._program.leads)}",
                code="lead-mismatch",
            )
        check_contacts(self._program, self._leads)
        capabilities = self._stimulator.capabilities
        schedule = compile_program(self._program, capabilities.grid, contact_map(self._leads))
        verdict = check(
            schedule,
            self._leads,
            capabilities,
            impedances=self.impedances,
            ranges=ranges,
            subject_limits=self._subject_limits,
            device_limits=self._device_limits,
            at_run=True,
        )
        return self._judged(schedule, verdict)

    def _judged(self, schedule: Schedule, verdict: Verdict) -> Verdict:
        self.schedule, self.verdict = schedule, verdict
        self._record(
            "checked",
            {
                "severity": verdict.severity.name.lower(),
                "refused": sorted({one.code for one in verdict.refused}),
                "warnings": list(verdict.to_acknowledge),
                "limits_sha256": verdict.limits_sha256.hex(),
            },
        )
        self._stage = Stage.CHECKED
        return verdict

    def approve(self, acknowledged: Mapping[str, str] | None = None) -> ApprovedProgram:
        """Accept the verdict's warnings, each with its reason.

        Raises
        ------
        SafetyError
            Where a rule refuses, or a warning has no reason.
        """
        self._need(Stage.CHECKED)
        assert self.verdict is not None
        return self._accepted(approve(self.verdict, acknowledged))

    def _accepted(self, approved: ApprovedProgram) -> ApprovedProgram:
        self.approved = approved
        self._act(Event.APPROVED)
        self._record(
            "approved",
            {
                "image_sha256": approved.image_sha256.hex(),
                "approval_sha256": approved.approval_sha256.hex(),
                "acknowledged": dict(approved.acknowledged),
                "ranges": [
                    {"area": r.area, "min_na": r.min_na, "max_na": r.max_na, "step_na": r.step_na}
                    for r in approved.ranges
                ],
            },
            durable=True,
        )
        self._stage = Stage.APPROVED
        return approved

    def load(self) -> None:
        """Load the approved program; the device's own digest must be the host's.

        Raises
        ------
        ProtocolError
            Code ``digest-mismatch``.
        """
        self._need(Stage.APPROVED)
        assert self.approved is not None
        digest = self._await(self._stimulator.load(self.approved, self._slot))
        self._act(Event.COMMITTED)
        self._compare(digest, self.approved)
        self._record("loaded", {"slot": self._slot, "image_sha256": digest.hex()}, durable=True)
        self._stage = Stage.LOADED

    # Steps inside.

    def _identify(self) -> DeviceStatus:
        identity, capabilities = self._stimulator.identity, self._stimulator.capabilities
        status = self._await(self._stimulator.status())
        self.state, self.stop_cause = status.state, status.stop_cause
        self._record(
            "device",
            {
                "model": identity.model,
                "serial_number": identity.serial_number,
                "firmware": identity.firmware,
                "profile": identity.profile,
                "tick_ns": capabilities.grid.tick_ns,
                "step_na": capabilities.grid.step_na,
                "boot_count": status.boot_count,
                "dose_count": status.dose_count,
                "state": status.state.name,
                "role": self._stimulator.role.name,
            },
            durable=True,
        )
        name = None if self._program is None else self._program.name
        self._record("program", {"name": name, "leads": [lead.id for lead in self._leads]}, durable=True)
        self._say_subject()
        self._stage = Stage.IDENTIFIED
        return status

    def _say_subject(self) -> None:
        """Tell the device for whom this session works; it refuses where it is assigned to another."""
        if self._subject is not None:
            number = self._await(self._stimulator.home.work_for(self._subject))
            self._record("subject", {"subject": self._subject, "assignment": number}, durable=True)

    def _compare(self, digest: bytes, approved: ApprovedProgram) -> None:
        if digest == approved.image_sha256:
            self._act(Event.DIGEST_MATCHED)
            return
        self._act(Event.DIGEST_DIFFERED)
        raise ProtocolError(
            f"the digest in the device, {digest.hex()[:12]}, is not that of the program",
            remedy="Load again; if it happens again, do not use this device.",
            code="digest-mismatch",
        )

    def _verify_again(self, approved: ApprovedProgram) -> None:
        """Before another dose of the same program: the approval still holds, and so does the slot."""
        approved.verify()
        self._saw(Event.CLEARED)
        self._act(Event.APPROVED)
        held = self._await(self._stimulator.slot(self._slot))
        self._act(Event.COMMITTED)
        self._compare(held.image_sha256, approved)

    def _contacts(self) -> list[int]:
        ports = self._stimulator.capabilities.ports
        present = {port.first_contact + offset for port in ports for offset in range(port.contact_count)}
        if any(port.has_return for port in ports):
            present.add(RETURN_INDEX)
        wanted = sorted(set(contact_map(self._leads).values()))
        missing = [contact for contact in wanted if contact not in present]
        if missing:
            raise ConfigError(
                f"the leads need the contacts {missing}, which this device has not",
                allowed=f"{len(present)} contacts",
                code="lead-contacts",
            )
        return wanted

    def _prepare_start(self, kind: str, image_sha256: bytes, more: Mapping[str, Json]) -> int:
        self._wait_until_supervised()
        status = self._await(self._stimulator.status())
        self._announce(kind, status.dose_count, image_sha256.hex(), more)
        return status.dose_count

    def _announce(self, kind: str, dose_count: int, image_sha256: str, more: Mapping[str, Json]) -> None:
        """Write, durably, what is about to be started; only then may it be sent."""
        self._record(
            recovery.INTENDED,
            {
                "kind": kind,
                "expected_dose_count": dose_count,
                "boot_count": self._stimulator.identity.boot_count,
                "image_sha256": image_sha256,
                **more,
            },
            durable=True,
        )
        self._awaited_dose = dose_count + 1
        self._maybe_on = True

    def _outcome_of_start(self, future: CommandFuture[T]) -> T:
        """Wait for a start; where it fails, let the device's dose count tell whether it began."""
        try:
            return self._await(future)
        except JournalError:
            raise
        except NeurostimError as error:
            self._note("start_error", {"error": error.code, "text": error.message})
            self._saw(Event.REPLY_LOST)
            try:
                if isinstance(error, CommandRefused) and error.refusal is ErrorCode.AUTONOMOUS:
                    self._leave_to_the_patient()
                else:
                    self._settle_failed_start()
            except JournalError:
                raise
            except NeurostimError as second:
                # The start stays announced and unsettled on record, which blocks the next one.
                error.add_note(f"what became of it could not be read: {second}")
            raise

    def _leave_to_the_patient(self) -> None:
        """Nothing was started at a device that is released; output that is on there is the patient's own."""
        status = self._await(self._stimulator.status())
        self._record("start_failed", {"dose_count": status.dose_count}, durable=True)
        self._maybe_on = False
        self._saw(Event.FOUND_OFF)
        if self._stage is Stage.DELIVERING:
            self._stage = Stage.LOADED

    def _settle_failed_start(self) -> None:
        status = self._await(self._stimulator.status())
        if status.output_on or self._stimulator.uncertain is not None:
            self._stop_for_sure()
            status = self._status_when_quiet()
        if status.output_on:
            return
        if status.dose_count < self._awaited_dose:
            self._record("start_failed", {"dose_count": status.dose_count}, durable=True)
        else:
            dose = self._await(self._stimulator.dose(self._awaited_dose))
            evidence = recovery.dose_evidence(dose)
            self._record(
                "resolved",
                {"by": "device", "delivered": True, "text": "the start had happened", "evidence": evidence},
                durable=True,
            )
        self._maybe_on = False
        self._saw(Event.FOUND_OFF)
        if self._stage is Stage.DELIVERING:
            self._stage = Stage.LOADED

    def _status_when_quiet(self) -> DeviceStatus:
        """Read the status once the last recovery after a dose has ended, at most a second later."""
        end_ns = self._clock.monotonic_ns() + QUIET_NS
        while True:
            status = self._await(self._stimulator.status())
            busy = status.output_on and status.state in OFF
            if not busy or self._clock.monotonic_ns() >= end_ns:
                return status
            self._stimulator.wait(SLICE_S / 5)
            self._take_in()

    def _wait_until_supervised(self) -> None:
        if self._stimulator.role is not Role.CONTROL:
            raise SessionError(
                "this host may only read and stop", remedy="Take control deliberately.", code="session-role"
            )
        end_ns = self._clock.monotonic_ns() + SUPERVISED_NS
        while True:
            self._alive()
            if self._stimulator.supervised:
                return
            if self._clock.monotonic_ns() >= end_ns:
                raise CommandTimeout(
                    "the device does not take the heartbeat of this host",
                    remedy="Check the link; nothing was started.",
                    code="not-supervised",
                )
            self._stimulator.wait(SLICE_S / 5)
            self._take_in()

    def _need(self, *stages: Stage) -> None:
        if self.stage not in stages:
            wanted = " or ".join(stage.value for stage in stages)
            raise SessionError(
                f"the session is {self.stage.value}", allowed=f"only when {wanted}", code="session-order"
            )
