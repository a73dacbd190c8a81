"""Garbage, damaged frames and whole frames with bad content into the host: nothing unsafe, no hang."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.device import LinkState
from neurostim.wire import messages as m
from neurostim.wire.frame import Frame, encode_frame
from neurostim.wire.layout import Kind
from neurostim.wire.messages import DeviceState
from support.scripted_device import ScriptedDevice
from support.virtual_stimulator import VirtualStimulator

MS = 1_000_000
S = 1_000_000_000

KINDS = sorted({(number, kind) for number, kind in m.MESSAGES}, key=lambda one: (one[0], one[1].value))


def live(stimulator: VirtualStimulator, duration_ns: int) -> None:
    end = stimulator.clock.now_ns + duration_ns
    while stimulator.clock.now_ns < end:
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(min(50 * MS, end - stimulator.clock.now_ns))


def bad_frame(rng: random.Random, core_session: int, last_id: int) -> bytes:
    """A frame that is whole, with a type, ids and content of chance, near to what the host waits for."""
    number, kind = rng.choice(KINDS)
    if rng.random() < 0.1:
        number, kind = rng.randrange(1, 128), rng.choice(list(Kind))
    frame = Frame(
        number,
        kind,
        rng.choice([0, core_session, rng.getrandbits(32)]),
        rng.getrandbits(64),
        rng.choice([0, max(last_id - rng.randrange(6), 0), rng.getrandbits(32)]),
        rng.choice([0, rng.getrandbits(64)]),
        rng.randbytes(rng.choice([0, 1, 2, 8, 17, 21, 60, 100, 300])),
    )
    return encode_frame(frame)


def spoil(rng: random.Random, data: bytes) -> bytes:
    spoiled = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        match rng.randrange(4):
            case 0 if spoiled:
                spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
            case 1:
                del spoiled[rng.randrange(len(spoiled) + 1) :]
            case 2:
                spoiled[:] = rng.randbytes(rng.randrange(60)) + spoiled
            case _:
                spoiled += bytes(spoiled)
    return bytes(spoiled)


def campaign(seed: int, frames: int) -> None:
    """A host measures, reads and stops while a liar shares its line."""
    rng = random.Random(seed)
    device = ScriptedDevice()
    stimulator = VirtualStimulator(device)
    stimulator.open()
    left = frames

    def to_host(data: bytes) -> bytes:
        nonlocal left
        junk = b""
        for _ in range(rng.randrange(12)):
            left -= 1
            junk += rng.choice(
                [
                    lambda: rng.randbytes(rng.randrange(80)),
                    lambda: bad_frame(rng, stimulator.core.session, stimulator.core._outbox._command_id),
                    lambda: spoil(rng, data),
                ]
            )()
        return junk + b"\0" + data + junk

    stimulator.to_host = to_host
    while left > 0:
        futures = [stimulator.status(), stimulator.counters()]
        if stimulator.core.state is LinkState.OPEN and rng.random() < 0.2:
            live(stimulator, 200 * MS)
            futures.append(stimulator.measure_impedances([1, 2], device.dose_count))
        live(stimulator, 700 * MS)
        for future in futures:
            future.error(30)
        assert len(device.doses) == device.dose_count
        assert stimulator.core._outbox.unproven <= 256
        if stimulator.core.state is not LinkState.OPEN or stimulator.uncertain:
            stimulator.to_host = lambda data: data
            live(stimulator, 7 * S)
            stimulator.open()
            live(stimulator, 2 * S)
            assert stimulator.uncertain is None
            stimulator.to_host = to_host
    stimulator.to_host = lambda data: data
    assert stimulator.stop().result(5).state is DeviceState.STOPPED
    fires = sum(isinstance(one, m.ImpedanceFire) for one in device.executed)
    assert fires == device.dose_count


@pytest.mark.parametrize("seed", range(4))
def test_a_liar_on_the_line_causes_no_crash_no_hang_and_no_second_dose(seed) -> None:
    campaign(seed, 2500)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_million_bad_frames_from_seeds(seed) -> None:
    campaign(seed, 100_000)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken_without_an_exception_and_a_stop_still_works(pieces) -> None:
    stimulator = VirtualStimulator(ScriptedDevice())
    stimulator.open()
    for piece in pieces:
        stimulator.core.feed(piece, stimulator.clock.now_ns)
        stimulator.pass_ns(MS)
    stimulator.core.feed(b"\0", stimulator.clock.now_ns)
    assert stimulator.stop().result(5).state is DeviceState.STOPPED


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([m.Arm, m.ImpedanceFire, m.Heartbeat, m.QueryCommand, m.Status]),
            st.integers(0, 3),
            st.sampled_from(["lose command", "lose answer", "delay", "double"]),
        ),
        max_size=4,
    )
)
def test_any_few_faults_on_chosen_commands_end_certain_and_never_in_two_doses(faults) -> None:
    """The faults are an explicit list, so that a failure shrinks to the one or two that matter."""
    device = ScriptedDevice()
    stimulator = VirtualStimulator(device)
    stimulator.open()
    seen: dict[type, int] = {}

    def fault_for(request, ways: set[str]) -> str | None:
        index = seen.get(type(request), 0)
        for kind, at, way in faults:
            if isinstance(request, kind) and at == index and way in ways:
                return way
        return None

    def deaf(request) -> bool:
        found = fault_for(request, {"lose command"})
        if found:
            seen[type(request)] = seen.get(type(request), 0) + 1
        return found is not None

    def treat(request, reply):
        way = fault_for(request, {"lose answer", "delay", "double"})
        seen[type(request)] = seen.get(type(request), 0) + 1
        return {"lose answer": [], "delay": [(700 * MS, reply)], "double": [(0, reply), (0, reply)]}.get(
            way or "", [(0, reply)]
        )

    device.deaf, device.treat = deaf, treat
    live(stimulator, 500 * MS)
    future = stimulator.measure_impedances([1], 0)
    for _ in range(100):
        live(stimulator, 100 * MS)
        if future.done():
            break
    error = future.error(0)
    live(stimulator, 2 * S)
    assert device.dose_count <= 1
    assert sum(isinstance(one, m.ImpedanceFire) for one in device.executed) == device.dose_count
    assert stimulator.uncertain is None
    if error is None:
        assert device.dose_count == 1
    assert stimulator.stop().result(5).state is DeviceState.STOPPED
