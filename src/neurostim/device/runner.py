"""Carries out scripts over the link: in lanes, one change at a time, with an outcome for every request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from neurostim.core.errors import CommandTimeout, NeurostimError, ProtocolError, TransportError
from neurostim.device.doubt import Doubts
from neurostim.device.futures import CommandFuture, Wait
from neurostim.device.notices import LinkCounters
from neurostim.device.outbox import Outbox
from neurostim.device.resolution import (
    Executed,
    Outcome,
    Refused,
    Unanswered,
    Unknown,
    never_arrived,
    resolve,
)
from neurostim.device.stop_path import StopPath
from neurostim.device.tasks import (
    Lane,
    Pause,
    Script,
    Superseded,
    Task,
    attempts_allowed,
    is_blind_repeatable,
    needs_control,
    starts_or_raises,
)
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import Role

S = TypeVar("S")

REPLY_NS: Final = 250_000_000
MAX_WAIT_TO_SEND_NS: Final = 400_000_000
# Longer than it takes to notice a silent link, which makes room for what a lossy stretch had filled.
NOT_SENT_NS: Final = 2_000_000_000


class Runner:
    """Runs tasks in four lanes, the most urgent first: lowering, questions, changes, readings.

    ``now_ns``, ``role`` and ``boot_count`` are kept up to date by the host core.
    """

    def __init__(
        self,
        outbox: Outbox,
        counters: LinkCounters,
        doubts: Doubts,
        stops: StopPath,
        wait: Wait | None,
    ) -> None:
        self.now_ns = 0
        self.role = Role.OBSERVE
        self.boot_count = 0
        self.lowering = Lane("lower")
        self.questions = Lane("question")
        self.changes = Lane("change")
        self.reads = Lane("read")
        self.lanes = (self.lowering, self.questions, self.changes, self.reads)
        self._outbox = outbox
        self._counters = counters
        self._doubts = doubts
        self._stops = stops
        self._wait = wait
        self._in_flight: dict[int, Task] = {}

    def future(self, name: str) -> CommandFuture[Any]:
        """A future that waits as the owner of the link does."""
        return CommandFuture(name, self._wait)

    def waiting_for(self, command_id: int) -> Task | None:
        """The task whose present request has this id."""
        return self._in_flight.get(command_id)

    def ask_about_doubt(self) -> None:
        """Ask what became of the command in doubt, when that is due."""
        command = self._doubts.due(self.now_ns)
        if command is not None:
            name = f"what became of {command.request.NAME}"
            self.questions.queue.append(Task(name, self._settle_doubt(command), self.future(name)))

    def due_ns(self) -> int | None:
        """When a task has something to do next [ns]."""
        due: int | None = None
        for lane in self.lanes:
            task = lane.current
            if task is None:
                continue
            moment = task.resume_ns
            if moment is not None and (due is None or moment < due):
                due = moment
            moment = task.deadline_ns
            if moment is not None and (due is None or moment < due):
                due = moment
        return due

    def poll(self) -> None:
        """Resume and time out what is due."""
        for lane in self.lanes:
            task = lane.current
            if task is None:
                continue
            if task.resume_ns is not None and self.now_ns >= task.resume_ns:
                task.resume_ns = None
                self.advance(task, None)
            elif task.deadline_ns is not None and self.now_ns >= task.deadline_ns:
                self._time_out(task)

    def pump(self, lanes: Iterable[Lane]) -> None:
        """Start waiting tasks and send what the bound leaves room for."""
        for lane in lanes:
            while lane.current is None and lane.queue:
                task = lane.current = lane.queue.popleft()
                task.lane = lane
                self.advance(task, None)
            while (current := lane.current) is not None:
                request = current.request
                if request is None or current.sent or not self._send(current, request):
                    break

    def _send(self, task: Task, request: Request) -> bool:
        """Send a task's request if it may go; return whether the task made a step instead."""
        objection = self._objection(task, request)
        if objection is not None:
            self.raise_in(task, objection)
            return True
        command_id = task.command_id or self._outbox.next_id()
        place = self._outbox.offer(request, command_id)
        if place is None:
            return False
        task.command_id = command_id
        task.sent = task.begun = True
        task.place = task.place or place
        task.attempts += 1
        task.deadline_ns = self.now_ns + REPLY_NS
        if task.attempts == 1:
            task.session = self._outbox.session
            task.boot_count = self.boot_count
        self._in_flight[task.command_id] = task
        return False

    def _objection(self, task: Task, request: Request) -> NeurostimError | None:
        """Why a request must not be sent now; asked at the last moment before it is."""
        if needs_control(request) and self.role is not Role.CONTROL:
            return ProtocolError(
                f"{request.NAME} needs control, and this host may only read and stop",
                remedy="Take control deliberately, with output off.",
                code="read-only",
            )
        if not starts_or_raises(request):
            return None
        if self.now_ns - task.asked_ns > MAX_WAIT_TO_SEND_NS:
            return CommandTimeout(
                f"{request.NAME} was held up too long and was not sent",
                remedy="Look at the device's state, then ask again.",
                code="too-late",
            )
        return self._stops.objection(request) or self._doubts.objection(request)

    def advance(self, task: Task, reply: Reply | None) -> None:
        """Give a task the reply to its request."""
        self._step(task, task.script.send, reply)

    def raise_in(self, task: Task, error: NeurostimError) -> None:
        """Give a task the error its request ended with."""
        self._step(task, task.script.throw, error)

    def _step(self, task: Task, go: Callable[[S], Request | Pause], given: S) -> None:
        self._in_flight.pop(task.command_id, None)
        task.begin_step(self.now_ns)
        try:
            wanted = go(given)
        except StopIteration as end:
            task.leave()
            task.future.resolve(end.value)
        except NeurostimError as error:
            task.leave()
            task.future.fail(error)
        else:
            if isinstance(wanted, Pause):
                task.resume_ns = self.now_ns + wanted.duration_ns
            else:
                task.request = wanted
                task.deadline_ns = self.now_ns + NOT_SENT_NS

    def _time_out(self, task: Task) -> None:
        request = task.request
        assert request is not None
        if not task.sent and task.attempts:
            # Its own repeats fill what may wait unanswered: it was sent, and nothing was ever answered.
            self._give_up(task, request)
            return
        if not task.sent:
            self.raise_in(
                task,
                CommandTimeout(
                    f"{request.NAME} was not sent: the device does not read",
                    remedy="Check cable, port and supply.",
                    code="not-sent",
                ),
            )
            return
        self._counters.timeouts += 1
        task.deadline_ns = None
        if not is_blind_repeatable(request):
            self._question(task, request)
        elif task.attempts < attempts_allowed(request):
            self._repeat(task)
        else:
            self._give_up(task, request)

    def _give_up(self, task: Task, request: Request) -> None:
        waited = (self.now_ns - task.first_ns) // 1_000_000
        self.raise_in(
            task,
            CommandTimeout(
                f"the device has not answered {request.NAME} in {waited} ms",
                remedy="Check address, cable and supply, and that it is a stimulator of this protocol.",
            ),
        )

    def _repeat(self, task: Task) -> None:
        """Send again under the same command id; the device executes it at most once."""
        self._counters.resends += 1
        task.sent = False
        task.asked_ns = self.now_ns
        task.deadline_ns = self.now_ns + NOT_SENT_NS

    def _question(self, task: Task, request: Request) -> None:
        """Ask what became of an unanswered command, instead of sending it again."""
        self._counters.queries += 1
        command = Unanswered(request, task.session, task.command_id, task.boot_count)
        name = f"what became of {request.NAME}"
        self.questions.queue.append(Task(name, self._settle(task, command), self.future(name)))

    def _settle(self, task: Task, command: Unanswered) -> Script[None]:
        outcome = yield from self._outcome(command)
        if self._in_flight.get(command.command_id) is not task:
            return  # its late answer came while the device was being asked
        if isinstance(outcome, Executed):
            self.advance(task, outcome.reply)
        elif isinstance(outcome, Refused):
            self.raise_in(task, outcome.error)
        elif isinstance(outcome, Unknown):
            self.raise_in(task, self._doubts.begin(command, outcome.why, self.now_ns))
        elif command.request.RAISES_OUTPUT or task.attempts >= attempts_allowed(command.request):
            self.raise_in(task, never_arrived(command.request, outcome))
        else:
            self._repeat(task)

    def _settle_doubt(self, command: Unanswered) -> Script[None]:
        outcome = yield from self._outcome(command)
        self._doubts.answer(command, outcome, self.now_ns)

    def _outcome(self, command: Unanswered) -> Script[Outcome]:
        try:
            return (yield from resolve(command, self._outbox.session, self.boot_count))
        except NeurostimError as error:
            return Unknown(error.message)

    def take_back_unsent(self, why: str) -> None:
        """Commands that would change something and have sent nothing yet are taken back."""
        lane = self.changes
        waiting = list(lane.queue)
        lane.queue.clear()
        if lane.current is not None and not lane.current.begun:
            waiting.insert(0, lane.current)
            lane.current = None
        for task in waiting:
            task.script.close()
            task.future.fail(Superseded(f"{task.name} was not sent: {why}"))

    def end_all(self, error: TransportError) -> None:
        """Give every task an outcome: failed, or uncertain where it may have acted."""
        for lane in self.lanes:
            tasks = ([lane.current] if lane.current else []) + list(lane.queue)
            lane.current = None
            lane.queue.clear()
            for task in tasks:
                self._end_task(task, error)
        self._in_flight.clear()
        self._doubts.pause()

    def _end_task(self, task: Task, error: TransportError) -> None:
        task.script.close()
        request = task.request
        if request is not None and task.attempts and request.RAISES_OUTPUT:
            command = Unanswered(request, task.session, task.command_id, task.boot_count)
            task.future.fail(self._doubts.begin(command, error.message, self.now_ns))
        else:
            task.future.fail(error)


def sooner(one: int | None, other: int | None) -> int | None:
    """The earlier of two moments, where None is never [ns]."""
    if one is None or other is None:
        return one if other is None else other
    return min(other, one)
