"""One imported device over one TCP connection: transfers from any thread, ended by one reading thread."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from typing import Final

from neurostim.core.errors import TransportError
from neurostim.transport.usb_errors import busy
from neurostim.transport.usbip_client import (
    BUSY,
    DEVICE_BYTES,
    OPERATION_BYTES,
    REPLY_DEVICES,
    REPLY_IMPORT,
    Completion,
    ExportedDevice,
    Transfers,
    UsbipError,
    encode_devices_request,
    encode_import_request,
    read_count,
    read_device,
    read_operation,
)

CONNECT_SECONDS: Final = 5.0
CANCEL_SECONDS: Final = 2.0
OUT_CANCEL_SECONDS: Final = 0.01
RECEIVE_BYTES: Final = 65536

CONNECTION_LOST: Final = -errno.ENODEV


class UsbipConnection:
    """An imported device; made by `import_device`."""

    def __init__(self, link: socket.socket, device: ExportedDevice) -> None:
        self.device = device
        self._link = link
        self._transfers = Transfers(device.device_id)
        self._waiting: dict[int, _Waiting] = {}
        self._unsettled: dict[int, _Waiting] = {}
        # Held for numbering, sending and finding a transfer, never while waiting for one.
        self._lock = threading.Lock()
        self._lost = False
        self._reader = threading.Thread(target=self._read, name=f"usbip {device.bus_id}", daemon=True)
        self._reader.start()

    def transfer(
        self,
        endpoint: int,
        timeout: float | None,
        *,
        length: int = 0,
        data: bytes = b"",
        setup: bytes = bytes(8),
    ) -> Completion | None:
        """Carry out one transfer; None where it was cancelled after ``timeout`` seconds.

        A transfer that ended while it was being cancelled counts as ended: its bytes have gone or come. A
        connection that is lost ends every transfer with ``-ENODEV``. Whoever sends with a time-out is never
        held up by a server that does not even answer a cancellation: the transfer is left to itself (its
        bytes may still arrive), and nothing more is sent to its endpoint until it has ended.
        """
        earlier = self._unsettled.get(endpoint)
        if earlier is not None:
            if not earlier.ended(timeout):
                return None
            self._unsettled.pop(endpoint, None)
        waiting = _Waiting()
        with self._lock:
            if self._lost:
                return Completion(0, CONNECTION_LOST, 0)
            sequence, message = self._transfers.submit(endpoint, length=length, data=data, setup=setup)
            self._waiting[sequence] = waiting
            self._send(message)
        if waiting.ended(timeout):
            return waiting.completion
        with self._lock:
            if not self._lost and sequence in self._waiting:
                self._send(self._transfers.unlink(sequence))
        if not endpoint & 0x80:
            if not waiting.ended(OUT_CANCEL_SECONDS):
                self._unsettled[endpoint] = waiting
                return None
        elif not waiting.ended(CANCEL_SECONDS):
            # Only the threads that receive wait so long; a server silent for so long is as good as gone.
            self._lose()
            waiting.ended(None)
        assert waiting.completion is not None
        return None if waiting.completion.unlinked else waiting.completion

    def close(self) -> None:
        """Give the device back; idempotent."""
        self._lose()
        if self._reader is not threading.current_thread():
            self._reader.join()
        self._link.close()

    def _send(self, message: bytes) -> None:
        try:
            self._link.sendall(message)
        except OSError:
            self._end_all()

    def _read(self) -> None:
        try:
            while data := self._link.recv(RECEIVE_BYTES):
                with self._lock:
                    for ended in self._transfers.feed(data):
                        waiting = self._waiting.pop(ended.sequence, None)
                        if waiting is not None:
                            waiting.end(ended)
        except (OSError, UsbipError):
            # Either way nothing more can be learnt from this connection, and every transfer is told so.
            pass
        finally:
            with self._lock:
                self._end_all()

    def _lose(self) -> None:
        with self._lock:
            self._end_all()
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def _end_all(self) -> None:
        self._lost = True
        for sequence, waiting in self._waiting.items():
            waiting.end(Completion(sequence, CONNECTION_LOST, 0))
        self._waiting.clear()


class _Waiting:
    """One transfer that a thread waits for; a bare lock is the cheapest thing to wait on."""

    def __init__(self) -> None:
        self.completion: Completion | None = None
        self._gate = threading.Lock()
        self._gate.acquire()

    def end(self, completion: Completion) -> None:
        self.completion = completion
        self._gate.release()

    def ended(self, timeout: float | None) -> bool:
        return self._gate.acquire(timeout=-1 if timeout is None else timeout)


def import_device(host: str, port: int, bus_id: str) -> UsbipConnection:
    """Connect to a server and take a device.

    Raises
    ------
    TransportError
        Codes ``link-open`` (no server), ``usb-busy`` (in use), ``usbip-refused`` (no such device, or broken),
        ``usbip-protocol``.
    """
    where = f"{host}:{port}"
    link = _connect(host, port)
    try:
        link.sendall(encode_import_request(bus_id))
        status = read_operation(_exactly(link, OPERATION_BYTES), REPLY_IMPORT)
        if status != 0:
            # Given up first: a server with a single place could not list its devices meanwhile.
            link.close()
            raise _refused(host, port, bus_id, status)
        device = read_device(_exactly(link, DEVICE_BYTES))
        if device.bus_id != bus_id:
            raise UsbipError(f"the server gave the device {device.bus_id!r}")
        link.settimeout(None)
        return UsbipConnection(link, device)
    except BaseException as error:
        link.close()
        if isinstance(error, TransportError) or not isinstance(error, (OSError, UsbipError)):
            raise
        raise _broken(where, error) from error


def exported_devices(host: str, port: int) -> tuple[ExportedDevice, ...]:
    """Everything a server exports.

    Raises
    ------
    TransportError
        Codes ``link-open`` and ``usbip-protocol``.
    """
    with _connect(host, port) as link:
        try:
            link.sendall(encode_devices_request())
            status = read_operation(_exactly(link, OPERATION_BYTES), REPLY_DEVICES)
            if status != 0:
                raise UsbipError(f"status {status} where the list was due")
            found = []
            for _ in range(read_count(_exactly(link, 4))):
                found.append(read_device(_exactly(link, DEVICE_BYTES)))
                _exactly(link, 4 * found[-1].interfaces)
            return tuple(found)
        except (OSError, UsbipError) as error:
            raise _broken(f"{host}:{port}", error) from error


def _connect(host: str, port: int) -> socket.socket:
    try:
        link = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise TransportError(
            f"cannot connect to the USB/IP server at {host}:{port}: {error}",
            remedy="Check that it is running there; a simulated device: neurostim sim --usbip 127.0.0.1:3240",
            code="link-open",
        ) from error
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def _exactly(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise UsbipError("the server ended the connection")
        data += piece
    return bytes(data)


def _refused(host: str, port: int, bus_id: str, status: int) -> TransportError:
    if status == BUSY:
        return busy(f"{bus_id} at {host}:{port}")
    offered = ""
    # What it offers instead is a courtesy; the refusal stands without it.
    with contextlib.suppress(TransportError):
        offered = ", ".join(device.bus_id for device in exported_devices(host, port))
    return TransportError(
        f"the USB/IP server at {host}:{port} does not give the device {bus_id} (status {status})",
        allowed=f"a device it exports: {offered}" if offered else "",
        remedy="Plug the stimulator in there, and export it.",
        code="usbip-refused",
    )


def _broken(where: str, error: Exception) -> TransportError:
    return TransportError(
        f"what answers at {where} does not speak USB/IP: {error}",
        remedy="Check the address; a simulated device prints its own.",
        code="usbip-protocol",
    )
