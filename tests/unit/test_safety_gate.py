"""The gate: verdicts side by side, ranges, slots, and approval that cannot be had in another way."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import pickle
from dataclasses import replace
from enum import Enum
from typing import Any

import pytest

from neurostim.core.errors import ConfigError, SafetyError
from neurostim.core.hardware import ContactImpedance, Impedances
from neurostim.core.image import Grid
from neurostim.core.program import Recharge
from neurostim.core.program_file import load_preset, presets
from neurostim.core.sharing import contact_currents
from neurostim.core.units import format_current
from neurostim.electrode.library import lead
from neurostim.safety.context import Case, checked_ranges
from neurostim.safety.findings import Severity
from neurostim.safety.gate import (
    AmplitudeRange,
    ApprovedProgram,
    Slot,
    Verdict,
    approval_digest,
    approve,
    charge_warnings,
    check,
    check_program,
    check_slots,
)
from neurostim.safety.limits import packaged
from neurostim.safety.profiles import profile
from neurostim.safety.rules import PRECONDITION, RULES
from neurostim.safety.verdict import judge_case
from neurostim.wire.image import decode_image, encode_image
from support.safety_cases import (
    FINE,
    MA,
    MS,
    area,
    device,
    judged,
    leads_of,
    readings,
    reasons,
    schedule,
    severity,
    value,
)

REASON = "accepted by the author of this test"


def preset_verdict(name: str, **options: Any) -> Verdict:
    program = load_preset(name)
    leads = [lead(one) for one in program.leads]
    return check_program(program, leads, profile(program.therapy), **options)


@pytest.mark.parametrize("name", list(presets()))
def test_every_preset_can_be_approved_on_its_profile_with_reasons(name: str) -> None:
    verdict = preset_verdict(name)
    assert not verdict.refused
    approved = approve(verdict, reasons(verdict))
    approved.verify()
    assert decode_image(approved.image_bytes) == verdict.image
    assert set(approved.acknowledged) == set(verdict.to_acknowledge)
    with pytest.raises(SafetyError) as caught:
        approve(verdict)
    assert caught.value.rules == verdict.to_acknowledge


@pytest.mark.parametrize("name", list(presets()))
def test_every_preset_can_be_run_once_its_impedance_is_measured(name: str) -> None:
    measured = readings(400, contacts=(*range(1, 33), 255))
    verdict = preset_verdict(name, impedances=measured, at_run=True)
    assert not verdict.refused
    assert severity(verdict, "SAF-IMPEDANCE-MISSING") is Severity.PASS
    missing = preset_verdict(name, at_run=True)
    expected = Severity.WARN if load_preset(name).therapy == "bench" else Severity.REFUSE
    assert severity(missing, "SAF-IMPEDANCE-MISSING") is expected


def test_burstdr_asks_for_reasons_of_its_own() -> None:
    codes = preset_verdict("burstdr").to_acknowledge
    assert codes == (
        "SAF-DENSITY-BURST",
        "SAF-SHANNON-BURST",
        "SAF-FARADAIC-DC",
        "SAF-IMPEDANCE-MISSING",
    )


def test_all_rules_that_apply_stand_side_by_side_with_source_and_margin() -> None:
    verdict = judged(area(2 * MA))
    found = {one.code for one in verdict.findings}
    assert {"SAF-DENSITY", "SAF-SHANNON", "SAF-CONTACT-CURRENT", "SAF-COMPLIANCE", "SAF-POWER"} <= found
    assert "SAF-ENERGY" not in found
    for one in verdict.findings:
        assert one.source
        assert one.conditions
        assert one.title
        assert one.message
        assert one.place
        if one.code == "SAF-CONTACT-CURRENT":
            assert (one.value, one.limit, one.unit, one.layer) == (2, one.limit, "mA", "port")
            assert float(one.margin or 0) == pytest.approx(100 * (12.7 - 2) / 12.7)
    json.dumps(verdict.as_dict(), allow_nan=False)


def test_the_margin_is_negative_beyond_a_limit_and_names_each_tier() -> None:
    finding = next(
        one for one in judged(area(6 * MA, width_ns=MS)).findings if one.code == "SAF-CHARGE-PHASE"
    )
    assert finding.severity is Severity.WARN
    assert (float(finding.margins["warn"]), float(finding.margins["refuse"])) == (-20, 40)


def test_each_function_speaks_for_its_own_rule_only() -> None:
    assert set(RULES) | {PRECONDITION} == set(packaged().rules)
    assert list(RULES) == [code for code in packaged().rules if code != PRECONDITION]
    functions = list(RULES.values())
    assert len(set(functions)) == len(functions)
    ranged = [AmplitudeRange(0, 0, 9 * MA, 100_000)]
    verdict = judged(area(width_ns=MS, recharge=Recharge.PASSIVE_AFTER_BURST, burst=(5, 500)), ranges=ranged)
    from neurostim.safety.context import build

    context = build(verdict.case)
    for code, function in RULES.items():
        allowed = {code, f"{code}-RANGE"} if packaged().rules[code].reach else {code}
        assert {one.code for one in function(context)} <= allowed


def test_a_missing_contact_ends_the_judgement_with_one_refusal() -> None:
    verdict = judged(area(shares=((1, -1000), (32, 1000))))
    assert {one.code for one in verdict.findings} == {"SAF-FIT-CONTACT"}
    assert "leads" in verdict.refused[0].message
    pad = judged(area(shares=((1, -1000), (255, 1000))))
    assert pad.refused[0].code == "SAF-FIT-CONTACT"


# ----------------------------------------------------------------------------------------- ranges


def non_monotone() -> tuple[Any, Grid, int, int]:
    """An area, a grid, the end of a range, and a contact that carries more below that end than at it."""
    grid = Grid.of(100, 100_000)
    shares = ((1, -1000), (2, 300), (3, 150), (4, 50), (5, 500))
    for top in range(20, 60):
        at_top = contact_currents(top * 100_000, 1, shares, grid.step_na)
        for below in range(1, top):
            lower = contact_currents(below * 100_000, 1, shares, grid.step_na)
            for contact in (2, 3, 4):
                if lower[contact] > at_top[contact]:
                    return area(top * 100_000, shares=shares, grid=grid), grid, below * 100_000, contact
    raise AssertionError("rule 6 is monotone here")


@pytest.mark.hazard("together")
def test_a_range_whose_ends_are_safe_is_refused_for_a_step_between_them() -> None:
    one, grid, below, contact = non_monotone()
    at_top = contact_currents(one.amplitude_na, 1, one.shares, grid.step_na)[contact]
    limit = {"SAF-CONTACT-CURRENT": {"refuse": f"{at_top} nA", "reason": "what this contact has at the end"}}
    verdict = judged(one, grid=grid, subject_limits=limit)
    anode = {finding.code: finding for finding in verdict.findings if finding.place.endswith(f".{contact}")}
    assert "SAF-CONTACT-CURRENT" not in {
        finding.code for finding in verdict.refused if finding.place.endswith(f".{contact}")
    }
    ranged = anode["SAF-CONTACT-CURRENT-RANGE"]
    assert ranged.severity is Severity.REFUSE
    assert f"first at {format_current(below)}" in ranged.message


def test_a_range_beyond_the_setting_has_warnings_of_its_own() -> None:
    calm = judged(area(2 * MA, width_ns=400_000), ranges=[AmplitudeRange(0, 0, 2 * MA, 100_000)])
    assert not any(one.code.endswith("-RANGE") for one in calm.findings)
    reaching = judged(area(2 * MA, width_ns=400_000), ranges=[AmplitudeRange(0, 0, 10 * MA, 100_000)])
    assert severity(reaching, "SAF-DENSITY") is Severity.PASS
    assert severity(reaching, "SAF-DENSITY-RANGE") is Severity.WARN
    assert severity(reaching, "SAF-COMPLIANCE-RANGE") is Severity.PASS
    assert value(reaching, "SAF-DENSITY-RANGE") == 5 * value(reaching, "SAF-DENSITY")
    assert value(reaching, "SAF-CHARGE-DAY-RANGE") > 4 * value(reaching, "SAF-CHARGE-DAY")
    given = {code: REASON for code in reaching.to_acknowledge if not code.endswith("-RANGE")}
    with pytest.raises(SafetyError) as caught:
        approve(reaching, given)
    assert all(code.endswith("-RANGE") for code in caught.value.rules)
    refused = judged(area(2 * MA, width_ns=400_000), ranges=[AmplitudeRange(0, 0, 16 * MA, 100_000)])
    assert "SAF-DENSITY-RANGE" in {one.code for one in refused.refused}


@pytest.mark.parametrize(
    "wrong",
    [
        AmplitudeRange(1, 0, MA, 1000),
        AmplitudeRange(0, 0, MA - 1, 1000),
        AmplitudeRange(0, MA + 1, 2 * MA, 1000),
        AmplitudeRange(0, -1, MA, 1000),
        AmplitudeRange(0, 0, 151 * MA, 1000),
        AmplitudeRange(0, 0, MA, 0),
        AmplitudeRange(0, 0, MA, 1500),
        AmplitudeRange(0, 0, float("nan"), 1000),  # type: ignore[arg-type]
        AmplitudeRange(0, False, MA, 1000),
    ],
)
def test_a_malformed_range_is_an_error(wrong: AmplitudeRange) -> None:
    with pytest.raises(ConfigError):
        checked_ranges(schedule(area(grid=Grid.of(100, 1000)), grid=Grid.of(100, 1000)), [wrong])


def test_the_three_charge_warnings_are_told_apart() -> None:
    ranges = (AmplitudeRange(0, 0, 10 * MA, 100_000),)
    verdict = judged(area(2 * MA, width_ns=400_000), ranges=ranges)
    slots = {
        "A": Slot(schedule(area(2 * MA, width_ns=400_000))),
        "B": Slot(schedule(area(10 * MA, width_ns=400_000))),
        "C": Slot(schedule(area(2 * MA, width_ns=400_000)), ranges),
    }
    saved = check_slots(slots, leads_of("scs"), device(), impedances=readings())
    found = charge_warnings(verdict, saved)
    assert found.setting == ()
    assert "SAF-DENSITY-RANGE" in {one.code for one in found.range}
    assert found.slots["A"] == ()
    assert "SAF-DENSITY" in {one.code for one in found.slots["B"]}
    assert "SAF-DENSITY-RANGE" in {one.code for one in found.slots["C"]}
    assert bool(found)
    assert not charge_warnings(judged(area()))


# ----------------------------------------------------------------------------------------- the device


@pytest.mark.hazard("rounding")
def test_a_program_compiled_for_another_device_is_refused_until_it_is_judged_on_this_one() -> None:
    program = load_preset("tonic")
    leads = [lead(one) for one in program.leads]
    coarse = replace(profile("scs"), grid=Grid.of(1000, 250_000))
    elsewhere = check(preset_verdict("tonic").case.schedule, leads, coarse)
    assert "SAF-FIT-GRID" in {one.code for one in elsewhere.refused}
    here = check_program(program, leads, coarse)
    assert not here.refused
    assert here.image.grid == coarse.grid


@pytest.mark.hazard("wrong-device")
def test_a_program_is_not_judged_with_leads_it_was_not_written_for() -> None:
    program = load_preset("tonic")
    for names in (["linear-8"], ["octrode", "octrode"], []):
        with pytest.raises(ConfigError) as caught:
            check_program(program, [lead(one) for one in names], profile("scs"))
        assert caught.value.code == "lead-mismatch"


def test_what_the_device_can_do_tightens_the_port_and_says_so() -> None:
    verdict = judged(area(3 * MA), capabilities=device(max_contact_na=2 * MA))
    finding = next(one for one in verdict.refused if one.code == "SAF-CONTACT-CURRENT")
    assert finding.layer == "device"
    assert finding.limit == 2


def test_a_subject_limit_refuses_with_its_reason() -> None:
    limit = {"SAF-CONTACT-CURRENT": {"refuse": "2.5 mA", "reason": "dorsal column scar at T9"}}
    verdict = judged(area(3 * MA), subject_limits=limit)
    finding = next(one for one in verdict.refused if one.code == "SAF-CONTACT-CURRENT")
    assert (finding.layer, finding.reason) == ("subject", "dorsal column scar at T9")


def test_a_layer_that_loosens_stops_the_check() -> None:
    limit = {"SAF-CONTACT-CURRENT": {"refuse": "20 mA", "reason": "the patient asked for more"}}
    for layer in ("subject_limits", "device_limits"):
        with pytest.raises(ConfigError) as caught:
            judged(area(), **{layer: limit})
        assert caught.value.code == "limits-loosened"


# ----------------------------------------------------------------------------------------- approval


def accepted(**options: Any) -> ApprovedProgram:
    verdict = judged(area(8 * MA, width_ns=400_000, rate=50), **options)
    return approve(verdict, reasons(verdict))


def test_a_refusal_cannot_be_acknowledged() -> None:
    verdict = judged(area(13 * MA))
    with pytest.raises(SafetyError) as caught:
        approve(verdict, dict.fromkeys(packaged().rules, REASON))
    assert caught.value.code == "refused"
    assert "SAF-CONTACT-CURRENT" in caught.value.rules


@pytest.mark.parametrize(
    "reason",
    [
        "",
        " ",
        "ok",
        "accepted",
        "ok ok ok ok ok",
        ". . . . . . . . .",
        "yes\nno and so on",
        "a b c d e f g h i j",
    ],
)
def test_an_empty_or_trivial_reason_is_refused(reason: str) -> None:
    verdict = judged(area(8 * MA, width_ns=400_000, rate=50))
    given = {**reasons(verdict), "SAF-SHANNON-DAMAGE": reason}
    with pytest.raises(ConfigError) as caught:
        approve(verdict, given)
    assert [problem.place for problem in caught.value.problems] == ["acknowledged.SAF-SHANNON-DAMAGE"]


def test_a_reason_for_an_unknown_rule_is_an_error_and_for_a_silent_one_is_not_recorded() -> None:
    verdict = judged(area(8 * MA, width_ns=400_000, rate=50))
    with pytest.raises(ConfigError):
        approve(verdict, {**reasons(verdict), "SAF-SHANON": REASON})
    approved = approve(verdict, {**reasons(verdict), "SAF-DUTY": REASON})
    assert "SAF-DUTY" not in approved.acknowledged


def test_a_verdict_is_judged_again_and_not_taken_at_its_word() -> None:
    refused = judged(area(13 * MA))
    cleaned = tuple(one for one in refused.findings if one.severity is not Severity.REFUSE)
    for forged in (replace(refused, findings=cleaned), replace(refused, findings=())):
        with pytest.raises(SafetyError) as caught:
            approve(forged, dict.fromkeys(packaged().rules, REASON))
        assert caught.value.code == "not-approved"


def test_a_schedule_altered_after_the_check_is_refused() -> None:
    verdict = judged(area(MA))
    verdict.case.schedule.image = schedule(area(12 * MA, width_ns=500_000)).image
    with pytest.raises((SafetyError, ConfigError)):
        approve(verdict, {})
    slower = judged(area(MA))
    slower.case.schedule.image = schedule(area(MA, rate=41)).image
    with pytest.raises(ConfigError):
        judge_case(slower.case)


def test_an_approved_program_cannot_be_made_changed_or_copied() -> None:
    approved = accepted()
    attempts = [
        ApprovedProgram,
        lambda: ApprovedProgram(approved.image, approved.image_bytes),
        lambda: setattr(approved, "ranges", ()),
        lambda: delattr(approved, "ranges"),
        lambda: copy.copy(approved),
        lambda: copy.deepcopy(approved),
        lambda: pickle.dumps(approved),
        lambda: object.__new__(ApprovedProgram).verify(),
    ]
    for attempt in attempts:
        with pytest.raises(SafetyError) as caught:
            attempt()
        assert caught.value.code == "not-approved"
    with pytest.raises(TypeError):
        approved.acknowledged["SAF-DUTY"] = REASON  # type: ignore[index]


def test_verify_notices_parts_that_do_not_belong_together() -> None:
    other = accepted(ranges=[AmplitudeRange(0, 0, 8 * MA, 1000)])
    for name in ("image", "image_bytes", "image_sha256", "approval_sha256", "limits_sha256", "ranges"):
        approved = accepted()
        stranger = judged(area(2 * MA)).image if name == "image" else None
        changed = stranger or (getattr(other, name) if name == "ranges" else bytes(32))
        object.__setattr__(approved, name, changed)
        with pytest.raises(SafetyError):
            approved.verify()
    approved = accepted()
    object.__setattr__(approved, "acknowledged", {})
    with pytest.raises(SafetyError):
        approved.verify()


def test_the_approval_digest_is_that_of_the_documented_text() -> None:
    text = (
        '{"acknowledged":[["SAF-A","caf\\u00e9 and more"],["SAF-B","second"]],'
        '"format":"neurostim-approval/1",'
        f'"image_sha256":"{"11" * 32}","limits_sha256":"{"22" * 32}",'
        '"ranges":[[0,0,1500000,50000]]}'
    )
    digest = approval_digest(
        b"\x11" * 32,
        [AmplitudeRange(0, 0, 1_500_000, 50_000)],
        b"\x22" * 32,
        {"SAF-B": "second", "SAF-A": "café and more"},
    )
    assert digest == hashlib.sha256(text.encode("ascii")).digest()


def test_the_approval_digest_binds_image_ranges_limits_and_reasons() -> None:
    base = accepted()
    assert base.image_sha256 == hashlib.sha256(encode_image(base.image)).digest()
    assert accepted().approval_sha256 == base.approval_sha256
    verdict = judged(area(8 * MA, width_ns=400_000, rate=50))
    worded = approve(verdict, {**reasons(verdict), "SAF-SHANNON-DAMAGE": "a wholly different reason"})
    others = [
        accepted(ranges=[AmplitudeRange(0, 0, 8 * MA, 1000)]),
        accepted(subject_limits={"SAF-STEP": {"refuse": "100 uA", "reason": "a careful subject"}}),
        accepted(device_limits={"SAF-STEP": {"refuse": "100 uA", "reason": "a careful subject"}}),
        accepted(capabilities=device(max_contact_na=9 * MA)),
        worded,
    ]
    digests = {one.approval_sha256 for one in [base, *others]}
    assert len(digests) == len(others) + 1


# ----------------------------------------------------------------------------------------- integers only


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every integer inside nested frozen values."""
    if type(value) is int:
        return [path]
    if isinstance(value, (Enum, str, bool)) or value is None:
        return []
    if isinstance(value, tuple):
        return [way for at, item in enumerate(value) for way in places(item, (*path, at))]
    return [
        way
        for entry in dataclasses.fields(value)
        for way in places(getattr(value, entry.name), (*path, entry.name))
    ]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same nested value with another leaf."""
    if not path:
        return new
    head, *rest = path
    if isinstance(value, tuple):
        return (*value[:head], changed(value[head], tuple(rest), new), *value[head + 1 :])
    return replace(value, **{head: changed(getattr(value, head), tuple(rest), new)})


BASE = Case(
    schedule=schedule(area(), grid=FINE),
    leads=(lead("slimtip-drg"),),
    capabilities=device("drg"),
    ranges=(AmplitudeRange(0, 0, MA, 1000),),
)
NUMBERS = [
    *(("capabilities", *way) for way in places(BASE.capabilities)),
    *(("leads", *way) for way in places(BASE.leads)),
    *(("ranges", *way) for way in places(BASE.ranges)),
    *(("image", *way) for way in places(BASE.schedule.image)),
]


@pytest.mark.hazard("nan-overflow")
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.0, 2.5, True, "1", None])
def test_no_number_of_a_case_may_be_anything_but_an_integer(bad: object) -> None:
    judge_case(BASE)
    for place in NUMBERS:
        kind, *way = place
        case = BASE
        if kind == "image":
            altered = copy.copy(BASE.schedule)
            altered.image = changed(BASE.schedule.image, tuple(way), bad)
            case = replace(BASE, schedule=altered)
        else:
            case = replace(BASE, **{kind: changed(getattr(BASE, kind), tuple(way), bad)})
        with pytest.raises(ConfigError) as caught:
            judge_case(case)
        assert caught.value.code == "not-an-integer", place


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 500.0, True])
def test_no_impedance_may_be_anything_but_an_integer(bad: Any) -> None:
    for reading in (ContactImpedance(1, bad, 500), ContactImpedance(1, 500, bad)):
        with pytest.raises(ConfigError):
            judge_case(replace(BASE, impedances=Impedances({1: reading})))


def test_a_reading_filed_under_another_contact_is_refused() -> None:
    with pytest.raises(ConfigError):
        judge_case(replace(BASE, impedances=Impedances({1: ContactImpedance(2, 500, 500)})))


@pytest.mark.hazard("nan-overflow")
def test_numbers_beyond_every_bound_are_refused_and_do_not_overflow() -> None:
    for amplitude in (150 * MA + 1, 10**30):
        altered = copy.copy(BASE.schedule)
        altered.image = changed(BASE.schedule.image, ("areas", 0, "amplitude_na"), amplitude)
        with pytest.raises(ConfigError):
            judge_case(replace(BASE, schedule=altered))
    verdict = judged(area(150 * MA, width_ns=10 * MS, rate=1), port="bench")
    assert value(verdict, "SAF-CHARGE-PHASE") == 1500
