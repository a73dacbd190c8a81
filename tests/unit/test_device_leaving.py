"""A session that was left: what its last sign of life is answered is no word about the next one."""

from __future__ import annotations

from neurostim.device import LinkState, Notice, NoticeKind
from neurostim.wire import messages as m
from neurostim.wire.messages import Role
from support.scripted_device import ScriptedDevice
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
