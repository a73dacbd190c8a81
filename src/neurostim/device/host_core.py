"""The host's side of the wire protocol without any I/O: time and bytes come in, bytes and outcomes go out.

It owns what must never be left to chance: one command that changes something at a time, what an
unanswered command has done, the heartbeat, and the way of a stop. It is driven by one thread.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from neurostim.core.errors import CommandTimeout, ConfigError, NeurostimError, ProtocolError, TransportError
from neurostim.device.clock_estimate import ClockFit
from neurostim.device.doubt import Doubts
from neurostim.device.errors import refusal
from neurostim.device.futures import CommandFuture, Wait
from neurostim.device.heart import Heart
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters, Notice, NoticeKind
from neurostim.device.outbox import Outbox, Outgoing
from neurostim.device.resolution import (
    Executed,
    Outcome,
    Refused,
    Unanswered,
    Unknown,
    never_arrived,
    resolve,
)
from neurostim.device.stop_path import StopConfirmation, StopPath
from neurostim.device.supervisor import Tokens
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
from neurostim.wire.codec import unpack
from neurostim.wire.frame import Frame, FrameDecoder, FrameError
from neurostim.wire.layout import Event, Kind, Reply, Request
from neurostim.wire.messages import (
    REPLY_TO,
    SESSION_TIMEOUT_US,
    Error,
    ErrorCode,
    Hello,
    HelloReply,
    Role,
    SoftStop,
    StateChanged,
)

T = TypeVar("T")

REPLY_NS: Final = 250_000_000
MAX_WAIT_TO_SEND_NS: Final = 400_000_000
SILENT_NS: Final = 1_000_000_000
MAX_QUEUED: Final = 64
NOBODY: Final = bytes(16)


class LinkState(enum.Enum):
    """What the host knows of its link."""

    DOWN = "down"
    GREETING = "greeting"
    OPEN = "open"
    SILENT = "silent"
    SESSION_LOST = "session lost"


class HostCore:
    """The host's half of a conversation with one device.

    Parameters
    ----------
    host_id : bytes
        16 bytes by which the device tells hosts apart.
    supervisor : callable
        Given the time [ns], returns the tokens for a heartbeat, or None while the user interface or
        the journal has not shown itself within a second: then no heartbeat is sent.
    new_nonce : callable
        Returns a random whole number from 1 to 2**64 - 1 for each session.
    wait : callable, optional
        How futures wait where no thread works in the background.
    """

    def __init__(
        self,
        *,
        host_id: bytes,
        supervisor: Callable[[int], Tokens | None],
        new_nonce: Callable[[], int],
        wait: Wait | None = None,
    ) -> None:
        if len(host_id) != 16 or host_id == NOBODY:
            raise ConfigError("the host's id is not usable", allowed="16 bytes that are not all zero")
        self.host_id = host_id
        self.state = LinkState.DOWN
        self.role = Role.OBSERVE
        self.greeting: HelloReply | None = None
        self.counters = LinkCounters()
        self._new_nonce = new_nonce
        self._wait = wait
        self._now_ns = 0
        self._heard_ns = 0
        self._decoder = FrameDecoder()
        self._outbox = Outbox(self.counters)
        self._heart = Heart(self._outbox, self.counters, supervisor, self._notice)
        self._stops = StopPath(self._outbox, self.counters, self._notice)
        self._doubts = Doubts(self._notice)
        self._happenings: deque[Happening] = deque()
        self._changes = Lane("change")
        self._reads = Lane("read")
        self._lowering = Lane("lower")
        self._questions = Lane("question")
        self._lanes = (self._lowering, self._questions, self._changes, self._reads)
        self._in_flight: dict[int, Task] = {}

    # What a caller may ask.

    def connect(
        self, future: CommandFuture[HelloReply], now_ns: int, role: Role, takeover_from: bytes = NOBODY
    ) -> None:
        """Open a session on a link that is open; everything of an earlier session is over."""
        self._now_ns = self._heard_ns = now_ns
        self._end_conversation(TransportError("a new session was opened", code="session-replaced"))
        self._decoder.reset()
        self._outbox.discard()
        self._outbox.begin_session(0)
        self.state = LinkState.GREETING
        self.role = Role.OBSERVE
        hello = Hello(self.host_id, self._new_nonce(), role, takeover_from)
        self._questions.queue.append(Task("HELLO", self._greet(hello), future))
        self._pump()

    def run(self, future: CommandFuture[T], script: Script[T], now_ns: int, *, changes: bool) -> None:
        """Carry out a script; ``changes`` says whether it changes anything in the device."""
        self._now_ns = max(self._now_ns, now_ns)
        name = future.name
        lane = self._changes if changes else self._reads
        if self.state is not LinkState.OPEN:
            future.fail(self._not_open(name))
        elif len(lane.queue) >= MAX_QUEUED:
            future.fail(
                CommandTimeout(
                    f"{MAX_QUEUED} commands wait already; {name} was not sent",
                    remedy="Wait for earlier commands before asking for more.",
                    code="queue-full",
                )
            )
        else:
            lane.queue.append(Task(name, script, future))
            self._pump()

    def soft_stop(self, future: CommandFuture[T], read: Callable[[Reply], T], now_ns: int) -> None:
        """Ramp down; it waits for no other command, and becomes a stop where it is not answered.

        ``read`` makes the result from the device's reply.
        """
        self._now_ns = max(self._now_ns, now_ns)
        if self.state is not LinkState.OPEN:
            future.fail(self._not_open(future.name))
            return
        self._take_back_unsent("a soft stop overtook it")
        self._lowering.queue.append(Task(future.name, self._ramp_down(read), future))
        self._pump()

    def stop(self, future: CommandFuture[StopConfirmation], now_ns: int, *, emergency: bool) -> None:
        """Stop: flush, send, repeat, escalate, tell. Whatever the state of the link."""
        self._now_ns = max(self._now_ns, now_ns)
        self._take_back_unsent("a stop overtook it")
        self._stops.ask(self._now_ns, emergency=emergency, future=future)

    def future(self, name: str) -> CommandFuture[Any]:
        """A future that waits as this core's owner does."""
        return CommandFuture(name, self._wait)

    @property
    def stopping(self) -> bool:
        """Whether a stop is under way that the device has not confirmed."""
        return self._stops.active

    @property
    def uncertain(self) -> Unanswered | None:
        """The command whose outcome is uncertain, which blocks every start; or None."""
        return self._doubts.command

    def settle_by_decision(self, now_ns: int, reason: str) -> None:
        """End an uncertainty the device's records cannot end, because a person has looked."""
        self._now_ns = max(self._now_ns, now_ns)
        self._doubts.decide(reason)

    def supervised(self, now_ns: int) -> bool:
        """Whether the device has lately taken a heartbeat, as arming needs."""
        return self.state is LinkState.OPEN and self._heart.living(now_ns)

    def clock_fit(self) -> ClockFit | None:
        """What is known of the device's clock."""
        return self._heart.clock.fit()

    @property
    def session(self) -> int:
        """Session the device gave; 0 for none."""
        return self._outbox.session

    # What the owner of the link does.

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes from the device."""
        self._now_ns = max(self._now_ns, now_ns)
        for found in self._decoder.feed(data):
            if isinstance(found, FrameError):
                self.counters.frames_damaged += 1
            else:
                self._hear(found)
        self._pump()

    def poll(self, now_ns: int) -> None:
        """Do what is due."""
        self._now_ns = max(self._now_ns, now_ns)
        self._watch_silence()
        self._stops.drive(self._now_ns)
        for lane in self._lanes:
            task = lane.current
            if task is None:
                continue
            if task.resume_ns is not None and now_ns >= task.resume_ns:
                task.resume_ns = None
                self._advance(task, None)
            elif task.deadline_ns is not None and now_ns >= task.deadline_ns:
                self._time_out(task)
        if self.state is LinkState.OPEN and (command := self._doubts.due(now_ns)) is not None:
            name = f"what became of {command.request.NAME}"
            self._questions.queue.append(Task(name, self._settle_doubt(command), self.future(name)))
        if self.state in (LinkState.OPEN, LinkState.SILENT):
            control = self.role is Role.CONTROL
            self._heart.beat(now_ns, control=control, silent=self.state is LinkState.SILENT)
        self._pump()

    def next_deadline_ns(self) -> int | None:
        """When `poll` has something to do next [ns], or None."""
        due = self._stops.due_ns()
        for lane in self._lanes:
            task = lane.current
            if task is not None:
                due = _sooner(_sooner(due, task.resume_ns), task.deadline_ns)
        if self.state is LinkState.OPEN:
            due = _sooner(_sooner(due, self._doubts.due_ns()), self._heard_ns + SILENT_NS)
            due = _sooner(due, self._heart.due_ns)
        elif self.state is LinkState.SILENT:
            due = _sooner(_sooner(due, self._heard_ns + SESSION_TIMEOUT_US * 1000), self._heart.due_ns)
        return due

    def take_output(self) -> Outgoing | None:
        """Bytes to write now, or None."""
        return self._outbox.take()

    def take_happenings(self) -> list[Happening]:
        """Everything that happened since the last call."""
        happenings = list(self._happenings)
        self._happenings.clear()
        return happenings

    def link_lost(self, now_ns: int, error: TransportError) -> None:
        """The link broke: what was under way ends, and what may have raised output is uncertain."""
        self._now_ns = max(self._now_ns, now_ns)
        if self.state is LinkState.DOWN:
            return
        self._notice(NoticeKind.LINK_LOST, str(error))
        self._end_conversation(error)
        self.state = LinkState.DOWN

    def shut_down(self, now_ns: int) -> None:
        """End everything because the program closes the link; every future gets an outcome."""
        self._now_ns = max(self._now_ns, now_ns)
        self._end_conversation(TransportError("the link was closed", code="link-closed"))
        self.state = LinkState.DOWN
        self._stops.abandon()

    # Sending.

    def _pump(self) -> None:
        """Start waiting tasks and send what the bound leaves room for, most urgent first."""
        lanes = {LinkState.OPEN: self._lanes, LinkState.GREETING: (self._questions,)}.get(self.state, ())
        for lane in lanes:
            while lane.current is None and lane.queue:
                task = lane.current = lane.queue.popleft()
                task.lane = lane
                self._advance(task, None)
            while lane.current is not None and self._send(lane.current):
                continue

    def _send(self, task: Task) -> bool:
        """Send a task's request if it may go; return whether the task made a step instead."""
        request = task.request
        if request is None or task.sent:
            return False
        objection = self._objection(task, request)
        if objection is not None:
            self._raise_in(task, objection)
            return True
        command_id = task.command_id or self._outbox.next_id()
        place = self._outbox.offer(request, command_id)
        if place is None:
            return False
        task.command_id = command_id
        task.sent = True
        task.place = task.place or place
        task.attempts += 1
        task.deadline_ns = self._now_ns + REPLY_NS
        if task.attempts == 1:
            task.session = self.session
            task.boot_count = self.greeting.boot_count if self.greeting else 0
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
        if self._now_ns - task.asked_ns > MAX_WAIT_TO_SEND_NS:
            return CommandTimeout(
                f"{request.NAME} was held up too long and was not sent",
                remedy="Look at the device's state, then ask again.",
                code="too-late",
            )
        return self._stops.objection(request) or self._doubts.objection(request)

    # Tasks.

    def _advance(self, task: Task, reply: Reply | None) -> None:
        self._step(task, lambda: task.script.send(reply))

    def _raise_in(self, task: Task, error: NeurostimError) -> None:
        self._step(task, lambda: task.script.throw(error))

    def _step(self, task: Task, go: Callable[[], Request | Pause]) -> None:
        self._in_flight.pop(task.command_id, None)
        task.begin_step(self._now_ns)
        try:
            wanted = go()
        except StopIteration as end:
            task.leave()
            task.future.resolve(end.value)
        except NeurostimError as error:
            task.leave()
            task.future.fail(error)
        else:
            if isinstance(wanted, Pause):
                task.resume_ns = self._now_ns + wanted.duration_ns
            else:
                task.request = wanted
                task.deadline_ns = self._now_ns + SILENT_NS

    def _time_out(self, task: Task) -> None:
        request = task.request
        assert request is not None
        if not task.sent:
            self._raise_in(
                task,
                CommandTimeout(
                    f"{request.NAME} was not sent: the device does not read",
                    remedy="Check cable, port and supply.",
                    code="not-sent",
                ),
            )
            return
        self.counters.timeouts += 1
        task.deadline_ns = None
        if not is_blind_repeatable(request):
            self._question(task, request)
        elif task.attempts < attempts_allowed(request):
            self._repeat(task)
        else:
            waited = task.attempts * REPLY_NS // 1_000_000
            self._raise_in(
                task,
                CommandTimeout(
                    f"the device has not answered {request.NAME} in {waited} ms",
                    remedy="Check cable, port and supply.",
                ),
            )

    def _repeat(self, task: Task) -> None:
        """Send again under the same command id; the device executes it at most once."""
        self.counters.resends += 1
        task.sent = False
        task.asked_ns = self._now_ns
        task.deadline_ns = self._now_ns + SILENT_NS

    def _question(self, task: Task, request: Request) -> None:
        """Ask what became of an unanswered command, instead of sending it again."""
        self.counters.queries += 1
        command = Unanswered(request, task.session, task.command_id, task.boot_count)
        name = f"what became of {request.NAME}"
        self._questions.queue.append(Task(name, self._settle(task, command), self.future(name)))

    def _settle(self, task: Task, command: Unanswered) -> Script[None]:
        outcome = yield from self._outcome(command)
        if self._in_flight.get(command.command_id) is not task:
            return  # its late answer came while the device was being asked
        if isinstance(outcome, Executed):
            self._advance(task, outcome.reply)
        elif isinstance(outcome, Refused):
            self._raise_in(task, outcome.error)
        elif isinstance(outcome, Unknown):
            self._raise_in(task, self._doubts.begin(command, outcome.why, self._now_ns))
        elif command.request.RAISES_OUTPUT or task.attempts >= attempts_allowed(command.request):
            self._raise_in(task, never_arrived(command.request, outcome))
        else:
            self._repeat(task)

    def _settle_doubt(self, command: Unanswered) -> Script[None]:
        outcome = yield from self._outcome(command)
        self._doubts.answer(command, outcome, self._now_ns)

    def _outcome(self, command: Unanswered) -> Script[Outcome]:
        boot_count = self.greeting.boot_count if self.greeting else 0
        try:
            return (yield from resolve(command, self.session, boot_count))
        except NeurostimError as error:
            return Unknown(error.message)

    # Hearing.

    def _hear(self, frame: Frame) -> None:
        if frame.kind is Kind.REQUEST:
            self.counters.replies_foreign += 1
            return
        try:
            message = unpack(frame)
        except ProtocolError:
            self.counters.content_refused += 1
            return
        self.counters.frames_heard += 1
        self._heard_ns = self._now_ns
        if self.state is LinkState.SILENT:
            self.state = LinkState.OPEN
            self._notice(NoticeKind.LINK_HEARD, "the device answers again")
        if isinstance(message, Event):
            self._happenings.append(DeviceEvent(self._now_ns, message))
            if isinstance(message, StateChanged) and frame.session == self.session:
                self._stops.hear_state(message, self._now_ns)
        elif isinstance(message, Reply):
            self._hear_reply(frame, message)

    def _hear_reply(self, frame: Frame, reply: Reply) -> None:
        if self._stops.awaits(frame.command_id):
            taken = self._stops.hear(frame.command_id, reply, self._now_ns)
            self._accept(frame, taken)
            return
        task = self._in_flight.get(frame.command_id)
        if task is None and self._heart.awaits(frame.command_id):
            self._accept(frame, self._heart.hear(frame.command_id, reply, self._now_ns))
            if isinstance(reply, Error) and reply.code is ErrorCode.NO_SESSION:
                self._lose_session()
            return
        if task is None:
            self.counters.replies_late += 1
            self._doubts.hear_late(frame.session, frame.command_id, reply)
            return
        if not self._answers(frame, reply, task):
            self.counters.replies_foreign += 1
            return
        self._accept(frame, True)
        self._outbox.proven(task.place)
        request = task.request
        assert request is not None
        if not isinstance(reply, Error):
            self._advance(task, reply)
        elif reply.code is ErrorCode.NO_SESSION and not isinstance(request, Hello):
            self._raise_in(task, refusal(request.NAME, reply))
            self._lose_session()
        else:
            self._raise_in(task, refusal(request.NAME, reply))

    def _answers(self, frame: Frame, reply: Reply, task: Task) -> bool:
        """Whether a reply belongs to a task's request by type, session and nonce."""
        request = task.request
        assert request is not None
        if isinstance(reply, Error):
            return reply.request_type == request.TYPE
        if type(reply) is not REPLY_TO[type(request)]:
            return False
        if isinstance(request, Hello):
            return isinstance(reply, HelloReply) and reply.nonce == request.nonce
        return frame.session == self.session

    def _accept(self, frame: Frame, taken: bool) -> None:
        if taken:
            self._outbox.lease_us = frame.lease_us
        else:
            self.counters.replies_foreign += 1

    # The life of the link.

    def _greet(self, hello: Hello) -> Script[HelloReply]:
        reply = yield hello
        assert isinstance(reply, HelloReply)
        before, self.greeting = self.greeting, reply
        self._outbox.begin_session(reply.session)
        self.role = reply.role
        self.state = LinkState.OPEN
        restarted = before is not None and before.boot_count != reply.boot_count
        self._heart.begin(self._now_ns, restarted=restarted)
        self._stops.begin()
        self._doubts.ask_now(self._now_ns)
        if restarted:
            self._notice(NoticeKind.DEVICE_RESTARTED, f"this is boot {reply.boot_count} of the device")
        self._notice(NoticeKind.SESSION_OPENED, f"session {reply.session}, role {reply.role.name.lower()}")
        return reply

    def _watch_silence(self) -> None:
        silence = self._now_ns - self._heard_ns
        if self.state is LinkState.OPEN and silence >= SILENT_NS:
            self.state = LinkState.SILENT
            self._outbox.discard()
            self._notice(NoticeKind.LINK_SILENT, "nothing heard from the device for a second")
        elif self.state is LinkState.SILENT and silence >= SESSION_TIMEOUT_US * 1000:
            self._lose_session()

    def _lose_session(self) -> None:
        if self.state is LinkState.SESSION_LOST:
            return
        self._notice(NoticeKind.SESSION_LOST, "the device no longer knows this session")
        self._end_conversation(
            TransportError(
                "the device no longer knows this session",
                remedy="Connect again; output stays off until a deliberate start.",
                code="session-lost",
            )
        )
        self.state = LinkState.SESSION_LOST

    def _end_conversation(self, error: TransportError) -> None:
        """Give every command under way an outcome: failed, or uncertain where it may have acted."""
        for lane in self._lanes:
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
            task.future.fail(self._doubts.begin(command, error.message, self._now_ns))
        else:
            task.future.fail(error)

    def _ramp_down(self, read: Callable[[Reply], T]) -> Script[T]:
        try:
            reply = yield SoftStop()
        except CommandTimeout:
            self._stops.ask(self._now_ns, emergency=False, future=self.future("STOP"))
            raise
        assert reply is not None
        return read(reply)

    def _take_back_unsent(self, why: str) -> None:
        """Commands that would change something and were not sent are not sent any more."""
        lane = self._changes
        waiting = list(lane.queue)
        lane.queue.clear()
        if lane.current is not None and not lane.current.attempts:
            waiting.insert(0, lane.current)
            lane.current = None
        for task in waiting:
            task.script.close()
            task.future.fail(Superseded(f"{task.name} was not sent: {why}"))

    def _not_open(self, name: str) -> TransportError:
        return TransportError(
            f"{name} was not sent: the link is {self.state.value}",
            remedy="Connect again; output stays off until a deliberate start.",
            code="not-connected",
        )

    def _notice(self, kind: NoticeKind, text: str) -> None:
        self._happenings.append(Notice(self._now_ns, kind, text))


def _sooner(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
