"""A device that two hosts were paired with, made once in a process: what it holds, and the keys it gave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from neurostim.device.futures import CommandFuture
from neurostim.device.handshake import DeviceKey
from neurostim.device.host_core import HostCore
from neurostim.wire.messages import PairReply
from neurostim.wire.pairing import format_code, parse_code
from neurostim_sim.core import DeviceCore
from neurostim_sim.entropy import seeded
from neurostim_sim.profiles import Profile
from neurostim_sim.store import MemoryMedium

LABEL: Final = format_code(bytes(range(16)))
OWN, OTHER = ((number).to_bytes(16, "big") for number in (1, 2))

_STEP_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Keys:
    """What a paired device holds in its memory, and the keys of the person's host and of another one."""

    memory: bytes
    own: DeviceKey
    other: DeviceKey


@cache
def paired(profile: Profile) -> Keys:
    """Pair two hosts with a fresh device of this profile."""
    medium = MemoryMedium()
    device = DeviceCore(profile, medium=medium, label_code=LABEL)
    own, other = _pair(device, OWN), _pair(device, OTHER)
    device.close()
    return Keys(bytes(medium.data), own, other)


def _pair(device: DeviceCore, host_id: bytes) -> DeviceKey:
    serial = device.profile.capabilities.serial_number
    host = HostCore(
        host_id=host_id,
        supervisor=lambda _now: None,
        new_nonce=lambda: 1,
        entropy=seeded("pairing", host_id.hex()),
    )
    future: CommandFuture[PairReply] = host.future("PAIR")
    now = device.clock.true_ns
    host.pair(future, now, secret=parse_code(LABEL), serial_number=serial, host_name="torture")
    while not future.done():
        now += _STEP_NS
        while (outgoing := host.take_output()) is not None:
            device.receive(outgoing.data)
        device.advance(now)
        host.feed(device.take_output(), now)
        host.poll(now)
    return DeviceKey(serial, future.result().host_key, host_id)
