"""Use at home: what is released, what the patient's own control does, and the log of what was used."""

from neurostim_sim.home.controls import Button, Signal, Unheeded

__all__ = ["Button", "Signal", "Unheeded"]
