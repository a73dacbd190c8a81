"""What the recorded traces of the demonstration show, and what the independent judge says of them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurostim.cli.demo_scenes import DEAD_MAN_NS, Scene
from neurostim.conformance import Report, TraceTable, judge, read_trace
from neurostim.core.errors import ConfigError

PASSIVE: Final = 2
STIM: Final = 0


@dataclass(frozen=True)
class Evidence:
    """One dose with its trace and its judgement."""

    scene: Scene
    trace: Path
    table: TraceTable
    sidecar: dict[str, Any]
    report: Report

    @property
    def good(self) -> bool:
        """Whether counters, journal, program and trace all agree."""
        return self.scene.good and self.report.conforms and (self.scene.cable is None or self.silent_in_time)

    @cached_property
    def cathode(self) -> int:
        """Label index of the contact with the strongest cathodic current."""
        return int(self.table.contact[int(np.argmin(self.table.amplitude_na))])

    @cached_property
    def pulses(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Onset [ns] and magnitude [nA] of every stimulation phase of that contact."""
        table = self.table
        mine = (table.contact == self.cathode) & (table.kind == STIM)
        return table.start_ns[mine], -table.amplitude_na[mine]

    @cached_property
    def silent_ns(self) -> int:
        """When the last driven phase ended, from the start of output [ns]."""
        driven = self.table.kind != PASSIVE
        return int((self.table.start_ns[driven] + self.table.duration_ns[driven]).max(initial=0))

    @cached_property
    def phase_ac(self) -> int:
        """Largest charge of a stimulation phase at a contact [aC]."""
        stim = self.table.kind == STIM
        return int(np.abs(self.table.amplitude_na[stim] * self.table.duration_ns[stim]).max(initial=0))

    @cached_property
    def residue_ac(self) -> int:
        """Largest charge that any contact was left with at the end, recovery included [aC]."""
        table = self.table
        driven = table.amplitude_na * table.duration_ns
        if table.charge_ac is not None:
            driven = driven + table.charge_ac
        return max(abs(int(driven[table.contact == one].sum())) for one in range(len(table.labels)))

    def command_ns(self, name: str) -> int | None:
        """When the device logged a command, from the start of output [ns]; None where it did not."""
        tick_ns = int(self.sidecar["tick_ns"])
        times = [one["at_ticks"] * tick_ns for one in self.sidecar["commands"] if one["name"] == name]
        return min(times, default=None)

    @property
    def pulled_ns(self) -> int:
        """When the cable was pulled, from the start of output [ns]."""
        assert self.scene.cable is not None
        tick_ns = int(self.sidecar["tick_ns"])
        return self.scene.cable.pulled_at_ns - self.scene.dose.start_tick * tick_ns

    @property
    def silent_after_ns(self) -> int:
        """From the pulled cable to the end of the last driven phase [ns]."""
        return self.silent_ns - self.pulled_ns

    @property
    def silent_in_time(self) -> bool:
        """Whether the dead-man ended output in the time it has, by itself."""
        by_itself = self.scene.stop_cause == "dead man" and self.command_ns("ramp_down") is not None
        return by_itself and 0 < self.silent_after_ns <= DEAD_MAN_NS

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; charges in aC."""
        scene = self.scene
        document: dict[str, Any] = {
            "key": scene.key,
            "preset": scene.preset,
            "dose_number": scene.dose.number,
            "stop_cause": scene.stop_cause,
            "agrees": self.good,
            "pulses": sum(area.pulses for area in scene.dose.areas),
            "stimulation_ac": sum(area.stim_ac for area in scene.dose.areas),
            "residue_ac": self.residue_ac,
            "silent_ns": self.silent_ns,
            "impedances": {str(one.contact): one.late_ohm for one in scene.impedances.contacts.values()},
            "acknowledged": scene.acknowledged,
            "verdict": scene.verdict.as_dict(),
            "reconciliation": scene.found.as_dict(),
            "conformance": self.report.to_dict(),
            "journal": str(scene.journal),
            "trace": str(self.trace),
        }
        if scene.cable is not None:
            document["cable"] = {
                "pulled_ns": self.pulled_ns,
                "ramp_down_ns": self.command_ns("ramp_down"),
                "silent_after_ns": self.silent_after_ns,
                "states": list(scene.cable.states),
                "resumed": scene.cable.resumed,
                "refused": scene.cable.refused,
            }
        return document


def examine(scene: Scene, traces: Path, program: Path) -> Evidence:
    """Read the trace of a dose and judge it.

    Raises
    ------
    ConfigError
        Where there is not exactly one trace of that dose, or it cannot be read.
    """
    pattern = f"*-dose{scene.dose.number:04}.npz"
    found = sorted(traces.glob(pattern))
    if len(found) != 1:
        raise ConfigError(
            f"found {len(found)} traces {pattern} in {traces}", allowed="exactly one", code="trace-missing"
        )
    table, sidecar = read_trace(found[0])
    report = judge(tomllib.loads(program.read_text(encoding="utf-8")), table, sidecar)
    return Evidence(scene, found[0], table, sidecar, report)
