"""The two short cuts of the public API: deliver a program in one call, and judge a recorded file.

Both are made of public steps that can be taken one by one; see `docs/api.md`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from neurostim.conformance import Report, judge, read_trace
from neurostim.core.errors import ConfigError, DeliveryUncertain
from neurostim.core.program_file import parse_program
from neurostim.electrode.library import contact_map, lead
from neurostim.safety.gate import Verdict
from neurostim.session import Reconciliation, Session


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery.

    Attributes
    ----------
    dose_number : int
        The device's number of the dose, which also names its trace.
    stop_cause : str
        Why output ended, by the device's word, such as ``soft_stop``.
    verdict : Verdict
        What the safety gate had found.
    reconciliation : Reconciliation
        Journal, program and device compared.
    journal : Path
        The session's journal.
    """

    dose_number: int
    stop_cause: str
    verdict: Verdict
    reconciliation: Reconciliation
    journal: Path

    @property
    def agrees(self) -> bool:
        """Whether the device counted exactly what was asked of it."""
        return self.reconciliation.agrees


def deliver(session: Session, seconds: float, reasons: Mapping[str, str] | None = None) -> Outcome:
    """Deliver an open session's program: measure, check, approve, load, start, watch, stop softly, reconcile.

    Parameters
    ----------
    session : Session
        Open, with a program.
    seconds : float
        How long until the soft stop [s]; a program that is shorter ends by itself.
    reasons : mapping of str to str, optional
        Written reason for each warning of the safety gate, by its code.

    Raises
    ------
    SafetyError
        Where a rule refuses, or a warning has no reason.
    DeliveryUncertain
        Where the link was lost during delivery.
    """
    session.measure()
    verdict = session.check()
    session.approve({code: why for code, why in (reasons or {}).items() if code in verdict.to_acknowledge})
    session.load()
    session.start()
    session.run_for(seconds)
    if session.delivering and not session.link_lost:
        session.soft_stop()
    if session.link_lost:
        raise DeliveryUncertain(
            "the link was lost during delivery; the device's own dead-man ends output within 500 ms",
            remedy="Reconnect with session.reconnect(), then session.finish() reads what was delivered.",
            code="link-lost",
        )
    found = session.finish()
    return Outcome(
        dose_number=found.dose_number,
        stop_cause=session.stop_cause.name.lower(),
        verdict=verdict,
        reconciliation=found,
        journal=session.journal_path,
    )


def judge_file(trace: str | PathLike[str], program: str | PathLike[str]) -> Report:
    """Judge a recorded trace or event table, with its sidecar beside it, against a program file.

    Parameters
    ----------
    trace : str or path
        ``.npz`` or ``.csv``.
    program : str or path
        The program file it should follow.

    Raises
    ------
    ConfigError
        Where a file cannot be read or is not what it should be.
    """
    try:
        text = Path(program).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{program} cannot be read: {error}", allowed="a text file", code="file") from error
    leads = parse_program(text, str(program)).leads
    table, sidecar = read_trace(Path(trace))
    on_device = sidecar.get("contacts") == "device" and len(leads) > 1
    index = contact_map([lead(name) for name in leads]) if on_device else None
    return judge(tomllib.loads(text), table, sidecar, contact_index=index)
