"""How fast an amplitude may rise: one step of the approved range at a time, at most three in any second."""

from __future__ import annotations

from collections import deque
from typing import Final

from neurostim.core.errors import SafetyError
from neurostim.safety.context import AmplitudeRange
from neurostim.session.errors import SessionError
from neurostim.wire.messages import AMPLITUDE_STEPS_PER_S

WINDOW_NS: Final = 1_000_000_000


class AmplitudeGuard:
    """Judges each amplitude change of one dose before it is sent; limits reject, nothing is clamped.

    Parameters
    ----------
    ranges : sequence of AmplitudeRange
        What was approved, one an area; every level in it was judged.
    start_na : sequence of int
        Amplitude of each area at the start [nA].
    """

    def __init__(self, ranges: tuple[AmplitudeRange, ...], start_na: tuple[int, ...]) -> None:
        self._ranges = {one.area: one for one in ranges}
        self._levels = dict(enumerate(start_na))
        self._ups: deque[int] = deque(maxlen=AMPLITUDE_STEPS_PER_S)

    def level(self, area: int) -> int:
        """Present amplitude of an area [nA].

        Raises
        ------
        SessionError
            Code ``session-range`` for an area the program has not.
        """
        if area not in self._levels or area not in self._ranges:
            raise SessionError(
                f"there is no area {area}", allowed=f"0 to {len(self._levels) - 1}", code="session-range"
            )
        return self._levels[area]

    def next_up(self, area: int) -> int:
        """The next level above the present one [nA]."""
        return self._beyond(self.level(area), self._ranges[area])

    def next_down(self, area: int) -> int:
        """The next level below the present one, or zero below the lowest [nA]."""
        present, limits = self.level(area), self._ranges[area]
        if present <= limits.min_na:
            return 0
        below = (present - limits.min_na - 1) // limits.step_na
        return limits.min_na + below * limits.step_na

    def judge(self, area: int, to_na: int, now_ns: int) -> None:
        """Refuse a change that must not be sent.

        Raises
        ------
        SafetyError
            Code ``amplitude-range``: not a level of the approved range.
        SessionError
            Codes ``session-step`` (more than one step upward) or ``session-pace`` (too fast).
        """
        present, limits = self.level(area), self._ranges[area]
        if type(to_na) is not int or not (to_na == 0 or self._is_level(to_na, limits)):
            raise SafetyError(
                f"{to_na} nA is no approved amplitude of area {area}",
                allowed=f"0, or {limits.min_na} to {limits.max_na} nA in steps of {limits.step_na} nA",
                remedy="A wider range has to be judged and approved first.",
                code="amplitude-range",
            )
        if to_na <= present:
            return
        if to_na != self._beyond(present, limits):
            raise SessionError(
                f"from {present} nA to {to_na} nA is more than one step",
                allowed=f"{self._beyond(present, limits)} nA",
                remedy="Raise it one step at a time and watch the person.",
                code="session-step",
            )
        if len(self._ups) == AMPLITUDE_STEPS_PER_S and now_ns - self._ups[0] < WINDOW_NS:
            raise SessionError(
                f"{AMPLITUDE_STEPS_PER_S} steps upward were made within the last second",
                remedy="Wait a moment before the next.",
                code="session-pace",
            )

    def sending(self, area: int, to_na: int, now_ns: int) -> None:
        """Note that a change is about to be sent: a step counts even if its answer is lost."""
        if to_na > self.level(area):
            self._ups.append(now_ns)

    def done(self, area: int, to_na: int) -> None:
        """Note what the device says it set."""
        self._levels[area] = to_na

    @staticmethod
    def _is_level(value: int, limits: AmplitudeRange) -> bool:
        inside = limits.min_na <= value <= limits.max_na
        return inside and ((value - limits.min_na) % limits.step_na == 0 or value == limits.max_na)

    @staticmethod
    def _beyond(present: int, limits: AmplitudeRange) -> int:
        if present < limits.min_na:
            return limits.min_na
        steps = (present - limits.min_na) // limits.step_na + 1
        return min(limits.min_na + steps * limits.step_na, limits.max_na)
