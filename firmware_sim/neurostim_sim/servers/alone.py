"""A slot's program delivered by the pulse engine alone, for as long and as fast as asked: no host, no link.

A device on a link keeps real time, because a live heartbeat does. Where there is none, days can pass in
seconds: this calculates what a slot would deliver into the simulated load. It counts no dose in the device.
"""

from __future__ import annotations

from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.wire.image import decode_image
from neurostim_sim.engine import PulseEngine
from neurostim_sim.servers.clock import Clock
from neurostim_sim.settings import Settings
from neurostim_sim.trace import TraceFiles

NS_PER_S: Final = 1_000_000_000
SLICE_NS: Final = 50_000_000
MOST_RECORDED_NS: Final = 3600 * NS_PER_S


def deliver(settings: Settings, slot: int, duration_ns: int, speed: float, clock: Clock) -> dict[str, Any]:
    """Deliver a committed slot for ``duration_ns`` and stop softly.

    Parameters
    ----------
    settings : Settings
        The device, with the store that holds the slot.
    slot : int
    duration_ns : int
        Time from the start of output to the soft stop [ns].
    speed : float
        Times real time; 0 is as fast as it can.
    clock : Clock
        Real time, for pacing.

    Returns
    -------
    dict
        Dose by contact and area [aC], exact, and the record's path.

    Raises
    ------
    ConfigError
        For an empty slot, or a record longer than an hour.
    """
    if settings.trace is not None and duration_ns > MOST_RECORDED_NS:
        raise ConfigError(
            f"found {duration_ns / NS_PER_S:g} s with a record",
            allowed=f"at most {MOST_RECORDED_NS // NS_PER_S} s with --trace",
            remedy="Leave --trace out for a longer time; the dose is summed all the same.",
            code="alone",
        )
    core = settings.core()
    held = core.memory.slots[slot] if 0 <= slot < len(core.memory.slots) else None
    if held is None or not held.committed:
        core.close()
        raise ConfigError(
            f"slot {slot} of the store holds no program",
            remedy="Load one first: neurostim run, with the simulator started with --store.",
            code="alone",
        )
    image = decode_image(held.data)
    engine = PulseEngine(image, core.tissue, core.physics(), record=settings.trace is not None)
    tick_ns = image.grid.tick_ns
    begun_ns = clock.monotonic_ns()
    now_ns = 0
    while now_ns < duration_ns:
        if speed > 0:
            clock.sleep_until(begun_ns + round(now_ns / speed))
            now_ns = min(now_ns + SLICE_NS, duration_ns)
        else:
            now_ns = duration_ns
        engine.advance(now_ns // tick_ns)
    engine.soft_stop(duration_ns // tick_ns)
    quiet = engine.quiet_at
    while quiet is not None and engine.now_ticks < quiet:
        engine.advance(quiet)
        quiet = engine.quiet_at
    totals = engine.totals()
    document: dict[str, Any] = {
        "image_sha256": held.digest.hex(),
        "delivered_ns": engine.now_ticks * tick_ns,
        "areas": [
            {"area": index, "pulses": area.pulses, "stim_ac": area.stim_ac, "dropped": area.dropped}
            for index, area in enumerate(totals.areas)
        ],
        "contacts": {
            str(contact): {
                "pulses": one.pulses,
                "cathodic_ac": one.cathodic_ac,
                "anodic_ac": one.anodic_ac,
                "recovered_ac": one.recovered_ac,
            }
            for contact, one in totals.contacts.items()
        },
    }
    if settings.trace is not None:
        files = TraceFiles(settings.trace, settings.serial_number, settings.time_base)
        path = files.write(
            0,
            engine.take_rows(),
            image.grid,
            [{"at_ticks": 0, "name": "start"}, {"at_ticks": duration_ns // tick_ns, "name": "soft_stop"}],
            image_sha256=held.digest.hex(),
            end_ticks=engine.now_ticks,
            ppm=settings.ppm,
        )
        document["trace"] = str(path)
    core.close()
    return document
