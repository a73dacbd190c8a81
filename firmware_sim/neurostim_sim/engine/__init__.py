"""The pulse engine: from a program image to current at contacts, by rules 1-10 of the format."""

from neurostim_sim.engine.engine import EngineEvent, PulseEngine, Totals

__all__ = ["EngineEvent", "PulseEngine", "Totals"]
