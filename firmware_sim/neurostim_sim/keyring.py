"""What the device keeps of pairing: the code of its label, the keys of its hosts, the wrong tries.

A device that never was paired takes sessions without keys. Once it was, it is closed for good: only a
factory reset at the device opens it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.wire import messages as m
from neurostim.wire.messages import EventCode
from neurostim.wire.pairing import format_code, pairing_psk
from neurostim_sim.clock import DeviceClock
from neurostim_sim.records import Memory
from neurostim_sim.store import Replaced

SECOND_NS: Final = 1_000_000_000
KEY_BYTES: Final = 32
CODE_BYTES: Final = 16
LOCKOUT_SAVE_NS: Final = 5 * SECOND_NS
"""While pairing is locked the time left is made durable this often; a reset forgets what is newer."""

_ROOM: Final = "keys"


@dataclass(frozen=True, slots=True)
class PairedKey:
    """A host and the key that it was given."""

    host_id: bytes
    name: str
    key: bytes


class Keyring:
    """The keys of one boot, and what of them lasts.

    Parameters
    ----------
    memory : Memory
    clock : DeviceClock
    label : bytes, optional
        The 16 bytes of the code on the device's label, where they are given from outside.
    fresh : callable
        Makes such a code for a device that has none yet.

    Raises
    ------
    ConfigError
        Where the memory holds another code: a label does not change.
    """

    def __init__(
        self, memory: Memory, clock: DeviceClock, label: bytes | None, fresh: Callable[[], bytes]
    ) -> None:
        self._memory = memory
        self._clock = clock
        kept: dict[str, Any] = memory.extra.get(_ROOM, {})
        code = bytes.fromhex(kept["code"]) if kept else label or fresh()
        if label is not None and label != code:
            raise ConfigError(
                "the store belongs to a device with another label",
                remedy="Leave the code of the label out, or name another store.",
                code="label-code",
            )
        self._code = code
        self.psk = pairing_psk(code)
        # A memory that lost its keys, or may have, must not take everyone for a friend.
        self.closed: bool = kept.get("closed", False) or memory.damaged or memory.lost
        self.failures: int = kept.get("failures", 0)
        self._hosts = [PairedKey(bytes.fromhex(h), n, bytes.fromhex(k)) for h, n, k in kept.get("hosts", [])]
        self._locked_until_ns: int = kept.get("locked_s", 0) * SECOND_NS
        self._saved_ns = 0
        self._keep()

    @property
    def label_code(self) -> str:
        """The code as it stands on the label."""
        return format_code(self._code)

    @property
    def hosts(self) -> tuple[PairedKey, ...]:
        """Hosts that hold a key, in the order of pairing."""
        return tuple(self._hosts)

    def key_of(self, host_id: bytes) -> bytes | None:
        """Key of a host; None for one that is not paired."""
        return next((one.key for one in self._hosts if one.host_id == host_id), None)

    # ------------------------------------------------------------------------------------- pairing

    def give(self, host_id: bytes, name: str, key: bytes) -> None:
        """Pair a host, or give it another key; durable when this returns.

        Raises
        ------
        PairingsFull
            Where there is no room for one more.
        """
        place = next((i for i, one in enumerate(self._hosts) if one.host_id == host_id), len(self._hosts))
        if place >= m.PAIRED_HOSTS_MAX:
            raise PairingsFull
        self._hosts[place : place + 1] = [PairedKey(host_id, name, key)]
        self.closed, self.failures = True, 0
        self._memory.note(self._clock.now_us, EventCode.PAIRED, value=len(self._hosts))
        self._save()

    def erase(self, host_id: bytes) -> bool:
        """Forget a host's key; whether there was one. The device stays closed, also without hosts."""
        kept = [one for one in self._hosts if one.host_id != host_id]
        if len(kept) == len(self._hosts):
            return False
        self._hosts = kept
        self._memory.note(self._clock.now_us, EventCode.UNPAIRED, value=len(kept))
        self._memory.purging = True
        self._save()
        self._memory.purge()
        return True

    # ----------------------------------------------------------------------------------- lockout

    @property
    def tries_left(self) -> int:
        """Wrong codes until pairing is locked."""
        return 0 if self.locked_s else m.PAIRING_TRIES - self.failures % m.PAIRING_TRIES

    @property
    def locked_s(self) -> int:
        """Powered time for which pairing stays locked [s], rounded up."""
        return max(0, -(-(self._locked_until_ns - self._clock.now_ns) // SECOND_NS))

    def begin_try(self) -> None:
        """Count a code as wrong before it is looked at; durable when this returns, whatever comes then."""
        self.failures += 1
        if self.failures % m.PAIRING_TRIES == 0:
            self._locked_until_ns = self._clock.now_ns + m.PAIRING_LOCKOUT_S * SECOND_NS
        self._save()

    def right_code(self) -> None:
        """Give the try that was begun back."""
        self.failures -= 1
        self._locked_until_ns = 0
        self._save()

    def wrong_code(self) -> None:
        """Log that the code of the try that was begun was wrong."""
        self._memory.note(self._clock.now_us, EventCode.PAIRING_FAILED, value=self.failures)
        self._save()

    def due(self) -> list[int]:
        """When the time left has to be made durable, by the device's clock [ns]."""
        if self._locked_until_ns <= self._saved_ns:
            return []
        return [min(self._saved_ns + LOCKOUT_SAVE_NS, self._locked_until_ns)]

    def serve(self) -> None:
        """Make the time left durable where that is due."""
        due = self.due()
        if due and self._clock.now_ns >= due[0]:
            self._save()

    def forget(self) -> None:
        """Factory reset: no host, no failure, open again. The label stays, it is glued on."""
        self.closed, self.failures, self._locked_until_ns = False, 0, 0
        self._hosts = []
        self._keep()

    def _save(self) -> None:
        self._saved_ns = self._clock.now_ns
        self._keep()
        self._memory.save()

    def _keep(self) -> None:
        self._memory.extra[_ROOM] = Replaced(
            code=self._code.hex(),
            closed=self.closed,
            failures=self.failures,
            hosts=[[one.host_id.hex(), one.name, one.key.hex()] for one in self._hosts],
            locked_s=self.locked_s,
        )


class PairingsFull(Exception):
    """The device holds keys of as many hosts as it can."""
