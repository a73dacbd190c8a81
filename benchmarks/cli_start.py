"""How long the command line takes: ``--help``, and a preset compiled to a table of 100,000 rows.

Compared with starting the same Python to do nothing. The first run of each fills caches and is not counted.
The median wall time is what a person waits on this machine now, the least CPU time what the command itself
takes. Exit code 1 where a least wall time misses its goal.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 9
GOALS = {"neurostim --help": 0.25, "compile hf10": 1.0}


def run(command: list[str]) -> tuple[float, float]:
    """Wall and CPU time of a command [s]."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Time all commands; 1 where a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "events.csv"
        compiling = ["program", "compile", "hf10", "--out", str(table), "--for", "2500 ms", "--from", "3 s"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "neurostim --help": [sys.executable, "-m", "neurostim", "--help"],
            "compile hf10": [sys.executable, "-m", "neurostim", *compiling],
        }
        for command in commands.values():
            run(command)
        # Interleaved, so that a slow moment of the machine falls on all alike.
        rounds = [{name: run(command) for name, command in commands.items()} for _ in range(REPEATS)]
        met = True
        base = min(one["python -c pass"][1] for one in rounds)
        for name in commands:
            walls, cpus = zip(*(one[name] for one in rounds), strict=True)
            goal = GOALS.get(name)
            verdict = ""
            if goal is not None:
                met &= min(walls) < goal
                verdict = f"goal {goal * 1000:.0f} ms   {'met' if min(walls) < goal else 'MISSED'}"
            median = statistics.median(walls)
            print(
                f"{name:<18} median {median * 1000:7.1f} ms   least {min(walls) * 1000:7.1f} ms"
                f"   CPU {min(cpus) * 1000:7.1f} ms = {min(cpus) / base:5.1f} x python alone   {verdict}"
            )
        with table.open(encoding="utf-8") as file:
            print(f"rows compiled      {sum(1 for _ in file) - 1}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
