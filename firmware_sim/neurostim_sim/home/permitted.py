"""What a host may still ask of a released device: to read, to stop, to take it back. Nothing else."""

from __future__ import annotations

from typing import Final

from neurostim.wire import messages as m
from neurostim.wire.layout import Request

UNCHANGING: Final = (
    m.Hello,
    m.Identify,
    m.Handshake,
    m.Capabilities,
    m.Ports,
    m.Status,
    m.SlotInfo,
    m.SoftStop,
    m.Stop,
    m.EmergencyStop,
    m.Heartbeat,
    m.ClockSync,
    m.QueryCommand,
    m.Dose,
    m.Counters,
    m.EventLog,
    m.ImpedanceRead,
    m.Goodbye,
    m.Pairings,
    m.ReleaseInfo,
    m.Usage,
    m.UsageDigest,
    m.TakeBack,
    m.Subject,
    m.Assignment,
)
"""A message that is not in this list is refused: one that is new has to be let in on purpose."""


def is_permitted(request: Request) -> bool:
    """Whether a released device carries this out."""
    return isinstance(request, UNCHANGING)
