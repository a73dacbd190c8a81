"""``neurostim-sim --usbip`` serves one device on this computer, tells its address, and ends in good order."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from neurostim_sim.main import main
from support.usbip_raw import Raw


def test_the_first_line_is_the_address_and_termination_is_a_pulled_cable():
    command = [sys.executable, "-m", "neurostim_sim.main", "--usbip", "127.0.0.1:0", "--serial", "A-17"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdout is not None
        match = re.fullmatch(r"usbip://127\.0\.0\.1:(\d+)/1-1\n", simulator.stdout.readline())
        assert match is not None
        with Raw(int(match[1])) as host:
            host.start()
            text = host.control(0x80, 6, 0x0303, 0x0409, 255)[2]
            assert text[2:].decode("utf-16-le") == "A-17"
            simulator.send_signal(signal.SIGTERM)
            assert host.is_closed()
        assert simulator.wait(30) == 0


def test_orders_and_their_answers_are_json_lines():
    command = [sys.executable, "-m", "neurostim_sim.main", "--usbip", "127.0.0.1:0", "--json", "--control"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdout is not None
        assert simulator.stdin is not None
        assert json.loads(simulator.stdout.readline())["url"].startswith("usbip://127.0.0.1:")
        for order, done in (("fault usb-babble", True), ("fault usb-smoke", False), ("unplug", True)):
            simulator.stdin.write(order + "\n")
            simulator.stdin.flush()
            answer = json.loads(simulator.stdout.readline())
            assert (answer["order"], answer["ok"]) == (order, done)
        simulator.stdin.close()
        assert simulator.wait(30) == 0


@pytest.mark.parametrize("address", ["0.0.0.0:3240", "192.168.0.1:0", "127.0.0.1", "127.0.0.1:70000"])
def test_only_this_computer_is_served(address, capsys):
    assert main(["--usbip", address]) == 2
    assert "--usbip" in capsys.readouterr().err


def test_one_link_at_a_time():
    with pytest.raises(SystemExit):
        main(["--usbip", "127.0.0.1:0", "--tcp", "127.0.0.1:0"])


def test_faults_of_the_bus_are_listed(capsys):
    assert main(["--list-faults"]) == 0
    listed = capsys.readouterr().out
    for name in ("usb-unplug", "usb-stall", "usb-babble", "usb-refuse"):
        assert f"\n{name} " in listed


def test_a_fault_of_the_bus_is_refused_on_another_line(capsys):
    assert main(["--tcp", "127.0.0.1:0", "--fault", "usb-stall"]) == 2
    assert "usb-stall" in capsys.readouterr().err
