"""The gated impedance program as a host sees it: values, balance, retries, refusals, stops."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim.electrode.library import lead
from neurostim.wire import messages as m
from neurostim.wire.messages import ContactStatus, DeviceState, ErrorCode, StopCause
from support.sim_bench import MS, SimHost, device, tonic

WIDTH_S = 50e-6
ALL = 0xFF


def host_of(**more: Any) -> SimHost:
    host = SimHost(device("scs", **more))
    host.hello()
    host.live_until(0)
    return host


def measured(host: SimHost, mask: int = ALL) -> dict[int, m.ContactReading]:
    started = host.measure(mask)
    assert isinstance(started, m.ImpedanceFireReply)
    host.live_until(host.now_ns + 1_500 * MS)
    [result] = host.of(m.ImpedanceResult)
    assert result.dose_number == started.dose_number
    assert host.ask(m.ImpedanceRead()).readings == result.readings
    return {one.contact: one for one in result.readings}


def circuit_ohm(host: SimHost, contact: int) -> tuple[float, float]:
    """A contact against all others tied, by the circuit alone: at once, and at the end of 50 us."""
    contacts = host.core.tissue.contacts
    own = contacts[contact]
    others = [one for number, one in contacts.items() if number != contact]
    series = own.present_ohm + 1 / sum(1 / one.present_ohm for one in others)
    farad = sum(one.circuit.double_layer_nf for one in others) * 1e-9
    return series, series + WIDTH_S * (1e9 / own.circuit.double_layer_nf + 1 / farad)


def test_what_is_measured_is_the_circuit_to_one_percent() -> None:
    host = host_of(series_ohm={1: 300, 2: 1500, 3: 777, 4: 3900})
    readings = measured(host)
    assert sorted(readings) == list(range(1, 9))
    for contact, one in readings.items():
        early, late = circuit_ohm(host, contact)
        assert one.status is ContactStatus.OK
        assert one.series_ohm == pytest.approx(early, rel=0.01)
        assert one.late_ohm == pytest.approx(late, rel=0.01)
        assert one.current_na == 500_000
        assert 1 <= one.pulses <= 10


@pytest.mark.hazard("open-short")
def test_open_short_and_clipped_contacts_are_told_from_whole_ones() -> None:
    host = host_of(series_ohm={4: 60_000, 5: 400_000})
    host.core.inject("open:2", 0)
    host.core.inject("short:3", 0)
    readings = measured(host)
    status = {contact: one.status for contact, one in readings.items()}
    assert status[1] is ContactStatus.OK
    assert status[2] is ContactStatus.OPEN
    assert status[3] is ContactStatus.SHORT
    # 18 V through 60 kohm: 0.5 mA clips, 0.1 mA does not; through 400 kohm that clips too.
    assert (status[4], readings[4].current_na) == (ContactStatus.OK, 100_000)
    assert status[5] is ContactStatus.CLIPPED
    assert readings[5].current_na < 100_000
    assert all(one.pulses <= 10 for one in readings.values())


def test_a_measurement_is_balanced_and_counted_as_a_dose() -> None:
    host = host_of()
    counters = host.ask(m.Counters(1))
    readings = measured(host)
    after = host.ask(m.Counters(1))
    assert after.dose_count == counters.dose_count + 1
    for contact in range(1, 9):
        pulses, cathodic, anodic, recovered = host.core.memory.contacts[contact]
        assert cathodic - anodic - recovered == 0
        assert cathodic == readings[contact].pulses * 500_000 * 50_000
        assert pulses >= readings[contact].pulses
    total = [sum(values[place] for values in host.core.memory.contacts.values()) for place in (1, 2)]
    assert total[0] == total[1]
    record = host.core.memory.doses[-1]
    assert (record.running, record.cause) == (False, StopCause.COMPLETED)
    assert host.core.state is DeviceState.IDLE


def test_it_is_refused_while_delivering_and_never_starts_from_a_stimulation_token() -> None:
    host = host_of()
    host.load(tonic())
    armed = host.arm()
    refused = host.ask(m.ImpedanceFire(armed.token, armed.dose_count, ALL))
    assert refused.code is ErrorCode.TOKEN_INVALID
    host.fire()
    host.live_until(host.now_ns + 300 * MS)
    for request in (
        m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32)),
        m.ImpedanceFire(armed.token, 1, ALL),
    ):
        assert host.ask(request).code is ErrorCode.WRONG_STATE
    assert host.core.state is DeviceState.DELIVERING
    assert not host.of(m.ImpedanceResult)


@pytest.mark.parametrize(
    ("stop", "state", "cause"),
    [
        (m.Stop(), DeviceState.STOPPED, StopCause.STOP),
        (m.EmergencyStop(), DeviceState.STOPPED, StopCause.EMERGENCY_STOP),
        (m.SoftStop(), DeviceState.IDLE, StopCause.SOFT_STOP),
        (None, DeviceState.STOPPED, StopCause.DEAD_MAN),
    ],
)
def test_a_stop_within_ends_it_with_what_was_read(stop: Any, state: DeviceState, cause: StopCause) -> None:
    host = host_of()
    assert isinstance(host.measure(0xFFFFFFFF), m.ImpedanceFireReply)
    assert host.core.state is DeviceState.MEASURING
    if stop is None:
        host.silent_until(host.now_ns + 320 * MS)
    else:
        host.live_until(host.now_ns + 50 * MS)
        host.ask(stop)
    assert host.core.state is state
    assert not host.core.output_on
    before = dict(host.core.memory.contacts)
    host.silent_until(host.now_ns + 2_000 * MS)
    assert host.core.memory.contacts == before
    [result] = host.of(m.ImpedanceResult)
    assert not result.complete
    assert len(result.readings) < 32
    record = host.core.memory.doses[-1]
    assert (record.cause, record.running) == (cause, False)


def test_the_return_pad_is_measured_where_there_is_one() -> None:
    pad = lead("open-coil")
    assert pad.return_pad is not None
    host = SimHost(device("pns"))
    host.hello()
    host.live_until(0)
    readings = measured(host, 1 | 1 << 32)
    assert sorted(readings) == [1, 255]
    assert readings[255].series_ohm == pytest.approx(circuit_ohm(host, 255)[0], rel=0.01)
