"""The table of barriers as text: one line each for the screen, a page for the folder of safety."""

from __future__ import annotations

from collections.abc import Sequence

from neurostim_torture.barriers.table import BARRIERS
from neurostim_torture.barriers.trial import Catch

COMMAND = "neurostim-sim torture --barriers --report docs/safety/barriers.md"


def line(catch: Catch) -> str:
    """What came of one barrier."""
    barrier = catch.barrier
    partners = f" with {', '.join(barrier.partners)}" if barrier.partners else ""
    if not catch.schedules:
        return f"NOT CAUGHT  {barrier.name}{partners}: nothing in {barrier.within} schedules"
    how = f"at schedule {catch.schedules} of {barrier.within} (seed {catch.seed}): {', '.join(catch.rules)}"
    return f"{'caught' if catch.sound else 'UNSOUND'}  {barrier.name}{partners} {how}"


def page(catches: Sequence[Catch]) -> str:
    """The page: every barrier, what it holds off, and when the monitor saw that it was gone."""
    rows = [
        "| Barrier | In the | Holds off | Removed with | Seen at schedule | By the rules |",
        "|---|---|---|---|---|---|",
    ]
    for catch in catches:
        barrier = catch.barrier
        seen = f"{catch.schedules} of {barrier.within}, seed {catch.seed}" if catch.caught else "not seen"
        partners = ", ".join(barrier.partners) or "nothing else"
        rows.append(
            f"| {barrier.name} | {barrier.where} | {barrier.against} | {partners} | {seen} "
            f"| {', '.join(barrier.shows or catch.rules)} |"
        )
    caught = sum(catch.caught for catch in catches)
    return "\n".join([*_HEAD, f"{caught} of {len(BARRIERS)} barriers were seen to be gone.", "", *rows, ""])


_HEAD = (
    "# Barriers, taken away one by one",
    "",
    "A monitor that finds nothing proves nothing until it is known what it would find. So each barrier is",
    "cut out of the running host or device, and schedules of faults are run in which it is needed. Where",
    "defence in depth hides the loss, the barriers named beside it are removed with it; then the same",
    "schedule shows nothing of it with those gone alone, and with everything in place it breaks no rule. A",
    "check that is no longer where the table says is an error of the table, never a pass.",
    "",
    "What the monitor is not told (codes that are tried, sessions, the recovery switch) the scene looks",
    "at by itself, under a rule of its own: `three-wrong-codes-lock`, `a-handshake-touches-nothing`,",
    "`no-key-no-command`, `lost-recovery-is-found`.",
    "",
    f"Written by `{COMMAND}`; `tests/simulation/test_barriers.py` runs the table.",
    "",
)
