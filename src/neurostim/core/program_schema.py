"""The shape of a program file as pydantic models: which keys there are and what each may hold.

Single values are read by `program_values`; rules that tie keys together are in `program_rules`.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from neurostim.core import program_bounds as bounds
from neurostim.core.program import FORMAT, RETURN_CONTACT, THERAPIES
from neurostim.core.program_bounds import Bound, Count
from neurostim.core.program_values import (
    EVIDENCE,
    LABEL,
    LEAD_NAME,
    MARKS,
    RECHARGES,
    RESOLUTIONS,
    read_bounded,
    read_count,
    read_label,
    read_lead,
    read_mark_permille,
    read_share_entry,
    read_table,
    read_text,
    read_word,
)
from neurostim.core.resources import protocols
from neurostim.core.units import SHARE, Dimension

_DECIMALS: Final = {"whole": r"^[0-9]+(\.[0-9]+)? ?", "signed": r"^[+-]?[0-9]+(\.[0-9]+)? ?"}


def _pattern(dimension: Dimension) -> str:
    units = [*dimension.units, *(u.replace("u", m) for u in dimension.units for m in "µμ" if "u" in u)]
    head = _DECIMALS["signed" if dimension.signed else "whole"]
    return f"{head}({'|'.join(units)})$"


def _json(bound: Bound) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": _pattern(bound.dimension),
            "maxLength": 40,
            "description": f"{bound.text}, {RESOLUTIONS[bound.dimension.name]}",
        }
    )


def _count_json(count: Count) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": count.low, "maximum": count.high})


def _text_json(longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": longest})


def _enum_json(options: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(options)})


def _whole(bound: Bound) -> BeforeValidator:
    return BeforeValidator(lambda text: int(read_bounded(text, bound)))


def _exact(bound: Bound) -> BeforeValidator:
    return BeforeValidator(lambda text: read_bounded(text, bound))


def _counted(count: Count) -> BeforeValidator:
    return BeforeValidator(lambda value: read_count(value, count))


def _worded(options: tuple[str, ...]) -> BeforeValidator:
    return BeforeValidator(lambda value: read_word(value, options))


def _written(longest: int) -> BeforeValidator:
    return BeforeValidator(lambda value: read_text(value, longest))


def _tabular(example: str) -> BeforeValidator:
    return BeforeValidator(lambda value: read_table(value, example))


_LEAD_JSON: Final = {"type": "string", "pattern": f"^{LEAD_NAME.pattern}$"}
_SHARE_JSON: Final = {"type": "string", "pattern": _pattern(SHARE), "maxLength": 40}

AmplitudeNa = Annotated[int, _whole(bounds.AMPLITUDE), _json(bounds.AMPLITUDE)]
Rate = Annotated[Fraction, _exact(bounds.RATE_BOUND), _json(bounds.RATE_BOUND)]
Interval = Annotated[int, _whole(bounds.INTERVAL), _json(bounds.INTERVAL)]
Width = Annotated[int, _whole(bounds.WIDTH), _json(bounds.WIDTH)]
Interphase = Annotated[int, _whole(bounds.INTERPHASE), _json(bounds.INTERPHASE)]
RampTime = Annotated[int, _whole(bounds.RAMP), _json(bounds.RAMP)]
OnTime = Annotated[int, _whole(bounds.CYCLE_ON), _json(bounds.CYCLE_ON)]
OffTime = Annotated[int, _whole(bounds.CYCLE_OFF), _json(bounds.CYCLE_OFF)]
Delay = Annotated[int, _whole(bounds.DELAY), _json(bounds.DELAY)]
Duration = Annotated[int, _whole(bounds.DURATION), _json(bounds.DURATION)]
MarkPermille = Annotated[int, BeforeValidator(read_mark_permille), _json(bounds.MARK_PERCENT)]
BurstPulses = Annotated[int, _counted(bounds.BURST_PULSES), _count_json(bounds.BURST_PULSES)]
Ratio = Annotated[int, _counted(bounds.RATIO), _count_json(bounds.RATIO)]
Priority = Annotated[int, _counted(bounds.PRIORITY), _count_json(bounds.PRIORITY)]
ShortText = Annotated[str, _written(bounds.MAX_NAME_CHARACTERS), _text_json(bounds.MAX_NAME_CHARACTERS)]
LongText = Annotated[
    str,
    _written(bounds.MAX_SOURCE_CHARACTERS),
    _text_json(bounds.MAX_SOURCE_CHARACTERS),
]
Therapy = Annotated[str, _worded(THERAPIES), _enum_json(THERAPIES)]
Evidence = Annotated[str, _worded(EVIDENCE), _enum_json(EVIDENCE)]
MarkKind = Annotated[str, _worded(MARKS), _enum_json(MARKS)]
RechargeWord = Annotated[str, _worded(RECHARGES), _enum_json(RECHARGES)]
FormatWord = Annotated[str, _worded((FORMAT,)), WithJsonSchema({"const": FORMAT})]
Interleave = Annotated[str, _worded(("drop",)), WithJsonSchema({"const": "drop"})]
LeadName = Annotated[str, BeforeValidator(read_lead), WithJsonSchema(_LEAD_JSON)]
Label = Annotated[str, BeforeValidator(read_label)]
SharePermille = Annotated[int, BeforeValidator(read_share_entry), WithJsonSchema(_SHARE_JSON)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RelativeModel(_Table):
    """An amplitude as a percentage of a measured mark."""

    of: MarkKind
    percent: MarkPermille
    mark: ShortText


class PulseModel(_Table):
    """One pulse."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"recharge": {"const": "active-asymmetric"}}, "required": ["recharge"]},
            "then": {"required": ["ratio"]},
            "else": {"properties": {"ratio": False}},
        }
    )
    width: Width
    recharge: RechargeWord
    interphase: Interphase = 0
    ratio: Ratio | None = None


