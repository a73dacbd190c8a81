"""From a message to the bytes of its frame and back, and from an error to its code on the wire."""

from __future__ import annotations

from typing import Final, Protocol

from neurostim.core.errors import ProtocolError
from neurostim.wire.frame import Frame, FrameError, FrameFault, Seal, encode_line
from neurostim.wire.layout import Message, Request
from neurostim.wire.messages import EmergencyStop, ErrorCode, Stop, decode_message

_CODES: Final = {
    "unknown-type": ErrorCode.UNKNOWN_TYPE,
    FrameFault.VERSION.value: ErrorCode.UNSUPPORTED_VERSION,
}
_NOISE: Final = frozenset(
    {FrameFault.TOO_LONG, FrameFault.STUFFING, FrameFault.TOO_SHORT, FrameFault.CHECKSUM}
)


def pack(
    message: Message,
    *,
    session: int,
    sequence: int,
    command_id: int,
    lease_us: int,
    channel: Seal | None = None,
) -> bytes:
    """Bytes of the frame that carries a message, sealed where there is a channel.

    Parameters
    ----------
    message : Message
        What to say.
    session, sequence, command_id : int
        Header fields, see `Frame`.
    lease_us : int
        From a host the device clock last heard, from a device its clock now [us].
    channel : Channel, optional
        The session's channel; it takes each sequence once.
    """
    return encode_line(
        message.TYPE,
        message.KIND,
        message.encode(),
        session=session,
        sequence=sequence,
        command_id=command_id,
        lease_us=lease_us,
        channel=channel,
    )


class Recorder(Protocol):
    """Told of each frame that one side makes, in plain, whatever seals it on the line."""

    def __call__(
        self, frame: bytes, message: Message, session: int, sequence: int, command_id: int, lease_us: int, /
    ) -> None:
        """Take one frame; the arguments are those of `pack`."""


def unpack(frame: Frame) -> Message:
    """Read the message of a frame, of any kind; of a sealed one only after its channel has opened it.

    Raises
    ------
    ProtocolError
        Where the type is unknown or the content is not valid.
    """
    if frame.tag:
        raise ProtocolError("a sealed frame was read before it was opened", code="sealed")
    return decode_message(frame.type, frame.kind, frame.payload)


def unpack_request(frame: Frame) -> Request:
    """Read the command of a frame, as a device does: it refuses replies and events.

    Raises
    ------
    ProtocolError
        Where the frame carries no command, or the content is not valid.
    """
    message = unpack(frame)
    if not isinstance(message, Request):
        raise ProtocolError(
            f"a {frame.kind.name.lower()} of type 0x{frame.type:02X} came to a device",
            allowed="commands",
            remedy="Nothing was executed.",
            code="unknown-type",
        )
    return message


def stop_frame(*, emergency: bool = False, session: int = 0, command_id: int = 1) -> bytes:
    """Bytes of a stop, which may be made long before they are needed.

    A device asks a stop for no session, sequence or lease, so nothing in these bytes can go stale.
    """
    message = EmergencyStop() if emergency else Stop()
    return pack(message, session=session, sequence=0, command_id=command_id, lease_us=0)


def error_code(error: ProtocolError) -> ErrorCode:
    """Code with which a device refuses a frame whose content raised ``error``."""
    return _CODES.get(error.code, ErrorCode.MALFORMED)


def frame_error_code(error: FrameError) -> ErrorCode | None:
    """Code with which a device answers a dropped frame; None for noise, which gets no answer."""
    if error.fault in _NOISE:
        return None
    return _CODES.get(error.fault.value, ErrorCode.MALFORMED)
