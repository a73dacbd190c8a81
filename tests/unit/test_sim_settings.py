"""Addresses of simulated devices, and the patient behind a seed."""

from __future__ import annotations

import pytest

from neurostim.core.errors import ConfigError
from neurostim.electrode.library import lead
from neurostim_sim.settings import Settings, from_url, spread


def test_a_seed_is_one_patient_whose_contacts_differ() -> None:
    leads = [lead("octrode"), lead("slimtip-drg")]
    found = spread(leads, 7)
    assert found == spread(leads, 7) != spread(leads, 8)
    assert sorted(found) == list(range(1, 13))
    assert len(set(found.values())) > 6
    for number, ohm in found.items():
        nominal = leads[number > 8].circuit.series_ohm
        assert abs(ohm - nominal) <= 0.15 * nominal + 1
    assert spread(leads, 0) == {}


def test_resistances_that_are_named_are_kept() -> None:
    core = Settings("scs", seed=3, impedances={2: 1234}).core()
    assert core.tissue.contacts[2].series_ohm == 1234
    assert core.tissue.contacts[1].series_ohm != lead("octrode").circuit.series_ohm


@pytest.mark.parametrize(
    "url",
    [
        "sim://nosuch",
        "sim://scs?seed=one",
        "sim://scs?speed=10",
        "sim://scs?lead=octrod",
        "sim://scs?impedance=1",
        "sim://scs?impedance=99=500",
        "sim://scs?impedance=1=0",
        "sim://scs?ppm=99999999",
        "sim://scs?fault=flood",
        "sim://scs?fault=reset@soon",
        "sim://scs?time_base=wall&trace=x",
    ],
)
def test_what_no_device_can_be_is_refused(url: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        from_url(url).switch_on()
