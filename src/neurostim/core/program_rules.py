"""Rules of the program format that tie several keys together, judged on the raw document.

They run beside the checks of single keys, so that one reading of a file reports both. A rule stays
silent where a key it needs is itself unreadable: that key is reported already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Final

from neurostim.core import program_bounds as bounds
from neurostim.core.errors import ConfigError
from neurostim.core.program import RETURN_CONTACT, THERAPIES
from neurostim.core.program_bounds import Bound
from neurostim.core.program_values import RECHARGES, read_bounded, read_label, read_share, show
from neurostim.core.units import SHARE, format_quantity, format_time

Path = tuple[str | int, ...]
Fault = tuple[Path, str, str]

_ASYMMETRIC: Final = "active-asymmetric"


def cross_faults(document: Mapping[str, object]) -> list[Fault]:
    """All faults between keys: (path, found, allowed)."""
    faults = list(_duplicate_names(document))
    for index, area in enumerate(_areas(document)):
        if isinstance(area, dict):
            for rule in _AREA_RULES:
                faults.extend((("area", index, *path), found, ok) for path, found, ok in rule(area, document))
    return faults


def _areas(document: Mapping[str, object]) -> list[object]:
    areas = document.get("area")
    return areas if isinstance(areas, list) else []


def _table(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _readable(parent: Mapping[str, object], key: str, bound: Bound) -> Fraction | None:
    if key not in parent:
        return None
    try:
        return read_bounded(parent[key], bound)
    except ConfigError:
        return None


def _therapy(document: Mapping[str, object]) -> str | None:
    therapy = document.get("therapy")
    return therapy if isinstance(therapy, str) and therapy in THERAPIES else None


def _duplicate_names(document: Mapping[str, object]) -> Iterator[Fault]:
    names = [
        area.get("name", f"area {number}") if isinstance(area, dict) else None
        for number, area in enumerate(_areas(document), start=1)
    ]
    counts = Counter(name for name in names if isinstance(name, str))
    for index, name in enumerate(names):
        if isinstance(name, str) and counts[name] > 1:
            allowed = 'names of areas that differ; an area without a name is called "area" and its number'
            yield ("area", index, "name"), f"{show(name)}, {counts[name]} times", allowed


def _shares(area: Mapping[str, object], _: Mapping[str, object]) -> Iterator[Fault]:
    contacts = area.get("contacts")
    if not isinstance(contacts, dict):
        return
    shares = []
    for value in contacts.values():
        try:
            shares.append(read_share(value))
        except ConfigError:
            return
    allowed = "cathodes that sum to exactly -100 % and anodes that sum to exactly +100 %"
    cathodes = sum(share for share in shares if share < 0)
    anodes = sum(share for share in shares if share > 0)
    for total, whole, role in ((cathodes, -bounds.WHOLE_PERMILLE, "cathode"), (anodes, 1000, "anode")):
        if total == 0:
            yield ("contacts",), f"no {role}", f"at least one cathode and one anode: {allowed}"
        elif total != whole:
            yield ("contacts",), f"{role}s that sum to {_percent(total)}", allowed


def _percent(permille: int) -> str:
    text = format_quantity(Fraction(permille, 10), SHARE)
    return text if permille < 0 else f"+{text}"


def _labels(area: Mapping[str, object], document: Mapping[str, object]) -> Iterator[Fault]:
    contacts, lead = area.get("contacts"), document.get("lead")
    if not isinstance(contacts, dict) or not isinstance(lead, (str, list)):
        return
    leads = len(lead) if isinstance(lead, list) else 1
    for label, value in contacts.items():
        if label == RETURN_CONTACT or isinstance(value, dict):
            continue
        try:
            prefix, dot, _ = read_label(label).rpartition(".")
        except ConfigError:
            continue
        if leads == 1 and dot:
            yield (
                ("contacts", label),
                show(label),
                "a contact number alone, such as 3: the program has one lead",
            )
        elif leads > 1 and not dot:
            allowed = f'"lead.contact" in quotes, such as "1.{label}": the program has {leads} leads'
            yield ("contacts", label), show(label), allowed
        elif leads > 1 and int(prefix) > leads:
            yield ("contacts", label), show(label), f"leads 1 to {leads}"


def _rate_or_interval(area: Mapping[str, object], _: Mapping[str, object]) -> Iterator[Fault]:
    train = _table(area, "train")
    places = [(("train",), area.get("train")), (("train", "burst"), train.get("burst"))]
    for place, table in places:
        if not isinstance(table, dict):
            continue
        found = [key for key in ("rate", "interval") if key in table]
        if len(found) == 2:
            yield place, "rate and interval together", "one of the two"
        elif not found:
            yield place, "neither rate nor interval", 'rate = "40 Hz", or interval = "3 s" instead'


def _ratio(area: Mapping[str, object], _: Mapping[str, object]) -> Iterator[Fault]:
    pulse = _table(area, "pulse")
    word = pulse.get("recharge")
    if word == _ASYMMETRIC and "ratio" not in pulse:
        yield ("pulse", "ratio"), "nothing", f"{bounds.RATIO.text}, with recharge = {show(_ASYMMETRIC)}"
    if word in RECHARGES and word != _ASYMMETRIC and "ratio" in pulse:
        allowed = f"ratio only with recharge = {show(_ASYMMETRIC)}; here recharge is {show(word)}"
        yield ("pulse", "ratio"), show(pulse["ratio"]), allowed


def _burst_recharge(area: Mapping[str, object], _: Mapping[str, object]) -> Iterator[Fault]:
    train = area.get("train")
    if _table(area, "pulse").get("recharge") != "passive-after-burst" or not isinstance(train, dict):
        return
    if "burst" not in train:
        allowed = 'passive-after-burst only with a burst, such as burst = { pulses = 5, rate = "500 Hz" }'
        yield ("pulse", "recharge"), "passive-after-burst without train.burst", allowed


def _bench_only(area: Mapping[str, object], document: Mapping[str, object]) -> Iterator[Fault]:
    therapy = _therapy(document)
    if therapy is None or therapy == "bench":
        return
    if _table(area, "pulse").get("recharge") == "none":
        allowed = f'recharge "none" only with therapy = "bench"; here therapy is {show(therapy)}'
        yield ("pulse", "recharge"), show("none"), allowed
    ramp = _table(area, "ramp")
    for key in ("up", "down"):
        if _readable(ramp, key, bounds.RAMP) == 0:
            allowed = f'a ramp above 0 s; "0 s" only with therapy = "bench", here {show(therapy)}'
            yield ("ramp", key), show(ramp[key]), allowed


def _delay(area: Mapping[str, object], document: Mapping[str, object]) -> Iterator[Fault]:
    delay = _readable(area, "delay", bounds.DELAY)
    duration = _readable(document, "duration", bounds.DURATION)
    if delay is not None and duration is not None and delay >= duration:
        yield ("delay",), show(area["delay"]), f"less than the duration, {format_time(duration)}"


_AREA_RULES: Final[tuple[Callable[[Mapping[str, object], Mapping[str, object]], Iterator[Fault]], ...]] = (
    _shares,
    _labels,
    _rate_or_interval,
    _ratio,
    _burst_recharge,
    _bench_only,
    _delay,
)
