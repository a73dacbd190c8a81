"""What is written about leads agrees with the data, and every preset fits its leads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurostim.core.program_file import load_program, presets
from neurostim.electrode.circuit import Chain, Circuit, Node, Phase, Phases, Repeat, steady_state
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


def _programs() -> dict[str, Node]:
    def pulse(amplitude_na: float, width_ns: int) -> Phase:
        return Phase(width_ns, {0: -amplitude_na, 1: amplitude_na})

    def recovery(duration_ns: int) -> tuple[Phase, Phase]:
        return Phase(duration_ns, shorted=(0, 1)), Phase(20_000)

    tonic = [pulse(6e6, 300_000), *recovery(19_680_000)]
    burst = [phase for _ in range(5) for phase in (pulse(1.5e6, 1_000_000), Phase(1_000_000))][:-1]
    burstdr = Phases.of(2, [*burst, *recovery(15_980_000)])
    hf10 = [pulse(3e6, 30_000), Phase(20_000), pulse(-3e6, 30_000), Phase(20_000)]
    return {
        "tonic 50 Hz 300 us 6 mA, passive": Phases.of(2, tonic),
        "BurstDR 1.5 mA": burstdr,
        "HF10 3 mA, active": Phases.of(2, hf10),
        "BurstDR 30 s on, 90 s off": Chain((Repeat(burstdr, 1200), Phases.of(2, [Phase(90 * 10**9)]))),
    }


@pytest.mark.parametrize("name", list(_programs()))
def test_the_results_in_the_circuit_document_are_those_of_the_circuit(name: str) -> None:
    text = (ROOT / "docs" / "electrode-circuit.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    printed = [cell.strip() for cell in row.strip("|").split("|")[1:]]
    found = steady_state(Circuit([lead("octrode").circuit] * 2, 400), _programs()[name])
    values = [
        np.abs(found.residue_ac).max() / 1e9,
        np.abs(found.net_dc_na).max(),
        found.start_up.recharge_peak_na.max() / 1e6,
        float(found.start_up.compliance_peak_uv) / 1e6,
        found.start_up.potential_low_uv.min() / 1e6,
    ]
    for cell, value in zip(printed, values, strict=True):
        if cell == "-":
            assert value == 0
        else:
            decimals = len(cell.partition(".")[2])
            assert round(float(value), decimals) == float(cell), (name, cell, value)
