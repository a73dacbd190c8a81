"""The preset library: programs that ship as data in ``protocols/stimulation``, each with source and grade."""

from __future__ import annotations

from pathlib import Path

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.program import Program
from neurostim.core.program_read import load_program
from neurostim.core.program_values import did_you_mean
from neurostim.core.resources import protocols

FOLDER = "stimulation"


def presets() -> dict[str, Path]:
    """All presets by name (the file's name without its ending), in alphabetical order."""
    return dict(sorted((path.stem, path) for path in protocols(FOLDER).glob("*.toml")))


def load_preset(name: str) -> Program:
    """Read a preset by name.

    Raises
    ------
    ConfigError
        For a name that is not in the library, and for a file without source or evidence.
    """
    known = presets()
    if name not in known:
        raise ConfigError(
            f"there is no preset {name!r}{did_you_mean(name, known)}",
            allowed=", ".join(known),
            remedy="List them with: neurostim program list",
            code="preset",
        )
    program = load_program(known[name])
    missing = [key for key in ("source", "evidence") if not getattr(program, key)]
    if missing:
        raise ConfigError(
            f"the preset {name} is incomplete",
            problems=[Problem(key, "nothing", "required in presets") for key in missing],
            code="preset",
        )
    return program
