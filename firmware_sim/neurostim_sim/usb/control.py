"""The control endpoint: standard requests, serial and Microsoft requests, and the emergency stop."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Final, Protocol

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.frame import MAX_FRAME_BYTES
from neurostim.wire.messages import EmergencyStop, Stop
from neurostim_sim.usb import descriptors as d
from neurostim_sim.usb.transfers import EPIPE, OK, Completion, Request, Setup

ENDPOINT_HALT: Final = 0
LINE_CODING: Final = struct.pack("<IBBB", 115_200, 0, 0, 8)


class Standard(enum.IntEnum):
    """Requests of every device."""

    GET_STATUS = 0
    CLEAR_FEATURE = 1
    SET_FEATURE = 3
    SET_ADDRESS = 5
    GET_DESCRIPTOR = 6
    GET_CONFIGURATION = 8
    SET_CONFIGURATION = 9
    GET_INTERFACE = 10
    SET_INTERFACE = 11


class Serial(enum.IntEnum):
    """Requests of the serial function."""

    SET_LINE_CODING = 0x20
    GET_LINE_CODING = 0x21
    SET_CONTROL_LINE_STATE = 0x22


class Vendor(enum.IntEnum):
    """Requests of this device alone; `URGENT` takes a stop frame past everything that waits."""

    MS_DESCRIPTORS = d.MS_VENDOR_CODE
    URGENT = 0x53


class To(enum.IntEnum):
    """Direction, kind and recipient of a request, as the setup packet has them."""

    DEVICE = 0x00
    INTERFACE = 0x01
    ENDPOINT = 0x02
    FROM_DEVICE = 0x80
    FROM_INTERFACE = 0x81
    FROM_ENDPOINT = 0x82
    SERIAL = 0x21
    FROM_SERIAL = 0xA1
    VENDOR_INTERFACE = 0x41
    FROM_VENDOR_DEVICE = 0xC0


STOPS: Final = (Stop.TYPE, EmergencyStop.TYPE)


class Functions(Protocol):
    """What requests change behind the control endpoint."""

    def configure(self, value: int) -> None:
        """Take a configuration: every endpoint begins anew."""

    def restart_interface(self, interface: int) -> None:
        """Let the endpoints of an interface begin anew."""

    def halted(self, address: int) -> bool | None:
        """Whether an endpoint is halted; None where there is none."""

    def halt(self, address: int, *, halted: bool) -> None:
        """Halt an endpoint, or end its halt."""

    def open_serial(self, *, opened: bool) -> None:
        """A program has opened or closed the serial port."""

    def urgent(self, frame: bytes) -> None:
        """Take a stop frame now."""


class ControlEndpoint:
    """Endpoint 0 of one device.

    Parameters
    ----------
    functions : Functions
    serial_number : str
    """

    def __init__(self, functions: Functions, serial_number: str) -> None:
        self._functions = functions
        self._serial_number = serial_number
        self.configuration = 0
        self.line_coding = LINE_CODING

    def reset(self) -> None:
        """A bus reset: the device is not configured."""
        self.configuration = 0
        self.line_coding = LINE_CODING

    def run(self, request: Request) -> Completion:
        """Carry out one control transfer; what is not known is answered STALL."""
        setup = Setup.decode(request.setup)
        if setup.is_in:
            answer = self._answer(setup)
            if answer is None or request.data:
                return Completion(request.number, EPIPE, 0)
            return _data_stage(request, answer[: setup.length], setup.length)
        if setup.length != len(request.data) or not self._obey(setup, request.data):
            return Completion(request.number, EPIPE, 0)
        return Completion(request.number, OK, len(request.data))

    def _answer(self, setup: Setup) -> bytes | None:
        match setup.request_type, setup.request:
            case (To.FROM_DEVICE, Standard.GET_DESCRIPTOR):
                return self._descriptor(setup.value >> 8, setup.value & 0xFF)
            case (To.FROM_DEVICE, Standard.GET_CONFIGURATION):
                return bytes([self.configuration])
            case (To.FROM_DEVICE, Standard.GET_STATUS):
                return struct.pack("<H", int(d.SELF_POWERED))
            case (To.FROM_INTERFACE, Standard.GET_STATUS) if self._is_interface(setup.index):
                return bytes(2)
            case (To.FROM_INTERFACE, Standard.GET_INTERFACE) if self._is_interface(setup.index):
                return bytes(1)
            case (To.FROM_ENDPOINT, Standard.GET_STATUS):
                halted = self._halted(setup.index)
                return None if halted is None else struct.pack("<H", int(halted))
            case (To.FROM_SERIAL, Serial.GET_LINE_CODING) if setup.index == d.COMM_INTERFACE:
                return self.line_coding
            case (To.FROM_VENDOR_DEVICE, Vendor.MS_DESCRIPTORS) if setup.index == d.MS_DESCRIPTOR_INDEX:
                return d.ms_descriptor_set()
        return None

    def _descriptor(self, kind: int, index: int) -> bytes | None:
        if kind == d.STRING:
            return d.string_descriptor(index, self._serial_number)
        makers: dict[int, Callable[[], bytes]] = {
            d.DEVICE: d.device_descriptor,
            d.CONFIG: d.configuration_descriptor,
            d.BOS: d.bos_descriptor,
        }
        # No device qualifier: a device of full speed alone must refuse it.
        return makers[kind]() if kind in makers and index == 0 else None

    def _obey(self, setup: Setup, data: bytes) -> bool:
        match setup.request_type, setup.request:
            case (To.DEVICE, Standard.SET_ADDRESS):
                # The address itself is the bus's affair.
                return not data and setup.value < 128
            case (To.DEVICE, Standard.SET_CONFIGURATION):
                return not data and self._configure(setup.value)
            case (To.INTERFACE, Standard.SET_INTERFACE):
                return not data and self._set_interface(setup.index, setup.value)
            case (To.ENDPOINT, Standard.CLEAR_FEATURE | Standard.SET_FEATURE):
                return not data and self._set_halt(setup)
            case (To.SERIAL, Serial.SET_LINE_CODING) if (
                setup.index == d.COMM_INTERFACE and self.configuration
            ):
                return self._set_line_coding(data)
            case (To.SERIAL, Serial.SET_CONTROL_LINE_STATE) if (
                setup.index == d.COMM_INTERFACE and self.configuration
            ):
                self._functions.open_serial(opened=bool(setup.value & 1))
                return not data
            case (To.VENDOR_INTERFACE, Vendor.URGENT) if (
                setup.index == d.VENDOR_INTERFACE and self.configuration
            ):
                return self._take_urgent(data)
        return False

    def _configure(self, value: int) -> bool:
        if value not in (0, d.CONFIGURATION):
            return False
        self.configuration = value
        self._functions.configure(value)
        return True

    def _set_interface(self, interface: int, setting: int) -> bool:
        if setting or not self._is_interface(interface):
            return False
        self._functions.restart_interface(interface)
        return True

    def _set_halt(self, setup: Setup) -> bool:
        if setup.value != ENDPOINT_HALT or self._halted(setup.index) is None:
            return False
        if setup.index & 0x7F:
            self._functions.halt(setup.index, halted=setup.request == Standard.SET_FEATURE)
        return True

    def _set_line_coding(self, data: bytes) -> bool:
        if len(data) != len(LINE_CODING):
            return False
        self.line_coding = data
        return True

    def _take_urgent(self, data: bytes) -> bool:
        """Only a stop goes this way: anything else would overtake what it must follow."""
        if not is_stop_frame(data):
            return False
        self._functions.urgent(data)
        return True

    def _is_interface(self, index: int) -> bool:
        return bool(self.configuration) and index < len(d.INTERFACES)

    def _halted(self, address: int) -> bool | None:
        if address & 0x7F == 0:
            return False
        return self._functions.halted(address) if self.configuration else None


def is_stop_frame(data: bytes) -> bool:
    """Whether these bytes are one whole frame of STOP or EMERGENCY_STOP, delimiters included."""
    inside = data[1:-1]
    if len(data) > MAX_FRAME_BYTES or data[:1] != b"\0" or data[-1:] != b"\0" or 0 in inside:
        return False
    try:
        frame = cobs.decode(inside)
    except ProtocolError:
        return False
    return len(frame) > 2 and frame[1] in STOPS and frame[2] & 0x03 == 0


def _data_stage(request: Request, answer: bytes, asked: int) -> Completion:
    """Send ``answer`` in packets; one that ends early and full is followed by an empty one."""
    size = d.CONTROL_PACKET
    packets = [answer[start : start + size] for start in range(0, len(answer), size)]
    if len(answer) % size == 0 and len(answer) < asked:
        packets.append(b"")
    status = OK
    for packet in packets:
        ended = request.receive(packet, size)
        if ended is not None:
            status = ended
            break
    data = bytes(request.received)
    return Completion(request.number, status, len(data), data)
