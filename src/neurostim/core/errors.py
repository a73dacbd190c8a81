"""The error tree of the toolkit: every error has a stable code, typed fields and a remedy.

Errors that match a built-in kind also derive from it, so that callers without
knowledge of this package can still catch them (``ValueError``, ``OSError``, ``TimeoutError``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a configuration: where it stands, what was found, what is allowed."""

    place: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.place}: found {self.found}; allowed: {self.allowed}"


class NeurostimError(Exception):
    """Root of all errors raised on purpose by this toolkit.

    Parameters
    ----------
    message : str
        What was wrong, in one sentence.
    allowed : str
        What would have been accepted.
    remedy : str
        What the reader can do next.
    code : str, optional
        Stable identifier for programs; each class has a default.
    """

    default_code: ClassVar[str] = "neurostim"

    def __init__(self, message: str, *, allowed: str = "", remedy: str = "", code: str = "") -> None:
        self.message = message
        self.allowed = allowed
        self.remedy = remedy
        self.code = code or self.default_code
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.allowed:
            parts.append(f"Allowed: {self.allowed}.")
        if self.remedy:
            parts.append(self.remedy)
        if len(parts) > 1 and not self.message.endswith((".", "!", "?", ":", ";")):
            parts[0] += "."
        return " ".join(parts)


class ConfigError(NeurostimError, ValueError):
    """A program, lead or limit file, or an argument, says something that is not allowed.

    ``problems`` lists every fault found, not only the first.
    """

    default_code = "config"

    def __init__(
        self,
        message: str,
        *,
        problems: Iterable[Problem] = (),
        allowed: str = "",
        remedy: str = "",
        code: str = "",
    ) -> None:
        super().__init__(message, allowed=allowed, remedy=remedy, code=code)
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class SafetyError(NeurostimError):
    """The safety gate or the device's limits refuse; ``rules`` names the codes that refused."""

    default_code = "safety"

    def __init__(
        self, message: str, *, rules: Iterable[str] = (), allowed: str = "", remedy: str = "", code: str = ""
    ) -> None:
        super().__init__(message, allowed=allowed, remedy=remedy, code=code)
        self.rules: tuple[str, ...] = tuple(rules)


class ProtocolError(NeurostimError):
    """The peer said something the wire protocol does not allow."""

    default_code = "protocol"


class TransportError(NeurostimError, OSError):
    """Bytes could not be carried: port missing, cable pulled, permission denied."""

    default_code = "transport"


class CommandTimeout(NeurostimError, TimeoutError):
    """A command that changes no output was not answered in time."""

    default_code = "timeout"


class DeliveryUncertain(NeurostimError):
    """A command that may have changed the output was not answered.

    It blocks every further start until the device's own record has resolved what happened.
    """

    default_code = "uncertain"


class DeviceFault(NeurostimError):
    """The device latched a fault; ``fault`` is its name on the wire."""

    default_code = "fault"

    def __init__(
        self, message: str, *, fault: str = "", allowed: str = "", remedy: str = "", code: str = ""
    ) -> None:
        super().__init__(message, allowed=allowed, remedy=remedy, code=code)
        self.fault = fault
