"""The interlock, exhaustively: every state with every event, and what no path may do."""

from __future__ import annotations

import itertools

import pytest

from neurostim.core.errors import DeliveryUncertain, NeurostimError, SafetyError
from neurostim.safety.interlock import STOPS, TRANSITIONS, Event, State, advance, allowed, may_start

RANK = {State.IDLE: 0, State.CHECKED: 1, State.LOADED: 2, State.VERIFIED: 3, State.ARMED: 4}
PAIRS = list(itertools.product(State, Event))


def reachable(start: State, without: frozenset[Event] = frozenset()) -> set[State]:
    found, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        for (before, event), after in TRANSITIONS.items():
            if before is state and event not in without and after not in found:
                found.add(after)
                waiting.append(after)
    return found


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s.value} {e.value}" for s, e in PAIRS])
def test_each_pair_is_a_transition_or_an_error_that_names_what_is_allowed(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
        assert event in allowed(state)
        return
    with pytest.raises(NeurostimError) as caught:
        advance(state, event)
    assert isinstance(caught.value, DeliveryUncertain if state is State.UNCERTAIN else SafetyError)
    assert all(known.value in caught.value.allowed for known in allowed(state))
    assert event not in allowed(state)


@pytest.mark.hazard("mode-trap")
@pytest.mark.parametrize("state", list(State))
def test_a_stop_is_possible_in_every_state_and_never_leads_to_output(state: State) -> None:
    for stop in STOPS:
        assert advance(state, stop) in (State.STOPPING, State.STOPPED, State.FAULT, State.UNCERTAIN)


def test_output_starts_only_by_a_confirmed_start_of_an_armed_device() -> None:
    starts = {
        (before, event)
        for (before, event), after in TRANSITIONS.items()
        if after is State.DELIVERING and before is not State.DELIVERING
    }
    assert starts == {
        (State.ARMED, Event.START_CONFIRMED),
        (State.UNCERTAIN, Event.FOUND_DELIVERING),
    }
    assert [state for state in State if may_start(state)] == [State.ARMED]


def test_each_step_towards_output_is_taken_alone() -> None:
    for (before, _), after in TRANSITIONS.items():
        if after in RANK and RANK[after] > 0:
            assert before in RANK
            assert RANK[after] <= RANK[before] + 1


def test_uncertainty_ends_only_by_the_device_own_record() -> None:
    ways = {event for (before, event), after in TRANSITIONS.items() if before is State.UNCERTAIN is not after}
    assert ways == {Event.FOUND_OFF, Event.FOUND_DELIVERING, Event.FAULTED}
    blocked = frozenset({Event.FOUND_OFF, Event.FOUND_DELIVERING, Event.FAULTED})
    assert reachable(State.UNCERTAIN, blocked) == {State.UNCERTAIN}


@pytest.mark.hazard("mode-trap")
@pytest.mark.parametrize("state", [State.STOPPED, State.FAULT])
def test_a_latched_state_is_left_only_by_clearing_and_then_begins_again(state: State) -> None:
    others = {after for (before, event), after in TRANSITIONS.items() if before is state} - {
        state,
        State.FAULT,
    }
    assert others == {State.IDLE}
    assert advance(state, Event.CLEARED) is State.IDLE
    assert State.DELIVERING not in reachable(state, frozenset({Event.CLEARED}))
    assert State.DELIVERING not in reachable(state, frozenset({Event.APPROVED, Event.FOUND_DELIVERING}))


@pytest.mark.parametrize("state", [State.ARMED, State.DELIVERING, State.STOPPING])
def test_a_lost_link_or_reply_while_output_is_possible_is_uncertain(state: State) -> None:
    assert advance(state, Event.LINK_LOST) is State.UNCERTAIN
    assert advance(state, Event.REPLY_LOST) is State.UNCERTAIN


@pytest.mark.parametrize("state", [State.CHECKED, State.LOADED, State.VERIFIED])
def test_a_lost_link_before_arming_forgets_what_was_loaded(state: State) -> None:
    assert advance(state, Event.LINK_LOST) is State.IDLE


def test_a_fault_is_taken_in_every_state() -> None:
    assert {advance(state, Event.FAULTED) for state in State} == {State.FAULT}


def test_the_usual_delivery() -> None:
    state = State.IDLE
    for event in (
        Event.APPROVED,
        Event.COMMITTED,
        Event.DIGEST_MATCHED,
        Event.TOKEN_GRANTED,
        Event.START_CONFIRMED,
        Event.AMPLITUDE_CHANGED,
        Event.SOFT_STOP_SENT,
        Event.OUTPUT_ENDED,
        Event.CLEARED,
    ):
        state = advance(state, event)
    assert state is State.IDLE


def test_another_program_while_delivering_is_refused() -> None:
    for event in (Event.APPROVED, Event.COMMITTED, Event.TOKEN_GRANTED, Event.START_CONFIRMED, Event.CLEARED):
        with pytest.raises(SafetyError):
            advance(State.DELIVERING, event)
