"""The lead library and the names of contacts: which label is which contact of a device.

Geometry and circuit values are data in ``leads.toml``; a test pins the digest of that file.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.image import RETURN_INDEX
from neurostim.core.program import RETURN_CONTACT, Program
from neurostim.electrode.lead import Contact, ContactCircuit, Lead, LeadClass, Material, ReturnPad
from neurostim.electrode.lead_file import MAX_CONTACTS, read_leads

LIBRARY_FILE: Final = Path(__file__).with_name("leads.toml")

__all__ = [
    "Contact",
    "ContactCircuit",
    "Lead",
    "LeadClass",
    "Material",
    "ReturnPad",
    "Site",
    "check_contacts",
    "contact_map",
    "lead",
    "lead_names",
    "library_digest",
    "sites",
]


@dataclass(frozen=True, slots=True)
class Site:
    """One contact as a device sees it: its index and label, and what limits need of it.

    ``index`` is the device contact (1 upward, 255 the return pad), ``area_um2`` its exposed area [um2].
    """

    index: int
    label: str
    lead: Lead
    area_um2: int
    material: Material
    circuit: ContactCircuit


@functools.cache
def _library() -> dict[str, Lead]:
    return read_leads(LIBRARY_FILE.read_text(encoding="utf-8"))


def library_digest() -> str:
    """SHA-256 of the packaged lead file, in hexadecimal, with line ends as in the repository."""
    return hashlib.sha256(LIBRARY_FILE.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def lead_names() -> tuple[str, ...]:
    """Ids of all leads of the library, in its order."""
    return tuple(_library())


def lead(name: str) -> Lead:
    """Look up a lead by its id.

    Raises
    ------
    ConfigError
        Code ``unknown-lead``, with the nearest ids where there are any.
    """
    found = _library().get(name) if isinstance(name, str) else None
    if found is None:
        near = _near(name, lead_names())
        raise ConfigError(
            f"there is no lead {name!r} in the library",
            allowed=", ".join(lead_names()),
            remedy=f"Did you mean {near}?" if near else "",
            code="unknown-lead",
        )
    return found


def sites(leads: Sequence[Lead]) -> dict[int, Site]:
    """Every contact of these leads by device index, in ascending order.

    The first lead takes the device contacts from 1, the next those after it; ``return`` is 255 where a
    lead declares a pad.

    Raises
    ------
    ConfigError
        Without leads, with more than 32 contacts, or where two leads declare pads that differ: a
        device has one return.
    """
    if not leads:
        raise ConfigError("no lead is given", allowed="one lead or more", code="no-lead")
    total = sum(len(one.contacts) for one in leads)
    if total > MAX_CONTACTS:
        raise ConfigError(
            f"the leads have {total} contacts together",
            allowed=f"at most {MAX_CONTACTS}, what one device carries",
            code="too-many-contacts",
        )
    found: dict[int, Site] = {}
    for position, one in enumerate(leads, 1):
        prefix = f"{position}." if len(leads) > 1 else ""
        for contact in one.contacts:
            index = len(found) + 1
            label = f"{prefix}{contact.number}"
            found[index] = Site(index, label, one, contact.area_um2, one.material, one.circuit)
    pads = [one for one in leads if one.return_pad is not None]
    if len({one.return_pad for one in pads}) > 1:
        raise ConfigError(
            f"the leads {', '.join(one.id for one in pads)} declare return pads that differ",
            allowed="one return pad: a device has one return port",
            code="return-pads",
        )
    for one in pads[:1]:
        pad = one.return_pad
        if pad is not None:
            found[RETURN_INDEX] = Site(
                RETURN_INDEX, RETURN_CONTACT, one, pad.area_um2, Material.HYDROGEL, pad.circuit
            )
    return found


def contact_map(leads: Sequence[Lead]) -> dict[str, int]:
    """Device contact index of every label: ``"n"`` of one lead, ``"l.n"`` of several, ``"return"`` 255.

    Raises
    ------
    ConfigError
        As `sites`.
    """
    return {site.label: index for index, site in sites(leads).items()}


def check_contacts(program: Program, leads: Sequence[Lead], *, any_return: bool = False) -> None:
    """Refuse a program that names contacts these leads do not have.

    With ``any_return`` a return pad passes that no lead declares: a device may have one.

    Raises
    ------
    ConfigError
        Code ``unknown-contact``, with every unknown contact of every area; or as `sites`.
    """
    known = {*contact_map(leads), *([RETURN_CONTACT] if any_return else [])}
    allowed = _allowed(leads)
    problems = [
        Problem(f"area[{number}].contacts.{share.contact}", _found(share.contact, leads), allowed)
        for number, area in enumerate(program.areas, 1)
        for share in area.shares
        if share.contact not in known
    ]
    if problems:
        raise ConfigError(
            f"the program {program.name!r} names contacts that its leads do not have",
            problems=problems,
            code="unknown-contact",
        )


def _found(label: str, leads: Sequence[Lead]) -> str:
    if label == RETURN_CONTACT:
        return "`return`, but no lead here declares a return pad"
    if len(leads) > 1 and "." not in label:
        return f"{label!r} without the number of its lead"
    return f"{label!r}"


def _allowed(leads: Sequence[Lead]) -> str:
    if len(leads) == 1:
        numbered = f"1 to {len(leads[0].contacts)} ({leads[0].id})"
    else:
        parts = (f"{n}.1 to {n}.{len(one.contacts)} ({one.id})" for n, one in enumerate(leads, 1))
        numbered = ", ".join(parts)
    return f"{numbered}, return" if any(one.return_pad for one in leads) else numbered


def _near(name: object, names: Sequence[str]) -> str:
    asked = str(name).lower().replace(" ", "-").replace("_", "-")
    by_part = [known for known in names if asked and (asked in known or known in asked)]
    close = difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    return " or ".join(dict.fromkeys([*close, *by_part][:3]))
