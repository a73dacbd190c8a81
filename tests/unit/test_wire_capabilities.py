"""Capabilities on the wire: a device that contradicts itself is refused, by both sides."""

from __future__ import annotations

import dataclasses

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.core.hardware import Port, PortKind
from neurostim.core.image import Grid
from neurostim.safety.profiles import profile
from neurostim.wire.capabilities import decode_capabilities, encode_capabilities

SCS = profile("scs")


@pytest.mark.parametrize("name", ["scs", "drg", "pns", "tens", "bench"])
def test_every_profile_survives_the_wire(name):
    held = profile(name)
    told = tuple(type(message).decode(message.encode()) for message in encode_capabilities(held, 1))
    assert decode_capabilities(*told) == held


CONTRADICTIONS = [
    {"ports": ()},
    {"ports": (Port(PortKind.SCS, 1, 8), Port(PortKind.SCS, 8, 8))},
    {"ports": (Port(PortKind.SCS, 9, 8), Port(PortKind.SCS, 1, 8))},
    {"ports": (Port(PortKind.SCS, 30, 4),)},
    {"min_width_ns": SCS.max_width_ns + 1},
    {"max_contact_na": SCS.max_total_na + 1},
]


@pytest.mark.parametrize("changes", [*CONTRADICTIONS, {"grid": Grid(1000, 10_000, 21, 400)}], ids=str)
def test_a_contradiction_is_not_told(changes):
    with pytest.raises(ProtocolError) as caught:
        encode_capabilities(dataclasses.replace(SCS, **changes), 1)
    assert caught.value.code == "bad-capabilities"


def test_a_contradiction_is_not_believed():
    identity, limits, ports = encode_capabilities(SCS, 1)
    first = ports.ports[0]
    for wrong in (
        (identity, dataclasses.replace(limits, min_width_ns=limits.max_width_ns + 1), ports),
        (identity, dataclasses.replace(limits, max_total_na=limits.max_contact_na - 1), ports),
        (identity, limits, dataclasses.replace(ports, ports=())),
        (identity, limits, dataclasses.replace(ports, ports=(first, first))),
        (identity, limits, dataclasses.replace(ports, ports=(dataclasses.replace(first, first_contact=32),))),
    ):
        with pytest.raises(ProtocolError) as caught:
            decode_capabilities(*wrong)
        assert caught.value.code == "bad-capabilities"


def test_a_value_that_does_not_fit_is_not_told():
    for changes in ({"model": "x" * 33}, {"profile": "ü"}, {"rail_mv": 0}, {"max_image_bytes": 65_536}):
        with pytest.raises(ProtocolError):
            encode_capabilities(dataclasses.replace(SCS, **changes), 1)
