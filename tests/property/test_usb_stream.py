"""Whatever a device takes, and when: what leaves a USB link is what was written, less what was dropped."""

from __future__ import annotations

import errno

from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.transport.usb_open import open_usb
from support.usb_bus import FakeBus, FakeDevice, timed_out, usb_error

PACKET = 64
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 300)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("drop"), st.just(0)),
    ),
    max_size=30,
)
# How many bytes the device takes of each offer; None is a time-out, -1 a stall that is cleared.
OFFERS = st.lists(st.one_of(st.none(), st.just(-1), st.integers(0, 400)), max_size=40)


@settings(max_examples=30, deadline=None)
@given(STEPS, OFFERS)
def test_what_leaves_is_what_was_written_in_order_less_what_was_dropped(
    steps: list[tuple[str, int]], offers: list[int | None]
) -> None:
    left = list(offers)
    stalled = 0

    def take(piece: bytes, _timeout: int) -> int:
        nonlocal stalled
        offer = left.pop(0) if left else len(piece)
        if offer is None:
            raise timed_out()
        # Four stalls in a row would end the link, as another test shows.
        if offer < 0 and stalled < 2:
            stalled += 1
            raise usb_error(errno.EPIPE)
        stalled = 0
        return min(max(offer, 0), len(piece))

    device = FakeDevice(on_write=take)
    link = open_usb(0x1209, 0x0001, backend=FakeBus(device))
    try:
        waiting, seen, written = b"", 0, 0
        for name, size in steps:
            if name == "write":
                data = bytes((written + place) % 251 for place in range(size))
                written += size
                waiting += data
                link.write(data)
            elif name == "read":
                assert link.read(0) == b""
            else:
                link.drop_pending_output()
            taken = device.stream[seen:]
            seen += len(taken)
            assert waiting.startswith(taken)
            waiting = b"" if name == "drop" else waiting[len(taken) :]
            assert bytes(link._pending) == waiting
        left.clear()
        while link._pending or link._owes_end:
            link.read(0)
        assert device.stream[seen:] == waiting
        sizes = [len(piece) for piece in device.written]
        assert not sizes or sizes[-1] % PACKET or sizes[-1] == 0, "the last transfer has an end"
    finally:
        link.close()
