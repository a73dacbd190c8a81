"""Hosts killed one after the other at one living device, and what journal and device then say of each."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import pytest

from neurostim.cli.demo_device import SimulatedDevice
from neurostim.cli.demo_keys import pair
from neurostim.core.program_file import parse_program
from neurostim.device import DoseRecord, SystemClock
from neurostim.device.native import NativeStimulator
from neurostim.electrode.library import lead
from neurostim.session import Session, SessionError, in_flight, read_journal, resolve_with_device
from neurostim.session.journal import Record
from neurostim.wire.messages import ArmKind, DeviceState, EventCode, Role
from support.killed_host import PLACES, PROGRAM

DEAD_MAN_NS: Final = 300_000_000
RAMP_NS: Final = 200_000_000
QUIET_SECONDS: Final = 5.0
HOST: Final = Path(__file__).with_name("killed_host.py")


@dataclass(frozen=True)
class Killed:
    """One kill.

    ``known`` is ``settled`` (no start was open), ``not delivered``, ``delivered`` or ``uncertain``. Whether
    output was on when the host died is ``on``, how long after that the last pulse ended by the clock of the
    device ``silent_ns`` [ns], and how many doses it had counted in that session ``doses``. ``late_ns`` is how
    long after the kill the dead-man was fed for the last time: a heartbeat still lay in the line [ns].
    """

    place: str
    known: str
    on: bool
    silent_ns: int
    late_ns: int
    doses: int


class Campaign:
    """One device that stays alive, and the warm parent of the hosts that do not.

    Parameters
    ----------
    folder : Path
    line : str
        ``pty`` or ``tcp``.
    seed : int
    """

    def __init__(self, folder: Path, line: str, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(f"{line} {seed}")
        port = ["--tcp", "127.0.0.1:0"] if line == "tcp" else ["--pty", str(folder / "stimulator")]
        options = ["--profile", "scs", "--lead", "octrode", "--store", str(folder / "store")]
        self._traces = folder / "traces"
        self._device = SimulatedDevice([*port, *options, "--trace", str(self._traces)], folder / "log")
        self._hosts = subprocess.Popen(
            [sys.executable, str(HOST)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._count = self._doses = 0
        self._clock = SystemClock()
        self._keys, paired = pair(self._device.url, self._device.label_code)
        self._serial = paired.serial_number

    def __enter__(self) -> Campaign:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hosts.communicate()
        self._device.close()

    def kill(self, place: str) -> Killed:
        """Run a host up to a place, kill it there, and hold journal and device against each other.

        Raises
        ------
        AssertionError
            Where they contradict each other; the device is ready for the next host all the same.
        """
        self._count += 1
        folder = self._folder / f"host-{self._count:04}"
        folder.mkdir()
        told = self._order(place, folder)
        with NativeStimulator(self._device.url, keys=self._keys) as stimulator:
            # As the same host does when it is started again, at once, while the dead one's output may be on.
            stimulator.open()
            doses = self._until_quiet(stimulator)
            try:
                why = folder / "error"
                text = why.read_text() if why.exists() else "no error"
                assert told["reached"], f"it never came there: {text}"
                assert told["killed"], f"it ended before it was killed: {text}"
                return self._account(stimulator, place, folder, doses, told["after_ns"])
            finally:
                self._doses += len(doses)
                self._release(stimulator)

    def _order(self, place: str, folder: Path) -> dict[str, Any]:
        within_us = next(one.within_us for one in PLACES if one.name == place)
        key = self._keys.get(self._serial)
        assert key is not None
        order = {
            "url": self._device.url,
            "folder": str(folder),
            "serial": self._serial,
            "key": key.key.hex(),
            "host_id": key.host_id.hex(),
            "place": place,
            "delay_us": self._chance.randint(0, within_us),
            "seed": self._chance.getrandbits(32),
        }
        assert self._hosts.stdin is not None
        assert self._hosts.stdout is not None
        self._hosts.stdin.write(json.dumps(order) + "\n")
        self._hosts.stdin.flush()
        told: dict[str, Any] = json.loads(self._hosts.stdout.readline())
        return told

    def _until_quiet(self, stimulator: NativeStimulator) -> list[DoseRecord]:
        """Wait until the output is off; returns the doses since the host before."""
        end_ns = time.monotonic_ns() + round(QUIET_SECONDS * 1e9)
        while (status := stimulator.status().result()).output_on:
            assert time.monotonic_ns() < end_ns, f"output is on {QUIET_SECONDS:g} s after the kill"
            stimulator.wait(0.02)
            stimulator.take_critical()
        return [stimulator.dose(number).result() for number in range(self._doses + 1, status.dose_count + 1)]

    def _account(
        self,
        stimulator: NativeStimulator,
        place: str,
        folder: Path,
        doses: list[DoseRecord],
        killed_ns: int,
    ) -> Killed:
        records = [one for path in folder.glob("*.jsonl") for one in read_journal(path).records]
        _every_dose_was_announced(records, doses, place)
        for dose in doses:
            if dose.kind is ArmKind.STIMULATION:
                self._agrees_with_trace(dose)
        _journal_claims_no_more(records, doses)
        ends = [self._end(stimulator, dose, killed_ns) for dose in doses]
        silent_ns, late_ns = (
            max(values, default=0) for values in (zip(*ends, strict=True) if ends else ((), ()))
        )
        known = self._resolve(stimulator, folder, records, doses)
        return Killed(place, known, silent_ns > 0, max(silent_ns, 0), max(late_ns, 0), len(doses))

    def _end(self, stimulator: NativeStimulator, dose: DoseRecord, killed_ns: int) -> tuple[int, int]:
        """How long after the kill, at most, the last pulse ended and the dead-man was last fed [ns]."""
        while (fit := stimulator.clock_fit()) is None:
            assert stimulator.status().result().boot_count == 1
        tick_ns = stimulator.capabilities.grid.tick_ns
        if dose.kind is ArmKind.STIMULATION:
            rows = self._rows(dose.number)
            last_ns = int((rows["start_ns"] + rows["duration_ns"]).max(initial=0))
            ramps = [
                one["at_ticks"] * tick_ns for one in self._commands(dose.number) if one["name"] == "ramp_down"
            ]
            assert all(last_ns <= ramp_ns + RAMP_NS for ramp_ns in ramps)
        else:
            ramps = []
            last_ns = (dose.end_tick - dose.start_tick) * tick_ns
        # The device's log has to bear the dose's beginning out.
        began = EventCode.DOSE_STARTED, dose.number
        log = stimulator.log().result()
        starts = [one for one in log if (one.code, one.dose_number) == began]
        assert len(starts) == 1
        assert dose.start_tick * tick_ns // 1000 >= starts[0].clock_us
        origin_ns = dose.start_tick * tick_ns - (killed_ns + fit.offset_ns - fit.bound_ns)
        fed_ns = [ramp_ns - DEAD_MAN_NS + origin_ns for ramp_ns in ramps]
        return origin_ns + last_ns, max(fed_ns, default=0)

    def _commands(self, number: int) -> list[dict[str, Any]]:
        """What the output was told in a dose, by its own record."""
        path = self._traces / f"{self._serial}-dose{number:04}.json"
        told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["commands"]
        return told

    def _rows(self, number: int) -> dict[str, Any]:
        path = self._traces / f"{self._serial}-dose{number:04}.npz"
        with np.load(path) as table:
            rows = {name: table[name] for name in table}
        stimulating = rows["kind"] == "stim"
        return {name: values[stimulating] for name, values in rows.items()}

    def _agrees_with_trace(self, dose: DoseRecord) -> None:
        """The device's figures are what flowed at its electrode, to the attocoulomb."""
        assert not dose.running
        rows = self._rows(dose.number)
        cathode = rows["amplitude_na"] < 0
        (area,) = dose.areas
        charge = int((-rows["amplitude_na"] * rows["duration_ns"])[cathode].sum())
        assert (area.pulses, area.stim_ac) == (int(cathode.sum()), charge), dose.number

    def _resolve(
        self, stimulator: NativeStimulator, folder: Path, records: list[Record], doses: list[DoseRecord]
    ) -> str:
        starts = in_flight(folder)
        if not starts:
            _what_is_settled_agrees(records, doses)
            return "settled"
        (start,) = starts
        self._is_refused(folder)
        try:
            found = resolve_with_device(
                start, stimulator, monotonic_ns=self._clock.monotonic_ns, wall_text=self._clock.wall_text
            )
        except SessionError:
            assert in_flight(folder) == (start,)
            self._is_refused(folder)
            return "uncertain"
        assert in_flight(folder) == ()
        its = [dose for dose in doses if dose.number == start.expected_dose_count + 1]
        assert found.delivered is bool(its)
        if not its:
            return "not delivered"
        _evidence_agrees(found.evidence, its[0])
        return "delivered"

    def _is_refused(self, folder: Path) -> None:
        """While a start is open, no session begins."""
        nobody = NativeStimulator(self._device.url, keys=self._keys)
        with pytest.raises(SessionError) as caught:
            Session(nobody, parse_program(PROGRAM), [lead("octrode")], folder).open()
        assert caught.value.code == "session-in-flight"

    def _release(self, stimulator: NativeStimulator) -> None:
        """Take control from the dead and what is latched away, so that the next host can begin."""
        if stimulator.role is not Role.CONTROL:
            stimulator.take_control()
        status = stimulator.status().result()
        if status.state in (DeviceState.STOPPED, DeviceState.FAULT):
            stimulator.clear(status.stop_cause, status.fault).result()


