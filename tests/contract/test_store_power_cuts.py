"""Power lost at every byte of every kind of write: the device boots with what was before, or after."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, StopCause
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from neurostim_sim.store import BANK_BYTES, Store
from support.power_cuts import Recorder, holding, remembered, states_between, torn_media
from support.sim_bench import MS, SimHost, tonic

S = 1_000 * MS


class Host(SimHost):
    """A host with what was armed."""

    armed: m.ArmReply

    @property
    def medium(self) -> Recorder:
        medium = self.core._medium
        assert isinstance(medium, Recorder)
        return medium


def ready() -> Host:
    host = Host(DeviceCore(profile("scs"), medium=Recorder(), seed=5))
    host.hello()
    host.live_until(0)
    return host


def loaded() -> Host:
    host = ready()
    host.load(tonic())
    return host


def armed() -> Host:
    host = loaded()
    host.live_until(50 * MS)
    host.armed = host.arm()
    return host


def delivering() -> Host:
    host = loaded()
    host.fire()
    host.live_until(950 * MS)
    return host


def measuring() -> Host:
    host = ready()
    host.measure(0b111)
    host.live_until(host.now_ns + 30 * MS)
    return host


def stopped() -> Host:
    host = delivering()
    host.ask(m.Stop())
    host.live_until(host.now_ns + 300 * MS)
    return host


def wrong_code(host: Host) -> None:
    host.core.keyring.begin_try()
    host.core.keyring.wrong_code()


def pair(host: Host) -> None:
    host.core.keyring.give(b"p" * 16, "clinic", b"k" * 32)


KINDS: dict[str, tuple[Callable[[], Host], Callable[[Host], object]]] = {
    "boot": (ready, lambda host: host.core.restart()),
    "session": (ready, lambda host: host.hello(nonce=9)),
    "load begin": (loaded, lambda host: host.ask(m.LoadBegin(0, 100, bytes(32)))),
    "load commit": (ready, lambda host: host.load(tonic())),
    "arm": (loaded, lambda host: host.arm()),
    "dose start": (armed, lambda host: host.fire_with(host.armed)),
    "mid-dose save": (delivering, lambda host: host.live_until(host.now_ns + 100 * MS)),
    "amplitude": (delivering, lambda host: host.ask(m.SetAmplitude(1, 0, 2_000_000, 1_000_000))),
    "soft stop": (delivering, lambda host: host.ask(m.SoftStop())),
    "dose end": (delivering, lambda host: (host.ask(m.Stop()), host.live_until(host.now_ns + 200 * MS))),
    "dead-man": (delivering, lambda host: host.silent_until(host.now_ns + 800 * MS)),
    "measurement start": (ready, lambda host: host.measure(0b11)),
    "measurement end": (measuring, lambda host: host.live_until(host.now_ns + 100 * MS)),
    "clear": (stopped, lambda host: host.ask(m.Clear(StopCause.STOP, m.FaultCode.NONE))),
    "wrong code": (ready, wrong_code),
    "pairing": (ready, pair),
}


@pytest.mark.hazard("half-written")
@pytest.mark.parametrize("kind", KINDS)
def test_power_lost_at_any_byte_leaves_what_was_before_or_after_and_never_half(kind: str) -> None:
    make, act = KINDS[kind]
    host = make()
    before = bytes(host.medium.data)
    host.medium.log.clear()
    act(host)
    writes = list(host.medium.log)
    assert writes
    # Each is an entry of what changed; no checkpoint of everything hides in a small change.
    assert sum(len(data) for _, data in writes) < 8_000
    allowed = states_between(before, writes)
    for where, torn in torn_media(before, writes, every=3):
        found = remembered(torn)
        assert found in allowed, where
        assert not found["damaged"], where


def test_power_lost_at_any_byte_of_a_checkpoint_leaves_what_was_before_or_after() -> None:
    host = stopped()
    before = bytes(host.medium.data)
    host.medium.log.clear()
    host.core.memory.store._checkpoint()
    writes = list(host.medium.log)
    allowed = states_between(before, writes)
    # A checkpoint changes nothing.
    assert all(one == allowed[0] for one in allowed)
    for where, torn in torn_media(before, writes, every=13):
        assert remembered(torn) == allowed[0], where


def test_power_lost_at_any_byte_of_the_very_first_boot_leaves_a_new_device() -> None:
    medium = Recorder()
    core = DeviceCore(profile("scs"), medium=medium)
    assert core.state is DeviceState.IDLE
    for where, torn in torn_media(b"", list(medium.log)):
        found = remembered(torn)
        assert (found["state"], found["damaged"], found["lost"]) == (DeviceState.IDLE, False, False), where
        assert found["counts"][0] in (1, 2), where


@pytest.mark.hazard("lost-charge")
@pytest.mark.parametrize("from_start_ns", [0, 1 * MS, 700 * MS, 1_000 * MS, 2_400 * MS])
@pytest.mark.parametrize("how", ["cut", "reset", "hang", "reset-while-hung"])
def test_what_flowed_before_a_power_loss_is_never_more_than_what_is_counted_after(
    from_start_ns: int, how: str
) -> None:
    host = loaded()
    host.live_until(50 * MS)
    host.fire()
    host.live_until(host.now_ns + from_start_ns)
    core, dying = host.core, host.core.memory
    if how == "cut":
        host.medium.bytes_left = 0
        host.live_until(host.now_ns + 1_900 * MS)
        assert core.dead
        host.medium.bytes_left = None
    else:
        core.inject("hang" if "hung" in how else how, host.now_ns)
        if how == "reset-while-hung":
            core.inject("reset", host.now_ns + 499 * MS)
        host.silent_until(host.now_ns + 600 * MS)
        assert core.memory is not dying
    after = DeviceCore(profile("scs"), medium=holding(bytes(host.medium.data))).memory
    assert dying.contacts or from_start_ns == 0
    for contact, (pulses, cathodic, anodic, _) in dying.contacts.items():
        counted = after.contacts[contact]
        assert counted[0] >= pulses
        assert counted[1] >= cathodic
        assert counted[2] >= anodic
    assert after.dose_count == 1
    assert after.latched
    assert all(one.settled and not one.running for one in after.doses)


@pytest.mark.hazard("lost-charge")
def test_a_bound_is_added_once_and_logged_for_each_contact() -> None:
    host = delivering()
    host.core.inject("reset", host.now_ns)
    host.silent_until(host.now_ns + 1)
    memory = host.core.memory
    noted = {values[5]: values[6] for values in memory.log if values[3] == m.EventCode.CHARGE_BOUND}
    assert set(noted) == {3, 5}
    once = {contact: list(values) for contact, values in memory.contacts.items()}
    # 2 mA x 300 us at 50 Hz for 1.51 s and three pulses more, and 5 % for the source.
    assert once[3][1] <= 2_010_000 * 300_000 * 79 * 105 // 100
    host.core.inject("reset", host.now_ns)
    host.silent_until(host.now_ns + 1)
    assert host.core.memory.contacts == once


@pytest.mark.hazard("lost-charge")
def test_a_measurement_that_power_cut_short_is_counted_in_full() -> None:
    host = measuring()
    host.core.inject("reset", host.now_ns)
    host.silent_until(host.now_ns + 1)
    memory = host.core.memory
    for contact in (1, 2, 3):
        assert memory.contacts[contact][1] >= 4 * 25_000_000_000
    assert memory.contacts[8][2] >= 3 * 4 * 25_000_000_000
    assert memory.doses[-1].settled
    assert memory.cause == StopCause.POWER_LOST


def test_a_dose_that_ended_and_still_had_a_pulse_under_way_is_rounded_up() -> None:
    host = delivering()
    host.ask(m.Stop())
    flowed = list(host.core.memory.contacts[3])
    host.core.inject("reset", host.now_ns)
    host.silent_until(host.now_ns + 1)
    assert host.core.memory.contacts[3][0] >= flowed[0] + 1
    assert host.core.memory.cause == StopCause.STOP


def test_counters_keep_more_than_64_bits_of_attocoulombs_exactly() -> None:
    host = stopped()
    large = [2**63 + 1, 2**64 * 10**9 - 1, 7, -(2**62)]
    host.core.memory.contacts[3] = large
    host.core.memory.save()
    assert remembered(holding(bytes(host.medium.data)))["contacts"][3] == large


def sections_of(data: bytes) -> tuple[dict[str, object], bool]:
    store = Store(holding(data))
    return store.load(), store.damaged


@pytest.mark.hazard("half-written")
@pytest.mark.parametrize("kind", ["dose start", "mid-dose save"])
def test_one_flipped_bit_anywhere_is_harmless_or_found_and_never_an_older_state(kind: str) -> None:
    make, act = KINDS[kind]
    host = make()
    act(host)
    data = bytes(host.medium.data)
    right, damaged = sections_of(data)
    assert not damaged
    flips = 0
    for place in range(len(data)):
        for bit in ((place * 3) % 8, (place * 5 + 1) % 8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            found, told = sections_of(bytes(flipped))
            assert told or found == right, (place, bit)
            flips += 1
    assert flips > 2_000


def test_a_lost_checkpoint_is_found_by_the_bank_before_it() -> None:
    host = stopped()
    store = host.core.memory.store
    for _ in range(2):
        store._checkpoint()
    newest = store._bank * BANK_BYTES
    for place in (newest, newest + 15, newest + 300):
        broken = bytearray(host.medium.data)
        broken[place] ^= 0x10
        found, told = sections_of(bytes(broken))
        assert told
        counters = found["counters"]
        assert isinstance(counters, dict)
        assert counters["dose_count"] == 1


@pytest.mark.hazard("half-written")
def test_a_damaged_memory_is_closed_and_latched_and_stays_so_after_the_next_boot() -> None:
    host = ready()
    pair(host)
    data = bytearray(host.medium.data)
    data[25] ^= 1
    broken = holding(bytes(data))
    first = remembered(broken)
    assert (first["state"], first["damaged"], first["lost"]) == (DeviceState.FAULT, True, True)
    again = DeviceCore(profile("scs"), medium=broken)
    assert again.state is DeviceState.FAULT
    assert again.memory.lost
    assert again.keyring.closed


def test_a_memory_that_fell_back_to_before_a_pairing_is_closed_too() -> None:
    host = ready()
    host.core.memory.store._checkpoint()
    pair(host)
    host.core.memory.store._checkpoint()
    store = host.core.memory.store
    # The newest checkpoint, which alone knows of the pairing, does not read.
    data = bytearray(host.medium.data)
    data[store._bank * BANK_BYTES + 100] ^= 2
    after = DeviceCore(profile("scs"), medium=holding(bytes(data)))
    assert (after.state, after.memory.fault) == (DeviceState.FAULT, m.FaultCode.MEMORY)
    assert after.keyring.closed


@pytest.mark.parametrize("level", [1000, 640, 0])
def test_the_charge_of_the_battery_outlives_the_process(level: int) -> None:
    host = ready()
    host.core.battery = level
    host.core.hardware.drained_s = 7
    host.core.memory.note(0, m.EventCode.BATTERY, value=level)
    host.core.make_log_durable()
    after = DeviceCore(profile("scs"), medium=holding(bytes(host.medium.data)))
    assert (after.battery, after.hardware.drained_s) == (level, 7)
    # A restart does not charge it either, nor does it bring an older reading back.
    after.battery = level // 2
    after.restart()
    assert after.battery == level // 2


def session_on(medium: Recorder) -> Host:
    """A whole session as far as the supply lets it: boot, load, dose, amplitude, stop, clear, measurement."""
    host = Host(DeviceCore(profile("scs"), medium=medium, seed=5))
    steps: list[Callable[[], object]] = [
        host.hello,
        lambda: host.live_until(0),
        lambda: host.load(tonic()),
        lambda: host.live_until(50 * MS),
        host.fire,
        lambda: host.live_until(1_300 * MS),
        lambda: host.ask(m.SetAmplitude(1, 0, 2_000_000, 1_000_000)),
        lambda: host.live_until(2_200 * MS),
        lambda: host.ask(m.Stop()),
        lambda: host.live_until(2_500 * MS),
        lambda: host.ask(m.Clear(StopCause.STOP, m.FaultCode.NONE)),
        lambda: host.measure(0b101),
        lambda: host.live_until(2_600 * MS),
    ]
    for step in steps:
        if host.core.dead:
            break
        try:
            step()
        except AssertionError:
            # The bench wants an answer, and the supply is gone.
            assert host.core.dead
    return host


def cut_session(cut: int, torn_bits: int) -> None:
    medium = Recorder()
    medium.bytes_left, medium.torn_bits = cut, torn_bits
    host = session_on(medium)
    dying = host.core.memory
    assert host.core.dead
    assert not host.core.output_on
    medium.bytes_left = None
    after = DeviceCore(profile("scs"), medium=medium)
    assert after.state in (DeviceState.IDLE, DeviceState.STOPPED)
    assert not after.output_on
    assert not after.memory.damaged
    flowed = {contact for contact, values in dying.contacts.items() if values[0]}
    assert after.memory.dose_count >= (1 if flowed else 0)
    for contact in flowed:
        pulses, cathodic, anodic, _ = dying.contacts[contact]
        counted = after.memory.contacts[contact]
        assert counted[0] >= pulses
        assert counted[1] >= cathodic
        assert counted[2] >= anodic
    assert all(one.settled and not one.running for one in after.memory.doses)
    assert after.memory.store.verify()


def bytes_of_a_session() -> int:
    medium = Recorder()
    host = session_on(medium)
    assert host.core.state is DeviceState.IDLE
    assert host.core.memory.dose_count == 2
    return medium.written


def test_a_session_cut_at_any_time_counts_at_least_what_flowed_and_comes_back_off() -> None:
    total = bytes_of_a_session()
    for cut in range(0, total, 131):
        cut_session(cut, 0xA5 if cut % 2 else 0)


@pytest.mark.long
@pytest.mark.parametrize("part", range(16))
def test_a_session_cut_at_every_byte_counts_at_least_what_flowed_and_comes_back_off(part: int) -> None:
    for cut in range(part, bytes_of_a_session(), 16):
        for torn_bits in (0, 0xA5):
            cut_session(cut, torn_bits)
