"""The running of one stimulation session, its journal and its recovery after a crash."""

from neurostim.session.errors import JournalError, SessionError
from neurostim.session.journal import Journal, Reading, Record, read_journal
from neurostim.session.keeper import LiveDose
from neurostim.session.preparation import Stage
from neurostim.session.reconcile import Comparison, Reconciliation
from neurostim.session.recovery import (
    InFlight,
    Resolution,
    in_flight,
    resolve_by_decision,
    resolve_with_device,
    unsettled,
)
from neurostim.session.session import Session

__all__ = [
    "Comparison",
    "InFlight",
    "Journal",
    "JournalError",
    "LiveDose",
    "Reading",
    "Reconciliation",
    "Record",
    "Resolution",
    "Session",
    "SessionError",
    "Stage",
    "in_flight",
    "read_journal",
    "resolve_by_decision",
    "resolve_with_device",
    "unsettled",
]
