"""Errors of keeping a session's record."""

from __future__ import annotations

from neurostim.core.errors import NeurostimError


class JournalError(NeurostimError, OSError):
    """The record of a session cannot be written or cannot be trusted.

    Codes: ``journal-write`` (disk full or failing), ``journal-locked`` (another program keeps a
    session there), ``journal-tampered`` (a record was changed), ``journal-format``.
    """

    default_code = "journal"


class SessionError(NeurostimError):
    """A step was asked for that the session is not ready for; nothing was sent.

    Codes: ``session-order``, ``session-in-flight``, ``session-range``, ``session-pace``,
    ``session-reconcile``, ``session-ended``.
    """

    default_code = "session"
