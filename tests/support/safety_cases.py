"""Schedules built value by value for tests of the safety gate, on a grid fine enough to stand at a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from neurostim.core.hardware import Capabilities, ContactImpedance, Impedances, Port, PortKind
from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.placement import AreaInterleave, Interleave
from neurostim.core.program import Recharge
from neurostim.core.schedule import Schedule
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import lead
from neurostim.safety.findings import Severity
from neurostim.safety.gate import Verdict, check
from neurostim.safety.profiles import profile

MS = 1_000_000
S = 1_000_000_000
MA = 1_000_000

FINE = Grid.of(100, 1)
"""100 ns and 1 nA: a limit can be stood on."""

PASSIVE, AFTER_BURST = Recharge.PASSIVE, Recharge.PASSIVE_AFTER_BURST
PAD_UM2 = lead("surface-pair").contacts[0].area_um2
STANDING: dict[str, Any] = {"width_ns": 180_000, "rate": 1200, "recharge": PASSIVE}
"""A passive train that leaves a potential standing."""

LEADS = {
    "scs": "octrode",
    "drg": "slimtip-drg",
    "pns": "pns-8",
    "surface": "surface-pair",
    "bench": "octrode",
}
PROFILES = {"scs": "scs", "drg": "drg", "pns": "pns", "surface": "tens", "bench": "bench"}


def device(port: str = "scs", grid: Grid = FINE, **changes: Any) -> Capabilities:
    """A nominal device that can do far more than its port allows, so that the port's limits are seen."""
    wide = {
        "max_contact_na": 150 * MA,
        "max_total_na": 150 * MA,
        "min_width_ns": 1000,
        "max_width_ns": 10 * MS,
        "max_rate_mhz": 20_000_000,
        "min_ramp_ns": 0,
        "max_image_bytes": 65535,
    }
    return replace(profile(PROFILES[port]), grid=grid, **{**wide, **changes})


def area(
    amplitude_na: int = MA,
    *,
    width_ns: int = 200_000,
    rate: Fraction | int = 40,
    shares: tuple[tuple[int, int], ...] = ((1, -1000), (2, 1000)),
    recharge: Recharge = Recharge.ACTIVE_SYMMETRIC,
    burst: tuple[int, Fraction | int] | None = None,
    grid: Grid = FINE,
    ratio: int = 1,
    interphase_ns: int = 0,
    up_ns: int = 2 * S,
    down_ns: int = S,
    on_ns: int = 0,
    off_ns: int = 0,
    delay_ns: int = 0,
    priority: int = 1,
) -> ImageArea:
    """One area of an image; times that are on the grid."""
    period = Fraction(S) / Fraction(rate)
    inner = Fraction(S) / Fraction(burst[1]) if burst else Fraction(0)
    return ImageArea(
        amplitude_na=amplitude_na,
        shares=shares,
        width_ticks=width_ns // grid.tick_ns,
        interphase_ticks=interphase_ns // grid.tick_ns,
        recharge=recharge,
        ratio=ratio,
        period_num=period.numerator,
        period_den=period.denominator,
        burst_pulses=burst[0] if burst else 1,
        burst_period_num=inner.numerator,
        burst_period_den=inner.denominator,
        ramp_up_ns=up_ns,
        ramp_down_ns=down_ns,
        delay_ns=delay_ns,
        on_ns=on_ns,
        off_ns=off_ns,
        priority=priority,
    )


def schedule(*areas: ImageArea, grid: Grid = FINE, bench: bool = False, drop: bool = False) -> Schedule:
    """A schedule of these areas, without end."""
    return Schedule.from_image(ProgramImage(grid, areas or (area(),), 0, drop, bench))


def leads_of(port: str) -> tuple[Lead, ...]:
    """The usual lead of a port."""
    return (lead(LEADS[port]),)


def readings(ohm: int = 500, contacts: Sequence[int] = (1, 2, 3, 4, 255), status: str = "ok") -> Impedances:
    """Every contact measured alike."""
    return Impedances({one: ContactImpedance(one, ohm, ohm, status) for one in contacts})


def judged(*areas: ImageArea, port: str = "scs", **options: Any) -> Verdict:
    """The verdict on these areas for a wide device with this port; measured impedances."""
    grid = options.pop("grid", FINE)
    capabilities = options.pop("capabilities", None) or device(port, grid)
    leads = options.pop("leads", None) or leads_of(port)
    bench = options.pop("bench", port == "bench")
    drop = options.pop("drop", False)
    options.setdefault("impedances", readings())
    return check(schedule(*areas, grid=grid, bench=bench, drop=drop), leads, capabilities, **options)


def severity(verdict: Verdict, code: str) -> Severity | None:
    """The heaviest finding of a rule; None where the rule was not applied."""
    return max((one.severity for one in verdict.findings if one.code == code), default=None)


def value(verdict: Verdict, code: str) -> Fraction:
    """The largest magnitude a rule found, in its shown unit."""
    values = [one.value for one in verdict.findings if one.code == code]
    return max((one for one in values if one is not None), key=abs)


def reasons(verdict: Verdict) -> Mapping[str, str]:
    """A reason for each warning."""
    return dict.fromkeys(verdict.to_acknowledge, "accepted for this test by its author")


def with_port(capabilities: Capabilities, *kinds: PortKind) -> Capabilities:
    """The same device with ports of eight contacts of these kinds."""
    ports = tuple(Port(kind, 1 + 8 * place, 8, True) for place, kind in enumerate(kinds))
    return replace(capabilities, ports=ports)


def burst(amplitude: int) -> Verdict:
    return judged(area(amplitude, width_ns=MS, recharge=AFTER_BURST, burst=(5, 500)))


def coil(**options: object) -> Verdict:
    one = area(shares=((1, -1000), (255, 1000)), width_ns=100_000, **options)  # type: ignore[arg-type]
    return judged(one, port="pns", leads=(lead("open-coil"),))


def surface(amplitude: int, **options: object) -> Verdict:
    one = area(amplitude, shares=((1, -1000), (255, 1000)), **options)  # type: ignore[arg-type]
    return judged(one, port="surface")


def interleaved(shift_ticks: int, dropped: int, proof: str = "hyperperiod", units: int = 100) -> Verdict:
    made = schedule(area(), area(shares=((3, -1000), (4, 1000)), delay_ns=5 * MS, priority=2))
    known = AreaInterleave(shift_ticks, units, dropped)
    made.interleave = Interleave((AreaInterleave(0, units, 0), known), proof, dropped > 0)
    return check(made, leads_of("scs"), device(), impedances=readings())
