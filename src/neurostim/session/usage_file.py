"""The usage log of a device as a file: one header, one line a record, the digests of both at the end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neurostim.core.errors import ConfigError, ProtocolError
from neurostim.device.records import Identity
from neurostim.device.usage import UsageLog, require_unbroken, usage_digest
from neurostim.session.adapters import Opener, open_durable
from neurostim.session.errors import JournalError
from neurostim.wire.messages import UsageKind, UsageRecord

FORMAT: Final = "neurostim-usage/1"
COLUMNS: Final = (
    "index", "boot_count", "clock_us", "wall_s", "kind", "slot", "place", "count", "value", "rest_ac",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SavedUsage:
    """A log from a file, and whose it is: the device, and the subject it was assigned to, None for nobody."""

    model: str
    serial_number: str
    subject: str | None
    log: UsageLog


def require_new(path: Path) -> None:
    """Refuse a file that cannot be a new one, before anything is asked of a device.

    Raises
    ------
    JournalError
        Code ``usage-file``.
    """
    problem = (
        "it exists already" if path.exists() else "" if path.parent.is_dir() else "there is no such folder"
    )
    if problem:
        raise JournalError(
            f"the usage log cannot be written to {path}: {problem}",
            allowed="a new file in a folder that exists",
            remedy="Name another; the device was not touched.",
            code="usage-file",
        )


def write_usage(
    path: Path, identity: Identity, subject: str | None, log: UsageLog, *, opener: Opener = open_durable
) -> None:
    """Write a log durably to a new file; only then may the device be told that it was read.

    Raises
    ------
    JournalError
        Code ``usage-file`` where the file exists already or cannot be written.
    """
    header = {
        "format": FORMAT,
        "model": identity.model,
        "serial_number": identity.serial_number,
        "subject": subject,
        "oldest_index": log.oldest_index,
        "columns": COLUMNS,
    }
    lines: list[Any] = [header]
    lines += [[_plain(getattr(record, name)) for name in COLUMNS] for record in log.records]
    lines.append(
        {"records": len(log.records), "sha256": log.sha256.hex(), "header_sha256": _digest_of(header)}
    )
    text = "".join(_line(one) + "\n" for one in lines)
    data = memoryview(text.encode())
    try:
        file = opener(path, new=True)
        try:
            while data:
                data = data[file.write(data.tobytes()) :]
            file.sync()
        finally:
            file.close()
    except OSError as error:
        raise JournalError(
            f"the usage log cannot be written to {path}: {error.strerror or error}",
            remedy="Name a new file on a disk with room; nothing was taken back or erased.",
            code="usage-file",
        ) from error


def read_usage(path: Path) -> UsageLog:
    """The log of a file; see `read_saved`."""
    return read_saved(path).log


def read_saved(path: Path) -> SavedUsage:
    """Read a file of `write_usage`; what is not exactly as it was written is refused.

    Raises
    ------
    ConfigError
        Code ``usage-file``.
    """
    try:
        header, *rows, end = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if header["format"] != FORMAT or tuple(header["columns"]) != COLUMNS:
            raise ValueError(f"the format is {header['format']!r}")
        if _digest_of(header) != end["header_sha256"]:
            raise ValueError("the first line is not that of its digest")
        records = tuple(_record(row) for row in rows)
        require_unbroken(records, header["oldest_index"])
        log = UsageLog(records, header["oldest_index"], usage_digest(records))
        if (len(records), log.sha256.hex()) != (end["records"], end["sha256"]):
            raise ValueError("the records are not those of its digest")
        return SavedUsage(header["model"], header["serial_number"], header["subject"], log)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="usage-file") from error
    except (ValueError, KeyError, TypeError, IndexError, ProtocolError) as error:
        raise ConfigError(
            f"{path} is no whole usage log: {error}",
            allowed="a file that takeback or usage wrote, unchanged",
            code="usage-file",
        ) from error


def _record(row: list[int]) -> UsageRecord:
    index, boot, clock_us, wall_s, kind, slot, place, count, value, rest_ac = row
    return UsageRecord(index, boot, clock_us, wall_s, UsageKind(kind), slot, place, count, value, rest_ac)


def _plain(value: Any) -> int:
    return int(value)


def _line(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _digest_of(header: Any) -> str:
    """Of the first line, which says whose log it is: that must not be changed unseen either."""
    return hashlib.sha256(_line(header).encode()).hexdigest()
