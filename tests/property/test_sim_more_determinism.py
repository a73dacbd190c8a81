"""The same seed and the same bytes give the same bytes and the same record, however time is cut."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.core.compile import compile_program
from neurostim.core.image import ProgramImage
from neurostim.core.program_file import parse_program
from neurostim.wire import messages as m
from neurostim_sim.faults import DEVICE_FAULTS
from neurostim_sim.profiles import profile
from neurostim_sim.servers.line import LINE_FAULTS
from neurostim_sim.settings import from_url
from support.conformance_programs import area, program, to_toml
from support.sim_bench import MS, SimHost, device

SOURCE = program(
    area(ramp={"up": "0 s", "down": "1 s"}),
    area(
        contacts={"1": "-60 %", "2": "-40 %", "7": "+100 %"},
        train={"rate": "7.7 kHz"},
        pulse={"width": "20 us", "recharge": "active-symmetric"},
        priority=2,
    ),
)


def image() -> ProgramImage:
    return compile_program(parse_program(to_toml(SOURCE)), profile("bench").capabilities.grid).image


def story(seed: int, pieces_ns: int, faults: list[tuple[int, str]]) -> tuple[bytes, dict[str, bytes]]:
    """One dose with steps and faults, told to its end: bytes on the line and files written."""
    with tempfile.TemporaryDirectory() as name:
        core = device(seed=seed, traces=Path(name))
        for at_ms, fault in faults:
            core.inject(fault, at_ms * MS + 123_457)
        host = SimHost(core, pieces_ns)
        start = host.start(image())
        for number in range(4):
            host.live_until(start + (150 + 190 * number) * MS + 77_777)
            host.heard()
            reply: Any = host.ask_anyway(m.SetAmplitude(1, 0, 2_000_000, 2_000_000 - 10_000 * number))
            if reply is None:
                break
        host.silent_until(start + 2_500 * MS)
        core.close()
        host.heard()
        return host.bytes, {path.name: path.read_bytes() for path in sorted(Path(name).iterdir())}


FAULTS = st.lists(
    st.tuples(st.integers(0, 1_500), st.sampled_from([*sorted(DEVICE_FAULTS), "open:3", "short:5"])),
    max_size=3,
)


@settings(max_examples=12)
@given(st.integers(0, 3), st.sampled_from([0, 700_001, 9_999_999, 31_000_000]), FAULTS)
def test_time_in_other_pieces_changes_no_byte(seed: int, pieces: int, faults: list[tuple[int, str]]) -> None:
    assert story(seed, pieces, faults) == story(seed, 0, faults)


def test_another_seed_gives_other_tokens() -> None:
    assert story(1, 0, [])[0] != story(2, 0, [])[0]


def lived(seed: int, faults: str) -> tuple[bytes, ...]:
    attached = from_url(f"sim://scs?seed={seed}{faults}").switch_on()
    heard = []
    host = SimHost(attached.core)
    for now in range(0, 3_000 * MS, 10 * MS):
        attached.advance(now)
        host.sequence += 1
        attached.hear(host.packed(m.Identify()), now)
        attached.advance(now)
        heard.append(attached.take(now))
    return tuple(heard)


@pytest.mark.parametrize("name", LINE_FAULTS)
def test_a_faulty_line_is_repeatable_by_its_seed(name: str) -> None:
    faults = f"&fault={name}@1 s"
    assert lived(5, faults) == lived(5, faults)
    assert lived(5, faults) != lived(5, "")
    assert lived(5, faults) != lived(6, faults)
