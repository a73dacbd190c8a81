"""A command whose outcome is uncertain: it blocks every start until the device's own record ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from neurostim.core.errors import ConfigError, DeliveryUncertain
from neurostim.device.errors import refusal
from neurostim.device.notices import NoticeKind
from neurostim.device.resolution import Executed, NeverArrived, Outcome, Refused, Unanswered, Unknown
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import REPLY_TO, Error

ASK_AGAIN_NS: Final = 500_000_000


class Doubts:
    """Holds the one command in doubt: there is at most one, since only one is sent at a time."""

    def __init__(self, notice: Callable[[NoticeKind, str], None]) -> None:
        self.command: Unanswered | None = None
        self._notice = notice
        self._ask_ns: int | None = None

    def begin(self, command: Unanswered, why: str, now_ns: int) -> DeliveryUncertain:
        """Hold a command, and make the error for whoever asked for it."""
        self.command = command
        self._ask_ns = now_ns + ASK_AGAIN_NS
        self._notice(NoticeKind.UNCERTAIN, f"{command.request.NAME}: {why}")
        return DeliveryUncertain(
            f"it is not known whether {command.request.NAME} was carried out: {why}",
            remedy="Every start is blocked until the device's own record tells. If in doubt, stop.",
        )

    def objection(self, request: Request) -> DeliveryUncertain | None:
        """Why a start must not be sent now."""
        if self.command is None:
            return None
        return DeliveryUncertain(
            f"{request.NAME} was not sent: the outcome of {self.command.request.NAME} is uncertain",
            remedy="The device is asked until its own record tells; look at the device.",
            code="uncertain-blocks",
        )

    def due_ns(self) -> int | None:
        """When the device is to be asked again [ns]."""
        return self._ask_ns

    def due(self, now_ns: int) -> Unanswered | None:
        """The command to ask about now, which then counts as being asked about."""
        if self._ask_ns is None or now_ns < self._ask_ns:
            return None
        self._ask_ns = None
        return self.command

    def ask_now(self, now_ns: int) -> None:
        """Ask as soon as possible, as in a new session."""
        if self.command is not None:
            self._ask_ns = now_ns

    def pause(self) -> None:
        """Ask nothing until `ask_now`: there is no session to ask in."""
        self._ask_ns = None

    def answer(self, command: Unanswered, outcome: Outcome, now_ns: int) -> None:
        """Take what the device's record says."""
        if self.command is not command:
            return
        if isinstance(outcome, Unknown):
            self._ask_ns = now_ns + ASK_AGAIN_NS
            return
        told = {
            Executed: "was carried out",
            Refused: "was refused; nothing was carried out",
            NeverArrived: "was not carried out",
        }[type(outcome)]
        self._end(f"{command.request.NAME} {told}")

    def hear_late(self, session: int, command_id: int, reply: Reply) -> None:
        """Take a reply nobody waits for any more; it may be the missing one."""
        command = self.command
        if command is None or (session, command_id) != (command.session, command.command_id):
            return
        if type(reply) is REPLY_TO[type(command.request)]:
            self.answer(command, Executed(reply), 0)
        elif isinstance(reply, Error) and reply.request_type == command.request.TYPE:
            self.answer(command, Refused(refusal(command.request.NAME, reply)), 0)

    def decide(self, reason: str) -> None:
        """End the doubt because a person has looked; the reason is told."""
        if not reason.strip():
            raise ConfigError("an uncertain outcome is settled by a decision only with a reason")
        if self.command is not None:
            self._end(f"{self.command.request.NAME} settled by decision: {reason}")

    def _end(self, text: str) -> None:
        self.command = None
        self._ask_ns = None
        self._notice(NoticeKind.UNCERTAIN_RESOLVED, text)
