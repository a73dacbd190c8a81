"""The native stimulator on a real link: one thread moves the bytes, and stops overtake everything.

The caller's thread never touches the link and never holds a lock that the link's thread needs to
send a stop: requests and stops are handed over by appending to deques and waking the thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from neurostim.core.errors import CommandTimeout, NeurostimError, TransportError
from neurostim.device import scripts
from neurostim.device.clock import Clock, SystemClock, new_host_id
from neurostim.device.clock_estimate import ClockFit
from neurostim.device.commands import WireStimulator
from neurostim.device.entropy import system_entropy
from neurostim.device.errors import CommandRefused
from neurostim.device.futures import CommandFuture
from neurostim.device.handshake import DeviceKey
from neurostim.device.host_core import NOBODY, HostCore, LinkState
from neurostim.device.keys import HostKeys, KeyStore
from neurostim.device.lanes import EventLanes
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters
from neurostim.device.records import Paired, SoftStopped
from neurostim.device.stop_path import StopConfirmation
from neurostim.device.supervisor import Supervisor
from neurostim.device.tasks import Script, single
from neurostim.transport import Transport, open_url
from neurostim.wire.messages import (
    Error,
    ErrorCode,
    Goodbye,
    Hello,
    HelloReply,
    IdentifyReply,
    PairReply,
    Role,
)
from neurostim.wire.pairing import read_code

T = TypeVar("T")

MAX_WAIT_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 1.5

_NS_PER_S: Final = 1_000_000_000


class NativeStimulator(WireStimulator):
    """A stimulator that speaks the neurostim wire protocol.

    Parameters
    ----------
    url : str
        Where it is; see `neurostim.transport.open_url`.
    clock : Clock, optional
        The host's time.
    host_id : bytes, optional
        16 bytes by which the device tells hosts apart; new ones by default. A key brings its own.
    keys : HostKeys, optional
        Asked for the key of the device that answers. With one, the session is authenticated or there is
        none; without, it is a bench session, which a device refuses once it was paired with anybody.
    opener : callable, optional
        How an address becomes a link.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        host_id: bytes | None = None,
        keys: HostKeys | None = None,
        opener: Callable[[str], Transport] = open_url,
    ) -> None:
        super().__init__()
        self._url = url
        self._clock = clock or SystemClock()
        self._opener = opener
        self._keys = keys
        self._key: DeviceKey | None = None
        self._supervisor = Supervisor()
        self._core = HostCore(
            host_id=host_id or new_host_id(),
            supervisor=self._supervisor.tokens,
            new_nonce=_nonce,
            entropy=system_entropy,
        )
        self._lanes = EventLanes()
        self._requests: deque[Callable[[int], None]] = deque()
        self._stops: deque[tuple[CommandFuture[StopConfirmation], bool]] = deque()
        self._doorbell = threading.Event()
        self._link: Transport | None = None
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def description(self) -> str:
        """Model and serial number once known, and the address."""
        known = self._identity
        return f"{known.model} {known.serial_number} at {self._url}" if known else self._url

    # Life of the link.

    def open(self, role: Role = Role.CONTROL) -> None:
        """Connect and identify."""
        self._start()
        try:
            self._key = None if self._keys is None else self._keys.get(self._who().serial_number)
            self._adopt(self._greet(role))
        except BaseException:
            self.close()
            raise

    def pair(
        self,
        code: str | Callable[[IdentifyReply], str],
        host_name: str,
        store: KeyStore,
        note: Callable[[str], None] | None = None,
    ) -> Paired:
        """Connect, be given a key by the device, keep it, and disconnect.

        Parameters
        ----------
        code : str or callable
            The 28 characters on the device's label, or the text of its QR code; or what asks for them,
            given who the device says it is.
        host_name : str
            Name of this host for people, at most 32 printable ASCII characters.
        store : KeyStore
            Keeps the key; its host id is the one that is paired.
        note : callable, optional
            Called with the serial number before the device is asked for a key: who notes there that it is
            paired never takes it for a device that is not, wherever this program dies.

        Raises
        ------
        PairingCodeError
            Where the code was not typed as it stands on a label: nothing was tried.
        CommandRefused
            Where the code is not that of this device, pairing is locked, or the output is on.
        """
        host_id = store.host_id
        self._start()
        try:
            who = self._who()
            text = code if isinstance(code, str) else code(who)
            secret = read_code(text, who.serial_number)
            self._core.host_id = host_id
            if note is not None:
                note(who.serial_number)
            told = self._ask_for_key(secret, who.serial_number, host_name)
        finally:
            self.close()
        store.put(who.serial_number, told.host_key)
        return Paired(who.model, who.serial_number, host_name, told.hosts)

    @property
    def authenticated(self) -> bool:
        """Whether the session is under a key: nobody else on the line is heard or believed."""
        return self._core.authenticated

    @property
    def host_id(self) -> bytes:
        """16 bytes by which the device knows this host."""
        return self._core.host_id

    def reopen(self) -> None:
        """Connect again after a lost link: only to read and stop, never to resume."""
        if self._thread is None:
            raise _not_open()
        if self._link is not None:
            self._call("disconnect", self._let_go)
        link = self._opener(self._url)
        self._call("connect", lambda _now: self._take_link(link))
        self._adopt(self._greet(Role.OBSERVE))

    def take_control(self, takeover_from: bytes | None = None) -> None:
        """Ask for control, with output off; this host's own earlier session needs no naming."""
        if self._core.state is LinkState.OPEN:
            self._leave_session()
        reply = self._greet(Role.CONTROL, takeover_from or NOBODY)
        if reply.role is not Role.CONTROL and reply.controller == self._core.host_id:
            # A session that nobody closes takes one of the device's few places for five seconds.
            self._leave_session()
            reply = self._greet(Role.CONTROL, self._core.host_id)
        self._adopt(reply)
        if reply.role is not Role.CONTROL:
            raise CommandRefused("control", Error(reply.refusal, Hello.TYPE, reply.state, 0, ""))

    def close(self) -> None:
        """Stop what may be on, say goodbye and disconnect; idempotent."""
        thread = self._thread
        if thread is None:
            return
        if self._core.state is LinkState.OPEN:
            self._part()
        self._closing = True
        self._wake()
        thread.join()
        self._thread = None
        # What another thread asked for while this one closed still gets its outcome.
        self._take_orders()

    # Commands that do not wait in line.

    def soft_stop(self) -> CommandFuture[SoftStopped]:
        """Ramp down; becomes a stop where the device does not answer."""
        future: CommandFuture[SoftStopped] = CommandFuture("SOFT_STOP")
        self._submit(lambda now: self._core.soft_stop(future, scripts.soft_stopped, now), future)
        return future

    def stop(self, *, emergency: bool = False) -> CommandFuture[StopConfirmation]:
        """Stop at once, from any thread and in any state."""
        future: CommandFuture[StopConfirmation] = CommandFuture("EMERGENCY_STOP" if emergency else "STOP")
        thread = self._thread
        if thread is None:
            future.fail(_not_open())
            return future
        self._stops.append((future, emergency))
        self._wake()
        if not thread.is_alive():
            future.fail(_not_open())
        return future

    # Watching.

    def beat(self, party: str) -> None:
        """Show that ``"ui"`` or ``"journal"`` lives."""
        self._supervisor.beat(party, self._clock.monotonic_ns())

    def wait(self, timeout: float) -> bool:
        """Wait until something happened."""
        return self._lanes.wait(timeout)

    def take_critical(self) -> list[Happening]:
        """Take everything of importance that happened."""
        return self._lanes.take_critical()

    def take_telemetry(self) -> list[DeviceEvent]:
        """Take what the device told of its output."""
        return self._lanes.take_telemetry()

    @property
    def supervised(self) -> bool:
        """Whether the device has lately taken a heartbeat, as arming needs."""
        return self._core.supervised(self._now_ns())

    @property
    def telemetry_dropped(self) -> int:
        """How many telemetry events were dropped here."""
        return self._lanes.telemetry_dropped

    @property
    def uncertain(self) -> str | None:
        """Name of the command whose outcome is uncertain, or None."""
        command = self._core.uncertain
        return command.request.NAME if command else None

    def settle_by_decision(self, reason: str) -> None:
        """End an uncertainty that the device's records cannot end."""
        self._call("decision", lambda now: self._core.settle_by_decision(now, reason))

    @property
    def link_counters(self) -> LinkCounters:
        """What went over the link."""
        return self._core.counters

    def clock_fit(self) -> ClockFit | None:
        """What is known of the device's clock."""
        return self._call("clock", lambda _now: self._core.clock_fit())

    # Handing over to the link's thread.

    def _run(self, name: str, script: Script[T], *, changes: bool = False) -> CommandFuture[T]:
        future: CommandFuture[T] = CommandFuture(name)
        self._submit(lambda now: self._core.run(future, script, now, changes=changes), future)
        return future

    def _greet(self, role: Role, takeover_from: bytes = NOBODY) -> HelloReply:
        future: CommandFuture[HelloReply] = CommandFuture("HELLO")
        key = self._key
        self._submit(lambda now: self._core.connect(future, now, role, takeover_from, key), future)
        return future.result()

    def _start(self) -> None:
        """Open the link and the thread that serves it."""
        if self._thread is not None:
            raise TransportError("the stimulator is open already", code="already-open")
        self._closing = False
        self._link = self._opener(self._url)
        self._thread = threading.Thread(target=self._serve, name=f"neurostim {self._url}", daemon=True)
        self._thread.start()

    def _who(self) -> IdentifyReply:
        """Who says to be there; only a handshake proves it."""
        future: CommandFuture[IdentifyReply] = CommandFuture("IDENTIFY")
        self._submit(lambda now: self._core.identify(future, now), future)
        return future.result()

    def _ask_for_key(self, secret: bytes, serial_number: str, host_name: str) -> PairReply:
        future: CommandFuture[PairReply] = CommandFuture("PAIR")

        def ask(now_ns: int) -> None:
            self._core.pair(future, now_ns, secret=secret, serial_number=serial_number, host_name=host_name)

        self._submit(ask, future)
        return future.result()

    def _call(self, name: str, action: Callable[[int], T]) -> T:
        """Run something on the link's thread and wait for it."""
        future: CommandFuture[T] = CommandFuture(name)

        def act(now_ns: int) -> None:
            try:
                future.resolve(action(now_ns))
            except NeurostimError as error:
                future.fail(error)

        self._submit(act, future)
        return future.result()

    def _submit(self, action: Callable[[int], None], future: CommandFuture[Any]) -> None:
        thread = self._thread
        if thread is None:
            future.fail(_not_open())
            return
        self._requests.append(action)
        self._wake()
        if not thread.is_alive():
            # The thread ended before it could see this; nobody else will.
            future.fail(_not_open())

    def _wake(self) -> None:
        link = self._link
        if link is not None:
            link.wake()
        else:
            self._doorbell.set()

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns()

    # The link's thread.

    def _serve(self) -> None:
        try:
            while not self._closing:
                self._take_orders()
                self._exchange()
                self._lanes_put()
        finally:
            now_ns = self._now_ns()
            self._core.shut_down(now_ns)
            self._take_orders()
            self._let_go(now_ns)
            self._lanes_put()
            self._lanes.close()

    def _take_orders(self) -> None:
        """Stops first, whatever else waits."""
        self._take_stops()
        while self._requests and not self._stops:
            self._requests.popleft()(self._now_ns())

    def _take_stops(self) -> None:
        while self._stops:
            future, emergency = self._stops.popleft()
            self._core.stop(future, self._now_ns(), emergency=emergency)
            self._write()

    def _exchange(self) -> None:
        """Do what is due, write, wait for bytes or a reason to act, and read."""
        timeout = self._do_what_is_due()
        self._write()
        link = self._link
        if link is None:
            self._doorbell.wait(timeout)
            self._doorbell.clear()
            return
        try:
            data = link.read(timeout)
        except TransportError as error:
            self._lose_link(error)
            return
        if self._stops:
            self._take_stops()
        if data:
            self._core.feed(data, self._now_ns())

    def _do_what_is_due(self) -> float:
        """Return how long there is nothing to do [s]."""
        now_ns = self._now_ns()
        due_ns = self._core.next_deadline_ns()
        if due_ns is not None and due_ns <= now_ns:
            self._core.poll(now_ns)
            due_ns = self._core.next_deadline_ns()
        if self._stops or self._requests or self._closing:
            return 0.0
        if due_ns is None:
            return MAX_WAIT_SECONDS
        return min(max(due_ns - now_ns, 0) / _NS_PER_S, MAX_WAIT_SECONDS)

    def _write(self) -> None:
        outgoing = self._core.take_output()
        link = self._link
        if outgoing is None or link is None:
            return
        try:
            if outgoing.flush:
                link.drop_pending_output()
            if outgoing.urgent:
                # It goes past a full pipe; whether or not it arrived, the frame goes down the pipe too.
                link.urgent(outgoing.urgent)
            if outgoing.data:
                link.write(outgoing.data)
        except TransportError as error:
            self._lose_link(error)

    def _lose_link(self, error: TransportError) -> None:
        now_ns = self._now_ns()
        self._core.link_lost(now_ns, error)
        self._let_go(now_ns)

    def _let_go(self, _now_ns: int) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _take_link(self, link: Transport) -> None:
        self._link = link

    def _lanes_put(self) -> None:
        happenings = self._core.take_happenings()
        if happenings:
            self._lanes.put(happenings)

    def _part(self) -> None:
        """Say goodbye; it is refused while output of this host's own is on, which is stopped first."""
        try:
            self._leave_session()
        except CommandRefused as refused:
            if refused.refusal is ErrorCode.OUTPUT_ON:
                self.stop().error(CLOSE_SECONDS)
        except NeurostimError:
            # A link that breaks here needs no goodbye; the device's dead-man ends its output.
            return

    def _leave_session(self) -> None:
        """Close the present session; one the device does not know, or does not speak of, is closed."""
        try:
            self._run("GOODBYE", single(Goodbye())).result(CLOSE_SECONDS)
        except CommandTimeout:
            return
        except CommandRefused as refused:
            if refused.refusal is not ErrorCode.NO_SESSION:
                raise


def _not_open() -> TransportError:
    return TransportError("the stimulator is not open", remedy="Open it first.", code="not-connected")


def _nonce() -> int:
    """A number from 1 to 2**64 - 1 that nobody can guess."""
    return int.from_bytes(system_entropy(8), "little") or 1
