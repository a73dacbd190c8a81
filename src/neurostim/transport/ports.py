"""The serial ports and USB stimulators of this computer, as plain data. Ptys are typed in, never listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports


@dataclass(frozen=True, slots=True)
class SerialPortInfo:
    """One serial port of this computer.

    ``latency_timer_ms`` is the read delay of an FTDI adapter where the system tells it; the usual
    16 ms is far too long for a 100 ms heartbeat with room to spare, 1 ms is right.
    """

    path: str
    title: str
    manufacturer: str
    serial_number: str
    vendor_id: int | None
    product_id: int | None
    latency_timer_ms: int | None


@dataclass(frozen=True, slots=True)
class UsbDeviceInfo:
    """One stimulator on the USB.

    ``url`` opens it. ``problem`` says why it cannot be opened, with ``remedy``; both are empty where
    nothing stands against it. Texts that may not be read are empty.
    """

    url: str
    vendor_id: int
    product_id: int
    manufacturer: str
    product: str
    serial_number: str
    bus: int
    address: int
    problem: str = ""
    remedy: str = ""


def serial_ports() -> tuple[SerialPortInfo, ...]:
    """List the serial ports, ordered by path."""
    found = (
        SerialPortInfo(
            path=port.device,
            title=port.description or port.device,
            manufacturer=port.manufacturer or "",
            serial_number=port.serial_number or "",
            vendor_id=port.vid,
            product_id=port.pid,
            latency_timer_ms=latency_timer_ms(port.device),
        )
        for port in list_ports.comports()
    )
    return tuple(sorted(found, key=lambda info: info.path))


def usb_devices() -> tuple[UsbDeviceInfo, ...]:
    """List the stimulators on the USB, ordered by place, as `neurostim.transport.usb_find.stimulators`.

    Raises
    ------
    TransportError
        Code ``usb-library``.
    """
    from neurostim.transport.usb_find import stimulators

    return stimulators()


def latency_timer_ms(path: str, root: Path = Path("/sys/class/tty")) -> int | None:
    """Read delay of an adapter [ms], or None where the system does not tell one."""
    setting = root / Path(path).name / "device" / "latency_timer"
    try:
        text = setting.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None
