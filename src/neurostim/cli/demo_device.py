"""The simulated device of the demonstration: a process of its own on a pty or TCP, ended by its id."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from neurostim.core.errors import ConfigError, TransportError

# A first start compiles the pulse engine, which takes its time on a small computer.
START_SECONDS: Final = 300.0
ORDER_SECONDS: Final = 15.0
END_SECONDS: Final = 20.0


class SimulatedDevice:
    """One ``neurostim-sim`` process that takes orders on its standard input.

    Parameters
    ----------
    arguments : list of str
        Options of ``neurostim-sim``, without ``--control`` and ``--json``.
    log : Path
        Where its messages go.
    """

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._url = ""
        self._label = ""
        self._log = log
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        command = [sys.executable, "-m", "neurostim", "sim", *arguments, "--control", "--json"]
        with log.open("wb") as messages:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                **_apart(),
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        self._reader = threading.Thread(target=self._listen, name="simulated device", daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """What a host opens; waits until the device is ready.

        Raises
        ------
        TransportError
            Where it ends instead.
        """
        if not self._url:
            started = self._answer(START_SECONDS, "start")
            self._url, self._label = str(started["url"]), str(started["label_code"])
        return self._url

    @property
    def label_code(self) -> str:
        """The 28 characters on its label; known with the url."""
        assert self.url
        return self._label

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def order(self, text: str) -> dict[str, Any]:
        """Give an order and return the answer.

        Raises
        ------
        TransportError
            Where the process has ended or refuses the order.
        """
        assert self.url
        try:
            self._orders.write(text.encode() + b"\n")
            self._orders.flush()
        except OSError as error:
            raise self._gone(text) from error
        answer = self._answer(ORDER_SECONDS, text)
        if not answer.get("ok", False):
            raise TransportError(
                f"the simulated device refuses {text!r}: {answer.get('error', answer)}", code="simulator"
            )
        return answer

    def close(self) -> None:
        """End the process in good order, so that its records are whole; idempotent."""
        with contextlib.suppress(OSError):
            self._orders.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join()
        self._output.close()

    def __enter__(self) -> SimulatedDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        for line in self._output:
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                # What the patient's control comes to show is told unasked: that is no answer.
                if isinstance(document, dict) and document.keys() & {"url", "order"}:
                    self._answers.put(document)
        self._answers.put(None)

    def _answer(self, seconds: float, asked: str) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise TransportError(
                f"the simulated device did not answer {asked!r} within {seconds:g} s", code="simulator"
            ) from None
        if answer is None:
            raise self._gone(asked)
        return answer

    def _gone(self, asked: str) -> TransportError:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        last = text.splitlines()[-1] if text else "it said nothing"
        return TransportError(
            f"the simulated device ended at {asked!r}: {last}",
            remedy=f"Its messages are in {self._log}.",
            code="simulator",
        )


def port_options(folder: Path) -> list[str]:
    """A pty where the system has them, else a TCP port of this computer.

    Raises
    ------
    ConfigError
        Where the folder's name is of no use as a link.
    """
    if sys.platform == "win32":
        return ["--tcp", "127.0.0.1:0"]
    link = folder / "stimulator"
    if link.exists() or link.is_symlink():
        raise ConfigError(f"{link} is in the way", remedy="Remove it.", code="file")
    return ["--pty", str(link)]


def _apart() -> dict[str, Any]:
    """Keep Ctrl-C at the terminal from the device: a real one does not hear it either."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
