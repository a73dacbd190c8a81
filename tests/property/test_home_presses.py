"""Whatever a patient presses, whenever: the range, the rate of steps, silence between programs, the books."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.wire.messages import EventCode, UsageKind
from neurostim_sim.core import DeviceCore
from neurostim_sim.home import Button
from support.home_bench import (
    HIGHEST_NA,
    LOWEST_NA,
    MS,
    HomeBench,
    S,
    dose_of,
    electrode_of,
    home_tonic,
)
from support.sim_bench import device

ACTS = (*Button, "many ups", "hold", "let go", "off", "out", "in", "reset", "battery", "hang", "open", "heal")
Acts = Sequence[tuple[object, int]]

scripts = st.lists(
    st.tuples(
        st.sampled_from([*Button] * 2 + [Button.UP, "many ups"] * 5 + list(ACTS)),
        st.integers(1, 300) | st.integers(300, 4000),
    ),
    min_size=1,
    max_size=40,
)


def play(core: DeviceCore, acts: Acts) -> None:
    """Do one act after the other, each after its time [ms]; output that is left on is stopped."""
    named = {"out": "unplug-lead", "in": "plug-lead", "hang": "hang", "open": "open:3", "heal": "heal"}
    for act, wait_ms in acts:
        if isinstance(act, Button):
            core.press(act)
        elif act == "many ups":
            for _ in range(8):
                core.press(Button.UP)
                core.advance(core.clock.true_ns + wait_ms * MS // 10)
        elif act == "hold":
            core.hold(Button.DOWN)
        elif act == "let go":
            core.let_go()
        elif act == "off":
            core.off_button()
        elif act == "reset":
            core.restart()
        elif act == "battery":
            core.change_battery()
        else:
            core.inject(named[str(act)], core.clock.true_ns)
        core.advance(core.clock.true_ns + wait_ms * MS)
    core.let_go()
    core.press(Button.STOP)
    core.advance(core.clock.true_ns + 5 * S)


def released(folder: Path | None = None) -> DeviceCore:
    bench = HomeBench(device("scs", traces=folder))
    bench.send_home([home_tonic(), home_tonic(width_ticks=200)])
    core = bench.core
    core.advance(S)
    return core


@settings(max_examples=25)
@given(scripts)
def test_no_presses_leave_the_patients_range_or_join_two_programs(acts: Acts) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        core = released(folder)
        play(core, [(Button.START, 500), *acts])
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as rows:
                stim = rows["kind"] == "stim"
                if not stim.any():
                    continue
                currents = np.abs(rows["amplitude_na"][stim])
                assert currents.max() <= HIGHEST_NA
                starts = rows["start_ns"][stim]
                # Every dose rises from zero: in the first half second of a ramp of 2 s at most a quarter of
                # the lowest amplitude, and the three steps up that this half second can hold.
                early = currents[starts < 500 * MS]
                assert early.size == 0 or early.max() <= (LOWEST_NA + 3 * 10_000) // 4
        assert not core.output_on


@settings(max_examples=40)
@given(scripts)
def test_never_more_than_three_steps_up_in_any_second(acts: Acts) -> None:
    core = released()
    log: list[tuple[int, int, int]] = []
    play(core, [(Button.START, 500), *acts])
    for _, boot, clock_us, code, dose, _, value in core.memory.log:
        if code == EventCode.PATIENT_STEP:
            log.append((boot * 10**15 + clock_us, dose, value))
    rises = [
        at
        for (at, dose, value), (_, before_dose, before) in zip(log[1:], log, strict=False)
        if dose == before_dose and value > before
    ]
    for first, fourth in zip(rises, rises[3:], strict=False):
        assert fourth - first >= 1_000_000
    assert all(LOWEST_NA <= value <= HIGHEST_NA for _, _, value in log)


@settings(max_examples=25)
@given(scripts)
def test_the_log_tells_what_flowed_or_a_bound_of_it(acts: Acts) -> None:
    with TemporaryDirectory() as name:
        core = released(Path(name))
        play(core, [(Button.START, 500), *acts])
        records = core.home.usage.records(1)
        assert not core.home.usage.broken
        told, flowed = dose_of(records, slots=(0, 1)), electrode_of(Path(name))
        lost = any(one.kind is UsageKind.BOOT for one in records)
        bounds: dict[int, int] = {}
        for one in records:
            if one.kind is UsageKind.CHARGE_BOUND:
                bounds[one.place] = bounds.get(one.place, 0) + one.value * 10**9
        for contact, (cathodic, anodic, recovered) in flowed.items():
            values = told.get(contact, [0, 0, 0, 0])
            if not lost:
                assert values[1:] == [cathodic, anodic, recovered]
            assert values[1] <= cathodic <= values[1] + bounds.get(contact, 0)
            assert values[2] <= anodic <= values[2] + bounds.get(contact, 0)


@settings(max_examples=15)
@given(scripts, st.integers(1, 5000))
def test_how_time_is_cut_makes_no_difference(acts: Acts, piece_ms: int) -> None:
    whole, cut = released(), released()
    play(whole, [(Button.START, 500), *acts])
    wanted = cut.advance

    def in_pieces(to_ns: int) -> None:
        while cut.clock.true_ns + piece_ms * MS < to_ns:
            wanted(cut.clock.true_ns + piece_ms * MS)
        wanted(to_ns)

    cut.advance = in_pieces  # type: ignore[method-assign]
    play(cut, [(Button.START, 500), *acts])
    assert cut.home.usage.sha256 == whole.home.usage.sha256
    assert cut.memory.log == whole.memory.log
