"""The label of a simulated device: what is printed, what the store keeps, what a factory reset does."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim.wire.pairing import format_code
from neurostim_sim.servers.entropy import system_entropy
from neurostim_sim.servers.label import label
from neurostim_sim.settings import Settings, from_url
from support.secure_bench import SecureBench

CODE = format_code(bytes(range(16)))


def test_a_label_tells_serial_number_and_code_and_draws_them() -> None:
    text = label("SIM-0007", CODE, "utf-8")
    assert text.splitlines()[0] == f"device SIM-0007, pairing code {CODE}"
    assert len(text.splitlines()) > 15
    assert "█" in text


@pytest.mark.parametrize("encoding", ["ascii", "no-such-encoding"])
def test_a_terminal_without_blocks_is_told_the_code_only(encoding: str) -> None:
    first, second = label("SIM-0007", CODE, encoding).splitlines()
    assert CODE in first
    assert "cannot show" in second


def test_an_address_gives_the_code_and_asks_for_a_factory_reset() -> None:
    settings = from_url(f"sim://scs?label_code={CODE}&factory_reset=yes")
    assert (settings.label_code, settings.factory_reset) == (CODE, True)
    assert settings.core().label_code == CODE
    with pytest.raises(ConfigError, match="factory_reset"):
        from_url("sim://scs?factory_reset=1")


def test_the_store_keeps_label_and_keys_until_a_factory_reset(tmp_path: Path) -> None:
    store = tmp_path / "store"
    core = Settings("scs", store=store, entropy=system_entropy).core()
    code, host = core.label_code, SecureBench(core)
    host.hello()
    core.close()
    core = Settings("scs", store=store, entropy=system_entropy).core()
    assert core.label_code == code
    assert core.keyring.closed
    core.close()
    core = Settings("scs", store=store, entropy=system_entropy, factory_reset=True).core()
    assert core.label_code == code
    assert not core.keyring.closed
    assert core.keyring.hosts == ()
    core.close()


def test_real_chance_makes_another_label_each_time() -> None:
    codes = {Settings("scs", entropy=system_entropy).core().label_code for _ in range(3)}
    assert len(codes) == 3
    assert len({Settings("scs", seed=4).core().label_code for _ in range(3)}) == 1
    assert Settings("scs", seed=4).core().label_code != Settings("scs", seed=5).core().label_code


def test_a_slip_in_a_given_code_is_told() -> None:
    with pytest.raises(ConfigError, match="check characters"):
        Settings("scs", label_code=CODE[:-1] + "Z").core()
