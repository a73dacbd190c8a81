"""The patient's own control, part of the device and never a wire message: its buttons, and what it shows."""

from __future__ import annotations

import enum


class Button(enum.Enum):
    """A button of the patient's control. The off button is none of them: it needs no processor."""

    START = "start"
    UP = "up"
    DOWN = "down"
    SWITCH = "switch"
    STOP = "stop"


class Signal(enum.Enum):
    """What the patient's control shows."""

    ON = "output on"
    BATTERY_LOW = "battery low: change it soon"
    BATTERY_EMPTY = "battery too low for output: change it"
    DAY_LEFT = "less than a day left: call the clinic"
    EXPIRED = "the release has ended: call the clinic"
    LOCKED = "started too often: wait"
    CHECK_LEAD = "check the lead, then press start"
    CALL_CLINIC = "a fault that only the clinic clears"