_ONE_OF_RATE: Final[dict[str, Any]] = {"oneOf": [{"required": ["rate"]}, {"required": ["interval"]}]}


class BurstModel(_Table):
    """Pulses of a burst and their rate, or the interval from pulse to pulse."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_RATE)
    pulses: BurstPulses
    rate: Rate | None = None
    interval: Interval | None = None


class TrainModel(_Table):
    """The rate of pulses or bursts, or the interval from one to the next."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_RATE)
    rate: Rate | None = None
    interval: Interval | None = None
    burst: Annotated[BurstModel | None, _tabular('burst = { pulses = 5, rate = "500 Hz" }')] = None


class RampModel(_Table):
    """Soft start and soft end of each window."""

    up: RampTime = 2_000_000_000
    down: RampTime = 1_000_000_000


class CycleModel(_Table):
    """On and off time."""

    on: OnTime
    off: OffTime


def _amplitude_kind(value: object) -> str:
    return "<relative>" if isinstance(value, (dict, RelativeModel)) else "<quantity>"


Amplitude = Annotated[
    Annotated[AmplitudeNa, Tag("<quantity>")] | Annotated[RelativeModel, Tag("<relative>")],
    Discriminator(_amplitude_kind),
]


class AreaModel(_Table):
    """One area: one current source schedule."""

    amplitude: Amplitude
    contacts: Annotated[
        dict[Label, SharePermille],
        _tabular('contacts = { 3 = "-100 %", 5 = "+100 %" }'),
        WithJsonSchema(
            {
                "type": "object",
                "minProperties": 2,
                "propertyNames": {"pattern": f"^({LABEL.pattern}|{RETURN_CONTACT})$"},
                "additionalProperties": _SHARE_JSON,
                "description": "shares in 0.1 %: cathodes sum to -100 %, anodes to +100 %",
            }
        ),
    ]
    pulse: Annotated[PulseModel, _tabular('pulse = { width = "300 us", recharge = "passive" }')]
    train: Annotated[TrainModel, _tabular('train = { rate = "40 Hz" }')]
    name: ShortText | None = None
    ramp: Annotated[RampModel, _tabular('ramp = { up = "2 s", down = "1 s" }')] = RampModel()
    cycle: Annotated[CycleModel | None, _tabular('cycle = { on = "30 s", off = "90 s" }')] = None
    delay: Delay = 0
    priority: Priority = 1


