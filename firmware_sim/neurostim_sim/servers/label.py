"""The label of a simulated device as it is printed: serial number, pairing code, and both as a QR code."""

from __future__ import annotations

import io

import segno

from neurostim.wire.pairing import parse_code, qr_text


def label(serial_number: str, code: str, encoding: str) -> str:
    """The label for a terminal of this encoding.

    Parameters
    ----------
    serial_number : str
    code : str
        Pairing code, 28 characters in groups.
    encoding : str
        What the terminal understands; where it has no blocks, the QR code is left out and that is said.
    """
    words = f"device {serial_number}, pairing code {code}"
    drawn = io.StringIO()
    segno.make(qr_text(serial_number, parse_code(code)), error="m").terminal(out=drawn, compact=True)
    try:
        drawn.getvalue().encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return f"{words}\n(this terminal cannot show the QR code)"
    return f"{words}\n{drawn.getvalue().rstrip()}"
