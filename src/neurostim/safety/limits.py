"""The limits: packaged data with a pinned digest, and layers that may only tighten it.

Base, output port and lead class are code-owned data (``limits.toml``); the device and the subject add
layers. The tightest bound of each tier holds and keeps the layer that set it and the reason. A device or
subject layer that would loosen a bound is an error, never ignored.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.hardware import Capabilities, PortKind
from neurostim.core.units import format_time
from neurostim.electrode.lead import LeadClass
from neurostim.safety.quantities import KINDS, Kind

LIMITS_FORMAT: Final = "neurostim-limits/1"
LIMITS_SHA256: Final = "36ac819a8a8c0dd927f1664e092394a91eb35587c2bccc684993faf934c80973"
"""SHA-256 of ``limits.toml``, line ends as in the repository; a change to the data must change this too."""

TIERS: Final = ("note", "warn", "refuse")
FIRES: Final = ("above", "at least", "below", "outside", "state")

Band = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Bound:
    """One tier's limit: base units, or bands of mHz; the layer that set it, and why."""

    value: int
    layer: str
    reason: str
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule as data; ``tiers`` are those of the base, ``port`` and ``lead`` tighten them."""

    code: str
    title: str
    kind: Kind
    fires: str
    formula: str
    scope: str
    source: str
    conditions: str
    grade: str
    ports: tuple[PortKind, ...]
    reach: bool
    charge: bool
    tiers: Mapping[str, Bound] = field(hash=False)
    port: Mapping[PortKind, Mapping[str, Bound]] = field(hash=False)
    lead: Mapping[LeadClass, Mapping[str, Bound]] = field(hash=False)


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """What holds for one rule on one port and lead: its row and the tightest bound of each tier."""

    row: RuleRow
    note: Bound | None = None
    warn: Bound | None = None
    refuse: Bound | None = None

    def tier(self, name: str) -> Bound | None:
        """The bound of one tier."""
        bound: Bound | None = getattr(self, name)
        return bound


Limits = Mapping[str, EffectiveLimit]


@dataclass(frozen=True, slots=True)
class Tightening:
    """One entry of a device or subject layer."""

    code: str
    tier: str
    value: int
    reason: str
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitLayer:
    """A layer of tightenings, by a device's own limit file or for one subject."""

    name: str
    entries: tuple[Tightening, ...] = ()


@dataclass(frozen=True)
class LimitData:
    """The packaged data: rows by code, and the lead classes each port accepts."""

    rules: Mapping[str, RuleRow]
    accepts: Mapping[PortKind, frozenset[LeadClass]]
    sha256: str


@cache
def packaged() -> LimitData:
    """The packaged limits.

    Raises
    ------
    ConfigError
        Code ``limits-digest`` where the file is not the one this version was reviewed with.
    """
    return read_limits(resources.files("neurostim.safety").joinpath("limits.toml").read_bytes())


def read_limits(data: bytes) -> LimitData:
    """Read a limits file whose digest must be the pinned one."""
    sha256 = limits_digest(data)
    if sha256 != LIMITS_SHA256:
        raise ConfigError(
            f"the packaged limits have SHA-256 {sha256}",
            allowed=LIMITS_SHA256,
            remedy="Install neurostim again: its limits were altered.",
            code="limits-digest",
        )
    table = tomllib.loads(data.decode("utf-8"))
    if table["format"] != LIMITS_FORMAT:
        raise ConfigError(
            f"found limits format {table['format']!r}", allowed=LIMITS_FORMAT, code="limits-format"
        )
    return LimitData(
        rules={code: _row(code, row) for code, row in table["rule"].items()},
        accepts={
            PortKind[port.upper()]: frozenset(LeadClass(word) for word in words)
            for port, words in table["accepts"].items()
        },
        sha256=sha256,
    )


