"""A host reduced to what a test needs, and a simulated bench device whose contacts are all in a load."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurostim.core.image import ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.electrode.library import lead
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.image import encode_image
from neurostim.wire.layout import Event, Message, Request
from neurostim.wire.messages import ArmKind, Role
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from neurostim_sim.trace import TraceFiles

MS = 1_000_000
APPROVAL = b"\7" * 32
STEP_NA = 10_000
BEAT_NS = 100 * MS


def device(
    name: str = "bench",
    *,
    rail_mv: int = 0,
    traces: Path | None = None,
    time_base: str = "device",
    **more: Any,
) -> DeviceCore:
    """A device with a lead on every contact; a rail of 0 leaves that of the profile."""
    kind = profile(name)
    if rail_mv:
        kind = replace(kind, capabilities=replace(kind.capabilities, rail_mv=rail_mv))
    files = TraceFiles(traces, "SIM", time_base) if traces else None
    leads = [lead("octrode")] * (kind.capabilities.contact_count // 8)
    core = DeviceCore(kind, leads=leads, traces=files, **more)
    for contact in core.tissue.contacts.values():
        contact.plugged = True
    return core


def tonic(name: str = "scs", **changes: Any) -> ProgramImage:
    """A tonic program on contacts 3 and 5 that rises in half a second."""
    values: dict[str, Any] = {
        "amplitude_na": 2_000_000,
        "shares": ((3, -1000), (5, 1000)),
        "width_ticks": 300,
        "interphase_ticks": 0,
        "recharge": Recharge.PASSIVE,
        "ratio": 1,
        "period_num": 20_000_000,
        "period_den": 1,
        "burst_pulses": 1,
        "burst_period_num": 0,
        "burst_period_den": 1,
        "ramp_up_ns": 500 * MS,
        "ramp_down_ns": 500 * MS,
        "delay_ns": 0,
        "on_ns": 0,
        "off_ns": 0,
        "priority": 1,
    }
    area = ImageArea(**{**values, **changes})
    return ProgramImage(profile(name).capabilities.grid, (area,), 0, False, False)


class SimHost:
    """Drives one device; every moment is given in ns since its supply was switched on."""

    def __init__(self, core: DeviceCore, pieces_ns: int = 0) -> None:
        self.core = core
        self.pieces_ns = pieces_ns
        self.session = self.sequence = self.command = self.beats = self.beat_ns = 0
        self.now_ns = self.lease_us = self.token = 0
        self.bytes = b""
        self.events: list[Message] = []
        self._decoder = FrameDecoder()

    def heard(self) -> list[Message]:
        """Replies since the last call; events are put aside."""
        data = self.core.take_output()
        self.bytes += data
        replies = []
        for frame in self._decoder.feed(data):
            assert isinstance(frame, Frame)
            self.lease_us = max(self.lease_us, frame.lease_us)
            message = unpack(frame)
            (self.events if isinstance(message, Event) else replies).append(message)
        return replies

    def packed(self, request: Request) -> bytes:
        """A command as it goes on the line, with a fresh lease."""
        return pack(
            request,
            session=self.session,
            sequence=self.sequence,
            command_id=self.command,
            lease_us=self.core.now_us,
        )

    def ask_anyway(self, request: Request) -> Any:
        """Send a command now; None where the device gives no answer."""
        self.heard()
        self.sequence += 1
        self.command += 1
        self.core.receive(self.packed(request))
        replies = self.heard()
        return replies[-1] if replies else None

    def ask(self, request: Request) -> Any:
        """Send a command now; returns the reply."""
        reply = self.ask_anyway(request)
        assert reply is not None
        return reply

    def hello(self, nonce: int = 1) -> None:
        """Take control."""
        self.session = self.sequence = 0
        self.session = self.ask(m.Hello(b"h" * 16, nonce, Role.CONTROL, bytes(16))).session
        self.sequence = self.command = 0

    def silent_until(self, at_ns: int) -> None:
        """Let time pass without a word."""
        while self.pieces_ns and self.now_ns + self.pieces_ns < at_ns:
            self.now_ns += self.pieces_ns
            self.core.advance(self.now_ns)
        self.now_ns = max(self.now_ns, at_ns)
        self.core.advance(self.now_ns)
        self.heard()

    def live_until(self, at_ns: int) -> None:
        """Let time pass with a living heartbeat every 100 ms."""
        while self.beat_ns <= at_ns:
            self.silent_until(self.beat_ns)
            self.beats += 1
            self.ask_anyway(m.Heartbeat(self.beats, self.beats))
            self.beat_ns += BEAT_NS
        self.silent_until(at_ns)

    def load(self, image: ProgramImage) -> None:
        """Bring a program into slot 0, every step of 10 uA down from its amplitudes approved."""
        data = encode_image(image)
        digest = hashlib.sha256(data).digest()
        assert isinstance(self.ask(m.LoadBegin(0, len(data), digest)), m.LoadBeginReply)
        for offset in range(0, len(data), 128):
            self.ask(m.LoadChunk(0, offset, data[offset : offset + 128]))
        ranges = tuple(
            m.RangeOfArea(i, area.amplitude_na % STEP_NA, area.amplitude_na, STEP_NA)
            for i, area in enumerate(image.areas)
        )
        reply = self.ask(m.LoadCommit(0, APPROVAL, ranges))
        assert reply == m.LoadCommitReply(0, digest), reply

    def arm(self) -> m.ArmReply:
        """Arm slot 0."""
        armed = self.ask(m.Arm(ArmKind.STIMULATION, 0, self.core.memory.slots[0].digest, APPROVAL))
        assert isinstance(armed, m.ArmReply), armed
        return armed

    def fire_with(self, armed: m.ArmReply) -> Any:
        """Start what was armed; returns the reply, None without one."""
        return self.ask_anyway(m.Fire(armed.token, armed.dose_count))

    def fire(self) -> m.FireReply:
        """Arm and start slot 0."""
        reply = self.fire_with(self.arm())
        assert isinstance(reply, m.FireReply), reply
        return reply

    def measure(self, mask: int) -> Any:
        """Arm and start the impedance program."""
        armed = self.ask(m.Arm(ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32)))
        assert isinstance(armed, m.ArmReply), armed
        return self.ask(m.ImpedanceFire(armed.token, armed.dose_count, mask))

    def start(self, image: ProgramImage) -> int:
        """From nothing to output; returns the moment of the start [ns]."""
        self.hello()
        self.live_until(self.now_ns)
        self.load(image)
        self.fire()
        return self.now_ns

    def of(self, kind: type[Message]) -> list[Any]:
        """Events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]
