"""Capabilities of a device, to and from the messages that carry them."""

from __future__ import annotations

from neurostim.core.errors import ProtocolError
from neurostim.core.hardware import Capabilities, Port
from neurostim.core.image import Grid
from neurostim.wire.messages import CapabilitiesReply, IdentifyReply, PortInfo, PortsReply


def encode_capabilities(
    capabilities: Capabilities, boot_count: int
) -> tuple[IdentifyReply, CapabilitiesReply, PortsReply]:
    """Messages with which a device tells its capabilities.

    Raises
    ------
    ProtocolError
        Where a value does not fit its field, the grid contradicts the times in ns, or ports overlap.
    """
    _check(capabilities)
    grid = capabilities.grid
    identity = IdentifyReply(
        model=capabilities.model,
        serial_number=capabilities.serial_number,
        firmware=capabilities.firmware,
        profile=capabilities.profile,
        protocol_version=capabilities.protocol_version,
        boot_count=boot_count,
    )
    limits = CapabilitiesReply(
        tick_ns=grid.tick_ns,
        step_na=grid.step_na,
        guard_ns=capabilities.guard_ns,
        recovery_min_ns=capabilities.recovery_min_ns,
        slots=capabilities.slots,
        max_areas=capabilities.max_areas,
        max_contact_na=capabilities.max_contact_na,
        max_total_na=capabilities.max_total_na,
        min_width_ns=capabilities.min_width_ns,
        max_width_ns=capabilities.max_width_ns,
        max_rate_mhz=capabilities.max_rate_mhz,
        rail_mv=capabilities.rail_mv,
        discharge_ohm=capabilities.discharge_ohm,
        min_ramp_ns=capabilities.min_ramp_ns,
        max_image_bytes=capabilities.max_image_bytes,
    )
    ports = PortsReply(
        tuple(
            PortInfo(port.kind, port.first_contact, port.contact_count, port.has_return)
            for port in capabilities.ports
        )
    )
    return identity, limits, ports


def decode_capabilities(
    identity: IdentifyReply, limits: CapabilitiesReply, ports: PortsReply
) -> Capabilities:
    """Capabilities from what a device told.

    Raises
    ------
    ProtocolError
        Where the ports are none, overlap or leave the 32 contacts.
    """
    capabilities = Capabilities(
        profile=identity.profile,
        model=identity.model,
        serial_number=identity.serial_number,
        firmware=identity.firmware,
        protocol_version=identity.protocol_version,
        grid=Grid.of(limits.tick_ns, limits.step_na, limits.guard_ns, limits.recovery_min_ns),
        guard_ns=limits.guard_ns,
        recovery_min_ns=limits.recovery_min_ns,
        ports=tuple(
            Port(port.kind, port.first_contact, port.contact_count, port.has_return) for port in ports.ports
        ),
        slots=limits.slots,
        max_areas=limits.max_areas,
        max_contact_na=limits.max_contact_na,
        max_total_na=limits.max_total_na,
        min_width_ns=limits.min_width_ns,
        max_width_ns=limits.max_width_ns,
        max_rate_mhz=limits.max_rate_mhz,
        rail_mv=limits.rail_mv,
        discharge_ohm=limits.discharge_ohm,
        min_ramp_ns=limits.min_ramp_ns,
        max_image_bytes=limits.max_image_bytes,
    )
    _check(capabilities)
    return capabilities


def _check(capabilities: Capabilities) -> None:
    grid = capabilities.grid
    if grid != Grid.of(grid.tick_ns, grid.step_na, capabilities.guard_ns, capabilities.recovery_min_ns):
        raise _contradiction("guard and recovery in ticks are not those in ns, rounded up")
    if capabilities.min_width_ns > capabilities.max_width_ns:
        raise _contradiction("the shortest width is above the longest")
    if capabilities.max_contact_na > capabilities.max_total_na:
        raise _contradiction("the current of a contact is above the total")
    if not capabilities.ports:
        raise _contradiction("there is no port")
    free = 1
    for port in capabilities.ports:
        if port.first_contact < free:
            raise _contradiction("ports overlap or are out of order")
        free = port.first_contact + port.contact_count
    if free > 33:
        raise _contradiction("a port reaches beyond contact 32")


def _contradiction(message: str) -> ProtocolError:
    return ProtocolError(
        f"device capabilities: {message}",
        remedy="The device cannot be used; its firmware contradicts itself.",
        code="bad-capabilities",
    )
