"""Endpoint 0 of the simulated device: descriptors that need no driver, requests, and stops."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim_sim.usb import descriptors as d
from neurostim_sim.usb.transfers import EOVERFLOW, EPIPE
from support.usb_requests import SERIAL, UsbHost, bare_device, configured


def fresh() -> UsbHost:
    return UsbHost(bare_device())


def stop(message: m.Stop | m.EmergencyStop | m.Identify) -> bytes:
    return pack(message, session=7, sequence=0, command_id=1, lease_us=0)


STOP_REPLY = m.StopReply(m.DeviceState.STOPPED, m.StopCause.STOP, False, 0)


def walk(data: bytes) -> list[bytes]:
    found = []
    while data:
        assert 2 <= data[0] <= len(data)
        found.append(data[: data[0]])
        data = data[data[0] :]
    return found


def test_the_device_descriptor():
    assert fresh().control(0x80, 6, 0x0100, 0, 18).data == bytes.fromhex(
        "12 01 1002 ef 02 01 40 0912 0100 0001 01 02 03 01"
    )


def test_the_first_eight_bytes_can_be_asked_for_alone():
    assert fresh().control(0x80, 6, 0x0100, 0, 8).data.hex() == "12011002ef020140"


def test_the_configuration_is_consistent_in_itself():
    data = fresh().control(0x80, 6, 0x0200, 0, 4096).data
    head, *rest = walk(data)
    assert struct.unpack("<H", head[2:4])[0] == len(data)
    assert head[4] == 3
    interfaces = [one for one in rest if one[1] == 4]
    assert [one[2] for one in interfaces] == [0, 1, 2]
    assert [tuple(one[5:8]) for one in interfaces] == [(2, 2, 0), (10, 0, 0), (255, 0, 0)]
    association = rest[0]
    assert (association[1], association[2], association[3]) == (0x0B, 0, 2)
    union = next(one for one in rest if one[1:3] == b"\x24\x06")
    assert tuple(union[3:]) == (0, 1)
    endpoints = [one for one in rest if one[1] == 5]
    for interface in interfaces:
        position = rest.index(interface)
        following = rest[position + 1 :]
        own = 0
        for one in following:
            if one[1] == 4:
                break
            own += one[1] == 5
        assert own == interface[4]
    assert sorted(one[2] for one in endpoints) == sorted(one.address for one in d.ENDPOINTS)
    for one in endpoints:
        size = struct.unpack("<H", one[4:6])[0]
        assert size == 64 if one[3] == 2 else size <= 64
        assert (one[6] > 0) == (one[3] == 3)


def test_the_texts_are_utf_16_and_the_serial_number_is_the_device_s():
    host = fresh()
    assert host.control(0x80, 6, 0x0300, 0, 255).data == b"\x04\x03\x09\x04"
    texts = [host.control(0x80, 6, 0x0300 | index, 0x0409, 255).data for index in range(1, 6)]
    assert all(text[0] == len(text) and text[1] == 3 for text in texts)
    assert [text[2:].decode("utf-16-le") for text in texts[:3]] == [
        "neurostim",
        "neurostim stimulator",
        SERIAL,
    ]
    assert host.control(0x80, 6, 0x0306, 0x0409, 255).status == EPIPE


def test_a_full_speed_device_has_no_qualifier():
    assert fresh().control(0x80, 6, 0x0600, 0, 10).status == EPIPE


def test_windows_is_told_to_bind_winusb_to_the_vendor_interface_alone():
    host = fresh()
    store = host.control(0x80, 6, 0x0F00, 0, 255).data
    assert struct.unpack("<H", store[2:4])[0] == len(store)
    [capability] = walk(store[5:])
    assert store[4] == 1
    assert UUID(bytes_le=capability[4:20]) == UUID("d8dd60df-4589-4cc7-9cd2-659d9e648a9f")
    version, length, code, alternate = struct.unpack("<IHBB", capability[20:])
    assert (version, alternate) == (0x0603_0000, 0)
    described = host.control(0xC0, code, 0, 7, 4096).data
    assert len(described) == length
    assert described[:10] == struct.pack("<HHIH", 10, 0, version, length)
    assert described[10:18] == struct.pack("<HHBBH", 8, 1, 0, 0, length - 10)
    assert described[18:26] == struct.pack("<HHBBH", 8, 2, 2, 0, length - 18)
    assert described[26:46] == struct.pack("<HH8s8s", 20, 3, b"WINUSB\0\0", bytes(8))
    size, kind, data_type, name_length = struct.unpack("<HHHH", described[46:54])
    assert (size, kind, data_type) == (length - 46, 4, 7)
    assert described[54 : 54 + name_length].decode("utf-16-le") == "DeviceInterfaceGUIDs\0"
    value = described[56 + name_length :].decode("utf-16-le")
    assert value.endswith("\0\0")
    assert UUID(value.rstrip("\0")) == d.INTERFACE_GUID


@pytest.mark.parametrize("index", [0, 4, 5, 8])
def test_other_microsoft_requests_are_refused(index):
    assert fresh().control(0xC0, d.MS_VENDOR_CODE, 0, index, 64).status == EPIPE


def test_an_answer_larger_than_the_host_s_buffer_is_babble():
    assert fresh().control(0x80, 6, 0x0100, 0, 18, room=10).status == EOVERFLOW


def test_configuration_interface_and_status_are_read_back():
    host = fresh()
    assert host.control(0x80, 8, data=1).data == b"\0"
    assert host.control(0x81, 0, data=2).status == EPIPE
    assert host.control(0x00, 9, 2).status == EPIPE
    host.configure()
    assert host.control(0x80, 8, data=1).data == b"\1"
    assert host.control(0x80, 0, data=2).data == b"\1\0"
    assert host.control(0x81, 0, 0, 2, 2).data == b"\0\0"
    assert host.control(0x81, 10, 0, 2, 1).data == b"\0"
    assert host.control(0x01, 11, 0, 2).status == 0
    assert host.control(0x01, 11, 1, 2).status == EPIPE
    assert host.control(0x01, 11, 0, 3).status == EPIPE
    assert host.control(0x82, 0, 0, 0x83, 2).data == b"\0\0"
    assert host.control(0x82, 0, 0, 0x86, 2).status == EPIPE
    assert host.control(0x00, 5, 12).status == 0


def test_setting_an_interface_lets_its_endpoints_begin_anew():
    host = configured()
    host.device.feed(b"old")
    host.device.stall()
    host.control(0x01, 11, 0, 2)
    assert host.control(0x82, 0, 0, 0x83, 2).data == b"\0\0"
    assert host.control(0x82, 0, 0, 0x81, 2).data == b"\1\0"
    assert host.read(0x83) is None


def test_line_coding_is_kept_and_read_back():
    host = configured()
    assert host.control(0xA1, 0x21, 0, 0, 7).data == struct.pack("<IBBB", 115200, 0, 0, 8)
    coding = struct.pack("<IBBB", 9600, 2, 1, 7)
    assert host.control(0x21, 0x20, 0, 0, coding).status == 0
    assert host.control(0xA1, 0x21, 0, 0, 7).data == coding
    assert host.control(0x21, 0x20, 0, 0, coding[:6]).status == EPIPE
    assert host.control(0x21, 0x20, 0, 1, coding).status == EPIPE


@pytest.mark.parametrize("message", [m.Stop(), m.EmergencyStop()])
def test_a_stop_frame_is_taken_by_the_control_endpoint_past_halt_and_refusal(message):
    host = configured()
    host.device.stall()
    host.device.refuse(refusing=True)
    done = host.control(0x41, 0x53, 0, 2, stop(message))
    assert (done.status, done.actual) == (0, len(stop(message)))
    assert host.device.take_urgent() == [stop(message)]
    assert host.device.take_urgent() == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0",
        stop(m.Identify()),
        pack(STOP_REPLY, session=7, sequence=1, command_id=1, lease_us=0),
        stop(m.Stop())[:-1],
        stop(m.Stop())[1:],
        stop(m.Stop()) + stop(m.Stop()),
        b"\0" + bytes([1, 1, 1]) + b"\0",
        b"\0" + b"\xff" * 1030 + b"\0",
    ],
)
def test_anything_but_one_stop_frame_is_refused_there(data):
    host = configured()
    assert host.control(0x41, 0x53, 0, 2, data).status == EPIPE
    assert host.device.take_urgent() == []


def test_the_way_for_stops_belongs_to_the_configured_vendor_interface():
    assert fresh().control(0x41, 0x53, 0, 2, stop(m.Stop())).status == EPIPE
    assert configured().control(0x41, 0x53, 0, 1, stop(m.Stop())).status == EPIPE


@pytest.mark.parametrize("kind", [0x00, 0x01, 0x02, 0x21, 0x40, 0x41, 0x80, 0x81, 0xA1, 0xC0, 0xC1])
@pytest.mark.parametrize("request_number", [2, 7, 12, 0x23, 0xFF])
def test_unknown_requests_are_refused(kind, request_number):
    data = 8 if kind & 0x80 else b""
    assert configured().control(kind, request_number, 0, 0, data).status == EPIPE
