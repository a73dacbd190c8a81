"""The device finds its own faults: imbalance, sources, time base, sensors, memories; and is safe then."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from neurostim.conformance import read_trace
from neurostim.core.compile import compile_program
from neurostim.core.program import Recharge
from neurostim.core.program_file import load_preset, presets
from neurostim.electrode.library import lead
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, EventCode, FaultCode, StopCause
from neurostim_sim.core import DeviceCore
from neurostim_sim.engine import PulseEngine
from neurostim_sim.monitor import OutputMonitor
from neurostim_sim.profiles import profile
from neurostim_sim.store import MemoryMedium
from support.sim_bench import APPROVAL, MS, SimHost, device, tonic

ACTIVE = {"recharge": Recharge.ACTIVE_SYMMETRIC, "amplitude_na": 3_000_000, "width_ticks": 30}
AT_10_KHZ = {**ACTIVE, "period_num": 100_000}


def started(core: DeviceCore | None = None, **changes: object) -> SimHost:
    host = SimHost(core or device("scs"))
    host.start(tonic(**changes))
    return host


def latched(host: SimHost) -> tuple[DeviceState, int]:
    return host.core.state, host.core.memory.fault


@pytest.mark.hazard("imbalance")
@pytest.mark.parametrize("permille", [-50, -10, -2, 2, 10, 50])
def test_a_recharge_that_is_off_is_stopped_before_a_microcoulomb_is_left(permille: int) -> None:
    host = started(**AT_10_KHZ)
    host.live_until(900 * MS)
    host.core.set_recharge(1000 + permille, 1000)
    at = host.now_ns
    host.live_until(at + 2_000 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.CHARGE_IMBALANCE)
    [told] = host.of(m.Fault)
    flowing_na = 900_000 * abs(permille) // 1000
    assert abs(told.value) == pytest.approx(flowing_na, rel=0.02, abs=110)
    stopped_ns = host.core.memory.doses[-1].end_tick * 1_000 - at
    # 90 nA are let through; a quarter of a microcoulomb beyond them is not, seen at the next look.
    most_ns = 251 * 10**9 // (flowing_na - 94) + 11 * MS
    assert stopped_ns <= most_ns


def test_less_than_a_hundred_nanoamperes_are_let_through_and_more_are_not() -> None:
    for parts, ends in ((80, False), (125, True)):
        host = started(**AT_10_KHZ)
        host.core.set_recharge(1_000_000 - parts, 1_000_000)
        host.live_until(20_000 * MS)
        assert (host.core.state is DeviceState.FAULT) == ends, parts


@pytest.mark.hazard("imbalance")
def test_a_recharge_that_is_lost_is_stopped_within_a_pulse_and_a_look_also_at_a_slow_rate() -> None:
    host = started(**{**ACTIVE, "width_ticks": 300, "period_num": 2_000_000_000})
    host.live_until(3_900 * MS)
    host.core.set_recharge(0, 1)
    host.live_until(4_050 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.CHARGE_IMBALANCE)


def test_a_mismatch_of_a_program_with_passive_recovery_is_none() -> None:
    host = started()
    host.core.set_recharge(99, 100)
    host.live_until(5_000 * MS)
    assert host.core.state is DeviceState.DELIVERING


def test_a_switch_that_does_not_close_is_found_by_what_does_not_come_back() -> None:
    host = started()
    host.live_until(900 * MS)
    host.core.inject("no-recovery", host.now_ns)
    host.live_until(host.now_ns + 400 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.CHARGE_IMBALANCE)


@pytest.mark.parametrize("name", ["source-high", "source-low"])
@pytest.mark.parametrize("kind", [Recharge.PASSIVE, Recharge.ACTIVE_SYMMETRIC])
def test_a_source_out_of_tolerance_is_found_in_output_and_by_the_self_test(name: str, kind: Recharge) -> None:
    host = started(recharge=kind)
    host.live_until(900 * MS)
    host.core.inject(name, host.now_ns)
    host.live_until(host.now_ns + 100 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.SOURCE)
    [told] = host.of(m.Fault)
    assert told.value == pytest.approx(100 if name == "source-high" else -100, abs=2)
    host.live_until(host.now_ns + 300 * MS)
    refused = host.ask(m.Clear(StopCause.FAULT, FaultCode.SOURCE))
    assert refused.code is ErrorCode.CAUSE_PRESENT
    host.core.set_source(1, 1)
    assert isinstance(host.ask(m.Clear(StopCause.FAULT, FaultCode.SOURCE)), m.ClearReply)


@pytest.mark.parametrize("name", ["clock-fast", "clock-slow"])
def test_a_time_base_that_leaves_its_tolerance_ends_output_at_the_next_look(name: str) -> None:
    host = started()
    host.live_until(900 * MS)
    host.core.inject(name, host.now_ns)
    before = host.core.now_ns
    host.silent_until(host.now_ns + 12 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.CLOCK)
    # The device's time goes on where it was, 5 % fast or slow.
    passed = host.core.now_ns - before
    assert passed == pytest.approx(12 * MS * (105 if name == "clock-fast" else 95) // 100, abs=2)


def test_one_percent_is_within_the_tolerance_of_the_time_base() -> None:
    host = started(device("scs", ppm=10_000))
    host.live_until(1_000 * MS)
    assert host.core.state is DeviceState.DELIVERING


@pytest.mark.parametrize("bit", range(0, 31, 3))
def test_any_bit_of_the_currents_that_turns_over_is_refused_before_a_pulse(bit: int, tmp_path: Path) -> None:
    host = started(device("scs", traces=tmp_path))
    host.live_until(905 * MS)
    assert host.core.delivery is not None
    host.core.delivery.engine.flip_current(bit)
    host.live_until(1_000 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.LIMIT)
    host.core.close()
    table, _ = read_trace(tmp_path / "SIM-dose0001.npz")
    stim = table.amplitude_na[table.kind == 0]
    assert abs(stim).max() <= 2_000_000


def test_no_table_can_drive_more_than_the_approved_range() -> None:
    host = started()
    host.live_until(905 * MS)
    delivery = host.core.delivery
    assert delivery is not None
    # Balanced, inside the hard limits, and above what was approved: as a flipped amplitude would be.
    delivery.engine.set_amplitude(0, 2_010_000, delivery.at(host.core.now_ticks))
    host.live_until(1_000 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.LIMIT)


@pytest.mark.hazard("stuck-sensor")
def test_a_stuck_sensor_does_not_hide_an_imbalance() -> None:
    host = started(**AT_10_KHZ)
    host.live_until(900 * MS)
    host.core.inject("stuck-sensor", host.now_ns)
    host.core.inject("mismatch", host.now_ns)
    host.live_until(host.now_ns + 50 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.SENSOR)
    assert not host.core.output_on or host.core.delivery is not None
    host.live_until(host.now_ns + 300 * MS)
    assert not host.core.output_on


TESTED = {
    "flip-slot": FaultCode.MEMORY,
    "flip-store": FaultCode.MEMORY,
    "stuck-sensor": FaultCode.SENSOR,
    "source-low": FaultCode.SOURCE,
    "clock-slow": FaultCode.CLOCK,
}
# A slot is read anew at boot: what had turned over in it is gone with the supply.
MOMENTS = [(n, w) for n in TESTED for w in ("arm", "fire", "boot") if (n, w) != ("flip-slot", "boot")]


@pytest.mark.parametrize(("name", "when"), MOMENTS)
def test_the_self_test_refuses_to_arm_to_fire_and_to_boot_into_idle(name: str, when: str) -> None:
    fault = TESTED[name]
    medium = MemoryMedium()
    host = SimHost(DeviceCore(profile("scs"), medium=medium))
    host.hello()
    host.live_until(0)
    host.load(tonic())
    host.live_until(50 * MS)
    armed = host.arm() if when == "fire" else None
    host.core.inject(name, host.now_ns)
    host.silent_until(host.now_ns + 1)
    if when == "boot":
        host.core.restart()
    elif armed is not None:
        assert host.fire_with(armed).code is ErrorCode.INTERNAL
    else:
        slot = host.core.memory.slots[0]
        assert host.ask(m.Arm(m.ArmKind.STIMULATION, 0, slot.digest, APPROVAL)).code is ErrorCode.INTERNAL
    assert latched(host) == (DeviceState.FAULT, fault)
    assert not host.core.output_on
    assert host.core.memory.dose_count == 0
    log = host.core.memory.log
    assert EventCode.SELF_TEST in {values[3] for values in log} or host.core.memory.damaged
    again = DeviceCore(profile("scs"), medium=medium)
    assert again.state is DeviceState.FAULT


def test_a_store_that_rotted_is_written_anew_when_it_is_found_and_can_be_cleared_then() -> None:
    medium = MemoryMedium()
    host = SimHost(DeviceCore(profile("scs"), medium=medium))
    host.hello()
    host.live_until(0)
    host.load(tonic())
    host.core.inject("flip-store", host.now_ns)
    host.silent_until(host.now_ns + 1)
    slot = host.core.memory.slots[0]
    host.ask(m.Arm(m.ArmKind.STIMULATION, 0, slot.digest, APPROVAL))
    assert latched(host) == (DeviceState.FAULT, FaultCode.MEMORY)
    host.beat_ns = host.now_ns
    host.live_until(host.now_ns + 200 * MS)
    assert isinstance(host.ask(m.Clear(StopCause.FAULT, FaultCode.MEMORY)), m.ClearReply)
    after = DeviceCore(profile("scs"), medium=medium)
    assert (after.state, after.memory.damaged) == (DeviceState.IDLE, False)
    assert after.memory.slots[0].committed


def test_a_flipped_slot_cannot_be_cleared_until_it_is_loaded_again() -> None:
    host = SimHost(device("scs"))
    host.hello()
    host.live_until(0)
    host.load(tonic())
    host.core.inject("flip-slot", host.now_ns)
    host.silent_until(host.now_ns + 1)
    slot = host.core.memory.slots[0]
    host.ask(m.Arm(m.ArmKind.STIMULATION, 0, slot.digest, APPROVAL))
    assert host.ask(m.Clear(StopCause.FAULT, FaultCode.MEMORY)).code is ErrorCode.CAUSE_PRESENT
    host.load(tonic())
    assert isinstance(host.ask(m.Clear(StopCause.FAULT, FaultCode.MEMORY)), m.ClearReply)


def test_after_a_power_loss_contacts_are_shorted_for_100_ms_before_anything_starts() -> None:
    host = started(**{**ACTIVE, "width_ticks": 300, "recharge": Recharge.PASSIVE})
    # In the middle of a pulse: charge is left on the contacts.
    host.live_until(940 * MS + 150_000)
    host.core.inject("reset", host.now_ns)
    host.silent_until(host.now_ns)
    left = [abs(one.volt) for one in host.core.tissue.contacts.values()]
    assert max(left) < 1e-6
    host.hello(nonce=2)
    host.beat_ns = host.now_ns
    host.live_until(host.now_ns)
    assert isinstance(host.ask(m.Clear(StopCause.POWER_LOST, FaultCode.NONE)), m.ClearReply)
    assert host.fire().start_tick * 1_000 >= 100 * MS


@pytest.mark.parametrize("name", presets())
def test_the_monitor_finds_nothing_in_any_preset(name: str) -> None:
    source = load_preset(name)
    kind = profile(source.therapy)
    core = DeviceCore(kind, leads=[lead(one) for one in source.leads])
    image = compile_program(source, kind.capabilities.grid).image
    engine = PulseEngine(image, core.tissue, core.physics(), closed_form=False)
    monitor = OutputMonitor(engine)
    for moment in range(1, 500):
        engine.advance(moment * 10 * MS // image.grid.tick_ns)
        assert monitor.look(moment * 10 * MS, works=True) is None


def test_the_monitor_finds_nothing_in_a_preset_that_is_summed_in_long_stretches() -> None:
    image = compile_program(load_preset("tonic"), profile("scs").capabilities.grid).image
    core = device("scs")
    engine = PulseEngine(image, core.tissue, core.physics())
    monitor = OutputMonitor(engine)
    for minute in range(1, 30):
        engine.advance(minute * 60_000 * MS // image.grid.tick_ns)
        assert monitor.look(minute * 60_000 * MS, works=True) is None


@pytest.mark.parametrize("name", ["clock-fast", "clock-slow"])
def test_an_outside_observer_sees_the_time_base_change_where_it_did(name: str, tmp_path: Path) -> None:
    host = started(device("scs", traces=tmp_path, time_base="free", ppm=100))
    host.live_until(901 * MS)
    host.core.inject(name, 901 * MS)
    host.live_until(1_500 * MS)
    host.core.close()
    table, _ = read_trace(tmp_path / "SIM-dose0001.npz")
    starts = sorted({int(one) for one in table.start_ns[table.kind == 0]})
    before = [b - a for a, b in itertools.pairwise(starts) if b < 901 * MS]
    # 20 ms by the device's clock, which is 100 ppm fast; nothing of the change reaches back.
    assert set(before) <= {19_998_000, 19_998_001, 19_997_999}
    assert starts[-1] < 915 * MS
    ends = table.start_ns + table.duration_ns
    # The short of 100 ms by a clock that is 5 % off, after at most 10 ms.
    lasted = 100 * MS * 100 // (105 if name == "clock-fast" else 95)
    assert 901 * MS + lasted < ends.max() < 911 * MS + lasted + 25_000


def test_a_clipped_active_pulse_is_an_imbalance_that_is_seen_within_a_look() -> None:
    core = device("scs")
    host = started(core, **{**ACTIVE, "width_ticks": 300, "amplitude_na": 6_000_000})
    host.live_until(900 * MS)
    core.tissue.contacts[3].series_ohm = 3_500.0
    core.body_changed()
    at = host.now_ns
    host.live_until(at + 400 * MS)
    assert latched(host) == (DeviceState.FAULT, FaultCode.CHARGE_IMBALANCE)
    [clipped] = host.of(m.Compliance)
    assert (host.core.memory.doses[-1].end_tick - clipped.at_tick) * 1_000 <= 150 * MS
