"""Program files, format 1: the public names for reading, writing and finding them.

The meaning of a program on a device is the work of `neurostim.core.compile`.
"""

from __future__ import annotations

from neurostim.core.presets import load_preset, presets
from neurostim.core.program_dump import dump_program
from neurostim.core.program_read import load_program, parse_program
from neurostim.core.program_schema import program_schema

__all__ = ["dump_program", "load_preset", "load_program", "parse_program", "presets", "program_schema"]
