"""The lead library: geometry, areas, labels, and what a faulty file or name is told."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim.core.program import Area, Program, Pulse, Recharge, Share, Train
from neurostim.electrode import library
from neurostim.electrode.lead import LeadClass, Material, Shape
from neurostim.electrode.lead_file import read_leads

PINNED_DIGEST = "3e2b091694937344c357495449b6d25d30a2d28b73ab1b92721ba91a6ae0bbc8"


def test_the_library_is_the_reviewed_one() -> None:
    assert library.library_digest() == PINNED_DIGEST


def test_the_digest_does_not_depend_on_the_line_ends_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "leads.toml"
    text = library.LIBRARY_FILE.read_bytes()
    copy.write_bytes(text.replace(b"\n", b"\r\n"))
    monkeypatch.setattr(library, "LIBRARY_FILE", copy)
    assert library.library_digest() == PINNED_DIGEST
    copy.write_bytes(text.replace(b"12252211", b"12252212", 1))
    assert library.library_digest() != PINNED_DIGEST


@pytest.mark.parametrize(
    ("name", "contacts", "lead_class"),
    [
        ("octrode", 8, LeadClass.PERCUTANEOUS),
        ("linear-8", 8, LeadClass.PERCUTANEOUS),
        ("medtronic-1x8-compact", 8, LeadClass.PERCUTANEOUS),
        ("medtronic-1x8-subcompact", 8, LeadClass.PERCUTANEOUS),
        ("infinion-16", 16, LeadClass.PERCUTANEOUS),
        ("slimtip-drg", 4, LeadClass.DRG),
        ("evoke-12c", 12, LeadClass.PERCUTANEOUS),
        ("paddle-5-6-5", 16, LeadClass.PADDLE),
        ("penta", 20, LeadClass.PADDLE),
        ("coveredge-32", 32, LeadClass.PADDLE),
        ("pns-8", 8, LeadClass.PNS),
        ("nerve-cuff", 3, LeadClass.CUFF),
        ("open-coil", 1, LeadClass.COIL),
        ("surface-pair", 1, LeadClass.SURFACE),
    ],
)
def test_a_lead_has_its_contacts_numbered_from_one(name: str, contacts: int, lead_class: LeadClass) -> None:
    lead = library.lead(name)
    assert [contact.number for contact in lead.contacts] == list(range(1, contacts + 1))
    assert lead.lead_class is lead_class
    assert lead.id == name


def test_every_lead_of_the_library_is_in_the_table_above() -> None:
    assert len(library.lead_names()) == 14


@pytest.mark.parametrize(("name", "gap_um"), [("octrode", 4000), ("linear-8", 1000), ("infinion-16", 1000)])
def test_neighbours_are_their_gap_apart(name: str, gap_um: int) -> None:
    contacts = library.lead(name).contacts
    gaps = {low.y_um - high.y_um - low.length_um for high, low in itertools.pairwise(contacts)}
    assert gaps == {gap_um}


def test_areas_are_those_of_the_facts() -> None:
    band = library.lead("octrode").contact(8).area_um2
    drg = library.lead("slimtip-drg").contact(4).area_um2
    assert band == round(math.pi * 1300 * 3000) == 12_252_211
    assert drg == round(math.pi * 1000 * 1250) == 3_926_991
    assert round(band / 1e8, 4) == 0.1225
    assert round(drg / 1e8, 4) == 0.0393


def test_columns_of_a_paddle_lie_side_by_side_without_touching() -> None:
    for name in ("paddle-5-6-5", "penta", "coveredge-32"):
        lead = library.lead(name)
        for one in lead.contacts:
            for other in lead.contacts[one.number :]:
                apart_x = abs(one.x_um - other.x_um) >= one.width_um
                apart_y = abs(one.y_um - other.y_um) >= one.length_um
                assert apart_x or apart_y, (name, one.number, other.number)


def test_metal_circuits_follow_the_exposed_area() -> None:
    for name in library.lead_names():
        lead = library.lead(name)
        cm2 = lead.contacts[0].area_um2 / 1e8
        circuit = lead.circuit
        if lead.material is Material.PLATINUM_IRIDIUM:
            assert circuit.low_nf == pytest.approx(20e3 * cm2, rel=1e-3)
            assert circuit.double_layer_nf == pytest.approx(30e3 * cm2, rel=1e-3)
            assert circuit.high_nf == pytest.approx(50e3 * cm2, rel=1e-3)
            assert circuit.faradaic_ohm == pytest.approx(1e6 / cm2, rel=1e-3)
            assert circuit.faradaic_low_ohm == pytest.approx(100e3 / cm2, rel=1e-3)
            assert circuit.at_leaky().faradaic_ohm == circuit.faradaic_low_ohm
        assert lead.grade in "ABC"
        assert lead.source
        assert circuit.grade in "ABC"
        assert circuit.source


def test_a_pair_of_bands_drives_the_recharge_peak_of_the_facts() -> None:
    circuit = library.lead("octrode").circuit
    for one, expected_ma in ((circuit.at_low(), 6.1), (circuit.at_high(), 2.4)):
        pair_uf = one.double_layer_nf / 2 / 1000
        assert 7.5 / pair_uf == pytest.approx(expected_ma, abs=0.06)
        assert 1.0 < pair_uf < 3.1


def test_the_surface_pair_declares_its_return_pad() -> None:
    pad = library.lead("surface-pair").return_pad
    assert pad is not None
    assert pad.area_um2 == 50_000**2
    assert pad.impedance_ohm == 150
    assert library.contact_map([library.lead("surface-pair")]) == {"1": 1, "return": 255}


def test_no_implanted_lead_declares_a_return() -> None:
    with_pad = [name for name in library.lead_names() if library.lead(name).return_pad]
    assert with_pad == ["open-coil", "surface-pair"]


def test_one_lead_keeps_plain_numbers_and_several_are_dotted() -> None:
    octrode, drg = library.lead("octrode"), library.lead("slimtip-drg")
    assert library.contact_map([octrode])["8"] == 8
    both = library.contact_map([octrode, drg])
    assert both["1.8"] == 8
    assert both["2.1"] == 9
    assert both["2.4"] == 12
    assert len(both) == 12


def test_sites_carry_the_area_and_circuit_of_the_contact_behind_the_index() -> None:
    octrode, coil = library.lead("octrode"), library.lead("open-coil")
    found = library.sites([octrode, coil])
    assert list(found) == [*range(1, 10), 255]
    assert (found[8].label, found[8].area_um2) == ("1.8", octrode.contact(8).area_um2)
    assert (found[9].label, found[9].material) == ("2.1", Material.STAINLESS_STEEL)
    assert found[9].circuit == coil.circuit
    assert coil.return_pad is not None
    assert (found[255].label, found[255].area_um2) == ("return", coil.return_pad.area_um2)
    assert found[255].circuit == coil.return_pad.circuit


def test_more_contacts_than_a_device_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="40 contacts"):
        library.contact_map([library.lead("coveredge-32"), library.lead("octrode")])
    with pytest.raises(ConfigError, match="no lead"):
        library.contact_map([])


def test_two_leads_may_share_one_pad_only_where_it_is_the_same() -> None:
    coil = library.lead("open-coil")
    assert library.contact_map([coil, coil]) == {"1.1": 1, "2.1": 2, "return": 255}
    text = library.LIBRARY_FILE.read_text(encoding="utf-8")
    other = read_leads(text.replace("impedance_ohm = 150", "impedance_ohm = 151", 1))["open-coil"]
    with pytest.raises(ConfigError, match="pads that differ"):
        library.contact_map([coil, other])


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("octrod", "octrode"), ("Infinion 16", "infinion-16"), ("drg", "slimtip-drg"), ("evoke", "evoke-12c")],
)
def test_an_unknown_lead_is_told_what_may_have_been_meant(asked: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        library.lead(asked)
    assert caught.value.code == "unknown-lead"
    assert meant in caught.value.remedy
    assert "coveredge-32" in caught.value.allowed


def test_a_name_like_nothing_known_gets_no_guess() -> None:
    with pytest.raises(ConfigError) as caught:
        library.lead("xyzzy")
    assert caught.value.remedy == ""
    with pytest.raises(ConfigError):
        library.lead(["octrode"])  # type: ignore[arg-type]


def _program(*contacts: str) -> Program:
    pulse, train = Pulse(300_000, Recharge.PASSIVE), Train(Fraction(50))
    shares = tuple(Share(label, 0) for label in contacts)
    area = Area("area 1", 1_000_000, shares, pulse, train)
    return Program("p", "scs", ("octrode",), (area, area))


def test_every_unknown_contact_of_every_area_is_listed() -> None:
    octrode = library.lead("octrode")
    library.check_contacts(_program("1", "8"), [octrode])
    with pytest.raises(ConfigError) as caught:
        library.check_contacts(_program("3", "9", "return"), [octrode])
    places = [problem.place for problem in caught.value.problems]
    assert places == [
        "area[1].contacts.9",
        "area[1].contacts.return",
        "area[2].contacts.9",
        "area[2].contacts.return",
    ]
    assert caught.value.code == "unknown-contact"
    assert "1 to 8 (octrode)" in caught.value.problems[0].allowed


def test_a_plain_number_is_not_a_contact_of_two_leads() -> None:
    octrode = library.lead("octrode")
    library.check_contacts(_program("1.8", "2.8"), [octrode, octrode])
    with pytest.raises(ConfigError) as caught:
        library.check_contacts(_program("8"), [octrode, octrode])
    assert "without the number of its lead" in caught.value.problems[0].found
    with pytest.raises(ConfigError):
        library.check_contacts(_program("1.8"), [octrode])
    with pytest.raises(ConfigError):
        library.check_contacts(_program("3.1"), [octrode, octrode])


def test_a_contact_outside_the_lead_is_refused_by_number() -> None:
    octrode = library.lead("octrode")
    assert octrode.contact(3).y_um == 14_000
    assert octrode.contact(3).shape is Shape.BAND
    for number in (0, 9, -1):
        with pytest.raises(ConfigError, match="no contact"):
            octrode.contact(number)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("area_um2 = 12252211", "area_um2 = 12252212", "lead.octrode.contact.area_um2"),
        ("area_um2 = 12252211", "area_um2 = 12252211.0", "lead.octrode.contact.area_um2"),
        ("area_um2 = 12252211", "area_um2 = true", "lead.octrode.contact.area_um2"),
        ('shape = "band"', 'shape = "ring"', "lead.octrode.contact.shape"),
        ("first = 1, count = 8", "first = 0, count = 8", "lead.octrode.columns[1].first"),
        ("first = 1, count = 8", "first = 2, count = 8", "lead.octrode.columns[1].first"),
        ("first = 1, count = 8", "first = 1, count = 33", "lead.octrode.columns[1].count"),
        ("pitch_um = 7000", "pitch_um = 0", "lead.octrode.columns[1].pitch_um"),
        ("pitch_um = 7000", "pitch_um = 7000, tilt = 1", "lead.octrode.columns[1].tilt"),
        ('class = "percutaneous"', 'class = "implant"', "lead.octrode.class"),
        ('grade = "B"', 'grade = "D"', "lead.octrode.grade"),
        ('grade = "B"', "", "lead.octrode.grade"),
        ('grade = "B"', 'grade = "B"\ncolour = "red"', "lead.octrode.colour"),
        ("series_ohm = 300", "series_ohm = true", "lead.octrode.circuit.series_ohm"),
        ("x_um = -2500", "x_um = 2500", "lead.paddle-5-6-5.columns"),
        ("low_nf = 2450", "low_nf = 4000", "lead.octrode.circuit.double_layer_nf"),
        ("faradaic_ohm = 8162000", "faradaic_ohm = inf", "lead.octrode.circuit.faradaic_ohm"),
        ("low_ohm = 816200", "low_ohm = 8162001", "lead.octrode.circuit.faradaic_low_ohm"),
        ("series_ohm = 300", f"series_ohm = {10**400}", "lead.octrode.circuit.series_ohm"),
        ('title = "Octrode, 8 contacts, 4 mm gap"', 'title = " "', "lead.octrode.title"),
        ('format = "neurostim-leads/1"', 'format = "neurostim-leads/2"', "format"),
    ],
)
def test_a_fault_in_a_lead_file_is_named_by_place(old: str, new: str, place: str) -> None:
    text = library.LIBRARY_FILE.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        read_leads(text.replace(old, new, 1))
    assert place in [problem.place for problem in caught.value.problems]


def test_all_faults_of_a_lead_file_come_at_once() -> None:
    text = library.LIBRARY_FILE.read_text(encoding="utf-8")
    broken = text.replace("series_ohm = 300", "series_ohm = -1").replace('class = "drg"', 'class = "x"')
    with pytest.raises(ConfigError) as caught:
        read_leads(broken)
    places = [problem.place for problem in caught.value.problems]
    assert "lead.infinion-16.circuit.series_ohm" in places
    assert "lead.slimtip-drg.class" in places


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "9" * 5000,
        "",
        "lead = 3",
        "[lead]\noctrode = 1",
        "[lead.x]",
        "= nothing",
        "a = " + "[" * 5000,
    ],
)
def test_text_that_is_no_lead_file_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        read_leads(text)


def test_the_library_comes_without_heavy_imports() -> None:
    code = (
        "import sys, neurostim.electrode.library as library; library.lead('octrode'); "
        "print(sorted({'numpy', 'pydantic', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
