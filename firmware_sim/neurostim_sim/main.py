"""``neurostim-sim``: a simulated stimulator on a pty or a TCP port of this computer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="neurostim-sim",
        description="A simulated stimulator. The first line of output is the address to connect to. "
        "For research and tests; no current ever flows.",
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument("--pty", metavar="LINK", type=Path, help="serve a pty behind this link")
    where.add_argument("--tcp", metavar="HOST:PORT", help="serve TCP, such as 127.0.0.1:0 for a free port")
    made.add_argument("--profile", default="scs", help="scs, drg, pns, tens or bench (default: scs)")
    made.add_argument("--seed", type=int, default=0, help="decides tokens and what faults do")
    made.add_argument("--lead", action="append", default=[], metavar="NAME", help="lead that is plugged in")
    made.add_argument("--impedance", metavar="CONTACT=OHM,...", help="resistances of single contacts")
    made.add_argument("--ppm", type=int, default=0, help="error of the device's clock")
    made.add_argument(
        "--fault", action="append", default=[], metavar="NAME[@TIME]", help="fault at once or at a time"
    )
    made.add_argument("--trace", metavar="PATH", type=Path, help="folder, FILE.csv or FILE.npz for records")
    made.add_argument(
        "--time-base", choices=("device", "free"), default="device", help="times of the records"
    )
    made.add_argument("--store", metavar="FILE", type=Path, help="file in which counters and slots survive")
    made.add_argument("--serial", default="SIM-0001", metavar="TEXT", help="serial number")
    made.add_argument("--speed", type=float, default=1.0, help="only 1: a live heartbeat keeps real time")
    made.add_argument("--control", action="store_true", help="take orders from standard input, one a line")
    made.add_argument("--json", action="store_true", help="speak JSON lines")
    made.add_argument("--list-faults", action="store_true", help="list the faults and end")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until ended; returns the exit status."""
    options = parser().parse_args(arguments)
    from neurostim.core.errors import NeurostimError

    try:
        if options.list_faults:
            _list_faults()
            return 0
        return _serve(options)
    except NeurostimError as error:
        print(f"neurostim-sim: {error}", file=sys.stderr)
        return 2


def _list_faults() -> None:
    from neurostim_sim.faults import DEVICE_FAULTS
    from neurostim_sim.servers.line import LINE_FAULTS

    for name, meaning in {**DEVICE_FAULTS, **LINE_FAULTS}.items():
        print(f"{name:14} {meaning}")


def _serve(options: argparse.Namespace) -> int:
    from neurostim.core.errors import ConfigError
    from neurostim_sim.servers import bench as benches
    from neurostim_sim.servers.clock import SystemClock
    from neurostim_sim.servers.ports import PtyPort, TcpPort
    from neurostim_sim.settings import Settings, parse_impedances
    from neurostim_sim.warm import warm_up

    if options.speed != 1.0:
        raise ConfigError(
            f"found --speed {options.speed:g}",
            allowed="1",
            remedy="A host feeds a dead-man of 300 ms in real time; a faster device would see it die. "
            "Use sim:// with a clock of your own for tests in virtual time.",
            code="speed",
        )
    settings = Settings(
        profile=options.profile,
        seed=options.seed,
        leads=tuple(options.lead),
        impedances=parse_impedances(options.impedance) if options.impedance else {},
        ppm=options.ppm,
        faults=tuple(options.fault),
        trace=options.trace,
        time_base=options.time_base,
        store=options.store,
        serial_number=options.serial,
    )
    port = PtyPort(options.pty) if options.pty else TcpPort(*_address(options.tcp or "127.0.0.1:0"))
    device = settings.switch_on()
    warm_up()

    def tell(document: Any) -> None:
        if options.json:
            benches.json_line(document)
        else:
            answer = "done" if document["ok"] else document["error"]
            print(f"{document['order']}: {answer}", flush=True)

    bench = benches.Bench(device, port, SystemClock(), tell)
    with benches.ending_on_signals(bench):
        bench.plug()
        if options.json:
            benches.json_line({"url": port.url, "profile": options.profile, "serial_number": options.serial})
        else:
            print(port.url, flush=True)
        if options.control:
            benches.take_orders(bench, sys.stdin)
        bench.run()
    return 0


def _address(text: str) -> tuple[str, int]:
    from neurostim.core.errors import ConfigError

    host, _, port = text.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "::1") or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"found --tcp {text}", allowed="127.0.0.1:PORT; the link has no authentication", code="tcp"
        )
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
