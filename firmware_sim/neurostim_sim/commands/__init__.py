"""What each command of the wire does, once the order of checks has let it through; one module a family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import ErrorCode
from neurostim_sim.commands import assigning, keys, loading, reading, sessions, starting, stopping
from neurostim_sim.commands.table import Handlers
from neurostim_sim.home import commands as home
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

HANDLERS: Final[Handlers] = {
    **sessions.HANDLERS,
    **keys.HANDLERS,
    **reading.HANDLERS,
    **loading.HANDLERS,
    **starting.HANDLERS,
    **stopping.HANDLERS,
    **home.HANDLERS,
    **assigning.HANDLERS,
}


def execute(device: DeviceCore, request: Request, session: Session | None) -> Reply:
    """Carry out one command.

    Raises
    ------
    Refusal
        Where it is refused; then nothing was executed.
    """
    device.home.refuse(request)
    handler = HANDLERS.get(type(request))
    if handler is None:
        raise Refusal(ErrorCode.UNKNOWN_TYPE)
    return handler(device, request, session)
