"""The host under a key against the simulated device: pairing, sessions, lockout, and a measurement."""

from __future__ import annotations

import pytest

from neurostim.device import CommandRefused, DeviceKey, LinkState
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, Role
from neurostim.wire.pairing import format_code, parse_code
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualClock, VirtualStimulator

MS = 1_000_000
S = 1_000_000_000
CODE = bytes(range(1, 17))
WRONG = bytes(16)


def bench() -> tuple[SimulatedDevice, VirtualStimulator]:
    clock = VirtualClock()
    device = SimulatedDevice(origin_ns=clock.now_ns, label_code=format_code(CODE))
    stimulator = VirtualStimulator(device, clock)
    serial = device.core.profile.capabilities.serial_number
    stimulator.key = DeviceKey(serial, stimulator.pair(CODE, serial).host_key)
    return device, stimulator


def live(stimulator: VirtualStimulator, duration_ns: int) -> None:
    end = stimulator.clock.now_ns + duration_ns
    while stimulator.clock.now_ns < end:
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(min(50 * MS, end - stimulator.clock.now_ns))


def measure(stimulator: VirtualStimulator, expected: int) -> object:
    future = stimulator.measure_impedances([1, 2], expected)
    for _ in range(200):
        if future.done():
            break
        live(stimulator, 50 * MS)
    return future.result()


def test_a_paired_host_does_everything_under_its_key() -> None:
    _, stimulator = bench()
    stimulator.open()
    assert stimulator.core.authenticated
    assert stimulator.role is Role.CONTROL
    live(stimulator, 300 * MS)
    assert stimulator.supervised
    measure(stimulator, 0)
    assert stimulator.counters().result().dose_count == 1
    assert stimulator.stop().result().state is DeviceState.STOPPED
    assert stimulator.core.counters.seals_refused == 0
    assert stimulator.core.counters.frames_unsealed == 0


def test_the_label_code_is_the_code() -> None:
    device, _ = bench()
    assert parse_code(device.core.label_code) == CODE


def test_a_host_without_a_key_reads_nothing_of_a_paired_device_and_can_stop_it() -> None:
    device, stimulator = bench()
    stranger = VirtualStimulator(device, stimulator.clock, host=2)
    with pytest.raises(CommandRefused) as caught:
        stranger.open(Role.OBSERVE)
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_REQUIRED
    assert stranger.stop().result().state is DeviceState.STOPPED
    stimulator.open()
    assert stimulator.status().result().state is DeviceState.STOPPED


def test_three_wrong_codes_lock_pairing_and_nothing_else() -> None:
    device, stimulator = bench()
    serial = device.core.profile.capabilities.serial_number
    other = VirtualStimulator(device, stimulator.clock, host=3)
    for _ in range(m.PAIRING_TRIES):
        with pytest.raises(CommandRefused) as caught:
            other.pair(WRONG, serial)
        assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED
    with pytest.raises(CommandRefused) as caught:
        other.pair(CODE, serial)
    assert caught.value.refusal is ErrorCode.PAIRING_LOCKED
    assert 0 < caught.value.detail <= m.PAIRING_LOCKOUT_S
    stimulator.open()
    assert stimulator.pairings().result().locked_s > 0
    stimulator.close()
    other.pass_ns((m.PAIRING_LOCKOUT_S + 1) * S)
    assert other.pair(CODE, serial).hosts == 2


def test_a_reset_ends_the_session_and_the_next_one_is_under_the_same_key() -> None:
    device, stimulator = bench()
    stimulator.open()
    live(stimulator, 300 * MS)
    before = stimulator.core.session
    device.core.restart()
    live(stimulator, 7 * S)
    assert stimulator.core.state is LinkState.SESSION_LOST
    stimulator.open()
    assert stimulator.core.authenticated
    assert stimulator.core.session > before


def test_a_host_that_is_removed_is_not_known_any_more() -> None:
    _, stimulator = bench()
    stimulator.open()
    live(stimulator, 300 * MS)
    assert stimulator.pairings().result().names == {stimulator.core.host_id: "the bench"}
    assert stimulator.unpair(stimulator.core.host_id).result() == 0
    with pytest.raises(CommandRefused) as caught:
        stimulator.open()
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED


@pytest.mark.parametrize("turn", range(0, 48, 7))
def test_an_altered_handshake_opens_nothing_and_the_next_one_does(turn: int) -> None:
    _, stimulator = bench()
    stimulator.open()
    stimulator.close()
    flipped = [True]

    def flip(data: bytes) -> bytes:
        if not flipped[0]:
            return data
        from neurostim.wire.codec import pack, unpack
        from neurostim.wire.frame import Frame, FrameDecoder

        (frame,) = (one for one in FrameDecoder().feed(data) if isinstance(one, Frame))
        message = unpack(frame)
        assert isinstance(message, m.Handshake)
        noise = message.noise[:turn] + bytes([message.noise[turn] ^ 4]) + message.noise[turn + 1 :]
        altered = m.Handshake(message.purpose, message.host_id, noise)
        return pack(altered, session=0, sequence=0, command_id=frame.command_id, lease_us=0)

    stimulator.to_device = flip
    with pytest.raises(CommandRefused) as caught:
        stimulator.open()
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED
    flipped[0] = False
    stimulator.open()
    assert stimulator.core.authenticated
