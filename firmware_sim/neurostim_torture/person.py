"""The person at the host: what they want, in which order, and what they do when something goes wrong.

Everything is drawn from the seed before anything happens, so that taking a fault away changes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neurostim.core.errors import DeliveryUncertain, NeurostimError
from neurostim.safety.gate import ApprovedProgram
from neurostim.session import Session, in_flight, resolve_by_decision, resolve_with_device
from neurostim.wire.messages import DeviceState, FaultCode, Role
from neurostim_sim.servers.line import Dice
from neurostim_torture.disk import VirtualPath
from neurostim_torture.host import VirtualHost
from neurostim_torture.programs import NAMES, REASON, Prepared, PreparedSession, prepared
from neurostim_torture.ready import ready
from neurostim_torture.world import World

MS: Final = 1_000_000
ENDS: Final = ("stop", "soft", "emergency", "complete", "leave", "stop", "soft")
LIKELY: Final = (*NAMES[:4], *NAMES[:5], *NAMES[:4])
RARE: Final = 25


@dataclass(frozen=True, slots=True)
class Plan:
    """What one person is going to do."""

    program: str
    slot: int
    dwell_ms: int
    steps: tuple[int, ...]
    end: str
    doses: int
    returns: bool
    clears: bool
    keyed: bool = True
    fresh: bool = True

    @classmethod
    def drawn(cls, seed: int) -> Plan:
        """A plan from a seed."""
        dice = Dice(seed ^ 0xA5A5A5A5)
        rare = dice.below(RARE) == 0
        return cls(
            program=NAMES[-1] if rare else LIKELY[dice.below(len(LIKELY))],
            slot=dice.below(2),
            dwell_ms=300 + dice.below(1200) + (dice.below(8) == 0) * dice.below(3000),
            steps=tuple(1 if dice.below(2) else -1 for _ in range(dice.below(4))),
            end=ENDS[dice.below(len(ENDS))],
            doses=1 + (dice.below(4) == 0),
            returns=dice.below(3) != 0,
            clears=dice.below(2) == 0,
            keyed=dice.below(8) != 0,
            fresh=dice.below(4) == 0,
        )


class Person:
    """Carries a plan out in a world."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.prepared: Prepared = prepared(plan.program)
        self.folder: VirtualPath = world.disk.folder()
        self.sessions = 0
        self.outcomes: list[str] = []
        self.disagreements: list[str] = []

    def live(self) -> None:
        """Do everything; errors of the toolkit are what a person meets, and goes on after."""
        host = self.world.start_host()
        for attempt in range(2):
            try:
                if not self._connect(host):
                    return
                self._settle(host)
                self._session(host)
                self.outcomes.append("done")
                return
            except NeurostimError as error:
                self.outcomes.append(f"{type(error).__name__}:{error.code}")
            if not self.plan.returns or attempt:
                return
            self._idle(host, 1_000)

    def come_back(self) -> None:
        """After the program was killed: start it again, look, and start nothing."""
        host = self.world.start_host()
        try:
            if not self._connect(host):
                return
            self._settle(host)
            host.status().result()
            self.outcomes.append("came-back")
        except NeurostimError as error:
            self.outcomes.append(f"back:{type(error).__name__}:{error.code}")

    def _connect(self, host: VirtualHost) -> bool:
        for _ in range(3):
            try:
                host.open(Role.CONTROL)
            except NeurostimError as error:
                self.outcomes.append(f"connect:{error.code}")
                self._idle(host, 700)
                continue
            if host.role is Role.CONTROL:
                return True
            # The session of a program that died, or of this one before the cable came out, has to end first.
            self._idle(host, 1_500)
        return False

    def _settle(self, host: VirtualHost) -> None:
        disk = self.world.disk
        for start in in_flight(self.folder):  # type: ignore[arg-type]
            given = {
                "monotonic_ns": host.monotonic_ns,
                "wall_text": host.wall_text,
                "opener": disk.opened,
                "locker": disk.lock,
            }
            try:
                if host.status().result().output_on:
                    self.world.intent("stop")
                    host.stop().result(2.0)
                    self._idle(host, 200)
                resolve_with_device(start, host, **given)  # type: ignore[arg-type]
                self.outcomes.append("settled")
            except DeliveryUncertain:
                raise
            except NeurostimError as error:
                self.outcomes.append(f"settle:{error.code}")
                resolve_by_decision(start, "nobody could tell any more", **given)  # type: ignore[arg-type]

    def _session(self, host: VirtualHost) -> None:
        self.sessions += 1
        disk = self.world.disk
        session = PreparedSession(
            self.prepared,
            host,
            self.folder,
            slot=self.plan.slot,
            clock=host,
            session_id=f"{self.sessions:08x}",
            opener=disk.opened,
            locker=disk.lock,
        )
        session.open()
        try:
            self._deliver(session)
        except NeurostimError as error:
            self.outcomes.append(f"{type(error).__name__}:{error.code}")
            self._after_error(session)
        finally:
            if not host.dead:
                session.close()

    def _deliver(self, session: PreparedSession) -> None:
        if session.state in (DeviceState.STOPPED, DeviceState.FAULT):
            self._clear(session)
        approved = self._prepare(session)
        for dose in range(self.plan.doses):
            if dose and session.state in (DeviceState.STOPPED, DeviceState.FAULT):
                if not self.plan.clears:
                    return
                self._clear(session)
            self.world.intent("start", digest=approved.image_sha256.hex())
            session.start()
            self.outcomes.append("started")
            self._watch(session)
            self._end(session)
            found = session.finish()
            self.outcomes.append("agrees" if found.agrees else "disagrees")
            if not found.agrees:
                self.disagreements += [one.what for one in found.disagreements]

    def _prepare(self, session: PreparedSession) -> ApprovedProgram:
        """Bring the program into the device, or take up what is there from an earlier session."""
        if not self.plan.fresh:
            approved = ready(self.plan.program, self.plan.slot, keyed=self.plan.keyed).approved
            self.world.approve(approved)
            session.adopt(approved)
            return approved
        self.world.intent("measure")
        session.measure()
        verdict = session.check()
        approved = session.approve(dict.fromkeys(verdict.to_acknowledge, REASON))
        self.world.approve(approved)
        session.load()
        return approved

    def _watch(self, session: Session) -> None:
        plan = self.plan
        part = plan.dwell_ms / 1000 / (len(plan.steps) + 1)
        session.run_for(part)
        for step in plan.steps:
            if session.delivering and not session.link_lost:
                present = session.amplitude(0)
                change = session.step_up if step > 0 else session.step_down
                self.world.intent("amplitude", area=0, amplitude_na=self._wanted(present, step))
                change(0)
            session.run_for(part)

    def _wanted(self, present_na: int, step: int) -> int:
        limits = self.prepared.ranges[0]
        if step > 0:
            return min(present_na + limits.step_na, limits.max_na)
        return present_na - limits.step_na if present_na > limits.min_na else 0

    def _end(self, session: Session) -> None:
        end = self.plan.end
        if end in ("complete", "leave") and self.prepared.program.duration_ns:
            session.run_for(4.0)
        if not session.delivering:
            return
        if end == "soft":
            self.world.intent("soft_stop")
            session.soft_stop()
        elif end == "emergency":
            self.world.intent("emergency")
            session.stop(emergency=True)
        else:
            self.world.intent("stop")
            session.stop()

    def _after_error(self, session: Session) -> None:
        """A careful person stops first, then looks what became of it."""
        try:
            if session.link_lost:
                session.watch()
                self._idle_in(session, 800)
                session.reconnect()
            elif session.delivering:
                self.world.intent("stop")
                session.stop()
            found = session.finish()
            self.outcomes.append("agrees" if found.agrees else "disagrees")
            if not found.agrees:
                self.disagreements += [one.what for one in found.disagreements]
        except NeurostimError as error:
            self.outcomes.append(f"after:{type(error).__name__}:{error.code}")

    def _clear(self, session: Session) -> None:
        fault = FaultCode(self.world.device.memory.fault)
        self.world.intent("clear")
        session.clear(session.stop_cause, fault)

    def _idle_in(self, session: Session, duration_ms: int) -> None:
        host = self.world.host
        if host is not None:
            self._idle(host, duration_ms)

    @staticmethod
    def _idle(host: VirtualHost, duration_ms: int) -> None:
        """The person waits and looks; the program lives."""
        end = host.monotonic_ns() + duration_ms * MS
        while (left := end - host.monotonic_ns()) > 0:
            host.beat("ui")
            host.beat("journal")
            host.wait(min(left / 1e9, 0.1))
            host.take_critical()
            host.take_telemetry()
