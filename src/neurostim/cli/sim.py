"""``neurostim sim``: the simulated device, as ``neurostim-sim``, where it is installed."""

from __future__ import annotations

import sys

import typer

from neurostim.core.errors import ConfigError

app = typer.Typer()


@app.command(
    "sim",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def sim(context: typer.Context) -> None:
    """Start a simulated device; takes the options of neurostim-sim."""
    from importlib import metadata

    found = metadata.entry_points(group="neurostim.commands", name="sim")
    if not found:
        raise ConfigError(
            "the simulated device is not installed",
            remedy="Install the neurostim wheel, which carries neurostim_sim.",
            code="simulator-missing",
        )
    sys.argv = ["neurostim-sim", *context.args]
    next(iter(found)).load()()
