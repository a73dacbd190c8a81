"""Limits as data: pinned, layered, only ever tightened, each with its reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import neurostim.safety
from neurostim.core.errors import ConfigError
from neurostim.core.hardware import PortKind
from neurostim.electrode.lead import LeadClass
from neurostim.safety import limits
from neurostim.safety.limits import (
    LIMITS_SHA256,
    Limits,
    describe,
    effective_limits,
    is_reason,
    limits_digest,
    merged,
    packaged,
    read_layer,
    read_limits,
)
from neurostim.safety.page import PAGE, rules_page
from neurostim.safety.profiles import profile, profiles
from neurostim.safety.quantities import KINDS
from support.safety_cases import MA, area, device, judged

FOLDER = Path(neurostim.safety.__file__).parent
DATA = (FOLDER / "limits.toml").read_bytes()


def refuse(found: Limits, code: str) -> tuple[str, str]:
    bound = found[code].refuse
    assert bound is not None
    return describe(found[code].row, bound), bound.layer


def test_the_packaged_limits_are_those_that_were_reviewed() -> None:
    assert limits_digest(DATA) == LIMITS_SHA256 == packaged().sha256
    assert limits_digest(DATA.replace(b"\n", b"\r\n")) == LIMITS_SHA256


def test_altered_limits_are_refused() -> None:
    for altered in (DATA.replace(b'refuse = "50 uC/cm2"', b'refuse = "500 uC/cm2"', 1), DATA + b"\n"):
        with pytest.raises(ConfigError) as caught:
            read_limits(altered)
        assert caught.value.code == "limits-digest"


def test_packaged_layers_that_loosen_the_base_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loosened = DATA.replace(
        b'refuse = "12.7 mA"\nreason = "SCS port: 12.7', b'refuse = "112.7 mA"\nreason = "SCS port: 12.7', 1
    )
    assert loosened != DATA
    monkeypatch.setattr(limits, "LIMITS_SHA256", limits_digest(loosened))
    with pytest.raises(ConfigError) as caught:
        read_limits(loosened)
    assert caught.value.code == "limits-loosened"


def test_the_page_of_rules_says_what_the_data_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == rules_page()
    for code, row in packaged().rules.items():
        assert f"`{code}`" in text
        assert row.title in text


def test_each_rule_has_a_tier_and_its_texts() -> None:
    for code, row in packaged().rules.items():
        assert code.startswith("SAF-")
        assert row.tiers, code
        assert row.grade in "ABC", code
        for text in (row.title, row.formula, row.scope, row.source, row.conditions):
            assert text.strip(), code
        if row.charge:
            assert row.reach, code


def test_the_known_limits_of_ports_and_leads_hold() -> None:
    scs = effective_limits(PortKind.SCS, LeadClass.PERCUTANEOUS)
    assert refuse(scs, "SAF-CONTACT-CURRENT") == ("12.7 mA", "port")
    assert refuse(scs, "SAF-AREA-CURRENT") == ("25.5 mA", "port")
    assert refuse(scs, "SAF-RATE") == ("2 .. 1200 Hz, 10000 Hz", "port")
    assert refuse(scs, "SAF-DENSITY") == ("50 uC/cm2", "port")
    assert refuse(scs, "SAF-DENSITY-BURST") == ("150 uC/cm2", "port")
    assert scs["SAF-SHANNON-DAMAGE"].refuse is None
    assert "SAF-ENERGY" not in scs
    drg = effective_limits(PortKind.DRG, LeadClass.DRG)
    assert refuse(drg, "SAF-WIDTH-LOW") == ("40 us", "port")
    assert refuse(drg, "SAF-WIDTH-HIGH") == ("720 us", "port")
    assert refuse(drg, "SAF-RATE") == ("4 .. 100 Hz", "port")
    coil = effective_limits(PortKind.PNS, LeadClass.COIL)
    assert refuse(coil, "SAF-CONTACT-CURRENT") == ("30 mA", "port")
    assert refuse(coil, "SAF-WIDTH-HIGH") == ("200 us", "lead")
    assert refuse(coil, "SAF-RATE") == ("1 .. 200 Hz", "lead")
    contacts = effective_limits(PortKind.PNS, LeadClass.PNS)
    assert refuse(contacts, "SAF-CONTACT-CURRENT") == ("10 mA", "lead")
    assert refuse(contacts, "SAF-WIDTH-LOW") == ("12 us", "lead")
    surface = effective_limits(PortKind.SURFACE, LeadClass.SURFACE)
    assert refuse(surface, "SAF-ENERGY") == ("300 mJ", "base")
    assert refuse(surface, "SAF-RATE") == ("1 .. 250 Hz", "port")


def test_layers_tighten_in_order_and_keep_layer_and_reason() -> None:
    made = read_layer("device", {"SAF-CONTACT-CURRENT": {"refuse": "9 mA", "reason": "worn output stage"}})
    person = read_layer("subject", {"SAF-CONTACT-CURRENT": {"warn": "3 mA", "reason": "maximum lying down"}})
    found = effective_limits(PortKind.SCS, LeadClass.PERCUTANEOUS, profile("scs"), made, person)
    limit = found["SAF-CONTACT-CURRENT"]
    assert limit.refuse is not None
    assert limit.warn is not None
    assert (limit.refuse.value, limit.refuse.layer, limit.refuse.reason) == (
        9 * MA,
        "device",
        "worn output stage",
    )
    assert (limit.warn.value, limit.warn.layer) == (3 * MA, "subject")


def test_a_wider_ability_of_the_device_loosens_nothing() -> None:
    plain = effective_limits(PortKind.DRG, LeadClass.DRG)
    able = effective_limits(PortKind.DRG, LeadClass.DRG, device("drg"))
    for code in ("SAF-CONTACT-CURRENT", "SAF-WIDTH-HIGH", "SAF-RATE", "SAF-RAMP-MIN"):
        assert able[code].refuse == plain[code].refuse
    narrow = effective_limits(PortKind.DRG, LeadClass.DRG, device("drg", max_rate_mhz=50_000))
    assert refuse(narrow, "SAF-RATE") == ("4 .. 50 Hz", "device")


@pytest.mark.parametrize(
    ("code", "tier", "text"),
    [
        ("SAF-CONTACT-CURRENT", "refuse", "12.700001 mA"),
        ("SAF-WIDTH-LOW", "refuse", "19.999 us"),
        ("SAF-DENSITY", "warn", "30.0001 uC/cm2"),
        ("SAF-SHANNON", "note", "1.51 k"),
        ("SAF-POTENTIAL-LOW", "refuse", "-0.600001 V"),
        ("SAF-POTENTIAL-HIGH", "refuse", "0.800001 V"),
    ],
)
def test_a_layer_that_loosens_by_the_least_step_is_an_error(code: str, tier: str, text: str) -> None:
    layer = read_layer("subject", {code: {tier: text, "reason": "asked for by the subject"}})
    with pytest.raises(ConfigError) as caught:
        effective_limits(PortKind.SCS, LeadClass.PERCUTANEOUS, None, None, layer)
    problem = caught.value.problems[0]
    assert problem.place == f"subject.{code}.{tier}"
    assert "or tighter" in problem.allowed


@pytest.mark.parametrize(
    "bands",
    [["1 Hz .. 100 Hz"], ["2 Hz .. 1201 Hz"], ["9 kHz .. 10 kHz"], ["40 Hz .. 60 Hz", "1 Hz .. 2 Hz"]],
)
def test_a_band_outside_those_of_the_port_loosens(bands: list[str]) -> None:
    layer = read_layer("subject", {"SAF-RATE": {"refuse": bands, "reason": "asked for by the subject"}})
    with pytest.raises(ConfigError):
        effective_limits(PortKind.SCS, None, None, None, layer)


def test_bands_inside_those_of_the_port_tighten() -> None:
    bands = ["40 Hz .. 60 Hz", "10 kHz .. 10 kHz"]
    layer = read_layer("subject", {"SAF-RATE": {"refuse": bands, "reason": "the arms of this protocol"}})
    found = effective_limits(PortKind.SCS, None, None, None, layer)
    assert refuse(found, "SAF-RATE") == ("40 .. 60 Hz, 10000 Hz", "subject")


def test_a_tier_that_was_not_there_can_be_added() -> None:
    layer = read_layer("subject", {"SAF-SHANNON": {"refuse": "1.4 k", "reason": "a child, by protocol"}})
    verdict = judged(area(7 * MA, width_ns=400_000), subject_limits=layer)
    assert "SAF-SHANNON" in {one.code for one in verdict.refused}


def test_all_loosening_entries_are_reported_at_once() -> None:
    reason = {"reason": "two entries that loosen"}
    layer = read_layer(
        "device", {"SAF-STEP": {"refuse": "1 mA", **reason}, "SAF-DUTY": {"warn": "70 %", **reason}}
    )
    with pytest.raises(ConfigError) as caught:
        effective_limits(PortKind.SCS, None, None, layer)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"SAF-NOTHING": {"refuse": "1 mA", "reason": "there is no such rule"}}, "subject.SAF-NOTHING"),
        ({"SAF-FIT-GRID": {"refuse": True, "reason": "a state has no limit"}}, "subject.SAF-FIT-GRID"),
        ({"SAF-STEP": {"refuse": "0.1 mA"}}, "subject.SAF-STEP.reason"),
        ({"SAF-STEP": {"refuse": "0.1 mA", "reason": "ok"}}, "subject.SAF-STEP.reason"),
        ({"SAF-STEP": {"reason": "a reason without a tier"}}, "subject.SAF-STEP"),
        ({"SAF-STEP": {"halt": "0.1 mA", "reason": "a tier that is not"}}, "subject.SAF-STEP"),
        ({"SAF-STEP": {"refuse": "0.1", "reason": "a bare number is none"}}, "subject.SAF-STEP.refuse"),
        ({"SAF-STEP": {"refuse": 0.1, "reason": "a float is no limit"}}, "subject.SAF-STEP.refuse"),
        ({"SAF-STEP": {"refuse": float("nan"), "reason": "nor is a NaN"}}, "subject.SAF-STEP.refuse"),
        ({"SAF-STEP": {"refuse": True, "reason": "nor is a bool"}}, "subject.SAF-STEP.refuse"),
        ({"SAF-STEP": {"refuse": "0.1 ms", "reason": "the wrong unit"}}, "subject.SAF-STEP.refuse"),
        ({"SAF-STEP": {"refuse": "-0.1 mA", "reason": "a negative current"}}, "subject.SAF-STEP.refuse"),
        ({"SAF-STEP": {"refuse": "0.0000001 mA", "reason": "finer than judged"}}, "subject.SAF-STEP.refuse"),
        (
            {"SAF-STEP": {"refuse": ["1 Hz .. 2 Hz"], "reason": "bands for one value"}},
            "subject.SAF-STEP.refuse",
        ),
        ({"SAF-RATE": {"refuse": "40 Hz", "reason": "one value for bands"}}, "subject.SAF-RATE.refuse"),
        (
            {"SAF-RATE": {"refuse": ["60 Hz .. 40 Hz"], "reason": "a band backwards"}},
            "subject.SAF-RATE.refuse",
        ),
        ({"SAF-RATE": {"refuse": ["40 Hz"], "reason": "half of a band"}}, "subject.SAF-RATE.refuse"),
        (
            {"SAF-DENSITY": {"refuse": "10 uC", "reason": "a charge, no density"}},
            "subject.SAF-DENSITY.refuse",
        ),
    ],
)
def test_a_malformed_layer_names_the_place(entry: dict[str, dict[str, object]], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_layer("subject", entry)
    assert place in {problem.place for problem in caught.value.problems}


def test_only_device_and_subject_are_layers() -> None:
    with pytest.raises(ConfigError):
        read_layer("base", {})


def test_over_several_contacts_the_tightest_limit_holds() -> None:
    scs, drg = effective_limits(PortKind.SCS), effective_limits(PortKind.DRG)
    for both in (merged([scs, drg]), merged([drg, scs])):
        assert refuse(both, "SAF-CONTACT-CURRENT") == ("6 mA", "port")
        assert refuse(both, "SAF-WIDTH-LOW") == ("40 us", "port")
        assert refuse(both, "SAF-RATE") == ("4 .. 100 Hz", "port")
    assert merged([scs, scs]) is scs


@pytest.mark.parametrize(
    ("kind", "text", "base"),
    [
        ("current", "12.7 mA", 12_700_000),
        ("time", "20 us", 20_000),
        ("rate", "0.001 Hz", 1),
        ("charge", "2.5 uC", 25 * 10**11),
        ("charge density", "30 uC/cm2", 300_000),
        ("Shannon k", "1.85 k", 185),
        ("voltage", "-0.6 V", -600_000),
        ("percentage", "5 %", 50_000),
        ("resistance", "4 kOhm", 4000),
        ("energy", "300 mJ", 3 * 10**26),
        ("current density", "2 mA/cm2", 2_000_000),
        ("current slope", "6 mA/s", 6_000_000),
        ("power", "100 mW", 10**11),
        ("area", "1 mm2", 1_000_000),
        ("size", "4096 B", 4096),
        ("daily charge", "150 C", 150 * 10**18),
        ("count", "8 areas", 8),
        ("direct current", "2 uA", 2000),
    ],
)
def test_a_limit_is_read_exactly_in_base_units(kind: str, text: str, base: int) -> None:
    assert KINDS[kind].parse(text) == base
    shown = KINDS[kind].to_shown(base)
    assert KINDS[kind].parse(f"{float(shown):g} {KINDS[kind].shown}") == base


def test_reasons_have_content() -> None:
    assert is_reason("routine setting, seen at follow-up")
    for text in ("", "          ", "okokokokok", "ok ok ok ok", "1 2 3 4 5 6 7", None, 5, "a\tb and more"):
        assert not is_reason(text)


@pytest.mark.hazard("nan-overflow")
@pytest.mark.parametrize("name", ["rules/fit", "rules/charge", "rules/currents", "rules/timing"])
def test_no_float_can_decide_in_the_integer_rules(name: str) -> None:
    assert_integer_only(FOLDER / f"{name}.py")


@pytest.mark.parametrize("name", ["rules/together", "rules/surface", "reach", "context", "verdict"])
def test_no_float_can_decide_around_the_integer_rules(name: str) -> None:
    assert_integer_only(FOLDER / f"{name}.py")


def assert_integer_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Div), "a true division"
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), where
        if isinstance(node, ast.Name):
            assert node.id not in ("float", "math"), where


# ----------------------------------------------------------------------------------------- profiles


def test_the_profiles_have_the_ports_and_ranges_of_the_facts() -> None:
    assert list(profiles()) == ["scs", "drg", "pns", "tens", "bench"]
    scs, drg, pns, tens, bench = profiles().values()
    assert {port.kind for port in scs.ports} == {PortKind.SCS}
    assert scs.contact_count == bench.contact_count == 32
    assert (scs.max_contact_na, scs.max_total_na) == (12_700_000, 25_500_000)
    assert (scs.min_width_ns, scs.max_width_ns, scs.max_rate_mhz) == (20_000, 1_000_000, 10_000_000)
    assert (drg.max_contact_na, drg.min_width_ns, drg.max_width_ns) == (6 * MA, 40_000, 720_000)
    assert pns.max_contact_na == 30 * MA
    assert (tens.max_contact_na, tens.min_width_ns, tens.max_width_ns) == (100 * MA, 50_000, 500_000)
    assert all(port.has_return for one in (pns, tens, bench) for port in one.ports)
    assert not any(port.has_return for one in (scs, drg) for port in one.ports)
    for name, one in profiles().items():
        assert one.profile == name
        assert one.min_ramp_ns == (0 if name == "bench" else 500_000_000)
        assert name == "tens" or 12_000 <= one.rail_mv <= 18_000
    assert tens.rail_mv * 1000 >= 100_000 * 2000


def test_a_patient_step_is_whole_on_each_grid() -> None:
    steps = {"scs": 50_000, "drg": 25_000, "pns": 100_000, "tens": 500_000}
    for name, step in steps.items():
        assert step % profile(name).grid.step_na == 0


def test_an_unknown_profile_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ConfigError) as caught:
        profile("dbs")
    assert "scs, drg, pns, tens, bench" in str(caught.value)
