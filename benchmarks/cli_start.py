"""How long the command line takes: ``--help``, and a preset compiled to a table of 100,000 rows.

Compared with starting the same Python to do nothing. The first run of each fills caches and is not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 9


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "events.csv"
        compiling = ["program", "compile", "hf10", "--out", str(table), "--for", "2500 ms", "--from", "3 s"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "neurostim --help": [sys.executable, "-m", "neurostim", "--help"],
            "compile hf10": [sys.executable, "-m", "neurostim", *compiling],
        }
        for command in commands.values():
            seconds(command)
        # Interleaved, so that a slow moment of the machine falls on all alike.
        rounds = [{name: seconds(command) for name, command in commands.items()} for _ in range(REPEATS)]
        medians = {name: statistics.median(one[name] for one in rounds) for name in commands}
        base = medians["python -c pass"]
        for name, median in medians.items():
            print(f"{name:<18} {median * 1000:7.1f} ms   {median / base:5.1f} x python alone")
        with table.open(encoding="utf-8") as file:
            print(f"rows compiled      {sum(1 for _ in file) - 1}")


if __name__ == "__main__":
    main()
