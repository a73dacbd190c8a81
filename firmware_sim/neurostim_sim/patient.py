"""A scripted patient: lives for days with a released device, by a script or a seed, and presses its buttons.

The patient feels what the device delivers through posture: perception is lowest lying down (Cameron & Alo
1998), so each posture has a comfortable level of its own, and a change of posture is followed by steps. The
patient also forgets, sleeps, pulls the lead out to bathe, switches programs and changes the battery. The same
seed gives the same days.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from neurostim.core.errors import ConfigError, NeurostimError
from neurostim.core.units import TIME, parse_whole
from neurostim.wire.messages import DeviceState, UsageKind
from neurostim_sim.core import DeviceCore
from neurostim_sim.home import Button, Signal
from neurostim_sim.home.usage import charge_of
from neurostim_sim.servers.line import Dice

FORMAT: Final = "neurostim-patient/1"
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 3600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS
MOST_DAYS: Final = 90
POSTURES: Final = ("standing", "sitting", "lying")
BETWEEN_PRESSES_NS: Final = 500_000_000
"""How fast a person steps: slower than the three a second the device would take [ns]."""


@dataclass(frozen=True)
class Patient:
    """A person's habits.

    Attributes
    ----------
    adherence : int
        Days of a hundred on which stimulation is begun at all.
    wakes, sleeps : int
        Time of day [ns].
    standing, sitting, lying : int
        Comfortable level in each posture, in tenths of the patient's range.
    postures, switches : int
        Changes a day.
    baths : int
        Baths a day, with the lead out; half of them without stopping first.
    overnight : int
        Nights of a hundred in which stimulation stays on.
    changes_battery_at : int
        Level at which a new battery is put in [0.1 %].
    """

    adherence: int = 95
    wakes: int = 7 * HOUR_NS
    sleeps: int = 23 * HOUR_NS
    standing: int = 8
    sitting: int = 6
    lying: int = 3
    postures: int = 12
    switches: int = 1
    baths: int = 1
    overnight: int = 10
    changes_battery_at: int = 150


@dataclass
class Summary:
    """What the days came to; what the log adds up to is exact."""

    days: int
    seed: int
    on_s: int = 0
    starts: int = 0
    steps: int = 0
    switches: int = 0
    presses: int = 0
    lead_out: int = 0
    battery_changes: int = 0
    faults: int = 0
    lowest_battery: int = 1000
    expired: bool = False
    usage_records: int = 0
    usage_sha256: str = ""
    contacts: dict[str, dict[str, int]] = field(default_factory=dict)
    unheeded: dict[str, int] = field(default_factory=dict)


def read_script(path: Path) -> Patient:
    """Read a person's habits from a TOML file; what it leaves out is as in `Patient`.

    Raises
    ------
    ConfigError
        For a file that cannot be read, or a value that no person has.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the script {path}: {error}", code="patient") from error
    if document.pop("format", None) != FORMAT:
        raise ConfigError(f"{path} is no script of a patient", allowed=f'format = "{FORMAT}"', code="patient")
    return patient_of(document)


def patient_of(values: Mapping[str, Any]) -> Patient:
    """A patient from named values.

    Raises
    ------
    ConfigError
        For an unknown name or a value that no person has.
    """
    bounds = {
        "adherence": 100,
        "overnight": 100,
        "standing": 10,
        "sitting": 10,
        "lying": 10,
        "postures": 48,
        "switches": 24,
        "baths": 4,
        "changes_battery_at": 1000,
    }
    known = {one.name for one in fields(Patient)}
    given: dict[str, int] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(
                f"found {name!r} in the script", allowed=", ".join(sorted(known)), code="patient"
            )
        if name in ("wakes", "sleeps"):
            given[name] = parse_whole(value, TIME)
            if given[name] >= DAY_NS:
                raise ConfigError(f"found {name} = {value!r}", allowed="below 24 h", code="patient")
        elif type(value) is not int or not 0 <= value <= bounds[name]:
            raise ConfigError(f"found {name} = {value!r}", allowed=f"0 to {bounds[name]}", code="patient")
        else:
            given[name] = value
    patient = Patient(**given)
    if patient.wakes >= patient.sleeps:
        raise ConfigError("the patient sleeps before waking", allowed="wakes < sleeps", code="patient")
    return patient


def patient_from_seed(seed: int) -> Patient:
    """A person drawn from a seed."""
    dice = Dice(seed)
    return Patient(
        adherence=80 + dice.below(21),
        wakes=(6 + dice.below(3)) * HOUR_NS,
        sleeps=(21 + dice.below(3)) * HOUR_NS,
        standing=7 + dice.below(4),
        sitting=4 + dice.below(3),
        lying=dice.below(4),
        postures=6 + dice.below(13),
        switches=dice.below(3),
        baths=dice.below(3),
        overnight=dice.below(31),
    )


