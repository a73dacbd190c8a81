"""What a stimulator tells of itself and of its doses: plain values, charges as exact attocoulombs."""

from __future__ import annotations

from dataclasses import dataclass

from neurostim.wire.messages import ArmKind, DeviceState, FaultCode, SlotState, StopCause


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device is."""

    model: str
    serial_number: str
    firmware: str
    profile: str
    protocol_version: int
    boot_count: int


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The present state of a device, by its own word; times on its own clock [us].

    ``heard_ns`` is the host's monotonic time at which this was heard, for showing its age.
    """

    heard_ns: int
    clock_us: int
    boot_count: int
    state: DeviceState
    output_on: bool
    stop_cause: StopCause
    fault: FaultCode
    dose_count: int
    dose_number: int
    active_slot: int | None
    image_sha256: bytes
    controller: bytes
    battery_permille: int
    amplitudes_na: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SlotContents:
    """What a program slot holds, the digest computed anew by the device over the stored bytes."""

    slot: int
    state: SlotState
    length: int
    image_sha256: bytes
    approval_sha256: bytes


@dataclass(frozen=True, slots=True)
class Armed:
    """The answer to arming: a token for one start, how long it is valid [us], and doses so far."""

    token: int
    valid_us: int
    dose_count: int


@dataclass(frozen=True, slots=True)
class Started:
    """A dose that was started: its number, and the device's clock at the output's time 0 [ticks]."""

    dose_number: int
    start_tick: int


@dataclass(frozen=True, slots=True)
class AreaCharge:
    """What one area delivered: pulses with current, cathodic charge of stimulation phases [aC]."""

    area: int
    amplitude_na: int
    pulses: int
    stim_ac: int


@dataclass(frozen=True, slots=True)
class DoseRecord:
    """The device's own record of one dose; times on its clock [ticks]."""

    number: int
    kind: ArmKind
    slot: int | None
    image_sha256: bytes
    boot_count: int
    start_tick: int
    end_tick: int
    running: bool
    stop_cause: StopCause
    fault: FaultCode
    compliance_pulses: int
    areas: tuple[AreaCharge, ...]


@dataclass(frozen=True, slots=True)
class ContactCharge:
    """Life-long charge of one contact [aC]; its net charge is anodic - cathodic + recovered."""

    contact: int
    pulses: int
    cathodic_ac: int
    anodic_ac: int
    recovered_ac: int

    @property
    def net_ac(self) -> int:
        """Net charge left [aC]."""
        return self.anodic_ac - self.cathodic_ac + self.recovered_ac


@dataclass(frozen=True, slots=True)
class LifeCounters:
    """Counters that survive a reset."""

    boot_count: int
    session_count: int
    dose_count: int
    contacts: tuple[ContactCharge, ...]


@dataclass(frozen=True, slots=True)
class SoftStopped:
    """The answer to a soft stop, on the device's clock [ticks]."""

    state: DeviceState
    at_tick: int
    silent_tick: int


@dataclass(frozen=True, slots=True)
class Paired:
    """What pairing gave: which device, under which name it knows this host, and hosts now paired."""

    model: str
    serial_number: str
    host_name: str
    hosts: int


@dataclass(frozen=True, slots=True)
class PairedHosts:
    """The hosts that hold a key of a device, by host id, in the order of pairing.

    ``tries_left`` wrong codes lock pairing; it is still locked for ``locked_s`` of powered time [s].
    """

    names: dict[bytes, str]
    tries_left: int
    locked_s: int
