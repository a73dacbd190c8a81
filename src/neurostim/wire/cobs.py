"""Consistent overhead byte stuffing: bytes without zeros, so that a zero can end a frame.

After S. Cheshire and M. Baker, IEEE/ACM Transactions on Networking 7(2), 1999. There is exactly one
encoding of any bytes here: the decoder also refuses the other spellings a lenient one would accept.
"""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import ProtocolError

_RUN: Final = 254


def encoded_length(length: int) -> int:
    """Most bytes that the encoding of ``length`` bytes takes."""
    return length + max(1, -(-length // _RUN))


def encode(data: bytes) -> bytes:
    """Stuff ``data``; the result holds no zero byte and no delimiter."""
    out = bytearray()
    runs = data.split(b"\0")
    last = len(runs) - 1
    for index, run in enumerate(runs):
        length = len(run)
        if length < _RUN:
            out.append(length + 1)
            out += run
            continue
        start = 0
        while length - start >= _RUN:
            out.append(0xFF)
            out += run[start : start + _RUN]
            start += _RUN
        # A full run stands for no zero; only at the very end may nothing follow it.
        if start < length or index < last:
            out.append(length - start + 1)
            out += run[start:]
    return bytes(out)


def decode(data: bytes) -> bytes:
    """Undo `encode`.

    Raises
    ------
    ProtocolError
        ``bad-cobs`` where ``data`` is not what `encode` makes of any bytes.
    """
    out = bytearray()
    at, end = 0, len(data)
    if not end or 0 in data:
        raise _broken("nothing" if not end else "a zero byte")
    code = 0
    while at < end:
        full = code == 0xFF
        code = data[at]
        stop = at + code
        if stop > end:
            raise _broken(f"a run of {code - 1} bytes with {end - at - 1} left")
        out += data[at + 1 : stop]
        if stop < end:
            if code != 0xFF:
                out.append(0)
        elif code == 1 and full:
            raise _broken("an empty run after a full one at the end")
        at = stop
    return bytes(out)


def _broken(found: str) -> ProtocolError:
    return ProtocolError(
        f"byte stuffing: found {found}",
        allowed="what encoding makes of some bytes",
        remedy="The frame was dropped.",
        code="bad-cobs",
    )
