"""A host program of its own, for tests that kill or suspend one: delivers, and prints each thing it does."""

from __future__ import annotations

import sys
from pathlib import Path

from neurostim.core.program_file import parse_program
from neurostim.device.native import NativeStimulator
from neurostim.electrode.library import lead
from neurostim.session import Session

PROGRAM = """
format = "neurostim-program/1"
name = "a host that is killed"
therapy = "scs"
lead = "octrode"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "active-symmetric" }
train = { rate = "40 Hz" }
ramp = { up = "1 s", down = "1 s" }
"""


def say(word: str) -> None:
    print(word, flush=True)


def main() -> None:
    url, folder, until = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    stimulator = NativeStimulator(url)
    stimulator.open()
    session = Session(stimulator, parse_program(PROGRAM), [lead("octrode")], folder)
    session.open()
    for name in ("measure", "check", "approve", "load", "start"):
        if name == until:
            say("ready")
            sys.stdin.readline()
        getattr(session, name)()
        say(name)
    say("ready")
    while True:
        session.watch()


if __name__ == "__main__":
    main()
