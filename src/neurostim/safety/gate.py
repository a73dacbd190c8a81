"""The safety gate: judge a schedule for leads and a device, and approve what may be delivered.

All rules are applied and shown side by side; nothing is clamped. `approve` gives the only thing a device
accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.hardware import Capabilities, Impedances
from neurostim.core.program import Program
from neurostim.core.schedule import Schedule
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import check_contacts, contact_map
from neurostim.safety.approval import ApprovedProgram, approval_digest, approve
from neurostim.safety.context import AmplitudeRange, Case, checked_ranges
from neurostim.safety.findings import RANGE_SUFFIX, Finding, Severity
from neurostim.safety.limits import LimitLayer, packaged, read_layer
from neurostim.safety.verdict import Verdict, judge_case

__all__ = [
    "AmplitudeRange",
    "ApprovedProgram",
    "ChargeWarnings",
    "Finding",
    "Severity",
    "Slot",
    "Verdict",
    "approval_digest",
    "approve",
    "charge_warnings",
    "check",
    "check_program",
    "check_slots",
]

LayerLike = LimitLayer | Mapping[str, Mapping[str, object]] | None


def check(
    schedule: Schedule,
    leads: Sequence[Lead],
    capabilities: Capabilities,
    *,
    impedances: Impedances | None = None,
    ranges: Sequence[AmplitudeRange] | None = None,
    subject_limits: LayerLike = None,
    device_limits: LayerLike = None,
    at_run: bool = False,
) -> Verdict:
    """Judge a compiled program.

    Parameters
    ----------
    schedule : Schedule
        Compiled on the grid of the device; on another grid it is refused (SAF-FIT-GRID).
    leads : sequence of Lead
        In the order of the contacts of the device.
    capabilities : Capabilities
        Of the device, or of a nominal profile.
    impedances : Impedances, optional
        As measured; without them a warning, and a refusal with ``at_run``.
    ranges : sequence of AmplitudeRange, optional
        What the patient can reach; an area without one has the range from zero to its setting.
    subject_limits, device_limits : LimitLayer or mapping, optional
        Tightenings, see `neurostim.safety.limits.read_layer`.
    at_run : bool
        Whether the verdict is for delivery now.

    Returns
    -------
    Verdict
        All rules side by side.

    Raises
    ------
    ConfigError
        Where an input is malformed: not an integer, a range off the grid, a layer that loosens.
    """
    return judge_case(
        Case(
            schedule=schedule,
            leads=tuple(leads),
            capabilities=capabilities,
            ranges=checked_ranges(schedule, ranges),
            impedances=impedances,
            device_limits=_layer("device", device_limits),
            subject_limits=_layer("subject", subject_limits),
            at_run=at_run,
        )
    )


def check_program(
    program: Program,
    leads: Sequence[Lead],
    capabilities: Capabilities,
    *,
    impedances: Impedances | None = None,
    ranges: Sequence[AmplitudeRange] | None = None,
    subject_limits: LayerLike = None,
    device_limits: LayerLike = None,
    at_run: bool = False,
) -> Verdict:
    """Compile a program on this device's grid and judge the result; the way to judge for another device.

    Parameters and errors as `check`, and those of the compiler; code ``lead-mismatch`` where the leads are
    not those the program was written for.
    """
    given = tuple(one.id for one in leads)
    if given != program.leads:
        raise ConfigError(
            f"the program is for {', '.join(program.leads)} and the leads are {', '.join(given) or 'none'}",
            allowed="the leads of the program, in its order",
            remedy="Write the program for the leads that are there: contacts and areas differ.",
            code="lead-mismatch",
        )
    check_contacts(program, leads)
    schedule = compile_program(program, capabilities.grid, contact_map(leads))
    return check(
        schedule,
        leads,
        capabilities,
        impedances=impedances,
        ranges=ranges,
        subject_limits=subject_limits,
        device_limits=device_limits,
        at_run=at_run,
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """A program saved in a device's slot, with the ranges released with it."""

    schedule: Schedule
    ranges: tuple[AmplitudeRange, ...] | None = None


def check_slots(
    slots: Mapping[str, Slot],
    leads: Sequence[Lead],
    capabilities: Capabilities,
    *,
    impedances: Impedances | None = None,
    subject_limits: LayerLike = None,
    device_limits: LayerLike = None,
) -> dict[str, Verdict]:
    """Judge every saved slot with today's leads, limits and impedances.

    Parameters
    ----------
    slots : mapping of str to Slot
        By the name of the slot.

    Returns
    -------
    dict of str to Verdict
        A verdict for each slot, in order; see `charge_warnings`.
    """
    return {
        name: check(
            slot.schedule,
            leads,
            capabilities,
            impedances=impedances,
            ranges=slot.ranges,
            subject_limits=subject_limits,
            device_limits=device_limits,
        )
        for name, slot in slots.items()
    }


@dataclass(frozen=True, slots=True)
class ChargeWarnings:
    """The three charge warnings of a programmer: the setting, the patient's range, the saved slots."""

    setting: tuple[Finding, ...]
    range: tuple[Finding, ...]
    slots: Mapping[str, tuple[Finding, ...]]

    def __bool__(self) -> bool:
        return bool(self.setting or self.range or any(self.slots.values()))


def charge_warnings(verdict: Verdict, slots: Mapping[str, Verdict] | None = None) -> ChargeWarnings:
    """Gather the charge findings that warn or refuse, apart for setting, range and each saved slot.

    Parameters
    ----------
    verdict : Verdict
        Of the program in hand.
    slots : mapping of str to Verdict, optional
        From `check_slots`.
    """
    setting = tuple(one for one in _charges(verdict) if not one.code.endswith(RANGE_SUFFIX))
    ranged = tuple(one for one in _charges(verdict) if one.code.endswith(RANGE_SUFFIX))
    saved = {name: tuple(_charges(slot)) for name, slot in (slots or {}).items()}
    return ChargeWarnings(setting, ranged, saved)


def _charges(verdict: Verdict) -> list[Finding]:
    rules = packaged().rules
    return [
        one
        for one in (*verdict.refused, *verdict.warnings)
        if rules[one.code.removesuffix(RANGE_SUFFIX)].charge
    ]


def _layer(name: str, given: LayerLike) -> LimitLayer | None:
    if given is None or isinstance(given, LimitLayer):
        return given
    return read_layer(name, given)
