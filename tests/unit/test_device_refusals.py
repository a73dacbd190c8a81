"""A refusal of the device tells a person what to do about it."""

from __future__ import annotations

import pytest

from neurostim.device.errors import refusal
from neurostim.wire.messages import DeviceState, Error, ErrorCode

OF_PEOPLE = [code for code in ErrorCode if code >= ErrorCode.AUTHENTICATION_REQUIRED]


def refused(code: ErrorCode, detail: int = 0) -> str:
    return str(refusal("RELEASE", Error(code, 1, DeviceState.IDLE, detail, "")))


@pytest.mark.parametrize("code", OF_PEOPLE)
def test_what_people_run_into_with_keys_and_at_home_has_a_remedy(code: ErrorCode) -> None:
    assert refusal("RELEASE", Error(code, 1, DeviceState.IDLE, 0, "")).remedy


def test_a_lockout_is_told_with_its_unit() -> None:
    assert "pairing locked for another 592 s of powered time" in refused(ErrorCode.PAIRING_LOCKED, 592)
