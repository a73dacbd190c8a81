"""A session that was left: what its last sign of life is answered is no word about the next one."""

from __future__ import annotations

from neurostim.device import LinkState, Notice, NoticeKind
from neurostim.device.native import NativeStimulator
from neurostim.wire import messages as m
from neurostim.wire.messages import Role
from support.device_server import DeviceServer
from support.scripted_device import Link, ScriptedDevice
from support.virtual_stimulator import VirtualStimulator

MS = 1_000_000


def until_a_sign_of_life(stimulator: VirtualStimulator, device: ScriptedDevice) -> None:
    heard = len(device.received)
    while len(device.received) == heard:
        stimulator.pass_ns(MS)
    assert isinstance(device.received[-1], m.ClockSync)


def losses(stimulator: VirtualStimulator) -> int:
    told = [one.kind for one in stimulator.take_critical() if isinstance(one, Notice)]
    return told.count(NoticeKind.SESSION_LOST)


def leaving():
    return (yield m.Goodbye())


def test_a_sign_of_life_that_crossed_the_goodbye_does_not_end_the_next_session() -> None:
    """It left before the answer to GOODBYE came, so the device answers it with NO_SESSION afterwards."""
    device = ScriptedDevice()
    stimulator = VirtualStimulator(device)
    stimulator.open(Role.OBSERVE)

    def treat(request, reply):
        late = 30 * MS if isinstance(reply, m.Error) else 60 * MS
        return [(late, reply)]

    device.treat = treat
    device.links.clear()
    until_a_sign_of_life(stimulator, device)
    stimulator.take_critical()
    assert stimulator._greet(Role.CONTROL).role is Role.CONTROL
    assert stimulator.core.state is LinkState.OPEN
    assert losses(stimulator) == 0


def test_a_sign_of_life_that_crosses_the_goodbye_is_no_loss() -> None:
    device = ScriptedDevice()
    stimulator = VirtualStimulator(device)
    stimulator.open(Role.OBSERVE)
    until_a_sign_of_life(stimulator, device)
    stimulator.pass_ns(495 * MS)
    device.treat = lambda request, reply: [(40 * MS if isinstance(reply, m.Error) else 20 * MS, reply)]
    stimulator._run("GOODBYE", leaving()).result()
    assert isinstance(device.received[-1], m.ClockSync)
    stimulator.pass_ns(100 * MS)
    assert stimulator.link_counters.replies_late == 1
    assert losses(stimulator) == 0


def test_a_host_that_takes_control_from_its_own_past_leaves_no_other_session_behind() -> None:
    with DeviceServer(ScriptedDevice()) as server, NativeStimulator(server.url) as stimulator:
        device = server.device

        def died_just_now() -> None:
            device.links[99] = Link(stimulator.host_id, 1, Role.CONTROL)
            device.living_ns = device.now_ns + 10_000 * MS

        server.ask(died_just_now)
        stimulator.open()
        assert stimulator.role is Role.OBSERVE
        stimulator.take_control()
        assert stimulator.role is Role.CONTROL
        assert len(server.ask(lambda: dict(device.links))) == 2
