"""A stop frame takes the second way of a link that has one, and the pipe all the same."""

from __future__ import annotations

import pytest

from neurostim.device.native import NativeStimulator
from neurostim.device.notices import LinkCounters
from neurostim.device.outbox import Outbox
from neurostim.transport import Transport, open_url
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.messages import EmergencyStop, Stop, StopCause

DELIMITER = b"\0"


class Recording:
    """A link that notes what is done with it; its second way takes frames, or fails."""

    def __init__(self, link: Transport, taken: bool) -> None:
        self._link = link
        self._taken = taken
        self.done: list[tuple[str, bytes]] = []

    @property
    def description(self) -> str:
        return self._link.description

    def read(self, timeout: float) -> bytes:
        return self._link.read(timeout)

    def write(self, data: bytes) -> None:
        self.done.append(("write", data))
        self._link.write(data)

    def drop_pending_output(self) -> None:
        self.done.append(("drop", b""))
        self._link.drop_pending_output()

    def urgent(self, frame: bytes) -> bool:
        self.done.append(("urgent", frame))
        return self._taken

    def wake(self) -> None:
        self._link.wake()

    def close(self) -> None:
        self._link.close()


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("emergency", [True, False])
def test_a_stop_goes_the_second_way_first_and_down_the_pipe_whatever_became_of_it(
    taken: bool, emergency: bool
) -> None:
    link = Recording(open_url("sim://bench?seed=1"), taken)
    with NativeStimulator("sim://bench?seed=1", opener=lambda _url: link) as stimulator:
        stimulator.open()
        assert stimulator.status().result()
        assert not [name for name, _ in link.done if name == "urgent"], "only stops go this way"
        link.done.clear()
        confirmation = stimulator.stop(emergency=emergency).result(10)
    assert confirmation.stop_cause is (StopCause.EMERGENCY_STOP if emergency else StopCause.STOP)
    names = [name for name, _ in link.done]
    first = names.index("urgent")
    assert names[first - 1 : first + 2] == ["drop", "urgent", "write"]
    frame = link.done[first][1]
    assert link.done[first + 1][1] == frame
    assert frame.startswith(DELIMITER)
    assert frame.endswith(DELIMITER)
    [decoded] = FrameDecoder().feed(frame)
    assert isinstance(decoded, Frame)
    assert decoded.type == (EmergencyStop if emergency else Stop).TYPE


def test_the_outbox_marks_a_stop_as_urgent_once() -> None:
    outbox = Outbox(LinkCounters())
    outbox.offer(Stop(), 1)
    outgoing = outbox.take()
    assert outgoing is not None
    assert outgoing.urgent == b"", "whatever it is: only what overtakes is urgent"
    outbox.overtake(b"\0stop\0")
    outgoing = outbox.take()
    assert outgoing is not None
    assert (outgoing.flush, outgoing.data, outgoing.urgent) == (True, b"\0stop\0", b"\0stop\0")
    assert outbox.take() is None


def test_what_is_discarded_goes_no_way_at_all() -> None:
    outbox = Outbox(LinkCounters())
    outbox.overtake(b"\0stop\0")
    outbox.discard()
    outgoing = outbox.take()
    assert outgoing is not None
    assert (outgoing.flush, outgoing.data, outgoing.urgent) == (True, b"", b"")


def test_links_without_a_second_way_say_so() -> None:
    link = open_url("sim://bench?seed=1")
    assert link.urgent(b"\0stop\0") is False
    link.close()
