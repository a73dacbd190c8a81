"""Rules of fit: contacts, leads, ports and grid belong together, and the device can hold the program."""

from __future__ import annotations

from neurostim.core.program import Recharge
from neurostim.electrode.lead import Material
from neurostim.safety.context import Case, Context, is_for_people, one, place_of, port_of
from neurostim.safety.findings import Finding, judge, worst
from neurostim.safety.limits import EffectiveLimit, packaged
from neurostim.safety.measures import Exact, State
from neurostim.wire.image import encode_image


def contacts_exist(case: Case, known: frozenset[int]) -> list[Finding]:
    """Every contact exists on the device and on a lead (SAF-FIT-CONTACT).

    Judged before all others, on the bare case: without a contact there is nothing to judge.
    """
    row = packaged().rules["SAF-FIT-CONTACT"]
    limit = EffectiveLimit(row, refuse=row.tiers["refuse"])
    findings = []
    for number, area in enumerate(case.schedule.image.areas):
        indices = [contact for contact, _ in area.shares]
        for contact in indices:
            missing = [
                where
                for where, there in (
                    ("the device", port_of(case.capabilities, contact, indices) is not None),
                    ("the leads", contact in known),
                )
                if not there
            ]
            findings.append(
                judge(
                    limit,
                    place_of(case.schedule, number, contact),
                    State(bool(missing)),
                    detail=f"{' and '.join(missing)} have no such contact" if missing else "",
                )
            )
    return worst(findings)


def lead_on_port(context: Context) -> list[Finding]:
    """The class of each lead is one its ports accept, and its ports are of one kind (SAF-FIT-LEAD)."""
    accepts = packaged().accepts
    findings = []
    first = 1
    for number, lead in enumerate(context.case.leads, 1):
        spanned = [port_of(context.capabilities, index) for index in range(first, first + len(lead.contacts))]
        first += len(lead.contacts)
        kinds = {port.kind for port in spanned if port is not None}
        wrong = sorted(kind.name for kind in kinds if lead.lead_class not in accepts[kind])
        detail = ""
        if None in spanned:
            detail = f"the device has too few contacts for {lead.id}"
        elif wrong:
            detail = (
                f"{lead.id} ({lead.lead_class.value}) does not belong on a port of kind {', '.join(wrong)}"
            )
        elif len(kinds) > 1:
            detail = f"{lead.id} spans ports of different kinds"
        findings += one("SAF-FIT-LEAD", context.limits, f"lead[{number}]", State(bool(detail)), detail=detail)
    return worst(findings)


def area_on_one_kind(context: Context) -> list[Finding]:
    """An area stays on ports of one kind (SAF-FIT-PORTS)."""
    findings = []
    for area in context.areas:
        kinds = {contact.port.kind for contact in area.contacts}
        findings += one("SAF-FIT-PORTS", area.limits, area.place, State(len(kinds) > 1))
    return worst(findings)


def grid_of_device(context: Context) -> list[Finding]:
    """The image was compiled for this device's grid (SAF-FIT-GRID)."""
    grid = context.schedule.image.grid
    differs = grid != context.capabilities.grid
    detail = "compile the program again for this device and judge the result" if differs else ""
    return one("SAF-FIT-GRID", context.limits, "program", State(differs), detail=detail)


def area_count(context: Context) -> list[Finding]:
    """The device can hold this many areas (SAF-FIT-AREAS)."""
    return one("SAF-FIT-AREAS", context.limits, "program", Exact(len(context.areas)))


def image_size(context: Context) -> list[Finding]:
    """The device can hold an image of this size (SAF-FIT-IMAGE)."""
    return one("SAF-FIT-IMAGE", context.limits, "program", Exact(len(encode_image(context.schedule.image))))


def bench_only(context: Context) -> list[Finding]:
    """A program for the bench drives no port to a person (SAF-BENCH-ONLY)."""
    findings = []
    for area in context.areas:
        violated = context.schedule.image.bench and any(is_for_people(c.port) for c in area.contacts)
        findings += one("SAF-BENCH-ONLY", area.limits, area.place, State(violated))
    return worst(findings)


def recharge_none(context: Context) -> list[Finding]:
    """Charge is taken back outside bench (SAF-RECHARGE-NONE)."""
    findings = []
    for area in context.areas:
        violated = area.area.recharge is Recharge.NONE
        findings += one("SAF-RECHARGE-NONE", area.limits, area.place, State(violated))
    return worst(findings)


def material(context: Context) -> list[Finding]:
    """Electrode limits were made for platinum (SAF-MATERIAL)."""
    findings = []
    for _, contact in context.contacts():
        other = contact.is_metal and contact.site.material is not Material.PLATINUM_IRIDIUM
        detail = f"{contact.site.material.value}" if other else ""
        findings += one("SAF-MATERIAL", contact.limits, contact.place, State(other), detail=detail)
    return worst(findings)


def small_contact(context: Context) -> list[Finding]:
    """The contact is large enough for the charge rules (SAF-SMALL-CONTACT)."""
    findings = []
    for _, contact in context.contacts():
        findings += one("SAF-SMALL-CONTACT", contact.limits, contact.place, Exact(contact.site.area_um2))
    return worst(findings)
