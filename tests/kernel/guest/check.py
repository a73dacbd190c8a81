"""Runs in the guest: the project's own driver on the kernel's USB; lines that begin with ``check`` tell."""

from __future__ import annotations

import grp
import os
import stat
import sys
import termios
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import serial

import neurostim
from neurostim.core.errors import TransportError
from neurostim.device.native import NativeStimulator
from neurostim.device.notices import Notice, NoticeKind
from neurostim.transport import Transport, open_url
from neurostim.wire.messages import DeviceState, StopCause

TTY = Path("/dev/ttyACM0")
URL = "usb://1209:0001:SIM-0001"
SLOT = 0


def tell(what: str, passed: bool) -> None:
    print(f"check {what}: {'ok' if passed else 'FAILED'}", flush=True)


def order(text: str) -> None:
    """Have something done to the simulated device, and wait until it is."""
    print(f"order {text}", flush=True)
    if sys.stdin.readline().strip() != "done":
        raise RuntimeError(f"the order {text!r} was not carried out")


def until(what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def device_folder() -> Path:
    for folder in Path("/sys/bus/usb/devices").iterdir():
        vendor = folder / "idVendor"
        if vendor.exists() and vendor.read_text().strip() == "1209":
            return folder
    raise RuntimeError("the device is not on the bus")


def group_may_use(path: Path) -> bool:
    found = path.stat()
    return stat.S_IMODE(found.st_mode) == 0o660 and grp.getgrgid(found.st_gid).gr_name == "plugdev"


def bus() -> None:
    """What the kernel and udev made of the descriptors."""
    folder = device_folder()

    def text(name: str) -> str:
        return (folder / name).read_text().strip()

    def driver(interface: int) -> str:
        link = folder / f"{folder.name}:1.{interface}" / "driver"
        return link.resolve().name if link.exists() else ""

    tell("the texts are read", (text("manufacturer"), text("serial")) == ("neurostim", "SIM-0001"))
    tell(
        "it is a device of full speed with three interfaces",
        (text("speed"), text("bNumInterfaces")) == ("12", "3"),
    )
    tell("cdc_acm has the serial function", (driver(0), driver(1)) == ("cdc_acm", "cdc_acm"))
    tell("the vendor interface is free", driver(2) == "")
    node = Path(f"/dev/bus/usb/{int(text('busnum')):03}/{int(text('devnum')):03}")
    tell("the rule gives the device to plugdev", group_may_use(node))
    tell("the rule gives the serial port to plugdev", group_may_use(TTY))


def stranger() -> None:
    """A user who may not use the device is told why."""
    try:
        open_url(URL).close()
        tell("a user without the right is refused", False)
    except TransportError as error:
        print(error)
        tell("a user without the right is refused", error.code == "usb-permission")


class Recorded:
    """Opens a link and records which stop frames the control endpoint took."""

    def __init__(self) -> None:
        self.urgent: list[bool] = []

    def open(self, url: str) -> Transport:
        link = open_url(url)
        inner = link.urgent

        def urgent(frame: bytes) -> bool:
            self.urgent.append(inner(frame))
            return self.urgent[-1]

        link.urgent = urgent
        return link


@cache
def approved(device: neurostim.Capabilities) -> neurostim.ApprovedProgram:
    """A preset through the whole gate."""
    program = neurostim.load("tonic")
    leads = [neurostim.lead(name) for name in program.leads]
    schedule = neurostim.compile(program, device.grid, neurostim.contact_map(leads))
    verdict = neurostim.check(schedule, leads, device)
    return neurostim.approve(verdict, dict.fromkeys(verdict.to_acknowledge, "simulated device, no person"))


def live(stimulator: NativeStimulator, seconds: float) -> None:
    """Show for a time that person and journal live."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stimulator.beat("ui")
        stimulator.beat("journal")
        time.sleep(0.05)


def start(stimulator: NativeStimulator, program: neurostim.ApprovedProgram) -> int:
    """Clear what is latched, arm and fire; returns the dose number."""
    status = stimulator.status().result()
    if status.state is DeviceState.STOPPED:
        stimulator.clear(status.stop_cause, status.fault).result()
    live(stimulator, 0.5)
    return stimulator.fire(stimulator.arm(program, SLOT).result()).result().dose_number


def ended(stimulator: NativeStimulator, cause: StopCause) -> bool:
    """Whether output is latched off by this cause; the last recovery may take a moment."""

    def off() -> bool:
        status = stimulator.status().result()
        return (status.state, status.output_on, status.stop_cause) == (DeviceState.STOPPED, False, cause)

    return until(off, 1)


def drive(url: str) -> None:
    """Identify, load, arm, fire, heartbeat, stop, emergency stop, dead-man; over one of the two functions."""
    opened = time.monotonic()
    recorded = Recorded()
    stimulator = NativeStimulator(url, opener=recorded.open)
    stimulator.open()
    try:
        print(f"{stimulator.description}, opened in {time.monotonic() - opened:.2f} s")
        tell(f"{url} identify", stimulator.identity.serial_number == "SIM-0001")
        program = approved(stimulator.capabilities)
        tell(f"{url} load", stimulator.load(program, SLOT).result() == program.image_sha256)
        dose = start(stimulator, program)
        live(stimulator, 2.0)
        status = stimulator.status().result()
        tell(f"{url} delivers for as long as it is supervised", status.state is DeviceState.DELIVERING)
        stimulator.stop().result()
        tell(f"{url} stop", ended(stimulator, StopCause.STOP))
        record = stimulator.dose().result()
        tell(f"{url} the dose is recorded", record.number == dose and record.areas[0].pulses > 50)
        start(stimulator, program)
        live(stimulator, 0.5)
        recorded.urgent.clear()
        stimulator.stop(emergency=True).result()
        tell(f"{url} emergency stop", ended(stimulator, StopCause.EMERGENCY_STOP))
        by_control = url.startswith("usb://")
        way = "control endpoint" if by_control else "pipe alone"
        tell(f"{url} the emergency stop went by the {way}", any(recorded.urgent) == by_control)
        start(stimulator, program)
        live(stimulator, 0.3)
        time.sleep(2.0)
        tell(f"{url} dead-man", ended(stimulator, StopCause.DEAD_MAN))
        round_trips(stimulator)
    finally:
        stimulator.close()


def round_trips(stimulator: NativeStimulator) -> None:
    took = []
    for _ in range(200):
        begun = time.perf_counter_ns()
        stimulator.status().result()
        took.append(time.perf_counter_ns() - begun)
    took.sort()
    median, worst = took[100] / 1e6, took[-1] / 1e6
    print(f"figure round trip, emulated processor: median {median:.2f} ms, worst {worst:.2f} ms")


def full(url: str) -> None:
    """A stop while the device takes nothing of the bulk pipe."""
    stimulator = NativeStimulator(url)
    stimulator.open()
    try:
        program = approved(stimulator.capabilities)
        start(stimulator, program)
        live(stimulator, 0.3)
        order("fault usb-refuse")
        begun = time.perf_counter_ns()
        confirmation = stimulator.stop()
        confirmation.result()
        took_ms = (time.perf_counter_ns() - begun) / 1e6
        print(f"figure stop past a full pipe, emulated processor: {took_ms:.1f} ms")
        tell("a stop passes a full pipe", took_ms < 250)
        tell("it is the stop asked for", ended(stimulator, StopCause.STOP))
        stimulator.clear(StopCause.STOP, stimulator.status().result().fault).result()
        order("fault usb-stall")
        tell("a halted endpoint is cleared and used again", stimulator.status().result().output_on is False)
    finally:
        stimulator.close()


def removal() -> None:
    """The cable is pulled under both functions while output is on."""
    stimulator = NativeStimulator(URL)
    stimulator.open()
    with serial.Serial(str(TTY), timeout=0.1) as port:
        start(stimulator, approved(stimulator.capabilities))
        live(stimulator, 0.3)
        stimulator.take_critical()
        order("unplug")
        lost: list[Notice] = []

        def told() -> bool:
            lost.extend(one for one in stimulator.take_critical() if isinstance(one, Notice))
            return any(one.kind is NoticeKind.LINK_LOST for one in lost)

        tell("libusb: the driver tells that the link is lost", until(told, 5))
        for one in lost:
            print(one.text)
        tell("ttyACM: reading tells that the port is gone", until(lambda: _is_gone(port), 5))
    stimulator.close()
    tell("ttyACM: the port has left", until(lambda: not TTY.exists(), 5))
    try:
        open_url(str(TTY)).close()
        tell("ttyACM: opening what left is an error that tells", False)
    except TransportError as error:
        print(error)
        tell("ttyACM: opening what left is an error that tells", True)


def again() -> None:
    """The cable is back: the same driver reaches the same device, which did not resume."""
    stimulator = NativeStimulator(URL)
    stimulator.open()
    try:
        tell("plugged in again, the dead-man had ended the output", ended(stimulator, StopCause.DEAD_MAN))
    finally:
        stimulator.close()


def drives() -> None:
    """Everything that the person at the computer may do."""
    drive(URL)
    drive(str(TTY))
    full(URL)
    removal()


def _is_gone(port: serial.Serial) -> bool:
    try:
        port.read(64)
    except (serial.SerialException, OSError, termios.error):
        return True
    return False


STAGES: dict[str, Callable[..., None]] = {
    "bus": bus,
    "stranger": stranger,
    "drives": drives,
    "again": again,
    "order": order,
}


if __name__ == "__main__":
    try:
        STAGES[sys.argv[1]](*sys.argv[2:])
    except Exception:  # noqa: BLE001 - whatever it is has to be seen on the console
        traceback.print_exc()
        tell(f"stage {' '.join(sys.argv[1:])}", False)
    sys.stdout.flush()
    os._exit(0)
