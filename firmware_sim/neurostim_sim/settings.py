"""How a simulated device is described: an address ``sim://PROFILE?...``, or options of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from neurostim.core.errors import ConfigError
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import lead
from neurostim_sim.core import DeviceCore
from neurostim_sim.entropy import Entropy
from neurostim_sim.faults import parse_fault
from neurostim_sim.profiles import profile
from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.line import Dice
from neurostim_sim.store import FileMedium, MemoryMedium
from neurostim_sim.trace import TraceFiles

OPTIONS: Final = {
    "seed": "whole number that decides what faults do, and where the contacts lie in the tissue",
    "lead": "lead of the library that is plugged in; may be given more than once",
    "impedance": "CONTACT=OHM, comma-separated: resistances of single contacts",
    "ppm": "error of the device's clock, in parts in a million",
    "fault": "NAME[:CONTACT][@TIME]; may be given more than once",
    "trace": "folder, or FILE.csv or FILE.npz, for the record of each dose",
    "time_base": "device, or free for the times of an outside observer",
    "store": "file in which counters, slots and keys survive",
    "serial": "serial number",
    "label_code": "code on the label, for pairing; the one in the store, or a new one, where it is left out",
    "factory_reset": "yes erases keys, slots, assignment and use at home before the start",
}
MOST_PPM: Final = 10_000
SPREAD_PERMILLE: Final = 150


@dataclass(frozen=True)
class Settings:
    """One simulated device; see `OPTIONS`. Without ``entropy`` all its chance comes from the seed."""

    profile: str
    seed: int = 0
    leads: tuple[str, ...] = ()
    impedances: Mapping[int, int] = field(default_factory=dict)
    ppm: int = 0
    faults: tuple[str, ...] = ()
    trace: Path | None = None
    time_base: str = "device"
    store: Path | None = None
    serial_number: str = "SIM-0001"
    label_code: str | None = None
    factory_reset: bool = False
    entropy: Entropy | None = None

    def core(self) -> DeviceCore:
        """Switch the device on.

        Raises
        ------
        ConfigError
            For an unknown profile, lead or fault, or a file that cannot be used.
        """
        if abs(self.ppm) > MOST_PPM:
            raise ConfigError(f"found {self.ppm} ppm", allowed=f"-{MOST_PPM} to {MOST_PPM}", code="ppm")
        leads = [lead(name) for name in self.leads]
        traces = TraceFiles(self.trace, self.serial_number, self.time_base) if self.trace else None
        core = DeviceCore(
            profile(self.profile, self.serial_number),
            seed=self.seed,
            medium=FileMedium(self.store) if self.store else MemoryMedium(),
            leads=leads,
            series_ohm={**spread(leads or default_leads(self.profile), self.seed), **self.impedances},
            ppm=self.ppm,
            traces=traces,
            entropy=self.entropy,
            label_code=self.label_code,
        )
        if self.factory_reset:
            core.factory_reset()
        return core

    def switch_on(self) -> AttachedDevice:
        """The device behind a cable, with its faults scheduled."""
        device = AttachedDevice(self.core(), self.seed)
        for text in self.faults:
            name, at_ns = parse_fault(text)
            device.inject(name, at_ns)
        return device


def spread(leads: Sequence[Lead], seed: int) -> dict[int, int]:
    """Resistances of contacts as no two in tissue are alike [ohm]: within 15 % of the library's, by the seed.

    Illustrative (grade C); the same seed gives the same patient. Seed 0 keeps the values of the library.
    """
    if seed == 0:
        return {}
    dice = Dice(seed)
    every = [one.circuit.series_ohm for one in leads for _ in one.contacts]
    return {
        number: ohm * (1000 + dice.below(2 * SPREAD_PERMILLE + 1) - SPREAD_PERMILLE) // 1000
        for number, ohm in enumerate(every, 1)
    }


def default_leads(name: str) -> list[Lead]:
    """What is plugged into a device of this profile where nothing is named."""
    return [lead(profile(name).lead)]


def parse_impedances(text: str) -> dict[int, int]:
    """Read ``CONTACT=OHM,...``.

    Raises
    ------
    ConfigError
        Where it is not that.
    """
    found: dict[int, int] = {}
    for part in text.split(","):
        contact, _, ohm = part.partition("=")
        found[_whole(contact, "impedance")] = _whole(ohm, "impedance")
    return found


def from_url(url: str) -> Settings:
    """Read an address ``sim://PROFILE?seed=1&lead=octrode&fault=open:3@2 s``.

    Raises
    ------
    ConfigError
        For an unknown option or a value that cannot be read.
    """
    parts = urlsplit(url)
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ConfigError(
                f"found the option {name!r} in {url}", allowed=", ".join(OPTIONS), code="address"
            )
        values.setdefault(name, []).append(value)

    def one(name: str, default: str) -> str:
        return values.get(name, [default])[-1]

    return Settings(
        profile=parts.netloc,
        seed=_whole(one("seed", "0"), "seed"),
        leads=tuple(values.get("lead", [])),
        impedances=parse_impedances(one("impedance", "")) if "impedance" in values else {},
        ppm=_whole(one("ppm", "0"), "ppm"),
        faults=tuple(values.get("fault", [])),
        trace=Path(one("trace", "")) if "trace" in values else None,
        time_base=one("time_base", "device"),
        store=Path(one("store", "")) if "store" in values else None,
        serial_number=one("serial", "SIM-0001"),
        label_code=values["label_code"][-1] if "label_code" in values else None,
        factory_reset=_yes(one("factory_reset", "no"), "factory_reset"),
    )


def _yes(text: str, name: str) -> bool:
    if text not in ("yes", "no"):
        raise ConfigError(f"found {text!r} for {name}", allowed="yes or no", code="address")
    return text == "yes"


def _whole(text: str, name: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ConfigError(f"found {text!r} for {name}", allowed="a whole number", code="address")
    return int(text)