def live(core: DeviceCore, days: int, seed: int, patient: Patient | None = None) -> Summary:
    """Live with a released device.

    Parameters
    ----------
    core : DeviceCore
        A released device; its time goes on from where it is.
    days : int
    seed : int
        Decides when everything happens.
    patient : Patient, optional
        Drawn from the seed otherwise.

    Raises
    ------
    ConfigError
        Where the device is not released.
    """
    if not core.autonomous:
        raise ConfigError(
            "the device is not released for use at home",
            remedy="Release it first: neurostim release.",
            code="not-autonomous",
        )
    return _Life(core, patient or patient_from_seed(seed), days, seed).live()


class _Life:
    """The days of one person: a list of what is planned, and how the person answers what is felt."""

    def __init__(self, core: DeviceCore, patient: Patient, days: int, seed: int) -> None:
        self._core = core
        self._patient = patient
        self._dice = Dice(seed + 1)
        self._posture = "standing"
        self._origin_ns = core.clock.true_ns
        self._first_record = core.home.usage.next_index
        self._wants = False
        self.summary = Summary(days, seed)

    def live(self) -> Summary:
        for day in range(self.summary.days):
            for at_ns, act in self._plan():
                self._until(day * DAY_NS + at_ns)
                self._do(act)
        self._until(self.summary.days * DAY_NS)
        self._stop()
        self._wait(MINUTE_NS)
        return self._sum_up()

    def _plan(self) -> list[tuple[int, str]]:
        """One day's acts, at times after midnight [ns]."""
        person, dice = self._patient, self._dice
        awake = person.sleeps - person.wakes
        acts: list[tuple[int, str]] = []
        if dice.below(100) < person.adherence:
            acts.append((person.wakes, "wake"))
        for act, count in (("posture", person.postures), ("switch", person.switches), ("bath", person.baths)):
            acts += [(person.wakes + MINUTE_NS + dice.below(awake - HOUR_NS), act) for _ in range(count)]
        acts.append((person.sleeps, "lie"))
        if dice.below(100) >= person.overnight:
            acts.append((person.sleeps + 10 * MINUTE_NS, "stop"))
        return sorted(acts)

    def _do(self, act: str) -> None:
        if act in ("wake", "posture"):
            self._posture = POSTURES[self._dice.below(2 if act == "wake" else 3)]
        elif act == "lie":
            self._posture = "lying"
        if act == "wake":
            self._begin()
        elif act == "switch":
            self._press(Button.SWITCH)
            if self._wants:
                self._wait(5 * SECOND_NS)
                self._begin()
        elif act == "bath":
            self._bathe()
        elif act == "stop":
            self._stop()
        else:
            self._adjust()
        if self._core.battery <= self._patient.changes_battery_at:
            self._core.change_battery()
            self.summary.battery_changes += 1
            if self._wants:
                self._begin()
        self.summary.lowest_battery = min(self.summary.lowest_battery, self._core.battery)

    def _begin(self) -> None:
        """Start, wait for the ramp, and step to where it feels right."""
        self._wants = True
        self._wait(2 * SECOND_NS)
        self._press(Button.START)
        self._wait(10 * SECOND_NS)
        if self._core.state is not DeviceState.DELIVERING and Signal.LOCKED not in self._core.home.signals:
            self._wait(MINUTE_NS)
            self._press(Button.START)
            self._wait(10 * SECOND_NS)
        self._adjust()

    def _adjust(self) -> None:
        """Some seconds after a change the person steps to the level of the posture."""
        program, level = self._core.home.chosen, self._core.home.level
        if program is None or level is None:
            return
        wanted = getattr(self._patient, self._posture) * program.top // 10
        self._wait((5 + self._dice.below(60)) * SECOND_NS)
        for _ in range(abs(wanted - level)):
            self._press(Button.UP if wanted > level else Button.DOWN)
            self._wait(BETWEEN_PRESSES_NS)

    def _bathe(self) -> None:
        if self._dice.below(2):
            self._press(Button.STOP)
            self._wait(5 * SECOND_NS)
        self._fault("unplug-lead")
        self.summary.lead_out += 1
        self._wait((15 + self._dice.below(20)) * MINUTE_NS)
        self._fault("plug-lead")
        self._wait(MINUTE_NS)
        if self._wants:
            self._begin()

    def _stop(self) -> None:
        self._wants = False
        if self._core.output_on:
            self._press(Button.STOP)

    def _press(self, button: Button) -> None:
        told = self.summary
        told.presses += 1
        answer = self._core.press(button)
        if answer is not None:
            told.unheeded[answer.value] = told.unheeded.get(answer.value, 0) + 1

    def _fault(self, name: str) -> None:
        self._core.inject(name, self._core.clock.true_ns)
        self._wait(0)

    def _until(self, since_ns: int) -> None:
        self._core.advance(max(self._origin_ns + since_ns, self._core.clock.true_ns))

    def _wait(self, time_ns: int) -> None:
        self._core.advance(self._core.clock.true_ns + time_ns)

    def _sum_up(self) -> Summary:
        told, usage = self.summary, self._core.home.usage
        on_us = 0
        for record in usage.records(self._first_record):
            if record.kind is UsageKind.HOUR_ON:
                on_us += record.value
            elif record.kind is UsageKind.START:
                told.starts += 1
            elif record.kind is UsageKind.STEP and record.place == 0:
                told.steps += record.count
            elif record.kind is UsageKind.SWITCH:
                told.switches += 1
            elif record.kind is UsageKind.FAULT:
                told.faults += 1
            elif record.kind in _CHARGES:
                one = told.contacts.setdefault(str(record.place), dict.fromkeys(("pulses", *_NAMES), 0))
                one[_CHARGES[record.kind]] += charge_of(record)
                one["pulses"] += record.count
        told.on_s = on_us // 1_000_000
        told.expired = self._core.home.state.expired
        told.usage_records = usage.next_index - usage.oldest_index
        told.usage_sha256 = usage.sha256.hex()
        return told


