"""Where packaged data is: inside an installed wheel, or in the checkout of an editable install."""

from __future__ import annotations

from pathlib import Path

from neurostim.core.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def protocols(folder: str) -> Path:
    """The folder ``protocols/<folder>``, wherever this installation keeps it.

    Raises
    ------
    ConfigError
        Where the installation carries no such data.
    """
    for root in (_PACKAGE / "_protocols", _PACKAGE.parents[1] / "protocols"):
        if (root / folder).is_dir():
            return root / folder
    raise ConfigError(
        f"the data folder protocols/{folder} is missing from this installation",
        remedy="Install the neurostim wheel again, or run from a checkout.",
        code="data-missing",
    )
