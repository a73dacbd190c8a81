"""A bus for pyusb whose devices do exactly what a test tells them: refuse, stall, babble, fill up, vanish."""

from __future__ import annotations

import errno
import queue
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import usb.backend
import usb.core

from neurostim.transport.usb_descriptors import parse_configuration, parse_device
from neurostim_sim.usb import descriptors as d

OUT, IN, HINT = 0x03, 0x83, 0x84


def usb_error(number: int) -> usb.core.USBError:
    return usb.core.USBError("scripted", None, number)


def timed_out() -> usb.core.USBTimeoutError:
    return usb.core.USBTimeoutError("scripted", None, errno.ETIMEDOUT)


@dataclass
class FakeDevice:
    """One device on the bus; its hooks are called instead of, or before, what a healthy one does."""

    serial: str = "SN-1"
    manufacturer: str = "neurostim"
    product: str = "neurostim stimulator"
    vendor_id: int = 0x1209
    product_id: int = 0x0001
    bus: int = 1
    address: int = 2
    ports: tuple[int, ...] | None = None
    configured: bool = True
    driver_active: Callable[[int], bool] = lambda _interface: False
    on_open: Callable[[], None] = lambda: None
    on_claim: Callable[[int], None] = lambda _interface: None
    on_clear: Callable[[int], None] = lambda _endpoint: None
    on_write: Callable[[bytes, int], int] | None = None
    on_control: Callable[[tuple[int, int, int, int], bytes, int], int] | None = None
    configuration_bytes: bytes = field(default_factory=d.configuration_descriptor)
    texts_refused: int = 0

    def __post_init__(self) -> None:
        self.written: list[bytes] = []
        self.cleared: list[int] = []
        self.claimed: set[int] = set()
        self.set_configurations: list[int] = []
        self.opened = 0
        self.closed = 0
        self.reading = threading.Semaphore(0)
        self.arriving: dict[int, queue.SimpleQueue[bytes | Exception]] = {
            IN: queue.SimpleQueue(),
            HINT: queue.SimpleQueue(),
        }

    def say(self, data: bytes | Exception, endpoint: int = IN) -> None:
        self.arriving[endpoint].put(data)

    @property
    def stream(self) -> bytes:
        return b"".join(self.written)


class FakeBus(usb.backend.IBackend):
    """The devices that are plugged in at the moment."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = list(devices)

    def enumerate_devices(self) -> Any:
        return iter(list(self.devices))

    def get_parent(self, dev: FakeDevice) -> None:
        return None

    def get_device_descriptor(self, dev: FakeDevice) -> SimpleNamespace:
        found = parse_device(d.device_descriptor())
        found.idVendor, found.idProduct = dev.vendor_id, dev.product_id
        found.bus, found.address, found.speed = dev.bus, dev.address, 2
        found.port_number, found.port_numbers = None, dev.ports
        return found

    def get_configuration_descriptor(self, dev: FakeDevice, config: int) -> SimpleNamespace:
        return [parse_configuration(dev.configuration_bytes)][config].fields

    def get_interface_descriptor(self, dev: FakeDevice, intf: int, alt: int, config: int) -> SimpleNamespace:
        return [parse_configuration(dev.configuration_bytes)][config].interfaces[intf][alt]

    def get_endpoint_descriptor(
        self, dev: FakeDevice, ep: int, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        return self.get_interface_descriptor(dev, intf, alt, config).endpoints[ep]  # type: ignore[no-any-return]

    def open_device(self, dev: FakeDevice) -> FakeDevice:
        dev.on_open()
        dev.opened += 1
        return dev

    def close_device(self, handle: FakeDevice) -> None:
        handle.closed += 1

    def set_configuration(self, handle: FakeDevice, value: int) -> None:
        handle.set_configurations.append(value)
        handle.configured = True

    def get_configuration(self, handle: FakeDevice) -> int:
        return 1 if handle.configured else 0

    def claim_interface(self, handle: FakeDevice, intf: int) -> None:
        handle.on_claim(intf)
        handle.claimed.add(intf)

    def release_interface(self, handle: FakeDevice, intf: int) -> None:
        handle.claimed.discard(intf)

    def is_kernel_driver_active(self, handle: FakeDevice, intf: int) -> bool:
        return handle.driver_active(intf)

    def clear_halt(self, handle: FakeDevice, ep: int) -> None:
        handle.on_clear(ep)
        handle.cleared.append(ep)

    def bulk_write(self, handle: FakeDevice, ep: int, intf: int, data: array[int], timeout: int) -> int:
        assert ep == OUT
        assert 0 < timeout <= 5, "a write that could hold a stop up"
        piece = data.tobytes()
        if handle.on_write is not None:
            sent = handle.on_write(piece, timeout)
            handle.written.append(piece[:sent])
            return sent
        handle.written.append(piece)
        return len(piece)

    def bulk_read(self, handle: FakeDevice, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        assert timeout > 0, "a read that could never be ended"
        handle.reading.release()
        try:
            item = handle.arriving[ep].get(timeout=timeout / 1000)
        except queue.Empty:
            raise timed_out() from None
        if isinstance(item, Exception):
            raise item
        buff[: len(item)] = array("B", item)
        return len(item)

    intr_read = bulk_read

    def ctrl_transfer(
        self,
        handle: FakeDevice,
        kind: int,
        request: int,
        value: int,
        index: int,
        data: array[int],
        timeout: int,
    ) -> int:
        if (kind, request) == (0x80, 6) and value >> 8 == d.STRING:
            if handle.texts_refused:
                raise usb_error(handle.texts_refused)
            answer = self._text(handle, value & 0xFF)
            memoryview(data)[: len(answer)] = array("B", answer)
            return len(answer)
        assert handle.on_control is not None
        return handle.on_control((kind, request, value, index), data.tobytes(), timeout)

    def _text(self, device: FakeDevice, index: int) -> bytes:
        if index == 0:
            return bytes((4, 3, 9, 4))
        text = ("", device.manufacturer, device.product, device.serial)[index].encode("utf-16-le")
        return bytes((2 + len(text), 3)) + text