_CHARGES: Final = {
    UsageKind.HOUR_CONTACT: "cathodic_ac",
    UsageKind.HOUR_ANODIC: "anodic_ac",
    UsageKind.HOUR_RECOVERED: "recovered_ac",
}
_NAMES: Final = tuple(_CHARGES.values())


def parser() -> argparse.ArgumentParser:
    """The options of ``neurostim-sim patient``."""
    made = argparse.ArgumentParser(
        prog="neurostim-sim patient",
        description="A scripted patient lives for days with the released device of a store, in seconds. "
        "For research and tests; no current ever flows.",
    )
    made.add_argument("--store", metavar="FILE", type=Path, required=True, help="store of a released device")
    made.add_argument("--days", type=int, default=7, metavar="N", help=f"1 to {MOST_DAYS} (default: 7)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="decides what happens when")
    made.add_argument("--script", metavar="FILE", type=Path, help="habits as TOML; from the seed otherwise")
    made.add_argument("--profile", default="scs", help="profile of the device (default: scs)")
    made.add_argument("--serial", default="SIM-0001", metavar="TEXT", help="serial number of the device")
    made.add_argument("--lead", action="append", default=[], metavar="NAME", help="lead that is plugged in")
    made.add_argument("--json", action="store_true", help="print the summary as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        if not 1 <= options.days <= MOST_DAYS:
            raise ConfigError(f"found --days {options.days}", allowed=f"1 to {MOST_DAYS}", code="days")
        patient = read_script(options.script) if options.script else None
        summary = _live_with_store(options, patient)
    except NeurostimError as error:
        print(f"neurostim-sim: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(asdict(summary)))
    else:
        _print(summary)
    return 0


def _live_with_store(options: argparse.Namespace, patient: Patient | None) -> Summary:
    """Days on a copy of the store in memory; the file is replaced whole when they are over."""
    from neurostim.electrode.library import lead
    from neurostim_sim.profiles import profile
    from neurostim_sim.settings import default_leads, spread
    from neurostim_sim.store import FileMedium, MemoryMedium

    if not options.store.is_file():
        raise ConfigError(f"there is no store {options.store}", code="store")
    file = FileMedium(options.store)
    try:
        copy = MemoryMedium()
        copy.data[:] = file.read(0, options.store.stat().st_size)
        leads = [lead(name) for name in options.lead] or default_leads(options.profile)
        core = DeviceCore(
            profile(options.profile, options.serial),
            seed=options.seed,
            medium=copy,
            leads=leads,
            series_ohm=spread(leads, options.seed),
        )
        summary = live(core, options.days, options.seed, patient)
        core.close()
        fresh = options.store.with_name(f".{options.store.name}")
        try:
            fresh.write_bytes(bytes(copy.data))
            os.replace(fresh, options.store)
        except OSError as error:
            raise ConfigError(f"cannot write {options.store}: {error.strerror}", code="store") from error
        return summary
    finally:
        file.close()


def _print(summary: Summary) -> None:
    hours = summary.on_s / 3600
    print(f"{summary.days} days at home, seed {summary.seed}")
    print(f"output on   {hours:.1f} h, {hours / summary.days:.1f} h a day")
    print(f"starts      {summary.starts}, steps {summary.steps}, switches {summary.switches}")
    print(f"lead out    {summary.lead_out} times, faults {summary.faults}")
    print(f"battery     lowest {summary.lowest_battery / 10:.1f} %, changed {summary.battery_changes} times")
    print(f"release     {'expired' if summary.expired else 'running'}")
    for answer, times in sorted(summary.unheeded.items()):
        print(f"did nothing {times} times: {answer}")
    for contact, one in summary.contacts.items():
        if one["cathodic_ac"] or one["pulses"] > 1000:
            print(f"contact {contact:>3} {one['pulses']} pulses, {one['cathodic_ac'] / 1e18:.6f} C cathodic")
    print(f"usage log   {summary.usage_records} records, SHA-256 {summary.usage_sha256}")


if __name__ == "__main__":
    sys.exit(main())
