"""The approved programs of a campaign, compiled and judged once in a process: a schedule costs no compile.

What `Session.check` would compute from the same program and the same measured impedances is remembered;
anything else it has measured goes the whole way through the compiler and the gate again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from neurostim.core.program import Program
from neurostim.core.program_file import parse_program
from neurostim.core.schedule import Schedule
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import lead
from neurostim.safety.gate import AmplitudeRange, ApprovedProgram, Verdict
from neurostim.session import Session, Stage
from neurostim.wire.messages import RangeOfArea
from neurostim_sim.profiles import Profile, profile
from neurostim_torture.monitor import records as r

REASON: Final = "a simulated body in a torture schedule"
PROFILE: Final = "scs"

_HEAD: Final = """
format = "neurostim-program/1"
name = "{name}"
therapy = "scs"
lead = "octrode"
"""
_TEXTS: Final = {
    "tonic": """
[[area]]
amplitude = "2 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "passive" }
train = { rate = "50 Hz" }
ramp = { up = "500 ms", down = "500 ms" }
""",
    "burst": """
[[area]]
amplitude = "1 mA"
contacts = { 2 = "-100 %", 4 = "+100 %" }
pulse = { width = "500 us", interphase = "100 us", recharge = "passive-after-burst" }
train = { rate = "20 Hz", burst = { pulses = 5, rate = "500 Hz" } }
ramp = { up = "500 ms", down = "1 s" }
""",
    "cycle": """
[[area]]
amplitude = "3 mA"
contacts = { 1 = "-60 %", 2 = "-40 %", 6 = "+100 %" }
pulse = { width = "150 us", interphase = "50 us", recharge = "active-symmetric" }
train = { rate = "60 Hz" }
ramp = { up = "500 ms", down = "500 ms" }
cycle = { on = "1500 ms", off = "1200 ms" }
""",
    "two-areas": """
[[area]]
amplitude = "2 mA"
contacts = { 1 = "-100 %", 3 = "+100 %" }
pulse = { width = "150 us", recharge = "passive" }
train = { rate = "40 Hz" }
ramp = { up = "500 ms", down = "500 ms" }

[[area]]
amplitude = "1500 uA"
contacts = { 6 = "-100 %", 8 = "+100 %" }
pulse = { width = "200 us", recharge = "active-asymmetric", ratio = 4 }
train = { rate = "30 Hz" }
ramp = { up = "600 ms", down = "600 ms" }
delay = "5 ms"
priority = 2
""",
    "slow": """
duration = "3 s"
[[area]]
amplitude = "4 mA"
contacts = { 4 = "-100 %", 7 = "+100 %" }
pulse = { width = "300 us", recharge = "triphasic" }
train = { rate = "2 Hz" }
ramp = { up = "1 s", down = "500 ms" }
""",
    "kilohertz": """
duration = "1200 ms"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "30 us", interphase = "20 us", recharge = "active-symmetric" }
train = { rate = "10 kHz" }
ramp = { up = "500 ms", down = "500 ms" }
""",
}
_HOME: Final = {
    "home": """
[[area]]
amplitude = "2 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "active-symmetric" }
train = { rate = "50 Hz" }
ramp = { up = "2 s", down = "1 s" }
""",
    "home-slow": """
