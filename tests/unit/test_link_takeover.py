"""Who takes control of a bench device: without a key nobody puts a host aside that is there."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, Role
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from support.sim_bench import MS, SimHost, tonic

A, B = b"h" * 16, b"b" * 16


def greet(host: SimHost, host_id: bytes, nonce: int) -> Any:
    """A hello without a session, on the same line: ids are no secrets, HELLO tells the controller's."""
    before = host.session, host.sequence, host.command
    host.session = host.sequence = 0
    reply = host.ask(m.Hello(host_id, nonce, Role.CONTROL, A))
    host.session, host.sequence, _ = before
    return reply


@pytest.mark.hazard("session-reset")
@pytest.mark.parametrize("host_id", [A, B], ids=["under its own id", "under another"])
def test_a_hello_without_a_key_puts_no_living_controller_aside(host_id: bytes) -> None:
    host = SimHost(DeviceCore(profile("scs"), seed=5))
    host.hello()
    host.live_until(400 * MS)
    host.load(tonic())
    host.arm()
    reply = greet(host, host_id, 77)
    assert (reply.role, reply.refusal, reply.controller) == (Role.OBSERVE, ErrorCode.CONTROL_HELD, A)
    assert host.core.state is DeviceState.ARMED
    host.fire()


def test_a_controller_that_has_fallen_silent_can_be_named_and_put_aside() -> None:
    host = SimHost(DeviceCore(profile("scs"), seed=5))
    host.hello()
    host.live_until(400 * MS)
    host.silent_until(650 * MS)
    assert greet(host, B, 77).refusal is ErrorCode.CONTROL_HELD
    host.silent_until(800 * MS)
    reply = greet(host, B, 78)
    assert (reply.role, reply.controller) == (Role.CONTROL, B)
