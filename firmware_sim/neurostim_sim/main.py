"""``neurostim-sim``: a simulated stimulator on a pty, a TCP port, or as a USB device over USB/IP."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from neurostim_sim.servers.bench import Bench
    from neurostim_sim.settings import Settings

COMMANDS: Final = "neurostim_sim.commands"


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
    where.add_argument("--usbip", metavar="HOST:PORT", help="serve a USB device over USB/IP (127.0.0.1:3240)")
    made.add_argument("--profile", default="scs", help="scs, drg, pns, tens or bench (default: scs)")
    made.add_argument("--seed", type=int, default=0, help="decides what faults do, and the resistances")
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
    made.add_argument(
        "--store", metavar="FILE", type=Path, help="file in which counters, slots and keys survive"
    )
    made.add_argument("--serial", default="SIM-0001", metavar="TEXT", help="serial number")
    made.add_argument("--label-code", metavar="CODE", help="code on the label, for pairing; else a new one")
    made.add_argument(
        "--factory-reset", action="store_true", help="erase keys, slots, assignment and use at home first"
    )
    made.add_argument(
        "--deliver", metavar="SLOT", type=int, help="no link: deliver a slot of --store and tell the dose"
    )
    made.add_argument("--for", dest="duration", metavar="TIME", help='with --deliver: how long, "24 h"')
    made.add_argument(
        "--speed", type=float, metavar="N", help="with --deliver: times real time, 0 as fast as it can"
    )
    made.add_argument("--control", action="store_true", help="take orders from standard input, one a line")
    made.add_argument("--json", action="store_true", help="speak JSON lines")
    made.add_argument("--list-faults", action="store_true", help="list the faults and end")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until ended, or run the command named first; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and (command := _command(given[0])) is not None:
        return command(given[1:])
    options = parser().parse_args(given)
    from neurostim.core.errors import NeurostimError

    try:
        if options.list_faults:
            _list_faults()
            return 0
        return _serve(options)
    except NeurostimError as error:
        print(f"neurostim-sim: {error}", file=sys.stderr)
        return 2


def _command(name: str) -> Callable[[Sequence[str]], int] | None:
    """A command that another package adds by an entry point of the group `COMMANDS`."""
    if name.startswith("-"):
        return None
    from importlib.metadata import entry_points

    found = entry_points(group=COMMANDS, name=name)
    for one in found:
        command: Callable[[Sequence[str]], int] = one.load()
        return command
    return None


def _list_faults() -> None:
    from neurostim_sim.faults import DEVICE_FAULTS
    from neurostim_sim.servers.line import LINE_FAULTS
    from neurostim_sim.usb.faults import USB_FAULTS

    for name, meaning in {**DEVICE_FAULTS, **LINE_FAULTS, **USB_FAULTS}.items():
        print(f"{name:14} {meaning}")


def _serve(options: argparse.Namespace) -> int:
    from neurostim.core.errors import ConfigError
    from neurostim_sim.servers import bench as benches
    from neurostim_sim.servers.clock import SystemClock
    from neurostim_sim.servers.entropy import system_entropy
    from neurostim_sim.servers.label import label
    from neurostim_sim.servers.ports import PtyPort, TcpPort
    from neurostim_sim.settings import Settings, parse_impedances
    from neurostim_sim.warm import warm_up

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
        label_code=options.label_code,
        factory_reset=options.factory_reset,
        entropy=system_entropy,
    )
    if options.deliver is not None:
        return _deliver_alone(options, settings)
    if options.speed is not None or options.duration is not None:
        raise ConfigError(
            "--speed and --for go with --deliver only",
            remedy="On a link the host feeds a dead-man of 300 ms in real time; "
            "a faster device would see its host die.",
            code="speed",
        )
    if options.usbip:
        make = _usbip(settings, *_address("--usbip", options.usbip))
    else:
        line = (
            PtyPort(options.pty) if options.pty else TcpPort(*_address("--tcp", options.tcp or "127.0.0.1:0"))
        )
        make = partial(benches.Bench, settings.switch_on(), line)
    warm_up()

    def tell(document: Any) -> None:
        if options.json:
            benches.json_line(document)
        else:
            print(benches.in_words(document), flush=True)

    bench = make(SystemClock(), tell)
    with benches.ending_on_signals(bench):
        bench.plug()
        if options.json:
            benches.json_line(
                {
                    "url": bench.url,
                    "profile": options.profile,
                    "serial_number": options.serial,
                    "label_code": bench.label_code,
                }
            )
        else:
            print(bench.url, flush=True)
            print(label(options.serial, bench.label_code, sys.stdout.encoding), flush=True)
        if options.control:
            benches.take_orders(bench, sys.stdin)
        bench.run()
    return 0


def _usbip(settings: Settings, host: str, port: int) -> Callable[..., Bench]:
    """The bench of a device on USB/IP, but for its clock and where answers to orders go."""
    from neurostim_sim.servers.usbip import UsbIpBench, UsbIpPort
    from neurostim_sim.usb.attached import switch_on

    return partial(UsbIpBench, switch_on(settings), UsbIpPort(host, port))


def _deliver_alone(options: argparse.Namespace, settings: Settings) -> int:
    import json

    from neurostim.core.errors import ConfigError
    from neurostim.core.units import TIME, parse_whole
    from neurostim_sim.servers.alone import deliver
    from neurostim_sim.servers.clock import SystemClock

    given = (options.pty, options.tcp, options.usbip, *options.fault)
    speed = 1.0 if options.speed is None else options.speed
    if any(given) or options.store is None or options.duration is None or not 0 <= speed <= 1e9:
        raise ConfigError(
            "--deliver stands alone",
            allowed="--deliver SLOT --store FILE --for TIME, with --speed N from 0 and --trace, "
            "without link or fault",
            code="alone",
        )
    document = deliver(settings, options.deliver, parse_whole(options.duration, TIME), speed, SystemClock())
    print(json.dumps(document, indent=2))
    return 0


def _address(option: str, text: str) -> tuple[str, int]:
    from neurostim.core.errors import ConfigError

    host, _, port = text.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "::1") or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"found {option} {text}", allowed="127.0.0.1:PORT; the link has no authentication", code="tcp"
        )
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
