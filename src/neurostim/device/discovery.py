"""Finding and opening stimulators."""

from __future__ import annotations

from neurostim.device.registry import NATIVE, driver
from neurostim.device.stimulator import Stimulator
from neurostim.transport import SerialPortInfo, parse_address, serial_ports


def discover() -> tuple[SerialPortInfo, ...]:
    """List the serial ports of this computer, without opening any: opening a port can disturb a device.

    Ptys and network addresses are not listed; they are typed in.
    """
    return serial_ports()


def connect(url: str, driver_name: str = NATIVE) -> Stimulator:
    """Open the stimulator at an address, ready for commands.

    Parameters
    ----------
    url : str
        ``/dev/ttyACM0``, ``COM3``, ``socket://127.0.0.1:7700``, ``sim://scs`` or the path of a pty.
    driver_name : str
        Kind of stimulator.

    Raises
    ------
    ConfigError
        Where the address or the driver is not known.
    TransportError, CommandTimeout, ProtocolError
        Where it cannot be reached, does not answer, or contradicts itself.
    """
    parse_address(url)
    stimulator = driver(driver_name)(url)
    stimulator.open()
    return stimulator
