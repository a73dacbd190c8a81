"""The guided beginning of a program file: lead, therapy and amplitude, and a waveform to start from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import typer

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.program import RETURN_CONTACT, THERAPIES, Area, Program, Share, contact_key
from neurostim.core.program_bounds import AMPLITUDE
from neurostim.core.program_file import dump_program, load_preset
from neurostim.core.program_values import read_bounded, read_label, read_share, read_word
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import check_contacts, lead, lead_names

STARTS: Final = {
    "scs": ("octrode", "tonic"),
    "drg": ("slimtip-drg", "drg-20hz"),
    "pns": ("open-coil", "pns-12hz"),
    "tens": ("surface-pair", "tens-conventional"),
    "bench": ("nerve-cuff", "kilohertz-block"),
}
_ALLOWED: Final = {
    "therapy": ", ".join(THERAPIES),
    "lead": ", ".join(lead_names()),
    "amplitude": f'{AMPLITUDE.text}, such as "2 mA"',
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Choices:
    """What has been chosen so far; None is still open."""

    lead: str | None
    therapy: str | None
    amplitude: str | None
    like: str | None
    contacts: str | None
    name: str | None


def prompt(choices: Choices) -> Choices:
    """Ask for what is open, at a terminal; without one, name the options that are missing.

    Raises
    ------
    ConfigError
        Without a terminal, listing every open choice.
    """
    open_ = [key for key in ("therapy", "lead", "amplitude") if getattr(choices, key) is None]
    if open_ and not sys.stdin.isatty():
        raise ConfigError(
            "a new program needs lead, therapy and amplitude",
            problems=[Problem(f"--{key}", "nothing", _ALLOWED[key]) for key in open_],
            remedy="Give them as options, or run the command at a terminal to be asked.",
            code="missing-option",
        )
    if "therapy" in open_:
        choices = replace(choices, therapy=_ask("What is it for", "therapy", "scs", read_therapy))
    if "lead" in open_:
        lead_default, _ = STARTS[read_therapy(choices.therapy)]
        choices = replace(choices, lead=_ask("Which lead", "lead", lead_default, lambda text: lead(text).id))
    if "amplitude" in open_:
        choices = replace(choices, amplitude=_ask("Which amplitude", "amplitude", "1 mA", _read_amplitude))
    return choices


def _ask(question: str, key: str, default: str, read: Callable[[str], str]) -> str:
    while True:
        answer: str = typer.prompt(f"{question} ({_ALLOWED[key]})", default=default, err=True)
        try:
            return read(answer.strip())
        except ConfigError as error:
            typer.echo(f"  {error.message}. Allowed: {error.allowed}", err=True)


def compose(choices: Choices) -> tuple[Program, str]:
    """The program of these choices, and its text.

    Raises
    ------
    ConfigError
        With every choice that is not allowed.
    """
    faults = _Faults()
    therapy = faults.collect("therapy", lambda: read_therapy(choices.therapy))
    chosen = faults.collect("lead", lambda: lead(choices.lead or ""))
    amplitude = faults.collect("amplitude", lambda: int(read_bounded(choices.amplitude, AMPLITUDE)))
    start = choices.like or (STARTS[therapy][1] if therapy else "tonic")
    model = faults.collect("like", lambda: _model(start))
    shares = faults.collect("contacts", lambda: _shares(choices.contacts, chosen))
    if therapy is None or chosen is None or amplitude is None or model is None or shares is None:
        raise ConfigError("these choices do not make a program", problems=faults.problems, code="choice")
    area = replace(model, name="area 1", amplitude=amplitude, shares=shares, delay_ns=0, priority=1)
    program = Program(
        name=choices.name or f"{therapy} on {chosen.id}, begun from {start}",
        therapy=therapy,
        leads=(chosen.id,),
        areas=(area,),
    )
    check_contacts(program, [chosen])
    return program, f"# Begun from the preset {start}.\n\n{dump_program(program)}"


def write_new(out: Path, text: str, *, force: bool) -> None:
    """Write a new file; one that is there stays unless ``force``.

    Raises
    ------
    ConfigError
        Where the file is there already, or cannot be written.
    """
    try:
        with out.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{out} is there already",
            remedy="Choose another name, or write over it with --force.",
            code="exists",
        ) from error
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}", code="write") from error


class _Faults:
    """Collects what is wrong with each choice, so that all are reported together."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def collect(self, key: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except ConfigError as error:
            found = error.message.removeprefix("found ")
            self.problems.extend(error.problems or [Problem(f"--{key}", found, error.allowed)])
            return None


def read_therapy(text: str | None) -> str:
    """One of the therapy words."""
    return read_word(text, THERAPIES)


def _read_amplitude(text: str) -> str:
    read_bounded(text, AMPLITUDE)
    return text


def _model(name: str) -> Area:
    program = load_preset(name)
    if len(program.areas) != 1:
        found = f"{name}, which has {len(program.areas)} areas"
        raise ConfigError(f"found {found}", allowed="a preset of one area", code="areas")
    return program.areas[0]


def _shares(text: str | None, chosen: Lead | None) -> tuple[Share, ...] | None:
    if text is None:
        return None if chosen is None else _bipole(chosen)
    shares: dict[str, Share] = {}
    for part in text.split(","):
        label, equals, share = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ConfigError(
                f"found {part.strip()!r}",
                allowed='contacts such as "3 = -100 %, 5 = +100 %"',
                code="contacts",
            )
        contact = read_label(label)
        if contact in shares:
            raise ConfigError(
                f"found the contact {contact} a second time", allowed="each contact once", code="contacts"
            )
        shares[contact] = Share(contact, read_share(share))
    return tuple(sorted(shares.values(), key=lambda one: contact_key(one.contact)))


def _bipole(chosen: Lead) -> tuple[Share, ...]:
    """A bipole at the middle of the lead's first column; with one contact, against the return pad."""
    count = len(chosen.contacts)
    if count == 1:
        return (Share("1", -1000), Share(RETURN_CONTACT, 1000))
    column = [one for one in chosen.contacts if one.x_um == chosen.contacts[0].x_um]
    cathode = column[(len(column) - 1) // 2]
    anode = column[(len(column) - 1) // 2 + 1]
    return (Share(str(cathode.number), -1000), Share(str(anode.number), 1000))
