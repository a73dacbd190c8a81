"""Single values of a program file: quantities within bounds, words, labels, counts, text.

Each reader takes whatever the file holds and either returns the value or raises one `ConfigError`
that says what was found, all that is allowed, and the likely reason.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from neurostim.core import program_bounds as bounds
from neurostim.core.errors import ConfigError
from neurostim.core.program import RETURN_CONTACT, Recharge
from neurostim.core.program_bounds import Bound, Count
from neurostim.core.units import CURRENT, PERCENT, RATE, SHARE, TIME, parse_quantity

RESERVED: Final = ("sine", "custom", "simultaneous", "shape", "waveform")
EVIDENCE: Final = ("A", "B", "C")
MARKS: Final = ("perception", "comfort", "maximum", "motor")
RECHARGES: Final = tuple(recharge.word for recharge in Recharge)

LABEL: Final = re.compile(r"(?:([1-9][0-9]?)\.)?([1-9][0-9]?)")
LEAD_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def show(value: object) -> str:
    """What was found, for a message: text in quotes, everything long cut short."""
    if isinstance(value, str):
        text = '"' + "".join(one if one.isprintable() else "?" for one in value) + '"'
    elif isinstance(value, bool):
        text = f"{str(value).lower()} (true or false)"
    elif isinstance(value, int):
        digits = value.bit_length() * 3 // 10
        text = f"about 10^{digits} (a bare number)" if digits > 40 else f"{value} (a bare number)"
    elif isinstance(value, float):
        text = f"{value} (a bare number)"
    elif isinstance(value, dict):
        text = "a table" if value else "an empty table"
    elif isinstance(value, list):
        text = "a list" if value else "an empty list"
    else:
        text = f"{value} (a {type(value).__name__})"
    return text if len(text) <= 80 else f"{text[:64]}... ({len(text)} characters)"


def did_you_mean(found: object, options: Iterable[str]) -> str:
    """``; did you mean "width"?`` where one of the options is near, else nothing."""
    near = difflib.get_close_matches(str(found).lower(), list(options), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def is_reserved(found: object) -> bool:
    """Whether a key or word is kept for a later format."""
    return isinstance(found, str) and found.strip().lower() in RESERVED


def _refuse(found: object, allowed: str, code: str = "value") -> ConfigError:
    return ConfigError(f"found {show(found)}", allowed=allowed, code=code)


def _hint(text: object) -> str:
    """Why a text that looks like a quantity is none, where the reason is a frequent one."""
    if not isinstance(text, str):
        return ""
    if "," in text:
        return ", with a decimal point and no comma"
    if re.search(r"[0-9]\s*[eE][+-]?[0-9]", text):
        return ", without an exponent"
    if re.fullmatch(r"\s*[+-]?[0-9.]+\s*", text):
        return "; the unit is missing"
    if re.search(r"nan|inf", text, re.IGNORECASE):
        return ", a finite number"
    return ""


_EXAMPLES: Final = {
    CURRENT.name: "2.5 mA",
    TIME.name: "300 us",
    RATE.name: "40 Hz",
    PERCENT.name: "60 %",
}
RESOLUTIONS: Final = {
    CURRENT.name: "in whole nA",
    TIME.name: "in whole ns",
    RATE.name: "with at most 3 decimals in Hz",
    PERCENT.name: "in steps of 0.1 %",
}


def read_bounded(text: object, bound: Bound) -> Fraction:
    """Read a quantity and hold it against its bound and resolution.

    Raises
    ------
    ConfigError
        With what was found and everything that is allowed.
    """
    example = _EXAMPLES[bound.dimension.name]
    units = f'{bound.text} as text with a unit ({bound.dimension.accepted}), such as "{example}"'
    try:
        value = parse_quantity(text, bound.dimension)
    except ConfigError as error:
        raise ConfigError(f"found {show(text)}", allowed=f"{units}{_hint(text)}", code=error.code) from error
    if not bound.holds(value):
        raise _refuse(text, bound.text, "bound")
    if value % bound.resolution:
        raise _refuse(text, f"{bound.text} {RESOLUTIONS[bound.dimension.name]}", "resolution")
    return value


def read_share(text: object) -> int:
    """Read the share of a contact [0.1 %]; negative is a cathode.

    Raises
    ------
    ConfigError
        For anything but a percentage in steps of 0.1 % within -100 % to +100 %.
    """
    allowed = 'a share from -100 % to +100 % in steps of 0.1 %, such as "-100 %"; negative is a cathode'
    try:
        value = parse_quantity(text, SHARE) * 10
    except ConfigError as error:
        raise ConfigError(
            f"found {show(text)}", allowed=f"{allowed}{_hint(text)}", code=error.code
        ) from error
    if value == 0:
        raise _refuse(text, f"{allowed}; leave a contact without a share out", "bound")
    if value.denominator != 1 or abs(value) > bounds.WHOLE_PERMILLE:
        raise _refuse(text, allowed, "bound")
    return int(value)


def read_label(text: object) -> str:
    """Read a contact label: ``3``, ``1.3`` or ``return``.

    Raises
    ------
    ConfigError
        For anything else.
    """
    allowed = (
        f"contacts 1 to {bounds.MAX_CONTACT_NUMBER}, numbered from the tip; with several leads "
        f'"lead.contact" in quotes, such as "1.3"; or {RETURN_CONTACT}'
    )
    if text == RETURN_CONTACT:
        return RETURN_CONTACT
    match = LABEL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _refuse(text, allowed, "contact")
    if int(match[2]) > bounds.MAX_CONTACT_NUMBER or int(match[1] or 1) > bounds.MAX_LEADS:
        raise _refuse(text, allowed, "contact")
    return match[0]


def read_mark_permille(text: object) -> int:
    """Read a percentage of a measured mark [0.1 %]."""
    return int(read_bounded(text, bounds.MARK_PERCENT) * 10)


def read_count(value: object, count: Count) -> int:
    """Read a whole number, which stands without quotes."""
    if isinstance(value, bool) or not isinstance(value, int) or not count.low <= value <= count.high:
        raise _refuse(value, f"{count.text}, without quotes", "count")
    return value


def read_word(value: object, options: tuple[str, ...]) -> str:
    """Read one of a fixed set of words; a reserved word is named as such."""
    if isinstance(value, str) and value in options:
        return value
    allowed = " | ".join(options)
    if is_reserved(value):
        raise _refuse(value, f"{allowed}; {value} is reserved and refused in format 1", "reserved")
    raise _refuse(value, f"{allowed}{did_you_mean(value, options)}", "word")


def read_text(value: object, longest: int) -> str:
    """Read free text of one line that is safe to print."""
    if isinstance(value, str) and value.strip() and len(value) <= longest and _is_one_line(value):
        return value
    allowed = f"text of 1 to {longest} characters on one line, without control characters"
    raise _refuse(value, allowed, "text")


def _is_one_line(text: str) -> bool:
    """Whether no character could break a line, hide or steer a terminal."""
    kinds = {unicodedata.category(character) for character in text}
    return not any(kind.startswith("C") or kind in ("Zl", "Zp") for kind in kinds)


def read_lead(value: object) -> str:
    """Read the name of a lead; whether the lead library has it is the library's to say."""
    if isinstance(value, str) and LEAD_NAME.fullmatch(value):
        return value
    raise _refuse(value, "the name of a lead of the lead library, such as octrode", "lead")


def read_table(value: object, example: str) -> object:
    """Let a table pass and refuse all else, showing what a table looks like."""
    if isinstance(value, dict):
        return value
    raise _refuse(value, f"a table, such as {example}", "table")


def read_share_entry(value: object) -> int:
    """Read a share, and explain the table that an unquoted dotted key makes of it."""
    if isinstance(value, dict):
        raise ConfigError(
            "found an unquoted dotted key, which TOML reads as a table in a table",
            allowed='a contact of one of several leads in quotes: "1.3" = "-100 %"',
            code="dotted-key",
        )
    return read_share(value)
