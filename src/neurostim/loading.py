"""The one rule by which a word names a program: a file, or a preset by its bare name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from neurostim.core.errors import ConfigError
from neurostim.core.program import Program
from neurostim.core.program_file import load_preset, load_program, presets


def load(source: str | PathLike[str]) -> Program:
    """Read a program from a file, or a preset by its name.

    Parameters
    ----------
    source : str or path
        ``"tonic"`` names a preset; what has a suffix or a folder is a file.

    Returns
    -------
    Program

    Raises
    ------
    ConfigError
        With every fault of the file; where there is neither file nor preset, with the nearest presets;
        where there are both.
    """
    path = Path(source)
    # A leading ./ is gone from a Path: the text itself tells.
    is_name = not path.suffix and str(source) == path.name
    if is_name and path.is_file() and path.name in presets():
        raise ConfigError(
            f"{path.name} is a preset, and a file here has the same name",
            allowed=f"./{path.name} for the file",
            remedy="Rename the file to have the preset.",
            code="preset-or-file",
        )
    if is_name and (path.name in presets() or not path.exists()):
        return load_preset(path.name)
    return load_program(path)
