"""Ranges, steps and pace of the amplitude, in the host and in the device."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.people import Greedy, Leaping
from neurostim_torture.barriers.scenes.scene import GREED, OUTPUT_ON, Scene
from neurostim_torture.barriers.scenes.troubles import steps_replayed

STARTING: Final = "neurostim_sim.commands.starting"
PACE: Final = "neurostim.session.pace"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "range in the host",
        "host",
        "an amplitude that nobody judged",
        (
            Cut(
                f"{PACE}:AmplitudeGuard.judge",
                "not (to_na == 0 or self._is_level(to_na, limits))",
                "False",
            ),
        ),
        Scene(plan=GREED, who=Greedy),
        3,
        ("step in the host", "range in the device"),
    ),
    Barrier(
        "range in the device",
        "device",
        "an amplitude that nobody judged",
        (Cut(f"{STARTING}:_set_amplitude", "not (inside and", "not (True or"),),
        Scene(plan=GREED, who=Greedy),
        3,
        ("range in the host", "step in the host"),
    ),
    Barrier(
        "step in the host",
        "host",
        "a current step where a ramp was meant",
        (Cut(f"{PACE}:AmplitudeGuard.judge", "if to_na != self._beyond(present, limits):", "if False:"),),
        Scene(plan=GREED, who=Leaping),
        3,
        ("step in the device",),
    ),
    Barrier(
        "step in the device",
        "device",
        "a current step where a ramp was meant",
        (Cut(f"{STARTING}:_set_amplitude", "if request.to_na - present > one.step_na:", "if False:"),),
        Scene(plan=GREED, who=Leaping),
        3,
        ("step in the host",),
    ),
    Barrier(
        "pace in the host",
        "host",
        "amplitude raised faster than a person can feel",
        (
            Cut(
                f"{PACE}:AmplitudeGuard.judge",
                "len(self._ups) == AMPLITUDE_STEPS_PER_S and now_ns - self._ups[0] < WINDOW_NS",
                "False",
            ),
        ),
        Scene(plan={**OUTPUT_ON, "steps": (1,) * 4, "dwell_ms": 1000}),
        3,
        ("pace in the device",),
    ),
    Barrier(
        "pace in the device",
        "device",
        "amplitude raised faster than a person can feel",
        (Cut(f"{STARTING}:_set_amplitude", "len(recent) >= m.AMPLITUDE_STEPS_PER_S or", ""),),
        Scene(plan={**OUTPUT_ON, "steps": (1,) * 4, "dwell_ms": 1000}),
        3,
        ("pace in the host",),
    ),
    Barrier(
        "one step a unit",
        "device",
        "a current step where a ramp was meant: at 1 Hz three steps a second are one",
        (Cut(f"{STARTING}:_set_amplitude", "or not delivery.may_rise(request.area)", ""),),
        Scene(plan={**OUTPUT_ON, "program": "slow", "steps": (1,) * 5, "dwell_ms": 2160}),
        3,
        (),
        ("one-step-a-unit",),
    ),
    Barrier(
        "expected amplitude",
        "device",
        "edit races: a change that another change has overtaken",
        (Cut(f"{STARTING}:_set_amplitude", "if request.from_na != present:", "if False:"),),
        Scene(steps_replayed, {**OUTPUT_ON, "steps": (-1, -1, -1), "dwell_ms": 1200}),
        8,
        ("once record", "sequence"),
        ("amplitude-as-named",),
    ),
)
