"""What a device's refusal means to the program that asked."""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import DeviceFault, NeurostimError, ProtocolError
from neurostim.wire.messages import DeviceState, Error, ErrorCode

_CONVERSATION: Final = frozenset(
    {
        ErrorCode.NONE,
        ErrorCode.MALFORMED,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.UNSUPPORTED_VERSION,
        ErrorCode.SEQUENCE_STALE,
        ErrorCode.COMMAND_ID_REUSED,
        ErrorCode.COMMAND_ID_FORGOTTEN,
    }
)

_REMEDIES: Final = {
    ErrorCode.NO_SESSION: "Connect again; output stays off until a deliberate start.",
    ErrorCode.NOT_CONTROLLER: "Another host controls the device; this one can read and stop.",
    ErrorCode.CONTROL_HELD: "Another host controls the device; a takeover must name it, with output off.",
    ErrorCode.LATCHED: "Look for the cause, then clear the stop or fault deliberately.",
    ErrorCode.LEASE_STALE: "This program was held up too long; check what happened, then ask again.",
    ErrorCode.TOKEN_EXPIRED: "Arm again.",
    ErrorCode.DOSE_COUNT_MISMATCH: "Read the device's doses and reconcile them before another start.",
    ErrorCode.OUTPUT_ON: "Stop first.",
    ErrorCode.CAUSE_PRESENT: "Remove the cause of the fault first.",
    ErrorCode.BATTERY: "Charge or change the battery, then start deliberately.",
    ErrorCode.DEVICE_LIMIT: "Change the program; what the device itself refuses cannot be acknowledged.",
    ErrorCode.INTERNAL: "The device has switched its output off; have it looked at before it is used again.",
    ErrorCode.AUTHENTICATION_FAILED: (
        "The code or key is not one this device holds. A code: compare it with the label; three wrong ones "
        "lock pairing for ten minutes. A key: the device was reset, or this computer removed; pair again."
    ),
    ErrorCode.AUTHENTICATION_REQUIRED: "This device works only with paired hosts: neurostim pair.",
    ErrorCode.NOT_PAIRED: "neurostim pair URL --list shows the hosts that are.",
    ErrorCode.PAIRING_LOCKED: (
        "Too many wrong codes. Leave the device switched on until then; a restart does not shorten it."
    ),
    ErrorCode.PAIRINGS_FULL: "Remove a host that is paired first: neurostim pair URL --remove HOST.",
    ErrorCode.SUBJECT_MISMATCH: (
        "It is assigned to another subject, or none was named: name its own with --subject. "
        "To give it to another, retire it first: neurostim retire."
    ),
    ErrorCode.NOT_ASSIGNED: "Assign it first: neurostim assign URL --subject CODE.",
    ErrorCode.ASSIGNED: "It is bound to a subject. To give it to another, retire it first: neurostim retire.",
    ErrorCode.AUTONOMOUS: "It is released for use at home. Take it back first: neurostim takeback.",
    ErrorCode.NOT_AUTONOMOUS: (
        "It is not released for use at home: there is nothing to take back. Its log: neurostim usage."
    ),
    ErrorCode.USAGE_UNREAD: "The log has grown since it was read; read it again, into a new file.",
    ErrorCode.RELEASE_INCOMPLETE: "Nothing was released; release again, and all programs with it.",
    ErrorCode.EXPIRY: "Name an end: at most 90 days of powered time, or 20 minutes for the corridor.",
    ErrorCode.TOO_MANY_SESSIONS: "Close another host, or wait until a silent one is let go (5 s).",
    ErrorCode.NOT_SUPERVISED: "The device hears no living heartbeat; check the link, then start again.",
}


class CommandRefused(NeurostimError):
    """The device refused a command and executed nothing.

    Attributes
    ----------
    refusal : ErrorCode
        The device's reason.
    state : DeviceState
        Its state at that moment.
    detail : int
        What `ErrorCode` says it is.
    """

    default_code = "refused"

    def __init__(self, name: str, error: Error) -> None:
        words = error.code.name.lower().replace("_", " ")
        told = f" ({error.message})" if error.message else ""
        detail = f", detail {error.detail}" if error.detail else ""
        if error.code is ErrorCode.PAIRING_LOCKED:
            detail = f" for another {error.detail} s of powered time"
        super().__init__(
            f"the device refused {name}: {words}{detail}{told}",
            remedy=_REMEDIES.get(error.code, ""),
            code=f"refused-{error.code.name.lower().replace('_', '-')}",
        )
        self.refusal = error.code
        self.state = error.state
        self.detail = error.detail


def refusal(name: str, error: Error) -> NeurostimError:
    """The exception for an error reply to the command ``name``."""
    if error.code in _CONVERSATION:
        told = f"{error.code.name.lower()} {error.message}".rstrip()
        return ProtocolError(
            f"the device did not accept the form of {name}: {told}",
            remedy="Host and device speak different versions, or the line is damaged; nothing was executed.",
            code=f"refused-{error.code.name.lower().replace('_', '-')}",
        )
    if error.code is ErrorCode.LATCHED and error.state is DeviceState.FAULT:
        return DeviceFault(
            f"the device refused {name}: a fault is latched",
            fault="latched",
            remedy=_REMEDIES[ErrorCode.LATCHED],
        )
    return CommandRefused(name, error)
