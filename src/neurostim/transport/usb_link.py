"""A stimulator's vendor interface as a link: bulk pipes for the bytes, a control request for a stop.

Two threads wait for the device, one for bytes and one for hints, because a read of libusb cannot be
interrupted; the thread that owns the link waits for them on a queue, which a `wake` ends at once. Writes
are made by the owner itself, in pieces of a few milliseconds, so that nothing of it is left in the system
when they return: what a full device did not take is still here, and can be dropped.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
from array import array
from dataclasses import dataclass
from typing import Any, Final

import usb.core
import usb.util

from neurostim.core.errors import TransportError
from neurostim.transport.usb_errors import FAILURES, Failure, gone, lost

READ_BYTES: Final = 4096
READ_MS: Final = 100
WRITE_BYTES: Final = 4096
WRITE_MS: Final = 4
BLOCKED_WRITE_MS: Final = 1
"""Of an offer to a device that took nothing of the last one: an answer must not wait long behind it."""
URGENT_MS: Final = 20
"""A control request takes 1 to 3 ms; the rest is for a computer under full load. Repeats follow at 50 ms."""
MAX_WAITING_READS: Final = 256
MAX_FAILURES: Final = 3
JOIN_SECONDS: Final = 5.0

STOP_REQUEST_TYPE: Final = 0x41
STOP_REQUEST: Final = 0x53
HINT_VERSION: Final = 1
HINT_BYTES: Final = 8
HINT_READ_BYTES: Final = 64
"""The largest interrupt packet of full speed, so that one of any size is read whole."""

# A stall, packets that failed, a packet too long: bytes are lost, which the frames' own checks find.
_RECOVERABLE: Final = frozenset({errno.EPIPE, errno.EIO, errno.EOVERFLOW})


@dataclass(frozen=True, slots=True)
class Hint:
    """What the interrupt pipe says: something important waits to be read. Never evidence of it."""

    state: int
    stop_cause: int
    fault: int
    counter: int


@dataclass(frozen=True, slots=True)
class Pipes:
    """The vendor interface and the addresses of its endpoints; ``hint`` is None where it has none."""

    interface: int
    out: int
    into: int
    hint: int | None
    packet_bytes: int


class UsbTransport:
    """One claimed vendor interface; made by `neurostim.transport.usb_open`.

    Parameters
    ----------
    device : usb.core.Device
        Belongs to this link from now on.
    pipes : Pipes
    description : str
    """

    def __init__(self, device: Any, pipes: Pipes, description: str) -> None:
        self._device = device
        self._pipes = pipes
        self._description = description
        self._pending = bytearray()
        self._owes_end = False
        self._blocked = False
        self._write_failures = 0
        self._closed = False
        self._broken: TransportError | None = None
        self._last_hint: Hint | None = None
        self._inbox: queue.SimpleQueue[bytes | TransportError | None] = queue.SimpleQueue()
        self._room = threading.Event()
        self._threads = [threading.Thread(target=self._listen, name=f"{description} in", daemon=True)]
        if pipes.hint is not None:
            self._threads.append(
                threading.Thread(target=self._watch_hints, name=f"{description} hints", daemon=True)
            )
        for thread in self._threads:
            thread.start()

    @property
    def description(self) -> str:
        """What a person would call this link."""
        return self._description

    @property
    def last_hint(self) -> Hint | None:
        """The newest hint of the device; it may be ahead of what was read, and is never evidence."""
        return self._last_hint

    def read(self, timeout: float) -> bytes:
        """Return what has arrived, or ``b""`` after at most ``timeout`` seconds or a `wake`.

        Raises
        ------
        TransportError
            Where the link is gone, with what was left to read read before.
        """
        self._check()
        if (self._pending or self._owes_end) and self._inbox.empty():
            # A device that takes nothing must not keep us from hearing it, or a stop from being asked for.
            self._push()
            timeout = 0.0 if self._pending or self._owes_end else timeout
        try:
            first = self._inbox.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return b""
        return self._gather(first)

    def write(self, data: bytes) -> None:
        """Send; what the device does not take at once leaves during later reads and writes.

        Raises
        ------
        TransportError
            Where the link is gone.
        """
        self._check()
        self._pending += data
        self._push()

    def drop_pending_output(self) -> None:
        """Discard what the device has not taken; nothing of it is anywhere else."""
        self._pending.clear()

    def urgent(self, frame: bytes) -> bool:
        """Send a frame by a control request, past everything in the bulk pipe; whether it was taken."""
        if self._closed or self._broken is not None:
            return False
        try:
            sent = self._device.ctrl_transfer(
                STOP_REQUEST_TYPE, STOP_REQUEST, 0, self._pipes.interface, frame, URGENT_MS
            )
        except FAILURES:
            return False
        return int(sent) == len(frame)

    def wake(self) -> None:
        """Make a `read` under way, or else the next one, return at once; from any thread."""
        self._inbox.put(None)

    def close(self) -> None:
        """Close the link; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._room.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            # Closing under a transfer would end the whole program; the system closes it with the program.
            return
        # A device that is gone can neither be released nor closed, and need not be.
        with contextlib.suppress(*FAILURES):
            usb.util.release_interface(self._device, self._pipes.interface)
        with contextlib.suppress(*FAILURES):
            usb.util.dispose_resources(self._device)

    # The owner's side.

    def _check(self) -> None:
        if self._closed:
            raise gone(self._description, "it was closed")
        if self._broken is not None:
            raise self._broken

    def _gather(self, first: bytes | TransportError | None) -> bytes:
        """Everything that has arrived; an error is kept for when all before it has been read."""
        arrived = []
        item = first
        while True:
            if isinstance(item, TransportError):
                self._broken = item
                break
            if item:
                arrived.append(item)
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                break
        self._room.set()
        if self._broken is not None and not arrived:
            raise self._broken
        return b"".join(arrived)

    def _push(self) -> None:
        """Offer what waits, for a few milliseconds at most."""
        while self._pending or self._owes_end:
            piece = bytes(self._pending[:WRITE_BYTES])
            try:
                sent = self._device.write(
                    self._pipes.out, piece, BLOCKED_WRITE_MS if self._blocked else WRITE_MS
                )
            except usb.core.USBTimeoutError:
                self._blocked = True
                return
            except FAILURES as error:
                self._recover(error)
                continue
            self._write_failures = 0
            self._blocked = False
            del self._pending[:sent]
            # A transfer ends with a packet that is not full: where the last one was, an empty one follows.
            self._owes_end = sent > 0 and sent % self._pipes.packet_bytes == 0
            if sent < len(piece):
                return

    def _recover(self, error: Failure) -> None:
        self._write_failures += 1
        try:
            self._clear(self._pipes.out, error, self._write_failures)
        except TransportError as broken:
            self._broken = broken
            raise

    def _clear(self, endpoint: int, error: Failure, failures: int) -> None:
        """End the halt that a stall or damaged packets left behind; or say that the link is gone."""
        if getattr(error, "errno", None) not in _RECOVERABLE or failures > MAX_FAILURES:
            raise lost(self._description, error) from error
        try:
            self._device.clear_halt(endpoint)
        except usb.core.USBTimeoutError:
            # Not now; the next transfer tells whether the halt is still there, and is counted.
            return
        except FAILURES as refused:
            raise lost(self._description, refused) from refused

    # The waiting threads.

    def _listen(self) -> None:
        buffer = usb.util.create_buffer(READ_BYTES)
        failures = 0
        # Should this thread ever end by an error of its own, the owner must not wait for it for good.
        end = gone(self._description, "its reading thread ended")
        try:
            while not self._closed:
                try:
                    size = self._device.read(self._pipes.into, buffer, READ_MS)
                except usb.core.USBTimeoutError:
                    continue
                except FAILURES as error:
                    failures += 1
                    self._clear(self._pipes.into, error, failures)
                    continue
                failures = 0
                if size:
                    self._inbox.put(buffer[:size].tobytes())
                    self._wait_for_room()
        except TransportError as lost_here:
            end = lost_here
        finally:
            self._inbox.put(end)

    def _wait_for_room(self) -> None:
        """Leave the rest in the device while the owner does not read, as a full descriptor would."""
        while self._inbox.qsize() > MAX_WAITING_READS and not self._closed:
            self._room.clear()
            self._room.wait(READ_MS / 1000)

    def _watch_hints(self) -> None:
        buffer = usb.util.create_buffer(HINT_READ_BYTES)
        failures = 0
        # Without hints the link is as good as before: the bytes themselves are always being waited for.
        while not self._closed and failures <= MAX_FAILURES:
            try:
                size = self._device.read(self._pipes.hint, buffer, READ_MS)
            except usb.core.USBTimeoutError:
                continue
            except FAILURES as error:
                failures += 1
                try:
                    self._clear(int(self._pipes.hint or 0), error, failures)
                except TransportError:
                    return
                continue
            failures = 0
            hint = read_hint(buffer[:size])
            if hint is not None:
                self._last_hint = hint
                self.wake()


def read_hint(data: array[int]) -> Hint | None:
    """A hint as it came; None for what is not one of a version this driver knows."""
    if len(data) != HINT_BYTES or data[0] != HINT_VERSION:
        return None
    return Hint(data[1], data[2], data[3], int.from_bytes(data[4:8].tobytes(), "little"))