def _lead_kind(value: object) -> str:
    return "<several>" if isinstance(value, list) else "<one>"


Leads = Annotated[
    Annotated[LeadName, Tag("<one>")]
    | Annotated[list[LeadName], Field(min_length=1, max_length=bounds.MAX_LEADS), Tag("<several>")],
    Discriminator(_lead_kind),
]


class DocumentModel(_Table):
    """A whole program file."""

    format: FormatWord
    name: ShortText
    therapy: Therapy
    lead: Leads
    area: Annotated[list[AreaModel], Field(min_length=bounds.AREAS.low, max_length=bounds.AREAS.high)]
    source: LongText | None = None
    evidence: Evidence | None = None
    duration: Duration | None = None
    interleave: Interleave | None = None


REQUIRED: Final = {
    ("format",): f'format = "{FORMAT}"',
    ("name",): "a name for the program, as text",
    ("therapy",): " | ".join(THERAPIES),
    ("lead",): "the name of a lead of the lead library, or a list of them",
    ("area",): "1 to 8 areas, each under its own [[area]]",
    ("area", "amplitude"): f'{bounds.AMPLITUDE.text}, such as "1.5 mA"',
    ("area", "contacts"): 'contacts = { 3 = "-100 %", 5 = "+100 %" }',
    ("area", "pulse"): 'pulse = { width = "300 us", recharge = "passive" }',
    ("area", "pulse", "width"): f'{bounds.WIDTH.text}, such as "300 us"',
    ("area", "pulse", "recharge"): " | ".join(RECHARGES),
    ("area", "train"): 'train = { rate = "40 Hz" }',
    ("area", "train", "burst", "pulses"): bounds.BURST_PULSES.text,
    ("area", "cycle", "on"): bounds.CYCLE_ON.text,
    ("area", "cycle", "off"): bounds.CYCLE_OFF.text,
    ("area", "amplitude", "of"): " | ".join(MARKS),
    ("area", "amplitude", "percent"): bounds.MARK_PERCENT.text,
    ("area", "amplitude", "mark"): "the identity of a measured mark, as text",
}

KEYS: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    (): tuple(DocumentModel.model_fields),
    ("area",): tuple(AreaModel.model_fields),
    ("area", "amplitude"): tuple(RelativeModel.model_fields),
    ("area", "pulse"): tuple(PulseModel.model_fields),
    ("area", "train"): tuple(TrainModel.model_fields),
    ("area", "train", "burst"): tuple(BurstModel.model_fields),
    ("area", "ramp"): tuple(RampModel.model_fields),
    ("area", "cycle"): tuple(CycleModel.model_fields),
}


def program_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a program file read as JSON.

    It says shapes, words and the spelling of quantities. Bounds stand in its descriptions; they and
    the sums of shares are judged by the reader.
    """
    schema = _without_null(DocumentModel.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "neurostim-program-1.schema.json",
        **schema,
        "title": "Stimulation program, format 1",
    }


def _without_null(node: Any) -> Any:
    """Drop null and defaults: TOML has no null, and a default is in base units, not in the file's text."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _without_null(value) for key, value in node.items() if key != "default"}
    choices = [choice for choice in node.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del node["anyOf"]
        node = {**choices[0], **node}
    return node


def write_schema(path: Path) -> None:
    """Write the schema as the file that ships beside the presets."""
    path.write_text(json.dumps(program_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema(protocols("stimulation") / "program.schema.json")
