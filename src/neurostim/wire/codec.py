"""From a message to the bytes of its frame and back, and from an error to its code on the wire."""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import ProtocolError
from neurostim.wire.frame import Frame, FrameFault, encode_frame
from neurostim.wire.layout import Message
from neurostim.wire.messages import ErrorCode, decode_message

_CODES: Final = {
    "unknown-type": ErrorCode.UNKNOWN_TYPE,
    FrameFault.VERSION.value: ErrorCode.UNSUPPORTED_VERSION,
    FrameFault.AUTHENTICATION.value: ErrorCode.AUTHENTICATION_UNSUPPORTED,
}


def pack(message: Message, *, session: int, sequence: int, command_id: int, lease_us: int) -> bytes:
    """Bytes of the frame that carries a message.

    Parameters
    ----------
    message : Message
        What to say.
    session, sequence, command_id : int
        Header fields, see `Frame`.
    lease_us : int
        From a host the device clock last heard, from a device its clock now [us].
    """
    frame = Frame(message.TYPE, message.KIND, session, sequence, command_id, lease_us, message.encode())
    return encode_frame(frame)


def unpack(frame: Frame) -> Message:
    """Read the message of a frame.

    Raises
    ------
    ProtocolError
        Where the type is unknown or the content is not valid.
    """
    return decode_message(frame.type, frame.kind, frame.payload)


def error_code(error: ProtocolError) -> ErrorCode:
    """Code with which a device refuses what raised ``error``."""
    return _CODES.get(error.code, ErrorCode.MALFORMED)
