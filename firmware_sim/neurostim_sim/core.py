"""The simulated stimulator without any I/O: bytes and virtual time in, bytes out.

This module puts the device together and lets its time pass. What it does is in its rooms: `link` (the
line), `judging` and `commands` (what a host may ask), `output` (starts, stops, faults), `supervision`
(the dead-man), `boot` and `records` (what lasts), `hardware` (parts and leads).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import lead
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, EventCode, FaultCode, Role
from neurostim.wire.pairing import parse_code
from neurostim_sim.boot import wake
from neurostim_sim.clock import US, DeviceClock
from neurostim_sim.delivery import Delivery
from neurostim_sim.entropy import Entropy, seeded
from neurostim_sim.faults import Fault, parse_name
from neurostim_sim.hardware import Hardware
from neurostim_sim.home.controls import Button, Signal, Unheeded
from neurostim_sim.home.mode import Home
from neurostim_sim.judging import take
from neurostim_sim.keyring import CODE_BYTES, Keyring
from neurostim_sim.link import Link
from neurostim_sim.output import Output, Token
from neurostim_sim.profiles import Profile
from neurostim_sim.records import Memory, Slot
from neurostim_sim.safe import short_and_float
from neurostim_sim.selftest import failing, heal
from neurostim_sim.servers.line import Dice
from neurostim_sim.session_numbers import SessionNumbers
from neurostim_sim.sessions import Session, SessionTable
from neurostim_sim.store import Medium, MemoryMedium, PowerCut, Store
from neurostim_sim.strikes import strike
from neurostim_sim.supervision import WATCHDOG_NS, Supervision
from neurostim_sim.tissue import OutputPhysics, Tissue, tissue_of
from neurostim_sim.trace import TraceFiles
from neurostim_sim.unseen import account

SILENT_NS: Final = m.SESSION_TIMEOUT_US * US + 1
ERASED_BY_THEIR_ROOM: Final = ("home", "keys")
"""Documents of the memory that a factory reset leaves to who keeps them; others are erased whole."""


class DeviceCore:
    """One stimulator, switched on at time 0.

    Parameters
    ----------
    profile : Profile
    seed : int
        Decides what faults do, and all chance where no ``entropy`` is given.
    medium : Medium, optional
        The lasting memory; a fresh one in memory otherwise.
    leads : sequence of Lead, optional
        What is plugged in; the profile's own lead otherwise.
    series_ohm : mapping of int to int, optional
        Resistances of single contacts [ohm].
    ppm : int
        Error of the device's clock [parts in a million]; positive runs fast.
    traces : TraceFiles, optional
        Where each dose is recorded.
    entropy : callable, optional
        Gives that many bytes nobody can guess; repeatable ones from the seed otherwise.
    label_code : str, optional
        Code on the device's label, for pairing; otherwise the one in the memory, or a new one.

    Attributes
    ----------
    clock, hardware, memory, keyring, link, output, supervision
        The rooms of the device; those from ``memory`` on are made anew at each boot.
    entropy : callable
        Chance: tokens, keys.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        seed: int = 0,
        medium: Medium | None = None,
        leads: Sequence[Lead] = (),
        series_ohm: Mapping[int, int] | None = None,
        ppm: int = 0,
        traces: TraceFiles | None = None,
        entropy: Entropy | None = None,
        label_code: str | None = None,
    ) -> None:
        self.profile = profile
        tissue = tissue_of(profile.capabilities.ports, leads or (lead(profile.lead),), series_ohm)
        self.clock = DeviceClock(profile.capabilities.grid.tick_ns, ppm)
        self.hardware = Hardware(profile, tissue, Dice(seed))
        self._seed = seed
        self._entropy = entropy
        self._label = parse_code(label_code) if label_code is not None else None
        self._medium: Medium = medium if medium is not None else MemoryMedium()
        self._traces = traces
        self._faults: list[Fault] = []
        # What is due next stays so while only time passes: it is worked out anew where `_touched` says so.
        self._touched = True
        self._next_ns: int | None = None
        self._boot()

    # ------------------------------------------------------------------------------------ outside

    def receive(self, data: bytes, line: int = 0) -> None:
        """Take bytes off a line at the present moment; the numbers of lines are the server's."""
        if self.supervision.hung_ns is not None or self._dead:
            return
        self._touched = True
        for item in self.link.decode(data, line):
            try:
                # Looked at when a frame comes and at moments of its own, never because time was cut there:
                # the same inputs give the same record.
                self.output.run()
                take(self, item)
            except PowerCut:
                self._power_fails()
                return

    def advance(self, to_ns: int) -> None:
        """Let time pass up to ``to_ns`` [ns since the supply was switched on]."""
        clock = self.clock
        while True:
            at_ns = self.next_event_ns()
            if at_ns is None or at_ns > to_ns:
                break
            clock.true_ns = max(clock.true_ns, at_ns)
            self._serve()
        clock.true_ns = max(clock.true_ns, to_ns)
        if self._dead or self.supervision.hung_ns is not None:
            return
        try:
            self.make_log_durable()
        except PowerCut:
            self._power_fails()

    def take_output(self, line: int = 0) -> bytes:
        """Bytes to put on a line since the last call."""
        return self.link.take(line)

    def drop_line(self, line: int) -> None:
        """A line is gone, with what waits for it."""
        self._touched = True
        self.link.drop(line)

    def next_event_ns(self) -> int | None:
        """When the device next does something on its own; None while nothing is due."""
        if self._touched:
            self._next_ns = self._find_next()
            self._touched = False
        return self._next_ns

    def _find_next(self) -> int | None:
        clock = self.clock
        fault_ns = self._faults[0].at_ns if self._faults else None
        if self._dead:
            return fault_ns
        hung_ns = self.supervision.hung_ns
        if hung_ns is not None:
            # Output goes on as it is set, and nobody looks at it, until the hardware's own watchdog acts.
            least = clock.true_of(self._watchdog_ns(hung_ns))
        else:
            due = [one.heard_ns + SILENT_NS for one in self.link.sessions.open.values()]
            due += self.keyring.due()
            due += self.output.due()
            due += self.supervision.due()
            due += self.home.due()
            if not due:
                return fault_ns if fault_ns is None else max(fault_ns, clock.true_ns)
            least = clock.true_of(min(due))
        return max(least if fault_ns is None else min(least, fault_ns), clock.true_ns)

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault of `faults.DEVICE_FAULTS`.

        Raises
        ------
        ConfigError
            For an unknown name, or a contact this device does not have.
        """
        what, contact = parse_name(name)
        if contact and contact not in self.tissue.contacts:
            raise ConfigError(
                f"there is no contact {contact} for the fault {name!r}",
                allowed=", ".join(map(str, sorted(self.tissue.contacts))),
                code="fault-contact",
            )
        self._touched = True
        heapq.heappush(self._faults, Fault(max(at_ns, self.clock.true_ns), what, contact))

    def close(self) -> None:
        """Finish what is being recorded: output still on loses its supply."""
        self._touched = True
        if not self._dead:
            self.output.run()
        self.output.close()
        self._medium.close()

    # ------------------------------------------------------------------------------ boot and power

    def _boot(self) -> None:
        self._touched = True
        self.clock.boot()
        self._dead = False
        memory = self.memory = Memory.load(Store(self._medium), self.profile.capabilities.slots)
        memory.gauge = self.hardware.gauge_after(memory.battery)
        interrupted = any(not dose.settled for dose in memory.doses)
        added = account(memory, self.profile, self.tissue.contacts)
        state = wake(memory)
        serial = self.profile.capabilities.serial_number
        self.entropy = self._entropy or seeded(self._seed, serial, memory.boot_count)
        fresh = self._entropy or seeded(self._seed, serial, "label")
        self.keyring = Keyring(memory, self.clock, self._label, lambda: fresh(CODE_BYTES))
        self.link = Link(self.clock, SessionNumbers(memory))
        self.output = Output(
            state, self.clock, self.hardware, memory, self.link.tell, self.entropy, self._traces
        )
        self.supervision = Supervision(self.clock, self.hardware, memory, self.link, self.output)
        self.home = Home(self.clock, self.hardware, memory, self.output)
        try:
            self.home.begin(added)
            if interrupted:
                # What the supply left on the contacts is taken off them, and nothing starts meanwhile.
                self.output.hold_until_ns = short_and_float(self.hardware, memory)
            memory.save()
            if memory.purging:
                memory.purge()
            self.test_self()
        except PowerCut:
            self._dead = True

    def test_self(self) -> FaultCode:
        """Test the device itself; what is found is latched, logged and returned."""
        self._touched = True
        memory = self.memory
        code = failing(memory, self.hardware, self.clock)
        if code is not FaultCode.NONE:
            memory.note(self.now_us, EventCode.SELF_TEST, value=int(code))
            self.fault(code)
            self.make_log_durable()
            heal(memory)
        return code

    def _power_fails(self) -> None:
        """The supply failed in the middle of a write: output is off, the processor stands still."""
        self._touched = True
        self.output.lose_power()
        self._dead = True
        self.link.clear()

    def restart(self) -> None:
        """Switch the supply off and on again."""
        self.output.run()
        self.output.lose_power()
        self._boot()

    def factory_reset(self) -> None:
        """What only a person at the device can do: end output, erase what is of hosts and patients, restart.

        The counters of boots, sessions, doses and charge stay, the event log, and the label.
        """
        if self._dead:
            return
        self._touched = True
        memory = self.memory
        try:
            self.output.run()
            if self.output_on:
                self.output.stop(emergency=True)
            memory.slots = [Slot() for _ in memory.slots]
            memory.extra = {name: memory.extra[name] for name in ERASED_BY_THEIR_ROOM if name in memory.extra}
            memory.lost = False
            memory.purging = True
            self.keyring.forget()
            memory.note(self.now_us, EventCode.FACTORY_RESET)
            self.home.erase()
            memory.purge()
        except PowerCut:
            self._power_fails()
        else:
            self.restart()

    def change_battery(self) -> None:
        """Put a fresh battery in: the supply is off meanwhile, and output does not come back by itself."""
        self.output.run()
        self.output.lose_power()
        self.hardware.change_battery()
        self._boot()

    # ------------------------------------------------------------------------ the patient's control

    @property
    def signals(self) -> frozenset[Signal]:
        """What the patient's control shows; nothing without power, or while the processor hangs."""
        dark = self._dead or self.supervision.hung_ns is not None
        return frozenset() if dark else self.home.signals

    def press(self, button: Button) -> Unheeded | None:
        """Press a button of the patient's control and let it go; why it did nothing, where it did not."""
        return self._touch(lambda: self.home.press(button))

    def hold(self, button: Button) -> Unheeded | None:
        """Press a button and keep it down until `let_go`; only DOWN repeats. As `press`."""
        return self._touch(lambda: self.home.hold(button))

    def let_go(self) -> None:
        """Let go of the button that is held."""
        self._touch(self.home.let_go)

    def off_button(self) -> None:
        """Press the off button: it cuts the supply of the output, whatever the processor does."""
        if self._dead:
            return
        self._touched = True
        self.output.cut_supply()
        self.hardware.off_pressed = True
        self._touch(self.home.saw_off_button)

    def _touch(self, act: Callable[[], Unheeded | None]) -> Unheeded | None:
        if self._dead:
            return Unheeded.NO_POWER
        if self.supervision.hung_ns is not None:
            return Unheeded.NO_ANSWER
        self._touched = True
        try:
            self.output.run()
            self.home.watch()
            answer = act()
            self.make_log_durable()
        except PowerCut:
            self._power_fails()
            return Unheeded.NO_POWER
        return answer

    def hang(self) -> None:
        """The processor stops; the output hardware goes on until its own watchdog acts."""
        self._touched = True
        self.supervision.hang()

    @property
    def dead(self) -> bool:
        """Whether the supply is gone."""
        return self._dead

    # --------------------------------------------------------------------------------------- time

    def _serve(self) -> None:
        """Do what is due at the present moment."""
        self._touched = True
        try:
            while self._faults and self._faults[0].at_ns <= self.clock.true_ns:
                if not self._dead and self.supervision.hung_ns is None:
                    self.output.run()
                strike(self, heapq.heappop(self._faults))
            if self._dead:
                return
            if self.supervision.hung_ns is not None:
                self._watch_processor(self.supervision.hung_ns)
                return
            self.output.run()
            self.output.look()
            self.supervision.watch()
            self.supervision.report()
            self.home.watch()
            for session in list(self.sessions.open.values()):
                if self.now_ns - session.heard_ns > m.SESSION_TIMEOUT_US * US:
                    self.close_session(session)
            self.output.expire_token()
            self.keyring.serve()
            self.make_log_durable()
        except PowerCut:
            self._power_fails()

    def _watchdog_ns(self, hung_ns: int) -> int:
        """When the hardware acts: 500 ms after the processor stood still, or the last heartbeat lived."""
        unfed_ns = self.supervision.unfed_ns
        stood_ns = hung_ns + WATCHDOG_NS
        return stood_ns if unfed_ns is None else min(stood_ns, max(unfed_ns, hung_ns))

    def _watch_processor(self, hung_ns: int) -> None:
        """The hardware's watchdog ends output, and restarts the processor."""
        if self.now_ns >= self._watchdog_ns(hung_ns):
            self.output.run()
            self.fault(FaultCode.WATCHDOG)
            self.restart()

    def make_log_durable(self) -> None:
        """A record whose number was told must not be lost: its number would be given again."""
        if self.memory.unsaved:
            self.memory.save()

    def close_session(self, session: Session) -> None:
        """Close a session; that of the controller takes an armed token with it."""
        self._touched = True
        was_controller = session.role is Role.CONTROL
        self.sessions.close(session)
        self.memory.note(self.now_us, EventCode.SESSION_CLOSED, value=session.number)
        if was_controller:
            self.output.drop_token()

    # ------------------------------------------------------------------------------ what it shows

    @property
    def now_ns(self) -> int:
        """The device's own clock [ns since boot]."""
        return self.clock.now_ns

    @property
    def now_us(self) -> int:
        """The device's own clock [us]."""
        return self.clock.now_us

    @property
    def now_ticks(self) -> int:
        """The device's own clock [ticks]."""
        return self.clock.now_ticks

    @property
    def sessions(self) -> SessionTable:
        """Sessions of this boot."""
        return self.link.sessions

    @property
    def label_code(self) -> str:
        """Code on the device's label, for pairing."""
        return self.keyring.label_code

    @property
    def state(self) -> DeviceState:
        """What the device is doing."""
        return self.output.state

    @property
    def output_on(self) -> bool:
        """Whether current may flow now."""
        return not self._dead and self.output.is_on

    @property
    def delivery(self) -> Delivery | None:
        """The program under way, or its recovery."""
        return self.output.delivery

    @property
    def token(self) -> Token | None:
        """The permission to start that is valid now."""
        return self.output.token

    @property
    def autonomous(self) -> bool:
        """Whether the device is released for use at home."""
        return self.home.autonomous

    @property
    def dose_number(self) -> int:
        """Dose under way, 0 for none."""
        return self.output.dose_number

    @property
    def tissue(self) -> Tissue:
        """The contacts and what they are in."""
        return self.hardware.tissue

    @property
    def dice(self) -> Dice:
        """Chance of faults."""
        return self.hardware.dice

    @property
    def battery(self) -> int:
        """Charge left [0.1 %]."""
        return self.hardware.battery

    @battery.setter
    def battery(self, permille: int) -> None:
        self._touched = True
        self.hardware.battery = permille

    @property
    def unplugged(self) -> list[int]:
        """Contacts whose lead is out of its port."""
        return self.hardware.unplugged

    def physics(self) -> OutputPhysics:
        """The output stage as it is now."""
        return self.hardware.physics()

    # ------------------------------------------------------------------------------------- faults

    def fault(self, code: FaultCode, *, area: int = m.NO_AREA, contact: int = 0, value: int = 0) -> None:
        """Latch a fault; output ends."""
        self._touched = True
        self.output.fault(code, area=area, contact=contact, value=value)

    def body_changed(self) -> None:
        """Resistances or the sensor have changed: the output sees it from now on."""
        self._touched = True
        self.output.refresh()
        self.home.body_changed()

    def set_sensor(self, *, works: bool) -> None:
        """Let the output sensor work or stick."""
        self.hardware.sensor_works = works
        self.body_changed()

    def set_source(self, numerator: int, denominator: int) -> None:
        """Let all sources deliver this part of what they should."""
        self.hardware.source = (numerator, denominator)
        self._touched = True
        self.output.refresh_recharge()

    def set_recharge(self, numerator: int, denominator: int) -> None:
        """Let the recharge source deliver this part of what it should."""
        self.hardware.recharge = (numerator, denominator)
        self._touched = True
        self.output.refresh_recharge()
