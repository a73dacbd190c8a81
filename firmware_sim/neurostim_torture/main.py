"""``neurostim-sim torture``: schedules of faults against host and device, judged at the electrode."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="neurostim-sim torture",
        description="Run schedules of faults in virtual time: host, line, device and body, judged by an "
        "independent monitor at the electrode. Ends with 1 where a rule was broken.",
    )
    made.add_argument("--seed", type=int, default=1, help="first seed (default: 1)")
    made.add_argument("--schedules", type=int, default=1000, metavar="M", help="how many (default: 1000)")
    made.add_argument(
        "--generator", default="mixed", help="uniform, keyed, bursts, home or mixed (default: mixed)"
    )
    made.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default: 1)")
    made.add_argument("--report", type=Path, metavar="FILE", help="write a report in Markdown")
    made.add_argument(
        "--keep", type=Path, metavar="FILE", help="keep finished chunks in FILE, and go on from there"
    )
    made.add_argument("--replay", type=Path, metavar="FILE", help="run the one schedule in FILE and tell all")
    made.add_argument(
        "--barriers",
        nargs="?",
        const="",
        metavar="NAME",
        help="take the barriers away one by one, or the one named, and tell within how many schedules the "
        "monitor sees it; with --report as a page",
    )
    made.add_argument("--no-shrink", action="store_true", help="leave failing schedules as they are")
    made.add_argument("--json", action="store_true", help="write the figures as JSON on standard output")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign or replay one schedule; returns the exit status."""
    options = parser().parse_args(arguments)
    from neurostim.core.errors import NeurostimError

    try:
        if options.barriers is not None:
            return _barriers(options)
        return _replay(options) if options.replay else _campaign(options)
    except NeurostimError as error:
        print(f"neurostim-sim torture: {error}", file=sys.stderr)
        return 2


def _barriers(options: argparse.Namespace) -> int:
    from neurostim_sim.warm import warm_up
    from neurostim_torture.barriers import BARRIERS, find, page, remove

    warm_up()
    wanted = (find(options.barriers),) if options.barriers else BARRIERS
    catches = []
    for barrier in wanted:
        catch = remove(barrier, options.seed)
        catches.append(catch)
        print(page.line(catch), flush=True)
    if options.report is not None:
        options.report.write_text(page.page(catches), encoding="utf-8")
    return int(not all(catch.caught for catch in catches))


def _replay(options: argparse.Namespace) -> int:
    from neurostim_torture.report import explained
    from neurostim_torture.schedule import run

    outcome = run(_schedule_of(options.replay))
    print(explained(outcome))
    return int(outcome.failed)


def _schedule_of(path: Path) -> Any:
    from neurostim.core.errors import ConfigError
    from neurostim_torture.schedule import Schedule

    try:
        return Schedule.read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot read the schedule {path}: {error}",
            allowed='{"seed": 1, "faults": [...]}',
            code="schedule",
        ) from error


def _campaign(options: argparse.Namespace) -> int:
    from neurostim.core.errors import ConfigError
    from neurostim_sim.warm import warm_up
    from neurostim_torture import report
    from neurostim_torture.campaign import Tally, campaign

    if options.schedules < 1 or options.jobs < 1:
        raise ConfigError("a campaign needs at least one schedule and one process", code="campaign")
    warm_up()

    def tell(tally: Tally) -> None:
        print(report.line(tally, options.schedules), file=sys.stderr, flush=True)

    tally = campaign(
        options.seed,
        options.schedules,
        generator=options.generator,
        jobs=options.jobs,
        keep=options.keep,
        tell=tell,
    )
    if options.report is not None:
        command = f"neurostim-sim torture --seed {options.seed} --schedules {options.schedules}"
        text = report.page(tally, command=command, generator=options.generator, first=options.seed)
        options.report.write_text(text, encoding="utf-8")
    # After the report: making a failing schedule small takes a while, and may be cut.
    _tell_failures(tally.failures, shrinks=not options.no_shrink)
    if options.json:
        print(json.dumps(tally.as_dict()))
    else:
        print(report.line(tally, options.schedules))
    return int(bool(tally.violations))


def _tell_failures(failures: list[dict[str, Any]], *, shrinks: bool) -> None:
    """Print each way of failing once, made as small as it goes."""
    from neurostim_torture.report import explained
    from neurostim_torture.schedule import Schedule, run
    from neurostim_torture.shrink import shrink

    seen: set[tuple[str, ...]] = set()
    for failure in failures:
        outcome = run(Schedule.read(failure))
        signature = outcome.signature()
        if signature in seen:
            continue
        seen.add(signature)
        print(explained(outcome))
        smallest = shrink(outcome) if shrinks and outcome.failed else outcome
        print(f"replay with: {json.dumps(smallest.schedule.as_dict())}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
