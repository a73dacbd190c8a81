"""What must hold for any set of leads and any damaged lead file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError
from neurostim.core.image import RETURN_INDEX
from neurostim.core.program import contact_key
from neurostim.electrode import library
from neurostim.electrode.lead_file import read_leads

TEXT = library.LIBRARY_FILE.read_text(encoding="utf-8")
LEADS = st.lists(st.sampled_from(library.lead_names()).map(library.lead), min_size=1, max_size=5)


@given(LEADS)
def test_labels_of_any_leads_number_the_device_contacts_without_gap_or_double(
    leads: list[library.Lead],
) -> None:
    total = sum(len(lead.contacts) for lead in leads)
    try:
        found = library.contact_map(leads)
    except ConfigError:
        assert total > 32
        return
    assert total <= 32
    numbered = [index for index in found.values() if index != RETURN_INDEX]
    assert numbered == list(range(1, total + 1))
    assert (RETURN_INDEX in found.values()) == any(lead.return_pad for lead in leads)
    # the order of labels is the order of device contacts, so leftovers are dealt alike on both
    assert sorted(found, key=contact_key) == list(found)


@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.text(max_size=6))
def test_a_damaged_lead_file_is_read_or_refused_but_never_crashes(at: int, removed: int, put: str) -> None:
    damaged = TEXT[:at] + put + TEXT[at + removed :]
    try:
        leads = read_leads(damaged)
    except ConfigError:
        return
    for lead in leads.values():
        assert all(contact.area_um2 > 0 for contact in lead.contacts)
        assert lead.circuit.low_nf <= lead.circuit.double_layer_nf <= lead.circuit.high_nf
