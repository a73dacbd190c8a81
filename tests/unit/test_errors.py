"""The error tree: built-in kinds, stable codes, remedies in the message."""

from __future__ import annotations

import pytest

from neurostim.cli import console, exits
from neurostim.core import errors


@pytest.mark.parametrize(
    ("kind", "builtin", "code", "leaves_with"),
    [
        (errors.ConfigError, ValueError, "config", exits.CONFIG),
        (errors.SafetyError, Exception, "safety", exits.SAFETY),
        (errors.ProtocolError, Exception, "protocol", exits.DEVICE),
        (errors.TransportError, OSError, "transport", exits.DEVICE),
        (errors.CommandTimeout, TimeoutError, "timeout", exits.DEVICE),
        (errors.DeliveryUncertain, Exception, "uncertain", exits.UNCERTAIN),
        (errors.DeviceFault, Exception, "fault", exits.DEVICE),
    ],
)
def test_each_error_has_its_builtin_kind_code_and_exit_code(
    kind: type[errors.NeurostimError], builtin: type[Exception], code: str, leaves_with: int
) -> None:
    error = kind("the cable is out", allowed="a cable", remedy="Plug it in.")
    assert isinstance(error, builtin)
    assert error.code == code
    assert str(error) == "the cable is out. Allowed: a cable. Plug it in."
    assert str(kind("the cable is out")) == "the cable is out"
    assert console.exit_code(error) == leaves_with


def test_a_config_error_lists_every_problem() -> None:
    problems = [errors.Problem("area[1].amplitude", "3", "a current"), errors.Problem("name", "''", "text")]
    error = errors.ConfigError("2 problems in p.toml", problems=problems)
    assert [line.strip() for line in str(error).splitlines()[1:]] == [
        "- area[1].amplitude: found 3; allowed: a current",
        "- name: found ''; allowed: text",
    ]
    assert console.error_document(error)["problems"][1]["place"] == "name"
