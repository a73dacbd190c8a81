"""Exit codes of the command line; documented in docs/reference/cli.md."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1  # an error without a code of its own
USAGE: Final = 2  # the command's words are off
CONFIG: Final = 3  # a file or quantity is not allowed or cannot be read
SAFETY: Final = 4  # the safety gate or the device's limits refused
DEVICE: Final = 5  # link, protocol, time-out or device fault
UNCERTAIN: Final = 6  # what was delivered is not certain; starts are blocked until resolved
CONFORMANCE: Final = 7  # the trace does not conform to the program
INTERRUPTED: Final = 130  # Ctrl-C outside a delivery
TERMINATED: Final = 143  # asked to end by the system outside a delivery
