"""The reference page of leads, written from the library; a test keeps the two in step.

Write it again with ``python -m neurostim.electrode.lead_page > docs/reference/leads.md``.
"""

from __future__ import annotations

from collections.abc import Iterable

from neurostim.electrode.lead import ContactCircuit, Lead
from neurostim.electrode.library import lead, lead_names, library_digest

_HEAD = """\
# Leads

Written by `python -m neurostim.electrode.lead_page` from `src/neurostim/electrode/leads.toml`; do not edit.
Digest of that file: `{digest}`.

Nominal values for research: verify them against the maker's own sheet before relying on them.
Grades: **A** read for this project, **B** textbook or product knowledge not read again, **C** illustrative.
Contacts are numbered from the rostral end of each column; makers number otherwise, so map before comparing.
On several leads the label is lead, point, number ("2.5"); on a device the contacts of the second lead follow
those of the first.
"""

_CIRCUIT_HEAD = """
## Circuit of one contact

Series resistance of contact and tissue to the common tissue node, double layer (lowest, nominal, highest),
and the Faradaic leak across it (lowest, nominal). See [the circuit](../electrode-circuit.md).
"""


def page() -> str:
    """The whole page, in Markdown."""
    leads = [lead(name) for name in lead_names()]
    parts = [
        _HEAD.format(digest=library_digest()),
        _table(
            ("Lead", "Class", "Contacts", "Contact, mm", "Area, cm2", "Pitch, mm", "Material", "Grade"),
            (_geometry(one) for one in leads),
        ),
        "\n## Return pads\n",
        _table(
            ("Lead", "Pad, mm", "Area, cm2", "Impedance, ohm", "Grade"),
            (_pad(one) for one in leads if one.return_pad is not None),
        ),
        _CIRCUIT_HEAD,
        _table(
            ("Lead", "Series, ohm", "Double layer, uF", "Faradaic, kohm", "Grade"),
            _circuits(leads),
        ),
        "\n## Notes and sources\n",
        *(_notes(one) for one in leads),
    ]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _mm(value_um: int) -> str:
    return f"{value_um / 1000:g}"


def _geometry(one: Lead) -> tuple[str, ...]:
    contact = one.contacts[0]
    columns = sorted({each.x_um for each in one.contacts})
    rows = sorted(each.y_um for each in one.contacts if each.x_um == columns[0])
    pitch = _mm(rows[1] - rows[0]) if len(rows) > 1 else "-"
    count = str(len(one.contacts)) + (f" in {len(columns)} columns" if len(columns) > 1 else "")
    size = f"{_mm(contact.length_um)} x {_mm(contact.width_um)} {contact.shape.value}"
    area = f"{contact.area_um2 / 1e8:.4g}"
    return (f"`{one.id}`", one.lead_class.value, count, size, area, pitch, one.material.value, one.grade)


def _pad(one: Lead) -> tuple[str, ...]:
    pad = one.return_pad
    if pad is None:
        raise ValueError(f"lead {one.id} declares no return pad")
    size = f"{_mm(pad.length_um)} x {_mm(pad.width_um)}"
    return (f"`{one.id}`", size, f"{pad.area_um2 / 1e8:g}", str(pad.impedance_ohm), pad.grade)


def _circuits(leads: Iterable[Lead]) -> Iterable[tuple[str, ...]]:
    for one in leads:
        yield _circuit(f"`{one.id}`", one.circuit)
        if one.return_pad is not None:
            yield _circuit(f"`{one.id}` return", one.return_pad.circuit)


def _circuit(name: str, circuit: ContactCircuit) -> tuple[str, ...]:
    values = (circuit.low_nf, circuit.double_layer_nf, circuit.high_nf)
    layer = ", ".join(f"{value / 1000:g}" for value in values)
    leak = ", ".join(f"{value / 1000:g}" for value in (circuit.faradaic_low_ohm, circuit.faradaic_ohm))
    return (name, str(circuit.series_ohm), layer, leak, circuit.grade)


def _notes(one: Lead) -> str:
    note = f" {one.note}" if one.note else ""
    return f"- `{one.id}`: {one.title}.{note} Geometry: {one.source}. Circuit: {one.circuit.source}."


if __name__ == "__main__":
    print(page())
