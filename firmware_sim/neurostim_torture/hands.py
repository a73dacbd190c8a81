"""The patient's hands on the device: buttons, off button, battery; and who comes on the line at home."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from neurostim_sim.home.controls import Button
from neurostim_torture.faults import Fault
from neurostim_torture.monitor import records as r

if TYPE_CHECKING:
    from neurostim_torture.world import World

_BUTTONS: Final[tuple[tuple[Button, r.IntentWhat], ...]] = (
    (Button.START, "patient_start"),
    (Button.UP, "patient_up"),
    (Button.DOWN, "patient_down"),
    (Button.SWITCH, "patient_switch"),
    (Button.STOP, "patient_stop"),
)
_PRESSES: Final = {f"press-{button.value}": (button, intent) for button, intent in _BUTTONS}


def strike(world: World, fault: Fault) -> bool:
    """Let a hand do something now; return whether it met a device that could notice."""
    what = fault.what
    if what == "visit":
        if not world.at_home:
            return False
        world.visits.append(fault.value)
        return True
    if world.device.dead:
        return False
    # What is due is done before the hand comes: a measurement that ends now ends first.
    world.run_device()
    device, now = world.device, world.now_ns
    touch: Callable[[], object]
    notices = device.supervision.hung_ns is None
    if what in _PRESSES or what == "hold":
        button, intent = _PRESSES[what] if what in _PRESSES else _BUTTONS[fault.value % len(_BUTTONS)]
        world.see(r.Intent(now, intent, device.memory.dose_count))
        touch = partial(device.hold if what == "hold" else device.press, button)
    elif what == "let-go":
        touch = device.let_go
    elif what == "off-button":
        world.see(r.Power(now, "off_button"))
        touch = device.off_button
        notices = True
    else:
        world.see(r.Power(now, "battery"))
        touch = device.change_battery
        notices = True
    world.run_device(touch=touch)
    return notices
