"""A device whose process is killed in mid-dose: what it remembers covers what flowed, and it stays shut."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurostim.cli.demo_device import SimulatedDevice
from neurostim.cli.demo_keys import PassingKeys, pair
from neurostim.core.program_file import parse_program
from neurostim.core.schedule import Schedule
from neurostim.device import CommandRefused, LifeCounters, SystemClock
from neurostim.device.native import NativeStimulator
from neurostim.electrode.library import lead
from neurostim.session import Session, in_flight, resolve_with_device
from neurostim.wire.messages import DeviceState, ErrorCode, EventCode, FaultCode, StopCause
from support.killed_host import PROGRAM

SEED = 4
LONGEST_S = 2.6
CATHODE, ANODE = 3, 5


@dataclass(frozen=True)
class Dose:
    """A dose that was cut short: where its journal is, and the most that can have flowed of it [aC]."""

    number: int
    folder: Path
    flowed_ac: int
    heard_ac: int
    boots: int
    before: LifeCounters


class Devices:
    """Devices with one memory, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.device = self._switch_on()
        self.keys: PassingKeys = pair(self.device.url, self.device.label_code)[0]

    def _switch_on(self) -> SimulatedDevice:
        options = ["--tcp", "127.0.0.1:0", "--profile", "scs", "--lead", "octrode"]
        return SimulatedDevice([*options, "--store", str(self._folder / "store")], self._folder / "log")

    def kill(self) -> int:
        """End the process where it stands; returns when it had certainly ended [ns]."""
        os.kill(self.device.pid, signal.SIGKILL)
        ended_ns = time.monotonic_ns()
        self.device.close()
        return ended_ns

    def close(self) -> None:
        """End the present one."""
        self.device.close()

    def restart(self) -> None:
        """Switch on again, with the same memory."""
        self.device = self._switch_on()

    def stimulator(self) -> NativeStimulator:
        """Its host's end, under the key."""
        return NativeStimulator(self.device.url, keys=self.keys)


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Devices]:
    with ExitStack() as stack:
        made = Devices(tmp_path)
        stack.callback(made.close)
        yield made


def cut_short(devices: Devices, folder: Path, after_s: float) -> Dose:
    """Deliver, and kill the device so long after the start."""
    with devices.stimulator() as stimulator:
        stimulator.open()
        session = Session(stimulator, parse_program(PROGRAM), [lead("octrode")], folder)
        session.open()
        session.measure()
        session.check()
        approved = session.approve()
        session.load()
        before = stimulator.counters().result()
        started = session.start()
        session.run_for(after_s)
        fit = stimulator.clock_fit()
        assert fit is not None
        boots = stimulator.status().result().boot_count
        killed_ns = devices.kill()
        while not session.link_lost:
            session.watch()
        heard_ac = 0 if session.live is None else session.live.areas[0].stim_ac
        session.close()
    tick_ns = approved.image.grid.tick_ns
    lasted_ns = killed_ns + fit.offset_ns + fit.bound_ns - started.start_tick * tick_ns
    flowed = Schedule.from_image(approved.image).dose(lasted_ns).areas[0]
    return Dose(started.dose_number, folder, flowed.stimulation_ac, heard_ac, boots, before)


def is_shut_to_strangers(devices: Devices) -> None:
    with NativeStimulator(devices.device.url) as stranger, pytest.raises(CommandRefused) as refused:
        stranger.open()
    assert refused.value.refusal is ErrorCode.AUTHENTICATION_REQUIRED


def remembers(devices: Devices, dose: Dose) -> None:
    """The memory of a device after a dose that it did not see the end of."""
    clock = SystemClock()
    with devices.stimulator() as stimulator:
        stimulator.open()
        status = stimulator.status().result()
        assert (status.state, status.stop_cause) == (DeviceState.STOPPED, StopCause.POWER_LOST)
        assert not status.output_on
        assert (status.boot_count, status.dose_count) == (dose.boots + 1, dose.number)
        kept = stimulator.dose(dose.number).result()
        assert (kept.running, kept.stop_cause) == (False, StopCause.POWER_LOST)
        before = {one.contact: one for one in dose.before.contacts}
        after = {one.contact: one for one in stimulator.counters().result().contacts}
        assert dose.flowed_ac >= dose.heard_ac > 0
        assert after[CATHODE].cathodic_ac - before[CATHODE].cathodic_ac >= dose.flowed_ac
        assert after[ANODE].anodic_ac - before[ANODE].anodic_ac >= dose.flowed_ac
        for contact, one in before.items():
            now = after[contact]
            assert (now.pulses, now.cathodic_ac, now.anodic_ac) >= (
                one.pulses,
                one.cathodic_ac,
                one.anodic_ac,
            )
        log = stimulator.log().result()
        assert [one.dose_number for one in log if one.code is EventCode.CHARGE_BOUND][-1] == dose.number
        (start,) = in_flight(dose.folder)
        found = resolve_with_device(
            start, stimulator, monotonic_ns=clock.monotonic_ns, wall_text=clock.wall_text
        )
        assert found.delivered is True
        assert found.evidence["stop_cause"] == "POWER_LOST"
        assert in_flight(dose.folder) == ()
        stimulator.clear(StopCause.POWER_LOST, FaultCode.NONE).result()


def killed_again_and_again(devices: Devices, folder: Path, times: int) -> None:
    chance = random.Random(SEED)
    for number in range(times):
        dose = cut_short(devices, folder / f"host-{number}", chance.uniform(0.3, LONGEST_S))
        devices.restart()
        is_shut_to_strangers(devices)
        remembers(devices, dose)


@pytest.mark.hazard("lost-charge")
def test_a_device_killed_in_mid_dose_remembers_at_least_what_flowed(devices: Devices, tmp_path: Path) -> None:
    killed_again_and_again(devices, tmp_path, 3)


@pytest.mark.long
def test_a_device_killed_twenty_times_remembers_at_least_what_flowed(
    devices: Devices, tmp_path: Path
) -> None:
    killed_again_and_again(devices, tmp_path, 20)
