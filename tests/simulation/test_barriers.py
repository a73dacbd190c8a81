"""Every barrier is needed: with it gone the monitor finds what it held off, with it in place nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim_sim.commands import starting
from neurostim_torture.barriers import BARRIERS, Barrier, Catch, Scene, cuts_of, find, page, remove
from neurostim_torture.barriers.removal import Cut, removed
from neurostim_torture.main import main

PAGE = Path(__file__).parents[2] / "docs" / "safety" / "barriers.md"


@pytest.mark.parametrize("name", [one.name for one in BARRIERS])
def test_the_monitor_sees_that_a_barrier_is_gone(name: str) -> None:
    catch = remove(find(name))
    assert catch.schedules, f"removing {name} shows nothing in {find(name).within} schedules"
    assert catch.sound, f"the schedule that shows it, seed {catch.seed}, is not good without the removal"


@pytest.mark.long
@pytest.mark.parametrize("name", [one.name for one in BARRIERS])
@pytest.mark.parametrize("first_seed", [1000, 2000, 3000])
def test_the_monitor_sees_it_from_other_seeds(name: str, first_seed: int) -> None:
    assert remove(find(name), first_seed).caught


def test_a_name_stands_once_and_partners_are_in_the_table() -> None:
    names = [one.name for one in BARRIERS]
    assert len(set(names)) == len(names)
    for barrier in BARRIERS:
        assert barrier.name not in barrier.partners
        assert set(barrier.partners) <= set(names)
        assert len(cuts_of(barrier)) >= 1 + len(barrier.partners)


def test_a_check_is_back_after_it_was_removed() -> None:
    before = starting._use_token.__code__
    cut = Cut(
        "neurostim_sim.commands.starting:_use_token", "if expected != device.memory.dose_count:", "if 0:"
    )
    with removed([cut]):
        assert starting._use_token.__code__ is not before
    assert starting._use_token.__code__ is before


@pytest.mark.parametrize(
    ("place", "check"),
    [
        ("neurostim_sim.commands.starting:_use_token", "if what is not there:"),
        ("neurostim_sim.commands.starting:_use_token", "device"),
        ("neurostim_sim.commands.starting:nothing", "if"),
        ("neurostim_sim.commands.starting:SECOND_NS", "1"),
    ],
)
def test_a_barrier_that_has_moved_is_an_error(place: str, check: str) -> None:
    before = starting._use_token.__code__
    with pytest.raises(ConfigError, match="a barrier is not where"), removed([Cut(place, check, "pass")]):
        pass
    assert starting._use_token.__code__ is before


def test_a_barrier_that_nobody_needs_is_told() -> None:
    useless = Barrier("useless", "device", "nothing", (), Scene(), 1)
    catch = remove(useless)
    assert not catch.caught
    assert page.line(catch).startswith("NOT CAUGHT")


def test_a_partner_that_shows_it_alone_makes_it_unsound() -> None:
    dead_man = find("dead-man")
    hidden = Barrier("hidden", "device", "nothing", (), dead_man.scene, 3, ("dead-man",))
    catch = remove(hidden)
    assert catch.schedules
    assert not catch.sound


def test_the_page_lists_every_barrier_as_seen() -> None:
    rows = [
        line.split("|")[1].strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if "|" in line
    ]
    assert rows[2:] == [one.name for one in BARRIERS]
    assert "not seen" not in PAGE.read_text(encoding="utf-8")


def test_the_page_is_made_of_what_was_found() -> None:
    barrier = BARRIERS[0]
    text = page.page([Catch(barrier, 2, 7, ("a-rule",), True)])
    assert f"| {barrier.name} | {barrier.where} | {barrier.against} |" in text
    assert f"2 of {barrier.within}, seed 7" in text


def test_the_command_tells_one_barrier(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--barriers", "journal before fire"]) == 0
    assert "journal-before-fire" in capsys.readouterr().out
    assert main(["--barriers", "no such"]) == 2
