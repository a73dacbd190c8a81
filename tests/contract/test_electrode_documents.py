"""What is written about leads agrees with the data, and every preset fits its leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurostim.core.program_file import load_program, presets
from neurostim.electrode.lead_page import page
from neurostim.electrode.library import check_contacts, lead

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_leads_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "leads.md").read_text(encoding="utf-8")
    assert written == page() + "\n", "run: python -m neurostim.electrode.lead_page > docs/reference/leads.md"


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_preset_names_contacts_its_leads_have(name: str) -> None:
    program = load_program(presets()[name])
    check_contacts(program, [lead(one) for one in program.leads])
