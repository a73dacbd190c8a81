"""Every fault by its name: at once and at its time, while output is on and while it is off."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurostim.conformance import read_trace
from neurostim.core.errors import ConfigError
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, FaultCode, StopCause
from neurostim_sim.core import DeviceCore
from neurostim_sim.faults import DEVICE_FAULTS, parse_fault
from neurostim_sim.hardware import BATTERY_SECONDS
from neurostim_sim.main import main
from neurostim_sim.profiles import profile
from neurostim_sim.servers.line import LINE_FAULTS
from neurostim_sim.settings import from_url
from neurostim_sim.store import MemoryMedium
from support.sim_bench import MS, SimHost, device, tonic

S = 1_000 * MS
# What each fault leaves of a dose under way: state, fault, cause.
ENDS = {
    "open": (DeviceState.FAULT, FaultCode.OPEN_CIRCUIT),
    "short": (DeviceState.FAULT, FaultCode.SHORT_CIRCUIT),
    "heal": (DeviceState.DELIVERING, FaultCode.NONE),
    "drift": (DeviceState.DELIVERING, FaultCode.NONE),
    "migration": (DeviceState.DELIVERING, FaultCode.NONE),
    "unplug-lead": (DeviceState.FAULT, FaultCode.LEAD_UNPLUGGED),
    "plug-lead": (DeviceState.DELIVERING, FaultCode.NONE),
    "mismatch": (DeviceState.DELIVERING, FaultCode.NONE),
    "dead-battery": (DeviceState.FAULT, FaultCode.BATTERY),
    "brown-out": (DeviceState.FAULT, FaultCode.BROWN_OUT),
    "reset": (DeviceState.STOPPED, FaultCode.NONE),
    "hang": (DeviceState.FAULT, FaultCode.WATCHDOG),
    "stuck-sensor": (DeviceState.FAULT, FaultCode.SENSOR),
    "source-high": (DeviceState.FAULT, FaultCode.SOURCE),
    "source-low": (DeviceState.FAULT, FaultCode.SOURCE),
    "no-recovery": (DeviceState.FAULT, FaultCode.CHARGE_IMBALANCE),
    "clock-fast": (DeviceState.FAULT, FaultCode.CLOCK),
    "clock-slow": (DeviceState.FAULT, FaultCode.CLOCK),
    "flip-current": (DeviceState.FAULT, FaultCode.LIMIT),
    "flip-slot": (DeviceState.DELIVERING, FaultCode.NONE),
    "flip-store": (DeviceState.DELIVERING, FaultCode.NONE),
}


def delivering(core: DeviceCore | None = None) -> SimHost:
    host = SimHost(core or device("scs"))
    host.start(tonic())
    host.live_until(900 * MS)
    assert host.core.state is DeviceState.DELIVERING
    return host


def test_every_fault_has_its_line_in_the_document() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    for name, meaning in {**DEVICE_FAULTS, **LINE_FAULTS}.items():
        assert f"| `{name}` | {meaning} |" in text
    assert set(ENDS) == set(DEVICE_FAULTS)


@pytest.mark.parametrize("name", DEVICE_FAULTS)
@pytest.mark.parametrize("ahead_ns", [0, 123_456_789])
def test_a_fault_in_a_dose_does_what_is_said_at_its_time_and_not_before(name: str, ahead_ns: int) -> None:
    host = delivering()
    at = host.now_ns + ahead_ns
    host.core.inject(name, at)
    host.live_until(max(host.now_ns, at - 1))
    if ahead_ns:
        assert host.core.state is DeviceState.DELIVERING
    host.live_until(at + 1_200 * MS)
    state, fault = ENDS[name]
    assert (host.core.state, host.core.memory.fault) == (state, fault)
    if state is DeviceState.DELIVERING:
        return
    assert not host.core.output_on
    assert host.core.memory.dose_count == 1
    assert host.core.memory.doses[-1].cause in (StopCause.FAULT, StopCause.POWER_LOST)
    # Whatever heals, nothing resumes.
    for cure in ("heal", "plug-lead"):
        host.core.inject(cure, host.now_ns)
    pulses = host.core.memory.doses[-1].areas
    host.live_until(host.now_ns + 3 * S)
    assert host.core.state is state
    assert host.core.memory.doses[-1].areas == pulses


@pytest.mark.parametrize("name", DEVICE_FAULTS)
def test_a_fault_with_output_off_starts_nothing(name: str) -> None:
    core = device("scs")
    core.inject(name, 20 * MS)
    core.advance(3 * S)
    assert not core.output_on
    assert core.memory.dose_count == 0
    assert core.state in (DeviceState.IDLE, DeviceState.FAULT)


@pytest.mark.parametrize("name", [*DEVICE_FAULTS, *LINE_FAULTS])
def test_a_fault_is_accepted_by_name_time_and_address(name: str) -> None:
    assert parse_fault(f"{name}@2.5 s") == (name, 2_500 * MS)
    from_url(f"sim://scs?fault={name}").switch_on().advance(S)


@pytest.mark.parametrize(
    "text", ["", "opens", "open:", "open:99", "open@", "open@soon", "late:3", "open:3:4"]
)
def test_what_is_no_fault_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        from_url(f"sim://scs?fault={text}").switch_on()
    assert main(["--tcp", "127.0.0.1:0", "--fault", text]) == 2
    assert capsys.readouterr().err


def test_drift_and_migration_change_resistances_as_said() -> None:
    core = device("scs", seed=7)
    before = {number: one.series_ohm for number, one in core.tissue.contacts.items()}
    core.inject("drift", 0)
    core.advance(1)
    drifted = {number: one.series_ohm for number, one in core.tissue.contacts.items()}
    assert drifted == pytest.approx({number: 1.4 * ohm for number, ohm in before.items()})
    core.inject("migration", 1)
    core.advance(2)
    parts = {number: one.series_ohm / drifted[number] for number, one in core.tissue.contacts.items()}
    assert all(0.8 <= part <= 1.2 for part in parts.values())
    assert len({round(part, 4) for part in parts.values()}) > 8


@pytest.mark.hazard("battery-end")
def test_the_battery_runs_down_while_output_is_on_and_ends_it_empty() -> None:
    host = delivering()
    host.core.battery = 2
    host.core.hardware.drained_s = BATTERY_SECONDS * 998 // 1000
    host.live_until(host.now_ns + 200 * S)
    assert (host.core.state, host.core.memory.fault) == (DeviceState.FAULT, FaultCode.BATTERY)
    refused = host.ask(m.Clear(StopCause.FAULT, FaultCode.BATTERY))
    assert refused.code is ErrorCode.CAUSE_PRESENT


@pytest.mark.hazard("resume")
def test_a_brown_out_in_a_dose_is_told_after_the_restart_and_blocks_until_cleared() -> None:
    medium = MemoryMedium()
    host = delivering(device("scs", medium=medium))
    boots = host.core.memory.boot_count
    host.core.inject("brown-out", host.now_ns)
    host.silent_until(host.now_ns + 1)
    assert host.core.memory.boot_count == boots + 1
    assert not host.core.sessions.open
    host.hello(nonce=2)
    host.beat_ns = host.now_ns
    host.live_until(host.now_ns + 300 * MS)
    refused = host.ask(m.Arm(m.ArmKind.STIMULATION, 0, host.core.memory.slots[0].digest, b"\7" * 32))
    assert refused.code is ErrorCode.LATCHED
    fresh = DeviceCore(profile("scs"), medium=medium)
    assert fresh.state is DeviceState.FAULT
    assert isinstance(host.ask(m.Clear(StopCause.FAULT, FaultCode.BROWN_OUT)), m.ClearReply)
    host.fire()
    assert host.core.memory.dose_count == 2


@pytest.mark.hazard("stuck-device")
def test_a_hung_processor_answers_nothing_and_output_ends_with_the_watchdog() -> None:
    host = delivering()
    host.core.inject("hang", host.now_ns)
    at = host.now_ns
    host.silent_until(at + 1)
    assert host.ask_anyway(m.Stop()) is None
    host.live_until(at + 499 * MS)
    assert host.core.state is DeviceState.DELIVERING
    assert not host.heard()
    host.live_until(at + 500 * MS)
    assert host.core.state is DeviceState.FAULT
    assert not host.core.output_on


@pytest.mark.hazard("stuck-sensor")
def test_a_stuck_sensor_is_found_within_a_second_and_refuses_every_start() -> None:
    host = delivering()
    host.core.inject("stuck-sensor", host.now_ns)
    host.core.inject("open:3", host.now_ns)
    host.live_until(host.now_ns + 1_010 * MS)
    assert (host.core.state, host.core.memory.fault) == (DeviceState.FAULT, FaultCode.SENSOR)
    assert host.ask(m.Clear(StopCause.FAULT, FaultCode.SENSOR)).code is ErrorCode.CAUSE_PRESENT


@pytest.mark.hazard("replug")
@pytest.mark.parametrize("out_ns", [1, 3_000_000, 17_000_000, 300_000_000])
def test_a_lead_out_and_in_never_jolts_and_only_a_deliberate_start_ramps_again(
    out_ns: int, tmp_path: Path
) -> None:
    host = delivering(device("scs", traces=tmp_path))
    host.core.inject("unplug-lead", host.now_ns)
    host.core.inject("plug-lead", host.now_ns + out_ns)
    host.live_until(host.now_ns + 2 * S)
    assert host.core.memory.fault == FaultCode.LEAD_UNPLUGGED
    assert isinstance(host.ask(m.Clear(StopCause.FAULT, FaultCode.LEAD_UNPLUGGED)), m.ClearReply)
    host.live_until(host.now_ns + 1 * S)
    assert not host.core.output_on
    host.fire()
    host.live_until(host.now_ns + 1 * S)
    host.core.close()
    table, _ = read_trace(tmp_path / "SIM-dose0002.npz")
    first = abs(table.amplitude_na[(table.kind == 0) & (table.start_ns < 100 * MS)])
    assert len(first)
    assert first.max() <= 400_000
