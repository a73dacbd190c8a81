"""``make test-kernel``: a stock Debian kernel in an emulated computer uses the simulated device over USB/IP.

The simulator runs here; the guest attaches it with the kernel's own client, enumerates it with the kernel's
own drivers, and runs the project's driver over libusb and the serial port. See docs/usb.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import image

PROJECT = Path(__file__).resolve().parents[2]
GUEST = Path(__file__).resolve().parent / "guest"
BUILD = PROJECT / "build" / "kernel"
QEMU = "qemu-system-x86_64"
NEEDED = {QEMU: "qemu-system-x86", "mmdebstrap": "mmdebstrap", "dpkg-deb": "dpkg"}
CHECKS = 32
SECONDS = 900


def main() -> int:
    get_tools()
    BUILD.mkdir(parents=True, exist_ok=True)
    fetch = Path(__file__).resolve().parent / "fetch.sh"
    subprocess.run([fetch, BUILD, sys.executable, PROJECT / "constraints.txt"], check=True)
    kernel, first_root = BUILD / "vmlinuz", BUILD / "root.cpio"
    image.extract_kernel(BUILD, kernel)
    with first_root.open("wb") as out:
        image.write_image(out, BUILD, PROJECT, GUEST)
    simulator = start_simulator()
    try:
        lines = boot(kernel, first_root, simulator)
    finally:
        simulator.terminate()
        simulator.wait(10)
    return report(lines)


def get_tools() -> None:
    """Install what is missing, where this user may."""
    missing = sorted(package for tool, package in NEEDED.items() if shutil.which(tool) is None)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(
            f"make test-kernel needs {', '.join(missing)} (on Debian: apt install {' '.join(missing)})"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]
    subprocess.run(install, check=True, env=environment)


def start_simulator() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "neurostim_sim.main", "--usbip", "127.0.0.1:0", "--json", "--control"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer_of(simulator: subprocess.Popen[str]) -> dict[str, Any]:
    assert simulator.stdout is not None
    return json.loads(simulator.stdout.readline())


def boot(kernel: Path, first_root: Path, simulator: subprocess.Popen[str]) -> list[str]:
    """Run the guest to its end; returns what it said."""
    port = answer_of(simulator)["url"].split(":")[2].partition("/")[0]
    command = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1536"]
    command += ["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]
    command += ["-nic", "user,model=e1000", "-kernel", str(kernel), "-initrd", str(first_root)]
    command += ["-append", f"console=ttyS0 quiet net.ifnames=0 panic=-1 usbip_port={port}"]
    guest = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace", bufsize=1
    )
    watchdog = threading.Timer(SECONDS, guest.kill)
    watchdog.start()
    lines: list[str] = []
    begun = time.monotonic()
    try:
        assert guest.stdout is not None
        for line in guest.stdout:
            text = line.rstrip()
            lines.append(text)
            print(f"{time.monotonic() - begun:6.1f} {text}", flush=True)
            if text.startswith("order "):
                carry_out(text.removeprefix("order "), simulator, guest)
    finally:
        watchdog.cancel()
        guest.kill()
        guest.wait()
    return lines


def carry_out(order: str, simulator: subprocess.Popen[str], guest: subprocess.Popen[str]) -> None:
    """Give the simulator an order of the guest, and tell the guest."""
    assert simulator.stdin is not None
    assert guest.stdin is not None
    simulator.stdin.write(order + "\n")
    simulator.stdin.flush()
    answer = answer_of(simulator)
    guest.stdin.write("done\n" if answer["ok"] else "refused\n")
    guest.stdin.flush()


def report(lines: list[str]) -> int:
    checks = [line for line in lines if line.startswith("check ")]
    failed = [line for line in checks if not line.endswith(": ok")]
    whole = "the guest is done" in lines
    for line in failed:
        print(line)
    if failed or len(checks) != CHECKS or not whole:
        print(f"{len(checks) - len(failed)} of {CHECKS} checks passed; the guest ended by itself: {whole}")
        return 1
    print(f"all {len(checks)} checks passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
