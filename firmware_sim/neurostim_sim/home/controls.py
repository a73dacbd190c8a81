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


class Unheeded(enum.Enum):
    """Why a press did nothing, as the patient's control answers it beside what it shows."""

    NO_POWER = "the device has no power"
    NO_ANSWER = "the device does not react"
    NOT_RELEASED = "the device is not released for use at home: only stop works"
    EXPIRED = "the release has ended: call the clinic"
    LOCKED = "started too often: wait"
    BATTERY = "the battery is too low for output: change it"
    LEAD_OUT = "the lead is out: plug it in, then press start"
    FAULT = "a fault that only the clinic clears: call the clinic"
    LOG_FULL = "the usage log is full: call the clinic"
    ON = "output is on, or about to be"
    NOT_YET = "the output has not come to rest: wait a moment"
    OFF = "output is off, or not at its level yet: nothing to step"
    AT_END = "at the end of the range"
    TOO_FAST = "too fast: one step at a time"
    ONE_PROGRAM = "there is no other program"