[[area]]
amplitude = "3 mA"
contacts = { 2 = "-50 %", 3 = "-50 %", 6 = "+100 %" }
pulse = { width = "300 us", recharge = "passive" }
train = { rate = "2 Hz" }
ramp = { up = "4 s", down = "2 s" }
""",
}
HOME_NAMES: Final = tuple(_HOME)
PATIENT_STEPS: Final = 4
NAMES: Final = tuple(_TEXTS)
STEPS: Final = 8
STEP_NA: Final = 100_000


@dataclass
class Prepared:
    """One program with what was judged of it, by the impedances it was judged with."""

    name: str
    program: Program
    leads: tuple[Lead, ...]
    judged: dict[tuple[tuple[int, ...], ...], tuple[Schedule, Verdict]] = field(default_factory=dict)
    approvals: dict[tuple[object, ...], ApprovedProgram] = field(default_factory=dict)

    @property
    def ranges(self) -> tuple[AmplitudeRange, ...]:
        """What is to be approved of each area: eight steps of 0.1 mA about the amplitude of the file."""
        found = []
        for index, area in enumerate(self.program.areas):
            middle = area.amplitude
            assert isinstance(middle, int)
            reach = STEPS // 2 * STEP_NA
            found.append(AmplitudeRange(index, middle - reach, middle + reach, STEP_NA))
        return tuple(found)


class PreparedSession(Session):
    """A session that judges what was judged before from memory."""

    def __init__(self, prepared: Prepared, *given: object, **more: object) -> None:
        stimulator, folder = given
        super().__init__(stimulator, prepared.program, prepared.leads, folder, **more)  # type: ignore[arg-type]
        self._prepared = prepared

    def adopt(self, approved: ApprovedProgram) -> None:
        """Take up what an earlier session has measured, approved and loaded; `start` reads the slot back."""
        self._need(Stage.IDENTIFIED)
        self.approved = approved
        self._record("adopted", {"image_sha256": approved.image_sha256.hex()}, durable=True)
        self._stage = Stage.LOADED

    def check(self, ranges: Sequence[AmplitudeRange] | None = None) -> Verdict:
        """Judge the program over the prepared ranges."""
        assert self.impedances is not None
        key = tuple(
            (one.contact, one.series_ohm, one.late_ohm, len(one.status))
            for one in self.impedances.contacts.values()
        )
        known = self._prepared.judged.get(key)
        if known is None:
            verdict = super().check(self._prepared.ranges if ranges is None else ranges)
            assert self.schedule is not None
            self._prepared.judged[key] = (self.schedule, verdict)
            return verdict
        self._need(Stage.MEASURED, Stage.CHECKED, Stage.APPROVED)
        return self._judged(*known)

    def approve(self, acknowledged: Mapping[str, str] | None = None) -> ApprovedProgram:
        """Accept the verdict; the same verdict with the same reasons gives the same approval."""
        key = (id(self.verdict), *sorted((acknowledged or {}).items()))
        known = self._prepared.approvals.get(key)
        if known is None or self.verdict is None:
            known = super().approve(acknowledged)
            self._prepared.approvals[key] = known
            return known
        self._need(Stage.CHECKED)
        return self._accepted(known)


def _recharge(number: int) -> str:
    return ("none", "passive", "passive-after-burst", "active-symmetric", "active-asymmetric", "triphasic")[
        number
    ]


def patient_ranges(approved: ApprovedProgram) -> tuple[RangeOfArea, ...]:
    """What of an approved program a patient gets: its lower half."""
    return tuple(
        RangeOfArea(one.area, one.min_na, one.min_na + PATIENT_STEPS * one.step_na, one.step_na)
        for one in approved.ranges
    )


def told_at_home(approved: ApprovedProgram) -> r.Program:
    """A released program as the monitor knows it."""
    program = told(approved)
    areas = tuple(
        replace(area, patient=r.Range(one.min_na, one.max_na, one.step_na))
        for area, one in zip(program.areas, patient_ranges(approved), strict=True)
    )
    return replace(program, areas=areas)


def told(approved: ApprovedProgram) -> r.Program:
    """An approved program as the monitor knows it."""
    image = approved.image
    tick = image.grid.tick_ns
    areas = tuple(
        r.Area(
            shares=area.shares,
            amplitude_na=area.amplitude_na,
            approved=r.Range(one.min_na, one.max_na, one.step_na),
            width_ns=area.width_ticks * tick,
            interphase_ns=area.interphase_ticks * tick,
            recharge=_recharge(int(area.recharge)),
            period=(area.period_num, area.period_den),
            ramp_up_ns=area.ramp_up_ns,
            ramp_down_ns=area.ramp_down_ns,
            ratio=area.ratio,
            burst_pulses=area.burst_pulses,
            burst_period=(area.burst_period_num, area.burst_period_den),
            delay_ns=area.delay_ns,
            on_ns=area.on_ns,
            off_ns=area.off_ns,
        )
        for area, one in zip(image.areas, approved.ranges, strict=True)
    )
    return r.Program(approved.image_sha256.hex(), approved.approval_sha256.hex(), areas, image.duration_ns)


@cache
def device_profile() -> Profile:
    """The profile of the device under torture."""
    return profile(PROFILE)


@cache
def prepared(name: str) -> Prepared:
    """One of `NAMES`."""
    return Prepared(
        name, parse_program(_HEAD.format(name=name) + {**_TEXTS, **_HOME}[name]), (lead("octrode"),)
    )