def _every_dose_was_announced(records: list[Record], doses: list[DoseRecord], place: str) -> None:
    announced = [one.data for one in records if one.kind == "start_intended"]
    for dose in doses:
        kind = "stimulation" if dose.kind is ArmKind.STIMULATION else "impedance"
        digest = dose.image_sha256.hex() if kind == "stimulation" else ""
        expected = (kind, dose.number - 1, digest)
        found = [(one["kind"], one["expected_dose_count"], one["image_sha256"]) for one in announced]
        assert found.count(expected) == 1, f"dose {dose.number} was never announced; killed {place}"


def _journal_claims_no_more(records: list[Record], doses: list[DoseRecord]) -> None:
    """What the journal says was delivered up to some moment, the device has counted too."""
    counted = {dose.number: dose.areas for dose in doses}
    for one in records:
        if one.kind == "started":
            assert one.data["dose_number"] in counted
        if one.kind == "alive" and one.data:
            for area, _, pulses, charge in one.data["areas"]:
                held = counted[one.data["dose_number"]][area]
                assert held.pulses >= pulses
                assert held.stim_ac >= charge


def _what_is_settled_agrees(records: list[Record], doses: list[DoseRecord]) -> None:
    """Every dose of the device has its end on record, and the reconciliation agreed."""
    ends: dict[str, Callable[[Any], bool]] = {
        "measured": lambda data: len(data["contacts"]) == 8,
        "reconciled": lambda data: data["agrees"],
        "start_failed": lambda data: True,
    }
    found = [one for one in records if one.kind in ends]
    assert all(ends[one.kind](one.data) for one in found)
    assert len([one for one in found if one.kind != "start_failed"]) == len(doses)


def _evidence_agrees(evidence: dict[str, Any], dose: DoseRecord) -> None:
    areas = [{"area": one.area, "pulses": one.pulses, "stim_ac": one.stim_ac} for one in dose.areas]
    assert evidence["dose_number"] == dose.number
    assert evidence["areas"] == areas
    assert evidence["lasted_ticks"] == dose.end_tick - dose.start_tick
    assert evidence["stop_cause"] == dose.stop_cause.name
