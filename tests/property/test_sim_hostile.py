"""Anything on the line into the simulated device: no crash, and never output without a start."""

from __future__ import annotations

import random

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim.wire.frame import FrameDecoder
from neurostim.wire.layout import Kind
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile


def bombard(frames: int, seed: int) -> DeviceCore:
    dice = random.Random(seed)
    device = DeviceCore(profile("scs"), seed=seed)
    requests = [kind for (_, part), kind in m.MESSAGES.items() if part is Kind.REQUEST]
    now = 0
    for _ in range(frames):
        kind = dice.choice(requests)
        choice = dice.randrange(4)
        if choice == 0:
            data = dice.randbytes(dice.randrange(80))
        else:
            try:
                request = kind.decode(dice.randbytes(dice.choice([0, 1, 2, 9, 12, 17, 33, 41, 66])))
            except ProtocolError:
                continue
            data = pack(
                request,
                session=dice.randrange(3),
                sequence=dice.randrange(50),
                command_id=dice.randrange(20),
                lease_us=now // 1000,
            )
            if choice == 1:
                place = dice.randrange(len(data))
                data = data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]
        device.receive(data)
        now += dice.randrange(1_000_000)
        device.advance(now)
        assert not device.output_on
        assert device.memory.dose_count == 0
    return device


def answers_identify(device: DeviceCore) -> bool:
    device.take_output()
    device.receive(b"\0" + pack(m.Identify(), session=0, sequence=0, command_id=1, lease_us=0))
    return len(FrameDecoder().feed(device.take_output())) >= 1


@pytest.mark.hazard("interference")
def test_hostile_frames_start_nothing_and_leave_the_device_answering() -> None:
    assert answers_identify(bombard(3000, seed=7))


@pytest.mark.long
def test_a_million_hostile_frames_start_nothing() -> None:
    assert answers_identify(bombard(1_000_000, seed=11))
