"""Consistent overhead byte stuffing: bytes without zeros, so that a zero can end a frame.

After S. Cheshire and M. Baker, IEEE/ACM Transactions on Networking 7(2), 1999. There is exactly one
encoding of any bytes here: the decoder also refuses the other spellings a lenient one would accept.
"""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import ProtocolError

_RUN: Final = 254
_FULL_CODE: Final = _RUN + 1
_FULL: Final = bytes([_FULL_CODE])
_CODES: Final = [bytes([length + 1]) for length in range(_RUN)]


def encoded_length(length: int) -> int:
    """Most bytes that the encoding of ``length`` bytes takes."""
    return length + max(1, -(-length // _RUN))


def encode(data: bytes) -> bytes:
    """Stuff ``data``; the result holds no zero byte and no delimiter."""
    runs = data.split(b"\0")
    parts = []
    try:
        # Zeros stand in rows, as in a header: most runs are empty.
        for run in runs:
            if run:
                parts.append(_CODES[len(run)])
                parts.append(run)
            else:
                parts.append(b"\1")
    except IndexError:
        # A run for which one code does not do, as only long frames can hold.
        return _encode_full(runs)
    return b"".join(parts)


def _encode_full(runs: list[bytes]) -> bytes:
    out = bytearray()
    last = len(runs) - 1
    for index, run in enumerate(runs):
        start, left = 0, len(run)
        while left >= _RUN:
            out += _FULL
            out += run[start : start + _RUN]
            start, left = start + _RUN, left - _RUN
        # A full run stands for no zero; only at the very end may nothing follow it.
        if not start or left or index < last:
            out += _CODES[left]
            out += run[start:]
    return bytes(out)


def decode(data: bytes) -> bytes:
    """Undo `encode`.

    Raises
    ------
    ProtocolError
        ``bad-cobs`` where ``data`` is not what `encode` makes of any bytes.
    """
    if not data or 0 in data:
        raise _broken("a zero byte" if data else "nothing")
    out = bytearray(data)
    end = len(data)
    at = 0
    after_full: list[int] = []
    # Each code but the first stands where a zero was, so the codes become the zeros in place.
    if end < _FULL_CODE:
        # No full run has room in it, as in most frames: a code that claims one ends beyond.
        while at < end:
            code = data[at]
            out[at] = 0
            at += code
    else:
        while at < end:
            code = data[at]
            out[at] = 0
            at += code
            if code == _FULL_CODE:
                after_full.append(at)
    if at != end:
        raise _broken(f"a run that ends {at - end} bytes beyond the frame")
    if after_full:
        if after_full[-1] == end - 1 and data[-1] == 1:
            raise _broken("an empty run after a full one at the end")
        for place in reversed(after_full):
            del out[place : place + 1]
    del out[0]
    return bytes(out)


def _broken(found: str) -> ProtocolError:
    return ProtocolError(
        f"byte stuffing: found {found}",
        allowed="what encoding makes of some bytes",
        remedy="The frame was dropped.",
        code="bad-cobs",
    )
