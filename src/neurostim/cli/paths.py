"""Where the command line keeps what it writes when it is not told otherwise."""

from __future__ import annotations

from pathlib import Path


def default_journal() -> Path:
    """The folder of session journals of this user."""
    from platformdirs import user_data_path

    return user_data_path("neurostim") / "journal"


def default_paired() -> Path:
    """The file that tells which devices were paired with this computer, and where their keys are."""
    from platformdirs import user_data_path

    return user_data_path("neurostim") / "paired.json"
