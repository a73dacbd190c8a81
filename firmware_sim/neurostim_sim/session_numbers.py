"""Numbers of sessions: none is ever given twice, whatever is lost with the supply.

Anybody can make the device give one, by repeating a recorded first message. So they are reserved in
blocks, durably and before the first of a block is given; a reset forgets what is left of a block.
"""

from __future__ import annotations

from typing import Final

from neurostim.wire.messages import ErrorCode
from neurostim_sim.records import Memory
from neurostim_sim.sessions import Refusal

BLOCK: Final = 64
MOST: Final = 0xFFFFFFFF
"""The last number that a header has room for."""


class SessionNumbers:
    """The numbers of one boot; the first block is durable with what the boot saves.

    Attributes
    ----------
    before : int
        The last that an earlier boot may have given.
    last : int
        The last that was given.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.before = self.last = memory.session_numbers
        self._reserve()

    def check(self) -> None:
        """Refuse where there is no number left, before anything else is done.

        Raises
        ------
        Refusal
            TOO_MANY_SESSIONS: a number that was given before would open the door to recorded frames.
        """
        if self.last >= MOST:
            raise Refusal(ErrorCode.TOO_MANY_SESSIONS, 0, "every session number has been used")

    def take(self) -> int:
        """A number that was never given, by this boot or an earlier one."""
        self.check()
        if self.last == self._memory.session_numbers:
            self._reserve()
            self._memory.save()
        self.last += 1
        return self.last

    def _reserve(self) -> None:
        self._memory.session_numbers = min(self._memory.session_numbers + BLOCK, MOST)
