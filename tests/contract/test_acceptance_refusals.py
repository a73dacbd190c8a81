"""What a person is told, and what a script sees, where the device itself refuses."""

from __future__ import annotations

import pytest

from neurostim.cli import console, exits
from neurostim.device.errors import refusal
from neurostim.wire.messages import DeviceState, Error, ErrorCode

NEVER_SENT = (ErrorCode.NONE,)


@pytest.mark.parametrize("code", [code for code in ErrorCode if code not in NEVER_SENT])
def test_every_refusal_of_the_device_ends_with_the_exit_code_of_the_device(code: ErrorCode) -> None:
    error = refusal("ARM", Error(code, 0x20, DeviceState.IDLE, 0, ""))
    assert console.exit_code(error) == exits.DEVICE


@pytest.mark.parametrize(
    "code", [ErrorCode.BATTERY, ErrorCode.DEVICE_LIMIT, ErrorCode.INTERNAL, ErrorCode.NOT_SUPERVISED]
)
def test_a_refusal_that_a_person_can_do_something_about_says_what(code: ErrorCode) -> None:
    assert refusal("ARM", Error(code, 0x20, DeviceState.IDLE, 0, "")).remedy
