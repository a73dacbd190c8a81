"""The words of ``neurostim release``: programs with their names, the patient's ranges, and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurostim.core.errors import ConfigError
from neurostim.core.units import CURRENT, parse_whole

if TYPE_CHECKING:
    from neurostim.core.program import Program
    from neurostim.safety.context import AmplitudeRange


@dataclass(frozen=True, slots=True)
class Wanted:
    """One program to be released: name for the patient, the program, and the patient's ranges by area."""

    name: str
    program: Program
    ranges: tuple[AmplitudeRange, ...]


def read_wanted(programs: Sequence[str], ranges: Sequence[str], grid_step_na: int) -> list[Wanted]:
    """Read the words of ``--program`` and ``--range``.

    Parameters
    ----------
    programs, ranges : sequence of str
        As given, one for each time the option is there.
    grid_step_na : int
        Step of a range that names none [nA].

    Raises
    ------
    ConfigError
        For words that are off, and ranges of programs or areas that are not there.
    """
    from neurostim.cli.program import load

    loaded: dict[str, Program] = {}
    for text in programs:
        name, separator, file = text.partition("=")
        # A slash ends the name where a range or a reason is given for it.
        if not separator or not name.strip() or "/" in name or not file.strip() or name.strip() in loaded:
            raise ConfigError(
                f"found --program {text!r}",
                allowed="a name of its own for the patient, without a slash, and a file, "
                "such as --program Walking=walk.toml",
                code="program-option",
            )
        loaded[name.strip()] = load(file.strip())
    chosen: dict[str, dict[int, AmplitudeRange]] = {name: {} for name in loaded}
    for text in ranges:
        name, one = read_range(text, loaded, grid_step_na)
        if one.area in chosen[name]:
            raise ConfigError(f"found a second range in --range {text!r}", code="range-option")
        chosen[name][one.area] = one
    return [
        Wanted(name, one, tuple(chosen[name].get(i) or fixed(one, i, grid_step_na) for i in areas(one)))
        for name, one in loaded.items()
    ]


def areas(program: Program) -> range:
    """Numbers of the areas of a program."""
    return range(len(program.areas))


def fixed(program: Program, area: int, grid_step_na: int) -> AmplitudeRange:
    """The range of an area that the patient has on or off only."""
    from neurostim.safety.context import AmplitudeRange

    amplitude = program.areas[area].amplitude
    if not isinstance(amplitude, int):
        raise ConfigError(
            f"area {program.areas[area].name} has an amplitude relative to a mark",
            remedy="Resolve it to a current first: a release holds currents.",
            code="relative-amplitude",
        )
    return AmplitudeRange(area, amplitude, amplitude, grid_step_na)


def read_range(text: str, programs: Mapping[str, Program], grid_step_na: int) -> tuple[str, AmplitudeRange]:
    """Read ``NAME/AREA=MIN..MAX by STEP``; the step is the device's own where none is given."""
    from neurostim.safety.context import AmplitudeRange

    where, _, what = text.partition("=")
    name, _, area_name = where.partition("/")
    least, dots, rest = what.partition("..")
    most, by, step = rest.partition(" by ")
    program = programs.get(name.strip())
    if not dots or program is None:
        raise ConfigError(
            f"found --range {text!r}",
            allowed=f'such as --range "{next(iter(programs))}/1=1.5 mA..3.0 mA by 0.1 mA"',
            code="range-option",
        )
    return name.strip(), AmplitudeRange(
        area_of(name, program, area_name.strip()),
        parse_whole(least.strip(), CURRENT),
        parse_whole(most.strip(), CURRENT),
        parse_whole(step.strip(), CURRENT) if by else grid_step_na,
    )


def area_of(name: str, program: Program, word: str) -> int:
    """Number of the area that is called ``word``, or that stands at that place, counted from 1."""
    named = [one.name for one in program.areas]
    if word in named:
        return named.index(word)
    if word.isdecimal() and 1 <= int(word) <= len(named):
        return int(word) - 1
    raise ConfigError(
        f"the program {name!r} has no area {word!r}",
        allowed=f"its place, 1 to {len(named)}, or its name: {', '.join(named)}",
        code="range-option",
    )


def read_reasons(given: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read ``NAME/CODE=reason`` words: a reason holds for one warning of one program.

    Parameters
    ----------
    given : sequence of str
        The words of ``--acknowledge``.
    names : sequence of str
        Names of the programs.

    Returns
    -------
    dict of str to dict of str to str
        For each name the reasons by code.

    Raises
    ------
    ConfigError
        For a word without program, code or reason, a program or code that is not there, a reason that says
        nothing, and a second reason for one warning.
    """
    from neurostim.safety.findings import RANGE_SUFFIX
    from neurostim.safety.limits import REASON_WORDS, is_reason, packaged

    example = f'such as --acknowledge {names[0]}/SAF-DENSITY="bench load, no tissue"'
    reasons: dict[str, dict[str, str]] = {name: {} for name in names}
    for text in given:
        where, separator, words = text.partition("=")
        name, _, code = (one.strip() for one in where.partition("/"))
        reason = words.strip().strip('"')
        if not separator or name not in reasons or not code:
            raise ConfigError(
                f"found --acknowledge {text!r}",
                allowed=f"program, code and reason, {example}; programs: {', '.join(names)}",
                remedy="A reason holds for one warning of one program: give each program its own.",
                code="acknowledge",
            )
        if code.removesuffix(RANGE_SUFFIX) not in packaged().rules:
            raise ConfigError(
                f"found --acknowledge {text!r}",
                allowed="the code of a warning that is shown",
                code="acknowledge",
            )
        if not is_reason(reason):
            raise ConfigError(f"found --acknowledge {text!r}", allowed=REASON_WORDS, code="acknowledge")
        if code in reasons[name]:
            raise ConfigError(
                f"found a second reason in --acknowledge {text!r}",
                allowed="one for each warning of each program",
                code="acknowledge",
            )
        reasons[name][code] = reason
    return reasons
