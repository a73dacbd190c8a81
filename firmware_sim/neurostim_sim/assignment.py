"""For whom the device is: one subject at a time, from ASSIGN to RETIRE, across every reset.

The subject is a code, never a name. Nothing of one subject is left for the next: slots, release and usage log
go with the retirement, in one step with the record of the cleaning.
"""

from __future__ import annotations

from typing import Any, Final

from neurostim.wire.messages import EventCode
from neurostim_sim.records import Memory, Slot
from neurostim_sim.store import Replaced

ROOM: Final = "assignment"


class Assignment:
    """The assignment that a memory holds."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @property
    def number(self) -> int:
        """Number of the present or the latest assignment, 0 for none ever."""
        return int(self._kept.get("number", 0))

    @property
    def subject(self) -> str:
        """For whom the device is, empty for nobody."""
        return str(self._kept.get("subject", ""))

    @property
    def cleaning(self) -> str:
        """How the device was cleaned before, empty before the first retirement."""
        return str(self._kept.get("cleaning", ""))

    def assign(self, subject: str, now_us: int) -> int:
        """Bind the device; durable when this returns. Returns the number of the assignment."""
        number = self.number + 1
        self._memory.extra[ROOM] = Replaced(number=number, subject=subject, cleaning=self.cleaning)
        self._memory.note(now_us, EventCode.ASSIGNED, value=number)
        self._memory.save()
        return number

    def retire(self, cleaning: str, now_us: int) -> int:
        """Release the subject and empty the slots, in the memory; durable with the next save."""
        memory, number = self._memory, self.number
        memory.slots = [Slot() for _ in memory.slots]
        memory.purging = True
        memory.extra[ROOM] = Replaced(number=number, subject="", cleaning=cleaning)
        memory.note(now_us, EventCode.RETIRED, value=number)
        memory.note(now_us, EventCode.CLEANED, value=number)
        return number

    @property
    def _kept(self) -> dict[str, Any]:
        found: dict[str, Any] = self._memory.extra.get(ROOM, {})
        return found
