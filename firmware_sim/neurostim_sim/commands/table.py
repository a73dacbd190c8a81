"""What a table of handlers is: one function for each command of the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from neurostim.wire.layout import Reply, Request
from neurostim_sim.sessions import Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

Handler = Callable[["DeviceCore", Any, "Session | None"], Reply]
"""Carries out one command, or raises `Refusal`: then nothing was executed."""

Handlers = Mapping[type[Request], Handler]
