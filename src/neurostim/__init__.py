"""neurostim: the open trial bench for neuromodulation. For research use; not a medical device.

The public names stand here, flat; each is loaded when it is first used, so that importing the package
costs nothing. `docs/api.md` shows them at work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from neurostim.api import Outcome, deliver, judge_file
    from neurostim.conformance import Report, TraceTable, judge, read_trace
    from neurostim.core.compile import compile_program as compile  # noqa: A004 - the field's word
    from neurostim.core.errors import (
        CommandTimeout,
        ConfigError,
        DeliveryUncertain,
        DeviceFault,
        NeurostimError,
        ProtocolError,
        SafetyError,
        TransportError,
    )
    from neurostim.core.events import write_events
    from neurostim.core.hardware import Capabilities
    from neurostim.core.image import Grid
    from neurostim.core.program import Program
    from neurostim.core.program_file import dump_program as dump
    from neurostim.core.program_file import parse_program as parse
    from neurostim.core.program_file import presets
    from neurostim.core.schedule import Schedule
    from neurostim.device import Stimulator, connect, discover
    from neurostim.electrode.lead import Lead
    from neurostim.electrode.library import contact_map, lead, lead_names
    from neurostim.loading import load
    from neurostim.safety.gate import AmplitudeRange, ApprovedProgram, Verdict, approve, check
    from neurostim.safety.profiles import profile
    from neurostim.session import Reconciliation, Session, in_flight, read_journal

__version__ = "0.1.0"

# Where each public name lives: module, and its name there where that differs.
_PLACES: Final = {
    "AmplitudeRange": "neurostim.safety.gate",
    "ApprovedProgram": "neurostim.safety.gate",
    "Capabilities": "neurostim.core.hardware",
    "CommandTimeout": "neurostim.core.errors",
    "ConfigError": "neurostim.core.errors",
    "DeliveryUncertain": "neurostim.core.errors",
    "DeviceFault": "neurostim.core.errors",
    "Grid": "neurostim.core.image",
    "Lead": "neurostim.electrode.lead",
    "NeurostimError": "neurostim.core.errors",
    "Outcome": "neurostim.api",
    "Program": "neurostim.core.program",
    "ProtocolError": "neurostim.core.errors",
    "Reconciliation": "neurostim.session",
    "Report": "neurostim.conformance",
    "SafetyError": "neurostim.core.errors",
    "Schedule": "neurostim.core.schedule",
    "Session": "neurostim.session",
    "Stimulator": "neurostim.device",
    "TraceTable": "neurostim.conformance",
    "TransportError": "neurostim.core.errors",
    "Verdict": "neurostim.safety.gate",
    "approve": "neurostim.safety.gate",
    "check": "neurostim.safety.gate",
    "compile": "neurostim.core.compile:compile_program",
    "connect": "neurostim.device",
    "contact_map": "neurostim.electrode.library",
    "deliver": "neurostim.api",
    "discover": "neurostim.device",
    "dump": "neurostim.core.program_file:dump_program",
    "in_flight": "neurostim.session",
    "judge": "neurostim.conformance",
    "judge_file": "neurostim.api",
    "lead": "neurostim.electrode.library",
    "lead_names": "neurostim.electrode.library",
    "load": "neurostim.loading",
    "parse": "neurostim.core.program_file:parse_program",
    "presets": "neurostim.core.program_file",
    "profile": "neurostim.safety.profiles",
    "read_journal": "neurostim.session",
    "read_trace": "neurostim.conformance",
    "write_events": "neurostim.core.events",
}

__all__ = [
    "AmplitudeRange",
    "ApprovedProgram",
    "Capabilities",
    "CommandTimeout",
    "ConfigError",
    "DeliveryUncertain",
    "DeviceFault",
    "Grid",
    "Lead",
    "NeurostimError",
    "Outcome",
    "Program",
    "ProtocolError",
    "Reconciliation",
    "Report",
    "SafetyError",
    "Schedule",
    "Session",
    "Stimulator",
    "TraceTable",
    "TransportError",
    "Verdict",
    "__version__",
    "approve",
    "check",
    "compile",
    "connect",
    "contact_map",
    "deliver",
    "discover",
    "dump",
    "in_flight",
    "judge",
    "judge_file",
    "lead",
    "lead_names",
    "load",
    "parse",
    "presets",
    "profile",
    "read_journal",
    "read_trace",
    "write_events",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, original = place.partition(":")
    value = getattr(import_module(module), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
