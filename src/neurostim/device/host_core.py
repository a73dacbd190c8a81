"""The host's side of the wire protocol without any I/O: time and bytes come in, bytes and outcomes go out.

It owns what must never be left to chance: one command that changes something at a time, what an
unanswered command has done, the heartbeat, and the way of a stop. It is driven by one thread.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from neurostim.core.errors import CommandTimeout, ConfigError, ProtocolError, TransportError
from neurostim.device.clock_estimate import ClockFit
from neurostim.device.doubt import Doubts
from neurostim.device.errors import refusal
from neurostim.device.futures import CommandFuture, Wait
from neurostim.device.handshake import (
    DeviceKey,
    HostHandshake,
    ask_who,
    believed,
    greet_sealed,
    shake_hands,
)
from neurostim.device.heart import Heart
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters, Notice, NoticeKind
from neurostim.device.outbox import Outbox, Outgoing
from neurostim.device.resolution import Unanswered
from neurostim.device.runner import Runner, sooner
from neurostim.device.stop_path import StopConfirmation, StopPath
from neurostim.device.supervisor import Tokens
from neurostim.device.tasks import Script, Task
from neurostim.wire.codec import Recorder, unpack
from neurostim.wire.frame import Frame, FrameDecoder, FrameError
from neurostim.wire.layout import Event, Kind, Reply
from neurostim.wire.messages import (
    REPLY_TO,
    SESSION_TIMEOUT_US,
    Error,
    ErrorCode,
    GoodbyeReply,
    HandshakeReply,
    Hello,
    HelloReply,
    IdentifyReply,
    Pair,
    PairReply,
    Role,
    SoftStop,
    StateChanged,
)

T = TypeVar("T")

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
    entropy : callable, optional
        Returns so many random bytes; needed for sessions with a key and for pairing.
    wait : callable, optional
        How futures wait where no thread works in the background.
    """

    def __init__(
        self,
        *,
        host_id: bytes,
        supervisor: Callable[[int], Tokens | None],
        new_nonce: Callable[[], int],
        entropy: Callable[[int], bytes] | None = None,
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
        self._entropy = entropy
        self._handshake: HostHandshake | None = None
        # Until it is known that no key is expected, nothing without a seal confirms a stop.
        self._bare = False
        self._now_ns = 0
        self._heard_ns = 0
        self._decoder = FrameDecoder()
        self._outbox = Outbox(self.counters)
        self._heart = Heart(self._outbox, self.counters, supervisor, self._notice)
        self._stops = StopPath(self._outbox, self.counters, self._notice)
        self._doubts = Doubts(self._notice)
        self._happenings: deque[Happening] = deque()
        self._runner = Runner(self._outbox, self.counters, self._doubts, self._stops, wait)

    # What a caller may ask.

    def identify(self, future: CommandFuture[IdentifyReply], now_ns: int) -> None:
        """Ask on a link that is open who is there, before any session; proven only by a handshake."""
        self._begin_greeting(now_ns)
        self._runner.questions.queue.append(Task("IDENTIFY", ask_who(), future))
        self._pump()

    def connect(
        self,
        future: CommandFuture[HelloReply],
        now_ns: int,
        role: Role,
        takeover_from: bytes = NOBODY,
        key: DeviceKey | None = None,
    ) -> None:
        """Open a session on a link that is open; everything of an earlier session is over.

        With a key the session is authenticated or there is none: from here on nothing is believed that
        does not carry its seal.
        """
        self._begin_greeting(now_ns)
        if key is not None and key.host_id:
            self.host_id = key.host_id
        hello = Hello(self.host_id, self._new_nonce(), role, takeover_from)
        self._bare = key is None
        script = self._greet(hello) if key is None else self._greet_sealed(hello, key, self._shake(key))
        self._runner.questions.queue.append(Task("HELLO", script, future))
        self._pump()

    def pair(
        self,
        future: CommandFuture[PairReply],
        now_ns: int,
        *,
        secret: bytes,
        serial_number: str,
        host_name: str,
    ) -> None:
        """Ask on a link that is open for a key of this host's own.

        Parameters
        ----------
        secret : bytes
            The 16 bytes of the code on the device's label.
        serial_number : str
            Of that device.
        host_name : str
            Name for people, at most 32 characters.
        """
        request = Pair(host_name)
        self._begin_greeting(now_ns)
        self._handshake = HostHandshake.of_pairing(secret, serial_number, self.host_id, self._random())
        self._runner.questions.queue.append(Task("PAIR", self._ask_for_key(request), future))
        self._pump()

    def run(self, future: CommandFuture[T], script: Script[T], now_ns: int, *, changes: bool) -> None:
        """Carry out a script; ``changes`` says whether it changes anything in the device."""
        self._at(now_ns)
        name = future.name
        lane = self._runner.changes if changes else self._runner.reads
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
        self._at(now_ns)
        if self.state is not LinkState.OPEN:
            future.fail(self._not_open(future.name))
            return
        self._runner.take_back_unsent("a soft stop overtook it")
        self._runner.lowering.queue.append(Task(future.name, self._ramp_down(read), future))
        self._pump()

    def stop(self, future: CommandFuture[StopConfirmation], now_ns: int, *, emergency: bool) -> None:
        """Stop: flush, send, repeat, escalate, tell. Whatever the state of the link."""
        self._at(now_ns)
        self._runner.take_back_unsent("a stop overtook it")
        self._stops.ask(self._now_ns, emergency=emergency, future=future)

    def record(self, recorder: Recorder) -> None:
        """Tell somebody of every frame that is sent, in plain."""
        self._outbox.recorder = recorder

    def future(self, name: str) -> CommandFuture[Any]:
        """A future that waits as this core's owner does."""
        return self._runner.future(name)

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
        self._at(now_ns)
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

    @property
    def authenticated(self) -> bool:
        """Whether the session is under a key: nobody else on the line is heard or believed."""
        return self._outbox.channel is not None and self.state in (LinkState.OPEN, LinkState.SILENT)

    # What the owner of the link does.

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes from the device."""
        self._at(now_ns)
        for found in self._decoder.feed(data):
            if isinstance(found, FrameError):
                self.counters.frames_damaged += 1
            else:
                self._hear(found)
        self._pump()

    def poll(self, now_ns: int) -> None:
        """Do what is due."""
        self._at(now_ns)
        self._watch_silence()
        self._stops.drive(self._now_ns)
        self._runner.poll()
        if self.state is LinkState.OPEN:
            self._runner.ask_about_doubt()
        if self.state in (LinkState.OPEN, LinkState.SILENT):
            control = self.role is Role.CONTROL
            silent = self.state is LinkState.SILENT
            self._heart.beat(now_ns, control=control, silent=silent, stopping=self._stops.active)
        self._pump()

    def next_deadline_ns(self) -> int | None:
        """When `poll` has something to do next [ns], or None."""
        due = sooner(self._stops.due_ns(), self._runner.due_ns())
        state = self.state
        if state is LinkState.OPEN:
            watch_ns = self._heard_ns + SILENT_NS
            due = sooner(due, self._doubts.due_ns())
        elif state is LinkState.SILENT:
            watch_ns = self._heard_ns + SESSION_TIMEOUT_US * 1000
        else:
            return due
        beat_ns = self._heart.due_ns
        first_ns = min(watch_ns, beat_ns)
        return first_ns if due is None or first_ns < due else due

    def take_output(self) -> Outgoing | None:
        """Bytes to write now, or None."""
        return self._outbox.take()

    def take_happenings(self) -> list[Happening]:
        """Everything that happened since the last call."""
        if not self._happenings:
            return []
        happenings = list(self._happenings)
        self._happenings.clear()
        return happenings

    def link_lost(self, now_ns: int, error: TransportError) -> None:
        """The link broke: what was under way ends, and what may have raised output is uncertain."""
        self._at(now_ns)
        if self.state is LinkState.DOWN:
            return
        self._notice(NoticeKind.LINK_LOST, str(error))
        self._runner.end_all(error)
        self.state = LinkState.DOWN

    def shut_down(self, now_ns: int) -> None:
        """End everything because the program closes the link; every future gets an outcome."""
        self._at(now_ns)
        self._runner.end_all(TransportError("the link was closed", code="link-closed"))
        self.state = LinkState.DOWN
        self._stops.abandon()

    # Hearing.

    def _hear(self, frame: Frame) -> None:
        if frame.kind is Kind.REQUEST:
            self.counters.replies_foreign += 1
            return
        heard = believed(frame, self._outbox, self._handshake, self.counters)
        if heard is None:
            return
        frame = heard
        try:
            message = unpack(frame)
        except ProtocolError:
            self.counters.content_refused += 1
            return
        self.counters.frames_heard += 1
        if frame.session not in (0, self.session) and not self._stops.awaits(frame.command_id):
            # Another host on the line, or an earlier session of ours: its ids are like ours, and mean others.
            self.counters.replies_foreign += 1
            if isinstance(message, Reply):
                self._doubts.hear_late(frame.session, frame.command_id, message)
            return
        self._heard_ns = self._now_ns
        if self.state is LinkState.SILENT:
            self.state = LinkState.OPEN
            self._notice(NoticeKind.LINK_HEARD, "the device answers again")
        if isinstance(message, Event):
            self._happenings.append(DeviceEvent(self._now_ns, message))
            if isinstance(message, StateChanged) and frame.session == self.session and self._trusts(frame):
                self._stops.hear_state(message, self._now_ns)
        elif isinstance(message, Reply):
            self._hear_reply(frame, message)

    def _hear_reply(self, frame: Frame, reply: Reply) -> None:
        if self._stops.awaits(frame.command_id):
            taken = self._trusts(frame) and self._stops.hear(frame.command_id, reply, self._now_ns)
            self._accept(frame, taken)
            return
        task = self._runner.waiting_for(frame.command_id)
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
            if isinstance(reply, GoodbyeReply):
                self._heart.forget()
            self._runner.advance(task, reply)
        elif reply.code is ErrorCode.NO_SESSION and self.state is not LinkState.GREETING:
            self._runner.raise_in(task, refusal(request.NAME, reply))
            self._lose_session()
        else:
            self._runner.raise_in(task, refusal(request.NAME, reply))

    def _answers(self, frame: Frame, reply: Reply, task: Task) -> bool:
        """Whether a reply belongs to a task's request by type, session and nonce."""
        request = task.request
        assert request is not None
        if isinstance(reply, Error):
            return reply.request_type == request.TYPE
        if type(reply) is not REPLY_TO[type(request)]:
            return False
        if isinstance(reply, HelloReply):
            return isinstance(request, Hello) and reply.nonce == request.nonce
        if isinstance(reply, HandshakeReply):
            return self._handshake is not None and self._handshake.answered_by(reply)
        return frame.session == self.session

    def _trusts(self, frame: Frame) -> bool:
        """Whether a frame may confirm a stop: sealed, or on a link where no key is expected."""
        return frame.authenticated or self._bare

    def _accept(self, frame: Frame, taken: bool) -> None:
        if taken:
            self._outbox.lease_us = frame.lease_us
        else:
            self.counters.replies_foreign += 1

    # The life of the link.

    def _begin_greeting(self, now_ns: int) -> None:
        """Forget the session there was."""
        self._at(now_ns)
        self._heard_ns = now_ns
        self._runner.end_all(TransportError("a new session was opened", code="session-replaced"))
        self._decoder.reset()
        self._outbox.discard()
        self._outbox.begin_session(0)
        self._heart.forget()
        self._handshake = None
        self._bare = False
        self.state = LinkState.GREETING
        self.role = self._runner.role = Role.OBSERVE

    def _random(self) -> Callable[[int], bytes]:
        if self._entropy is None:
            raise ConfigError("a host without a source of entropy opens no sealed channel", code="entropy")
        return self._entropy

    def _ask_for_key(self, request: Pair) -> Script[PairReply]:
        yield from shake_hands(self._handshake, self._outbox)
        reply = yield request
        assert isinstance(reply, PairReply)
        self._outbox.begin_session(0)
        self._handshake = None
        return reply

    def _shake(self, key: DeviceKey) -> HostHandshake:
        self._handshake = HostHandshake.of_session(key, self.host_id, self._random())
        return self._handshake

    def _greet_sealed(self, hello: Hello, key: DeviceKey, shake: HostHandshake) -> Script[HelloReply]:
        reply = yield from greet_sealed(shake, lambda: self._shake(key), self._outbox, hello)
        return self._greeted(reply)

    def _greet(self, hello: Hello) -> Script[HelloReply]:
        reply = yield hello
        assert isinstance(reply, HelloReply)
        return self._greeted(reply)

    def _greeted(self, reply: HelloReply) -> HelloReply:
        channel = self._outbox.channel
        if channel is None:
            self._outbox.begin_session(reply.session)
        elif reply.session != self.session:
            raise ProtocolError("the device tells two numbers for one session", code="session-number")
        before, self.greeting = self.greeting, reply
        self.role = self._runner.role = reply.role
        self._runner.boot_count = reply.boot_count
        self.state = LinkState.OPEN
        restarted = before is not None and before.boot_count != reply.boot_count
        self._heart.begin(self._now_ns, restarted=restarted)
        self._stops.begin()
        self._doubts.ask_now(self._now_ns)
        if restarted:
            self._notice(NoticeKind.DEVICE_RESTARTED, f"this is boot {reply.boot_count} of the device")
        known = "authenticated" if channel is not None else "without a key"
        role = reply.role.name.lower()
        self._notice(NoticeKind.SESSION_OPENED, f"session {reply.session}, role {role}, {known}")
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
        self._runner.end_all(
            TransportError(
                "the device no longer knows this session",
                remedy="Connect again; output stays off until a deliberate start.",
                code="session-lost",
            )
        )
        self.state = LinkState.SESSION_LOST

    def _ramp_down(self, read: Callable[[Reply], T]) -> Script[T]:
        try:
            reply = yield SoftStop()
        except CommandTimeout:
            self._stops.ask(self._now_ns, emergency=False, future=self.future("STOP"))
            raise
        assert reply is not None
        return read(reply)

    def _pump(self) -> None:
        if self.state is LinkState.OPEN:
            self._runner.pump(self._runner.lanes)
        elif self.state is LinkState.GREETING:
            self._runner.pump((self._runner.questions,))

    def _at(self, now_ns: int) -> None:
        self._now_ns = self._runner.now_ns = self._outbox.now_ns = max(self._now_ns, now_ns)

    def _not_open(self, name: str) -> TransportError:
        return TransportError(
            f"{name} was not sent: the link is {self.state.value}",
            remedy="Connect again; output stays off until a deliberate start.",
            code="not-connected",
        )

    def _notice(self, kind: NoticeKind, text: str) -> None:
        self._happenings.append(Notice(self._now_ns, kind, text))
