"""Nothing is compiled while a host waits: on a fresh computer that takes longer than a session lasts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import importlib, pkgutil
from numba.core.dispatcher import Dispatcher
import neurostim_sim.engine
from neurostim_sim.warm import warm_up
from support.sim_bench import MS, SimHost, device, tonic
from neurostim.wire import messages as m

def compiled():
    found = {}
    for info in pkgutil.iter_modules(neurostim_sim.engine.__path__):
        module = importlib.import_module(f"neurostim_sim.engine.{info.name}")
        for name, one in vars(module).items():
            if isinstance(one, Dispatcher) and one.__module__ == module.__name__:
                found[f"{info.name}.{name}"] = tuple(map(str, one.signatures))
    return found

warm_up()
before = compiled()
host = SimHost(device("scs"))
host.start(tonic())
host.live_until(700 * MS)
host.ask(m.Stop())
host.live_until(900 * MS)
late = sorted(name for name, one in compiled().items() if one != before[name])
assert before and not late, late
"""


def test_a_start_a_delivery_and_a_stop_find_every_kernel_ready():
    tests = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{SCRIPT}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
