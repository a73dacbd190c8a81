"""An open contact with output off: what CLEAR cannot see, and how soon the next start finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, FaultCode, StopCause
from support.sim_bench import MS, SimHost, device, tonic

S = 1_000 * MS
OPEN = m.Clear(StopCause.FAULT, FaultCode.OPEN_CIRCUIT)
FINDS_WITHIN = 3
"""Pulses that carry current; docs/safety/not-protected.md says so."""
MOST_NA = 100
"""More than a broken wire passes on the whole rail, 17 nA; the program has 2 mA."""


def faulted(name: str, folder: Path, **changes: Any) -> SimHost:
    """A device that has latched a fault while it delivered."""
    host = SimHost(device("scs", traces=folder))
    host.start(tonic("scs", **changes))
    host.live_until(3 * S)
    assert host.core.state is DeviceState.DELIVERING
    host.core.inject(name, host.now_ns)
    host.live_until(host.now_ns + 2 * S)
    assert host.core.state is DeviceState.FAULT
    assert not host.core.output_on
    return host


def driven(folder: Path, dose: int) -> tuple[set[int], int]:
    """Units of a dose in which current was commanded and flowed, and its largest magnitude [nA]."""
    [path] = folder.glob(f"*-dose{dose:04}.npz")
    with np.load(path) as rows:
        stim = rows["kind"] == "stim"
        return {int(one) for one in rows["unit"][stim]}, int(
            np.abs(rows["amplitude_na"][stim]).max(initial=0)
        )


@pytest.mark.hazard("open-short")
@pytest.mark.parametrize("contact", [3, 5])
@pytest.mark.parametrize("rate_hz", [2, 40, 1000])
@pytest.mark.parametrize("ramp_ns", [500 * MS, 2 * S])
def test_a_wire_that_is_still_broken_is_not_seen_by_clear_and_found_within_three_pulses_of_the_next_start(
    contact: int, rate_hz: int, ramp_ns: int, tmp_path: Path
) -> None:
    period = {"period_num": S // rate_hz, "period_den": 1}
    host = faulted(f"open:{contact}", tmp_path, ramp_up_ns=ramp_ns, **period)
    assert isinstance(host.ask(OPEN), m.ClearReply)
    assert host.core.state is DeviceState.IDLE
    host.fire()
    begun_ns = host.now_ns
    host.live_until(begun_ns + 4 * S)
    assert (host.core.state, host.core.memory.fault) == (DeviceState.FAULT, FaultCode.OPEN_CIRCUIT)
    assert [one.contact for one in host.of(m.Fault)] == [contact, contact]
    units, most_na = driven(tmp_path, 2)
    assert len(units) == FINDS_WITHIN
    assert most_na <= MOST_NA


@pytest.mark.hazard("open-short")
def test_a_contact_that_has_mended_meanwhile_is_delivered_to(tmp_path: Path) -> None:
    host = faulted("open:3", tmp_path)
    host.core.inject("heal", host.now_ns)
    host.live_until(host.now_ns + S)
    assert isinstance(host.ask(OPEN), m.ClearReply)
    host.fire()
    host.live_until(host.now_ns + 2 * S)
    assert host.core.state is DeviceState.DELIVERING


@pytest.mark.hazard("replug")
def test_a_lead_that_is_out_is_seen_with_output_off_and_keeps_the_fault(tmp_path: Path) -> None:
    host = faulted("open:3", tmp_path)
    host.core.inject("unplug-lead", host.now_ns)
    host.live_until(host.now_ns + S)
    assert host.ask(OPEN).code is ErrorCode.CAUSE_PRESENT
    assert host.core.state is DeviceState.FAULT
    host.core.inject("plug-lead", host.now_ns)
    host.live_until(host.now_ns + S)
    assert isinstance(host.ask(OPEN), m.ClearReply)


def test_the_page_on_what_is_not_achieved_says_how_many_pulses() -> None:
    page = Path(__file__).parents[2] / "docs" / "safety" / "not-protected.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert f"within {FINDS_WITHIN} pulses that carry current" in text