def limits_digest(data: bytes) -> str:
    """SHA-256 of a limits file in hexadecimal, carriage returns of a checkout removed."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def _row(code: str, table: Mapping[str, Any]) -> RuleRow:
    kind = KINDS["rate" if table["kind"] == "bands" else table["kind"]]
    base = _bounds(table, kind, "base", table["source"])
    row = RuleRow(
        code=code,
        title=table["title"],
        kind=kind,
        fires=table["fires"],
        formula=table["formula"],
        scope=table["scope"],
        source=table["source"],
        conditions=table["conditions"],
        grade=table["grade"],
        ports=tuple(PortKind[word.upper()] for word in table.get("ports", ())) or tuple(PortKind),
        reach=table.get("reach", False),
        charge=table.get("charge", False),
        tiers=base,
        port={
            PortKind[word.upper()]: _bounds(entry, kind, "port", entry["reason"])
            for word, entry in table.get("port", {}).items()
        },
        lead={
            LeadClass(word): _bounds(entry, kind, "lead", entry["reason"])
            for word, entry in table.get("lead", {}).items()
        },
    )
    if row.fires not in FIRES:
        raise ConfigError(f"{code}: fires {row.fires!r}", allowed=", ".join(FIRES), code="limits-format")
    for group in (*row.port.values(), *row.lead.values()):
        for tier, bound in group.items():
            _require_tighter(row, tier, row.tiers.get(tier), bound)
    return row


def _bounds(table: Mapping[str, Any], kind: Kind, layer: str, reason: str) -> dict[str, Bound]:
    return {tier: _bound(table[tier], kind, layer, reason) for tier in TIERS if tier in table}


def _bound(value: object, kind: Kind, layer: str, reason: str) -> Bound:
    if isinstance(value, list):
        return Bound(0, layer, reason, tuple(_band(text, kind) for text in value))
    if kind is KINDS["state"]:
        if value is not True:
            raise ConfigError(f"found {value!r} for a state", allowed="true", code="limits-format")
        return Bound(0, layer, reason)
    return Bound(kind.parse(value), layer, reason)


def _band(text: object, kind: Kind) -> Band:
    low, separator, high = str(text).partition(" .. ")
    if not separator:
        raise ConfigError(f"found {text!r}", allowed='a band such as "2 Hz .. 1200 Hz"', code="quantity")
    band = (kind.parse(low), kind.parse(high))
    if band[0] > band[1]:
        raise ConfigError(f"found the band {text!r}", allowed="low end first", code="quantity")
    return band


def is_tighter(row: RuleRow, old: Bound | None, new: Bound) -> bool:
    """Whether ``new`` refuses at least all that ``old`` refuses."""
    if old is None:
        return True
    if row.fires == "outside":
        return all(any(low >= a and high <= b for a, b in old.bands) for low, high in new.bands)
    if row.fires == "below":
        return new.value >= old.value
    return new.value <= old.value


def _require_tighter(row: RuleRow, tier: str, old: Bound | None, new: Bound) -> None:
    if not is_tighter(row, old, new):
        raise ConfigError(
            f"{row.code}: the {new.layer} layer loosens {tier}",
            problems=(_loosening(row, tier, old, new),),
            allowed="limits only tighten",
            code="limits-loosened",
        )


def _loosening(row: RuleRow, tier: str, old: Bound | None, new: Bound) -> Problem:
    found = describe(row, new)
    allowed = "anything" if old is None else f"{describe(row, old)} or tighter ({old.layer}: {old.reason})"
    return Problem(f"{new.layer}.{row.code}.{tier}", found, allowed)


def describe(row: RuleRow, bound: Bound) -> str:
    """A bound for people, such as ``12.7 mA`` or ``2 Hz .. 1200 Hz``."""
    if row.fires == "outside":
        return ", ".join(_band_text(low, high, row.kind) for low, high in bound.bands)
    if row.fires == "state":
        return "must hold"
    if row.kind is KINDS["time"]:
        return format_time(bound.value)
    return f"{_number(bound.value, row.kind)} {row.kind.shown}".strip()


def _band_text(low: int, high: int, kind: Kind) -> str:
    ends = dict.fromkeys((_number(low, kind), _number(high, kind)))
    return f"{' .. '.join(ends)} {kind.shown}"


def _number(value: int, kind: Kind) -> str:
    return f"{float(kind.to_shown(value)):.10g}"


def read_layer(name: str, table: Mapping[str, Mapping[str, object]]) -> LimitLayer:
    """Read a device's or subject's layer: ``{code: {tier: text, ..., "reason": text}}``.

    Parameters
    ----------
    name : str
        ``device`` or ``subject``.
    table : mapping
        For example ``{"SAF-CONTACT-CURRENT": {"refuse": "5 mA", "reason": "thin scar"}}``.

    Raises
    ------
    ConfigError
        With every problem found: unknown rule or tier, value of the wrong kind, missing reason.
    """
    if name not in ("device", "subject"):
        raise ConfigError(f"found the layer {name!r}", allowed="device, subject", code="limits-layer")
    rules = packaged().rules
    entries: list[Tightening] = []
    problems: list[Problem] = []
    for code, entry in table.items():
        row = rules.get(code)
        if row is None or row.fires == "state":
            allowed = ", ".join(key for key, known in rules.items() if known.fires != "state")
            problems.append(Problem(f"{name}.{code}", "no rule with a limit", allowed))
            continue
        reason = entry.get("reason")
        if not isinstance(reason, str) or not is_reason(reason):
            problems.append(Problem(f"{name}.{code}.reason", repr(reason), REASON_WORDS))
            continue
        unknown = [key for key in entry if key not in TIERS and key != "reason"]
        if unknown or len(entry) < 2:
            problems.append(Problem(f"{name}.{code}", ", ".join(unknown) or "no tier", ", ".join(TIERS)))
        for tier in TIERS:
            if tier not in entry:
                continue
            try:
                bound = _bound(entry[tier], row.kind, name, reason)
                if (row.fires == "outside") != bool(bound.bands):
                    raise ConfigError(f"found {entry[tier]!r}", allowed=_kind_words(row))
            except ConfigError as error:
                found = error.message.removeprefix("found ")
                problems.append(Problem(f"{name}.{code}.{tier}", found, error.allowed))
            else:
                entries.append(Tightening(code, tier, bound.value, reason, bound.bands))
    if problems:
        raise ConfigError(f"the {name} limits are wrong", problems=problems, code="limits-layer")
    return LimitLayer(name, tuple(entries))


def _kind_words(row: RuleRow) -> str:
    return 'a list of bands such as "2 Hz .. 1200 Hz"' if row.fires == "outside" else f"one {row.kind.name}"


REASON_WORDS: Final = "a written reason of at least 10 characters in two words or more"


def is_reason(text: object) -> bool:
    """Whether a text can stand as a reason: ten characters with content, two words or more.

    A word counts from two letters or digits on, and the same word over again counts once.
    """
    if not isinstance(text, str) or not text.isprintable():
        return False
    words = {word.lower() for word in text.split() if sum(letter.isalnum() for letter in word) >= 2}
    return len(words) >= 2 and len("".join(text.split())) >= 9 and len(text.strip()) >= 10


@lru_cache(maxsize=256)
def effective_limits(
    port: PortKind,
    lead_class: LeadClass | None = None,
    capabilities: Capabilities | None = None,
    device: LimitLayer | None = None,
    subject: LimitLayer | None = None,
) -> Limits:
    """The limits that hold on a port with a lead: base > port > lead > device > subject.

    Parameters
    ----------
    port, lead_class
        Where the current leaves and what it enters; None for limits of the port alone.
    capabilities : Capabilities, optional
        What the device can do is part of the device layer; a wider ability loosens nothing.
    device, subject : LimitLayer, optional
        Further layers. Each entry must tighten what holds before it.

    Returns
    -------
    mapping of str to EffectiveLimit
        Only the rules that apply to the port, in the order of the file.

    Raises
    ------
    ConfigError
        Code ``limits-loosened``, with every entry that would loosen a limit.
    """
    found: dict[str, EffectiveLimit] = {}
    for code, row in packaged().rules.items():
        if port not in row.ports:
            continue
        limit = EffectiveLimit(row)
        groups = [row.tiers, row.port.get(port, {})]
        if lead_class is not None:
            groups.append(row.lead.get(lead_class, {}))
        for group in groups:
            limit = _tightened(limit, group.items())
        found[code] = limit
    if capabilities is not None:
        for code, bound in _ability(capabilities):
            if code in found:
                found[code] = _tightened(found[code], [("refuse", bound)])
    problems = [problem for layer in (device, subject) if layer for problem in _apply(found, layer)]
    if problems:
        raise ConfigError(
            "a limit layer would loosen limits",
            problems=problems,
            allowed="limits only tighten: base > port > lead > device > subject",
            code="limits-loosened",
        )
    return found


def _tightened(limit: EffectiveLimit, bounds: Iterable[tuple[str, Bound]]) -> EffectiveLimit:
    for tier, bound in bounds:
        old = limit.tier(tier)
        if limit.row.fires == "outside" and old is not None:
            new = replace(bound, bands=_common(old.bands, bound.bands))
            if new.bands != old.bands:
                limit = _with(limit, tier, new)
        elif old is None or (is_tighter(limit.row, old, bound) and bound.value != old.value):
            limit = _with(limit, tier, bound)
    return limit


def _with(limit: EffectiveLimit, tier: str, bound: Bound) -> EffectiveLimit:
    tiers = {name: limit.tier(name) for name in TIERS}
    tiers[tier] = bound
    return EffectiveLimit(limit.row, **tiers)


def _common(old: tuple[Band, ...], new: tuple[Band, ...]) -> tuple[Band, ...]:
    pairs = ((max(a, low), min(b, high)) for a, b in old for low, high in new)
    return tuple((low, high) for low, high in pairs if low <= high)


def _ability(capabilities: Capabilities) -> list[tuple[str, Bound]]:
    reason = f"what the device can do ({capabilities.model})"
    values = {
        "SAF-CONTACT-CURRENT": capabilities.max_contact_na,
        "SAF-AREA-CURRENT": capabilities.max_total_na,
        "SAF-WIDTH-LOW": capabilities.min_width_ns,
        "SAF-WIDTH-HIGH": capabilities.max_width_ns,
        "SAF-RAMP-MIN": capabilities.min_ramp_ns,
        "SAF-FIT-AREAS": capabilities.max_areas,
        "SAF-FIT-IMAGE": capabilities.max_image_bytes,
    }
    bounds = [(code, Bound(value, "device", reason)) for code, value in values.items()]
    return [*bounds, ("SAF-RATE", Bound(0, "device", reason, ((1, capabilities.max_rate_mhz),)))]


def _apply(found: dict[str, EffectiveLimit], layer: LimitLayer) -> list[Problem]:
    problems = []
    for entry in layer.entries:
        limit = found.get(entry.code)
        if limit is None:
            continue
        bound = Bound(entry.value, layer.name, entry.reason, entry.bands)
        old = limit.tier(entry.tier)
        if is_tighter(limit.row, old, bound):
            found[entry.code] = _with(limit, entry.tier, bound)
        else:
            problems.append(_loosening(limit.row, entry.tier, old, bound))
    return problems


def merged(limits: Iterable[Limits]) -> Limits:
    """The tightest of several sets, for what is judged over several contacts at once."""
    first, *rest = {id(one): one for one in limits}.values()
    if not rest:
        return first
    found = dict(first)
    for other in rest:
        for code, limit in other.items():
            if code not in found:
                found[code] = limit
                continue
            bounds = ((tier, limit.tier(tier)) for tier in TIERS)
            found[code] = _tightened(found[code], [(tier, bound) for tier, bound in bounds if bound])
    return found
