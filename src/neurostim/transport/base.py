"""What carries bytes to a stimulator: the interface every link offers, and nothing about their meaning."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Transport(Protocol):
    """One open link. All methods but `wake` belong to the one thread that owns the link.

    A link that broke raises `neurostim.core.errors.TransportError` from `read` or `write`,
    with what to do about it; it never returns a made-up value.
    """

    @property
    def description(self) -> str:
        """What a person would call this link, such as ``/dev/ttyACM0`` or ``127.0.0.1:7700``."""

    def read(self, timeout: float) -> bytes:
        """Return what has arrived, or ``b""`` after at most ``timeout`` seconds or a `wake`."""

    def write(self, data: bytes) -> None:
        """Send, in order; what the system does not take at once leaves during later reads and writes."""

    def drop_pending_output(self) -> None:
        """Discard whatever was written and has not left yet, here and in the system's buffers."""

    def urgent(self, frame: bytes) -> bool:
        """Hand a whole frame to the device past everything written; return whether the link knows it arrived.

        Only a link with a second way to the device can do that (USB: a control transfer). It takes 20
        milliseconds at most, never raises, and the frame is written as well: it may arrive twice.
        """
        del frame  # without a second way there is nothing to hand over
        return False

    def wake(self) -> None:
        """Make a `read` under way, or else the next one, return at once; callable from any thread."""

    def close(self) -> None:
        """Close the link; idempotent."""
