"""The command line as a process beside a simulated device as a process; both ended by their own ids."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurostim.cli.demo_device import SimulatedDevice

# The first start on a computer compiles, with other tests beside it.
SECONDS = 240.0


@contextmanager
def simulated(folder: Path, *more: str, tcp: bool = False) -> Iterator[SimulatedDevice]:
    port = ["--tcp", "127.0.0.1:0"] if tcp else ["--pty", str(folder / "stimulator")]
    options = [
        "--profile",
        "scs",
        "--seed",
        "1",
        "--lead",
        "octrode",
        "--trace",
        str(folder / "traces"),
        *more,
    ]
    with SimulatedDevice([*port, *options], folder / "simulator.log") as device:
        yield device


class Host:
    """``neurostim ...`` under way; its progress is read as it comes."""

    def __init__(self, *words: str | Path, cwd: Path | None = None, **settings: Any) -> None:
        command = [sys.executable, "-m", "neurostim", *map(str, words)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
            env={**os.environ, "COLUMNS": "200"}, **settings,
        )  # fmt: skip
        self.progress: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._output: list[str] = []
        self._threads = [threading.Thread(target=self._listen), threading.Thread(target=self._collect)]
        for thread in self._threads:
            thread.start()

    def until(self, words: str) -> str:
        """Wait for a line of progress that has these words in it."""
        while True:
            line = self._lines.get(timeout=SECONDS)
            if line is None:
                raise AssertionError(f"ended without {words!r}:\n{''.join(self.progress)}")
            if words in line:
                return line

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, Any]:
        """Wait for its end: the exit code, and the JSON document or the text of its output."""
        code = self._process.wait(SECONDS)
        for thread in self._threads:
            thread.join(SECONDS)
        text = "".join(self._output)
        return code, json.loads(text) if text.startswith(("{", "[")) else text

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(SECONDS)
        for thread in self._threads:
            thread.join(SECONDS)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.progress.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def _collect(self) -> None:
        assert self._process.stdout is not None
        self._output.extend(self._process.stdout)


def ended(*words: str | Path, **settings: Any) -> tuple[int, Any, str]:
    """Run a command to its end: exit code, output, progress."""
    with Host(*words, **settings) as host:
        code, output = host.end()
        return code, output, "".join(host.progress)
