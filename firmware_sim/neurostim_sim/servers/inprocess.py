"""The simulated device inside this process: the link behind ``sim://PROFILE?seed=1&lead=octrode``.

Device time follows the computer's clock, or a clock given; the device lives whenever its link is used, and
catches up exactly with what it would have done in between.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Final

from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.clock import Clock, SystemClock
from neurostim_sim.servers.entropy import system_entropy
from neurostim_sim.settings import from_url
from neurostim_sim.warm import warm_up

LONGEST_NAP_S: Final = 0.05


class InProcessLink:
    """A link to a device in this process, with the methods of a transport.

    Parameters
    ----------
    device : AttachedDevice
    clock : Clock
        What device time follows.
    description : str
    """

    def __init__(self, device: AttachedDevice, clock: Clock, description: str) -> None:
        self.device = device
        self.description = description
        self._clock = clock
        self._origin_ns = clock.monotonic_ns()
        self._arriving: deque[bytes] = deque()
        self._woken = threading.Event()
        self._closed = False

    def read(self, timeout: float) -> bytes:
        """Return what the device sent, or ``b""`` after ``timeout`` seconds or a `wake`."""
        end_ns = self._now_ns() + round(timeout * 1_000_000_000)
        while True:
            now_ns = self._now_ns()
            while self._arriving:
                self.device.hear(self._arriving.popleft(), now_ns)
            self.device.advance(now_ns)
            data = self.device.take(now_ns)
            if data or now_ns >= end_ns or self._closed:
                return data
            next_ns = self.device.next_ns()
            nap_ns = min(end_ns, now_ns + round(LONGEST_NAP_S * 1e9), next_ns or end_ns) - now_ns
            if self._woken.wait(max(nap_ns, 0) / 1_000_000_000):
                self._woken.clear()
                if not self._arriving:
                    return b""

    def write(self, data: bytes) -> None:
        """Send bytes to the device."""
        self._arriving.append(bytes(data))

    def drop_pending_output(self) -> None:
        """Discard what the device has not heard yet."""
        self._arriving.clear()

    def urgent(self, frame: bytes) -> bool:
        """There is no second way to the device on this link."""
        del frame
        return False

    def wake(self) -> None:
        """Make a `read` under way, or else the next one, return at once."""
        self._woken.set()

    def close(self) -> None:
        """Close the link; the device lives on to its dead-man and ends its records."""
        if self._closed:
            return
        self._closed = True
        self.device.cut()
        self.device.advance(self._now_ns() + CLOSING_NS)
        self.device.core.close()

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns() - self._origin_ns


CLOSING_NS: Final = 1_000_000_000
"""Long enough for the dead-man to end any output [ns]."""


def open_url(url: str) -> InProcessLink:
    """Switch on a simulated device and open the link to it.

    Parameters
    ----------
    url : str
        ``sim://PROFILE``, with the options of `neurostim_sim.settings` behind ``?``.

    Raises
    ------
    ConfigError
        For an unknown profile, lead, fault or option.
    """
    device = replace(from_url(url), entropy=system_entropy).switch_on()
    warm_up()
    return InProcessLink(device, SystemClock(), url)
