"""The nominal profiles of the gate and the devices of the simulator are the same devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurostim.safety import profiles as host
from neurostim_sim import profiles as device


def test_both_know_the_same_profiles() -> None:
    assert tuple(host.profiles()) == device.profile_names()


@pytest.mark.parametrize("name", list(host.profiles()))
def test_a_nominal_profile_says_what_the_simulated_device_says(name: str) -> None:
    nominal, simulated = host.profile(name), device.profile(name).capabilities
    named = replace(
        nominal,
        model=simulated.model,
        serial_number=simulated.serial_number,
        firmware=simulated.firmware,
    )
    assert named == simulated
