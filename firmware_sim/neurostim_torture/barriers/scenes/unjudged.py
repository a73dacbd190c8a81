"""A host that has lost its own gate: it loads and starts a program that nobody has judged."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

from neurostim.core.errors import NeurostimError
from neurostim.device.tasks import Script
from neurostim.wire import messages as m
from neurostim.wire.image import encode_image
from neurostim_torture.host import VirtualHost
from neurostim_torture.programs import device_profile
from neurostim_torture.ready import ready
from neurostim_torture.schedule import Outcome, Schedule, judged
from neurostim_torture.world import World

MS: Final = 1_000_000
SLOT: Final = 1
PIECE: Final = 128


class Unjudged:
    """A scene: a program of twice the largest current of a contact, loaded and fired by its host."""

    def run(self, seed: int) -> Outcome:
        """Let the host try, and judge."""
        profile = device_profile()
        made = ready("tonic", 0, keyed=False)
        world = World(seed, (), profile, memory=made.memory)
        host = world.start_host()
        most = 2 * profile.capabilities.max_contact_na
        area = replace(made.approved.image.areas[0], amplitude_na=most)
        data = encode_image(replace(made.approved.image, areas=(area,)))
        try:
            host.open()
            _live(host, 300)
            host._run("LOAD", _load(data, most), changes=True).result(2.0)
            _live(host, 300)
            host._run("START", _start(data), changes=True).result(2.0)
            _live(host, 900)
        except NeurostimError:
            pass
        world.kill(host)
        world.pass_ns(1_000 * MS)
        return judged(world, Schedule(seed))


def _live(host: VirtualHost, duration_ms: int) -> None:
    for _ in range(duration_ms // 50):
        host.beat("ui")
        host.beat("journal")
        host.wait(0.05)
        host.take_critical()
        host.take_telemetry()


def _load(data: bytes, most_na: int) -> Script[None]:
    digest = hashlib.sha256(data).digest()
    yield m.LoadBegin(SLOT, len(data), digest)
    for offset in range(0, len(data), PIECE):
        yield m.LoadChunk(SLOT, offset, data[offset : offset + PIECE])
    yield m.LoadCommit(SLOT, digest, (m.RangeOfArea(0, most_na, most_na, 100_000),))


def _start(data: bytes) -> Script[None]:
    digest = hashlib.sha256(data).digest()
    armed: Any = yield m.Arm(m.ArmKind.STIMULATION, SLOT, digest, digest)
    yield m.Fire(armed.token, armed.dose_count)
