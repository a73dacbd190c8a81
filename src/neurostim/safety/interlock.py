"""The interlock: what a host may do in which state of a delivery. Pure: a table and one function.

Stops are possible in every state. Nothing starts except from ``armed``, and ``armed`` is reached only by
way of an approval, a load and a digest that matched. ``uncertain`` blocks every start until the device's
own record has said what happened; nothing leads back to delivering by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from neurostim.core.errors import DeliveryUncertain, SafetyError


class State(enum.StrEnum):
    """Where a delivery stands, as far as the host knows from the device's own evidence."""

    IDLE = "idle"
    CHECKED = "checked"
    LOADED = "loaded"
    VERIFIED = "verified"
    ARMED = "armed"
    DELIVERING = "delivering"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAULT = "fault"
    UNCERTAIN = "uncertain"


class Event(enum.StrEnum):
    """What happens: acts of the host that were carried out, and what the device was seen to do.

    ``APPROVED`` a program passed the gate; ``DISCARDED`` it was put aside. ``COMMITTED`` the device holds
    it; ``DIGEST_MATCHED`` / ``DIGEST_DIFFERED`` both sides' digests were compared. ``TOKEN_GRANTED`` /
    ``TOKEN_EXPIRED`` the one-time token of arming. ``START_CONFIRMED`` the device reports the dose begun.
    ``AMPLITUDE_CHANGED`` a step inside the approved range was confirmed. ``SOFT_STOP_SENT``, ``STOP_SENT``,
    ``EMERGENCY_SENT`` a stop left the host; ``SUPERVISION_LOST`` the device ramps down by its dead-man;
    ``OUTPUT_ENDED`` the device reports its output off. ``FAULTED`` it latched a fault. ``REPLY_LOST`` a
    command that may have changed the output was not answered, ``STOP_UNCONFIRMED`` nor was a stop;
    ``LINK_LOST`` the link is gone. ``FOUND_OFF`` / ``FOUND_DELIVERING`` what the device's record says.
    ``CLEARED`` a latched stop or fault was cleared on purpose.
    """

    APPROVED = "approved"
    DISCARDED = "discarded"
    COMMITTED = "committed"
    DIGEST_MATCHED = "digest-matched"
    DIGEST_DIFFERED = "digest-differed"
    TOKEN_GRANTED = "token-granted"
    TOKEN_EXPIRED = "token-expired"
    START_CONFIRMED = "start-confirmed"
    AMPLITUDE_CHANGED = "amplitude-changed"
    SOFT_STOP_SENT = "soft-stop-sent"
    STOP_SENT = "stop-sent"
    EMERGENCY_SENT = "emergency-sent"
    SUPERVISION_LOST = "supervision-lost"
    OUTPUT_ENDED = "output-ended"
    FAULTED = "faulted"
    REPLY_LOST = "reply-lost"
    STOP_UNCONFIRMED = "stop-unconfirmed"
    LINK_LOST = "link-lost"
    FOUND_OFF = "found-off"
    FOUND_DELIVERING = "found-delivering"
    CLEARED = "cleared"


STOPS: Final = frozenset({Event.STOP_SENT, Event.EMERGENCY_SENT})
_OFF: Final = (State.IDLE, State.CHECKED, State.LOADED, State.VERIFIED)
_MAY_DELIVER: Final = (State.ARMED, State.DELIVERING, State.STOPPING)


def _table() -> dict[tuple[State, Event], State]:
    table = {
        (State.IDLE, Event.APPROVED): State.CHECKED,
        (State.CHECKED, Event.COMMITTED): State.LOADED,
        (State.LOADED, Event.DIGEST_MATCHED): State.VERIFIED,
        (State.LOADED, Event.DIGEST_DIFFERED): State.CHECKED,
        (State.VERIFIED, Event.TOKEN_GRANTED): State.ARMED,
        (State.ARMED, Event.TOKEN_EXPIRED): State.VERIFIED,
        (State.ARMED, Event.START_CONFIRMED): State.DELIVERING,
        (State.DELIVERING, Event.AMPLITUDE_CHANGED): State.DELIVERING,
        (State.DELIVERING, Event.SOFT_STOP_SENT): State.STOPPING,
        (State.DELIVERING, Event.SUPERVISION_LOST): State.STOPPING,
        (State.DELIVERING, Event.OUTPUT_ENDED): State.STOPPED,
        (State.STOPPING, Event.SOFT_STOP_SENT): State.STOPPING,
        (State.STOPPING, Event.SUPERVISION_LOST): State.STOPPING,
        (State.STOPPING, Event.OUTPUT_ENDED): State.STOPPED,
        (State.STOPPING, Event.STOP_UNCONFIRMED): State.UNCERTAIN,
        (State.STOPPED, Event.OUTPUT_ENDED): State.STOPPED,
        (State.STOPPED, Event.CLEARED): State.IDLE,
        (State.FAULT, Event.CLEARED): State.IDLE,
        (State.UNCERTAIN, Event.FOUND_OFF): State.STOPPED,
        (State.UNCERTAIN, Event.FOUND_DELIVERING): State.DELIVERING,
        (State.UNCERTAIN, Event.STOP_UNCONFIRMED): State.UNCERTAIN,
        (State.UNCERTAIN, Event.REPLY_LOST): State.UNCERTAIN,
    }
    for state in _OFF:
        table[state, Event.LINK_LOST] = State.IDLE
        if state is not State.IDLE:
            table[state, Event.APPROVED] = State.CHECKED
            table[state, Event.DISCARDED] = State.IDLE
    for state in _MAY_DELIVER:
        table[state, Event.LINK_LOST] = State.UNCERTAIN
        table[state, Event.REPLY_LOST] = State.UNCERTAIN
    for state in (State.STOPPED, State.FAULT, State.UNCERTAIN):
        table[state, Event.LINK_LOST] = state
    for state in State:
        # A latched state stays what it is; an uncertain one until the device's record is read.
        latched = state in (State.STOPPED, State.FAULT, State.UNCERTAIN)
        for stop in STOPS:
            table[state, stop] = state if latched else State.STOPPING
        table[state, Event.FAULTED] = State.FAULT
    return table


TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(_table())
"""Every allowed transition; what is not here is refused."""


def allowed(state: State) -> frozenset[Event]:
    """The events a state allows."""
    return frozenset(event for known, event in TRANSITIONS if known is state)


def advance(state: State, event: Event) -> State:
    """The state after an event.

    Parameters
    ----------
    state : State
        The state before.
    event : Event
        What happened, or what the host is about to do.

    Returns
    -------
    State

    Raises
    ------
    DeliveryUncertain
        For anything but stops, faults and findings while it is uncertain what was delivered.
    SafetyError
        Code ``interlock``, for any other event that the state does not allow.
    """
    after = TRANSITIONS.get((state, event))
    if after is not None:
        return after
    words = ", ".join(sorted(known.value for known in allowed(state)))
    if state is State.UNCERTAIN:
        raise DeliveryUncertain(
            f"{event.value} is blocked: it is not known what the device delivered",
            allowed=words,
            remedy="Read the device's own record first.",
        )
    raise SafetyError(f"{event.value} is not allowed while {state.value}", allowed=words, code="interlock")


def may_start(state: State) -> bool:
    """Whether a fire command may be sent now."""
    return (state, Event.START_CONFIRMED) in TRANSITIONS
