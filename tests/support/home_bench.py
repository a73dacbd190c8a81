"""A device that is released for use at home, by a host with a key, and what its electrode and log tell."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurostim.core.image import ProgramImage
from neurostim.wire import messages as m
from neurostim.wire.image import encode_image
from neurostim.wire.messages import UsageKind, UsageRecord
from neurostim.wire.release import Release, ReleaseSlot
from neurostim_sim.core import DeviceCore
from support.secure_bench import SecureBench
from support.sim_bench import APPROVAL, MS, STEP_NA, device, tonic

S = 1000 * MS
HOUR = 3600 * S
DAY = 24 * HOUR
SUBJECT = "P-017"
WEEK_S = 7 * 86_400
WALL_S = 1_800_000_000
LOWEST_NA, HIGHEST_NA = 1_000_000, 2_000_000


def home_tonic(**changes: Any) -> ProgramImage:
    """A tonic program whose ramp a patient may start alone."""
    return tonic("scs", **{"ramp_up_ns": 2000 * MS, "ramp_down_ns": 1000 * MS, **changes})


class HomeBench(SecureBench):
    """A bench that assigns, loads, releases, reads and takes back."""

    def __init__(self, core: DeviceCore | None = None, pieces_ns: int = 0) -> None:
        super().__init__(core if core is not None else device("scs"), pieces_ns=pieces_ns)

    def assign(self) -> None:
        """Take control with a key, and bind the device to the subject."""
        self.hello()
        assert isinstance(self.ask(m.Assign(SUBJECT)), m.AssignReply)
        self.name_subject()

    def name_subject(self, subject: str = SUBJECT) -> None:
        """Say for whom this session works."""
        assert isinstance(self.ask(m.Subject(subject)), m.SubjectReply)

    def load_slot(self, slot: int, image: ProgramImage, ranges: Sequence[m.RangeOfArea] = ()) -> bytes:
        """Bring a program into a slot; returns its digest."""
        data = encode_image(image)
        digest = hashlib.sha256(data).digest()
        assert isinstance(self.ask(m.LoadBegin(slot, len(data), digest)), m.LoadBeginReply)
        for offset in range(0, len(data), 128):
            self.ask(m.LoadChunk(slot, offset, data[offset : offset + 128]))
        own = tuple(ranges) or tuple(
            m.RangeOfArea(i, 0, area.amplitude_na, STEP_NA) for i, area in enumerate(image.areas)
        )
        reply = self.ask(m.LoadCommit(slot, APPROVAL, own))
        assert isinstance(reply, m.LoadCommitReply), reply
        return digest

    def describe(self, release: Release) -> m.Error | None:
        """Describe a release up to its commit; the first refusal."""
        steps: list[Any] = [m.ReleaseBegin(release.subject, release.expires_s, release.corridor, WALL_S)]
        for one in release.slots:
            steps.append(m.ReleaseSlot(one.slot, one.name, one.image_sha256, one.approval_sha256))
            steps.append(m.ReleaseRanges(one.slot, one.ranges))
        for step in steps:
            reply = self.ask(step)
            if isinstance(reply, m.Error):
                return reply
        return None

    def send_home(
        self, images: Sequence[ProgramImage] = (), *, expires_s: int = WEEK_S, **more: Any
    ) -> Release:
        """From a fresh device to one that is released; the clinic's sessions are closed."""
        self.assign()
        slots = []
        for slot, image in enumerate(images or [home_tonic()]):
            digest = self.load_slot(slot, image, more.get("approved", ()))
            ranges = more.get("ranges") or tuple(
                m.RangeOfArea(i, LOWEST_NA, HIGHEST_NA, STEP_NA) for i in range(len(image.areas))
            )
            slots.append(ReleaseSlot(slot, f"program {slot + 1}", digest, APPROVAL, ranges))
        release = Release(SUBJECT, expires_s, more.get("corridor", False), tuple(slots))
        assert self.describe(release) is None
        reply = self.ask(m.ReleaseCommit(release.digest()))
        assert reply == m.ReleaseCommitReply(1, release.digest()), reply
        self.ask(m.Goodbye())
        return release

    def usage(self) -> list[UsageRecord]:
        """The whole usage log, over the wire."""
        found: list[UsageRecord] = []
        while True:
            reply = self.ask(m.Usage(len(found) + 1, 16))
            assert isinstance(reply, m.UsageReply), reply
            found += reply.records
            if len(found) + 1 >= reply.next_index:
                return found

    def take_back(self, digest: bytes | None = None) -> Any:
        """Take the device back with the digest of its usage log, or another."""
        told = self.ask(m.UsageDigest()).usage_sha256
        return self.ask(m.TakeBack(SUBJECT, digest if digest is not None else told))


def of_kind(records: Sequence[UsageRecord], *kinds: UsageKind) -> list[UsageRecord]:
    """Records of some kinds."""
    return [one for one in records if one.kind in kinds]


def dose_of(records: Sequence[UsageRecord], *, slots: Sequence[int] | None = None) -> dict[int, list[int]]:
    """Pulses, cathodic, anodic and recovered charge [aC] by contact, as the log tells them."""
    places = {UsageKind.HOUR_CONTACT: 1, UsageKind.HOUR_ANODIC: 2, UsageKind.HOUR_RECOVERED: 3}
    found: dict[int, list[int]] = {}
    for one in records:
        if one.kind in places and (slots is None or one.slot in slots):
            values = found.setdefault(one.place, [0, 0, 0, 0])
            values[places[one.kind]] += one.value * 10**9 + one.rest_ac
            if one.kind is UsageKind.HOUR_CONTACT:
                values[0] += one.count
    return found


def electrode_of(folder: Path) -> dict[int, list[int]]:
    """Cathodic, anodic and recovered charge [aC] by contact, integrated over every trace of a folder."""
    found: dict[int, list[int]] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as rows:
            kinds, currents = rows["kind"], rows["amplitude_na"]
            charges = currents * rows["duration_ns"]
            for contact in np.unique(rows["contact"]):
                values = found.setdefault(255 if contact == "return" else int(contact), [0, 0, 0])
                here = rows["contact"] == contact
                stim = charges[here & (kinds == "stim")]
                values[0] += -int(stim[stim < 0].sum())
                values[1] += int(stim[stim > 0].sum())
                values[2] += int(charges[here & (kinds == "recharge")].sum())
                values[2] += int(rows["charge_ac"][here & (kinds == "passive")].sum())
    return found
