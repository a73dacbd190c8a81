"""Hosts without a key, codes that are guessed, frames that only look sealed."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.at_the_door import LOCKED, UNSEALED, UNTOUCHED, Guessing, Meddling
from neurostim_torture.barriers.scenes.intruder import Intruding

JUDGING: Final = "neurostim_sim.judging"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "key of a paired device",
        "device",
        "forged commands: a host without a key",
        (Cut(f"{JUDGING}:_check_key", "if request.KEYED or (", "if False and ("),),
        Intruding(),
        2,
        (),
        ("others-change-nothing",),
    ),
    Barrier(
        "tag of the seal",
        "device",
        "forged commands: a frame that only looks sealed",
        (
            Cut(
                "neurostim.wire.channel:Channel.open",
                "self._receive.decrypt(_nonce(sequence), frame.payload + frame.tag, frame_header(frame))",
                'self._receive.encrypt(_nonce(sequence), frame.payload, b"")[: len(frame.payload)]',
            ),
        ),
        Meddling(sealed=True),
        2,
        (),
        (UNSEALED,),
    ),
    Barrier(
        "challenge of a pending channel",
        "device",
        "a session that ends by a first message somebody repeats",
        (
            Cut(
                "neurostim_sim.commands.keys:_handshake",
                "    link.handshakes.hold(",
                "    for other in list(device.sessions.open.values()):\n"
                "        if other.host == request.host_id:\n"
                "            device.close_session(other)\n"
                "    link.handshakes.hold(",
            ),
        ),
        Meddling(),
        2,
        (),
        (UNTOUCHED,),
    ),
    Barrier(
        "pairing lockout",
        "device",
        "guessing the code of the label",
        (Cut("neurostim_sim.commands.keys:_handshake", "if device.keyring.locked_s:", "if False:"),),
        Guessing(),
        2,
        (),
        (LOCKED,),
    ),
    Barrier(
        "key to take a device back",
        "device",
        "somebody without a key who ends what the clinic has released",
        (Cut(f"{JUDGING}:_check_key", "if request.KEYED or (", "if False and ("),),
        Intruding(at_home=True),
        2,
        (),
        ("mode-is-asked",),
    ),
)
