"""The record of a session: JSON lines that are only ever appended, each bound to the one before.

A record is on the disk before the command it announces is sent. Times of day are written down and
never computed with. What a record means is the session's business; see `docs/session.md`.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.session.adapters import DurableFile, FolderLock, Lock, Locker, Opener, open_durable
from neurostim.session.errors import JournalError

FORMAT: Final = "neurostim-journal/1"
SUFFIX: Final = ".journal.jsonl"
GENESIS: Final = "0" * 64
MAX_LINE: Final = 1 << 20

_SESSION_ID: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_FIELDS: Final = ("at", "crc", "data", "hash", "host_ns", "kind", "prev", "seq")

Json = Any


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a journal.

    ``host_ns`` is the host's monotonic clock [ns], comparable only within one run of one computer;
    ``at`` is the time of day as text, for people.
    """

    sequence: int
    kind: str
    at: str
    host_ns: int
    data: Mapping[str, Json]
    digest: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A verified journal.

    ``torn_bytes`` counts the bytes of a last line that was cut off by a crash (0 in a whole
    file); ``good_bytes`` is the length of everything before it.
    """

    path: Path
    records: tuple[Record, ...]
    good_bytes: int
    torn_bytes: int

    @property
    def head(self) -> str:
        """Digest of the last record: it stands for the whole file."""
        return self.records[-1].digest if self.records else GENESIS

    def last(self, *kinds: str) -> Record | None:
        """The latest record of one of these kinds."""
        return next((record for record in reversed(self.records) if record.kind in kinds), None)


class Journal:
    """A journal open for appending; made by `create` or `reopen`, closed as a context manager.

    A failed write poisons the journal: every later append is refused, so that nothing can be
    delivered that is not on record.
    """

    def __init__(
        self,
        file: DurableFile,
        lock: Lock,
        reading: Reading,
        *,
        monotonic_ns: Callable[[], int],
        wall_text: Callable[[], str],
    ) -> None:
        self.path = reading.path
        self._file = file
        self._lock = lock
        self._monotonic_ns = monotonic_ns
        self._wall_text = wall_text
        self._sequence = len(reading.records)
        self._head = reading.head
        self._size = reading.good_bytes
        self._failure: JournalError | None = None
        self._closed = False
        self._written_ns = monotonic_ns()

    @classmethod
    def create(
        cls,
        folder: Path,
        session_id: str,
        *,
        monotonic_ns: Callable[[], int],
        wall_text: Callable[[], str],
        opener: Opener = open_durable,
        locker: Locker = FolderLock,
    ) -> Journal:
        """Start the journal of a new session in ``folder``, which is made if it is missing.

        Raises
        ------
        JournalError
            Codes ``journal-locked`` or ``journal-write``.
        """
        if _SESSION_ID.fullmatch(session_id) is None:
            raise ConfigError(
                f"found the session id {session_id!r}",
                allowed="8 to 64 hexadecimal digits",
                code="session-id",
            )
        path = folder / f"{session_id}{SUFFIX}"
        lock = _locked(folder, locker)
        try:
            file = opener(path, new=True)
        except OSError as error:
            lock.release()
            raise _write_failed(path, error) from error
        empty = Reading(path, (), 0, 0)
        journal = cls(file, lock, empty, monotonic_ns=monotonic_ns, wall_text=wall_text)
        try:
            journal.append("opened", {"format": FORMAT, "session": session_id}, durable=True)
        except JournalError:
            journal.close()
            raise
        return journal

    @classmethod
    def reopen(
        cls,
        path: Path,
        *,
        monotonic_ns: Callable[[], int],
        wall_text: Callable[[], str],
        opener: Opener = open_durable,
        locker: Locker = FolderLock,
    ) -> Journal:
        """Go on with a journal after a crash; a torn last line is cut off and its length recorded.

        Raises
        ------
        JournalError
            Also ``journal-tampered`` where the file does not verify.
        """
        lock = _locked(path.parent, locker)
        try:
            reading = read_journal(path)
            file = opener(path, new=False)
        except OSError as error:
            lock.release()
            if isinstance(error, JournalError):
                raise
            raise _write_failed(path, error) from error
        journal = cls(file, lock, reading, monotonic_ns=monotonic_ns, wall_text=wall_text)
        try:
            if reading.torn_bytes:
                journal._cut(reading.good_bytes)
            journal.append("reopened", {"torn_bytes": reading.torn_bytes}, durable=True)
        except JournalError:
            journal.close()
            raise
        return journal

    @property
    def head(self) -> str:
        """Digest of the last record."""
        return self._head

    @property
    def failure(self) -> JournalError | None:
        """Why nothing can be written any more, or None."""
        return self._failure

    @property
    def written_ns(self) -> int:
        """Host time of the last write that succeeded [ns]: the journal's token for the supervisor."""
        return self._written_ns

    def append(self, kind: str, data: Mapping[str, Json], *, durable: bool = False) -> Record:
        """Write one record.

        Parameters
        ----------
        kind : str
            What happened.
        data : mapping
            Text, whole numbers, truth values, and lists and mappings of them; no floats.
        durable : bool
            Return only once this record and all before it are on the disk.

        Raises
        ------
        JournalError
            Code ``journal-write``; from then on every append fails with the same error.
        """
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise JournalError(f"the journal {self.path} is closed", code="journal-closed")
        record, line = _encode(
            sequence=self._sequence,
            kind=kind,
            at=self._wall_text(),
            host_ns=self._monotonic_ns(),
            data=data,
            previous=self._head,
        )
        try:
            self._write_all(line)
            if durable:
                self._file.sync()
        except OSError as error:
            self._failure = _write_failed(self.path, error)
            self._restore()
            raise self._failure from error
        self._sequence += 1
        self._head = record.digest
        self._size += len(line)
        self._written_ns = self._monotonic_ns()
        return record

    def sync(self) -> None:
        """Put everything written so far on the disk.

        Raises
        ------
        JournalError
            As `append`.
        """
        if self._failure is not None:
            raise self._failure
        try:
            self._file.sync()
        except OSError as error:
            self._failure = _write_failed(self.path, error)
            raise self._failure from error
        self._written_ns = self._monotonic_ns()

    def close(self) -> None:
        """Close the file and drop the lock; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_all(self, line: bytes) -> None:
        left = line
        while left:
            taken = self._file.write(left)
            if taken <= 0:
                raise OSError("the system took no bytes")
            left = left[taken:]

    def _restore(self) -> None:
        """Take half a line back; where even that fails, reading tolerates a torn last line."""
        try:
            self._file.truncate(self._size)
        except OSError as error:
            assert self._failure is not None
            self._failure.add_note(f"the half-written record could not be taken back: {error}")

    def _cut(self, size: int) -> None:
        try:
            self._file.truncate(size)
            self._file.sync()
        except OSError as error:
            self._failure = _write_failed(self.path, error)
            raise self._failure from error


def read_journal(path: Path) -> Reading:
    """Read and verify a whole journal.

    A last line without its end is what a crash leaves: it is counted and left out. Anything else
    that does not verify is an error.

    Raises
    ------
    JournalError
        Code ``journal-tampered`` or ``journal-format``, with the line.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read: {error}", code="journal-format") from error
    good = raw.rfind(b"\n") + 1
    records: list[Record] = []
    previous = GENESIS
    for number, line in enumerate(raw[:good].split(b"\n")[:-1], start=1):
        record = _decode(line, path, number, previous)
        if record.sequence != number - 1:
            raise _tampered(path, number, f"it has the number {record.sequence}")
        records.append(record)
        previous = record.digest
    if records and (records[0].kind != "opened" or records[0].data.get("format") != FORMAT):
        raise JournalError(f"{path} is not a journal of this format", allowed=FORMAT, code="journal-format")
    return Reading(path, tuple(records), good, len(raw) - good)


def journals(folder: Path) -> Iterator[Path]:
    """The journal files of a folder, in order of name."""
    return iter(sorted(folder.glob(f"*{SUFFIX}")))


def _locked(folder: Path, locker: Locker) -> Lock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = locker(folder)
        lock.acquire()
    except JournalError:
        raise
    except OSError as error:
        raise _write_failed(folder, error) from error
    return lock


def _encode(
    *, sequence: int, kind: str, at: str, host_ns: int, data: Mapping[str, Json], previous: str
) -> tuple[Record, bytes]:
    _require_plain(data, kind)
    # Keys in order of name; each value is encoded once, for the digest, the check sum and the line.
    before = f'{{"at":{_canonical(at)},'
    held = f'"data":{_canonical(data)},'
    after = f'"host_ns":{host_ns},"kind":{_canonical(kind)},"prev":"{previous}","seq":{sequence}}}'
    digest = hashlib.sha256(f"{before}{held}{after}".encode("ascii")).hexdigest()
    sealed = f'{held}"hash":"{digest}",{after}'
    crc = zlib.crc32(f"{before}{sealed}".encode("ascii"))
    line = f'{before}"crc":"{crc:08x}",{sealed}\n'.encode("ascii")
    if len(line) > MAX_LINE:
        raise ConfigError(
            f"a journal record of kind {kind!r} has {len(line)} bytes", allowed=f"at most {MAX_LINE}"
        )
    return Record(sequence, kind, at, host_ns, data, digest), line


def _decode(line: bytes, path: Path, number: int, previous: str) -> Record:
    try:
        found = _read_json(line.decode())
    except (ValueError, RecursionError) as error:
        raise _tampered(path, number, "it is not readable") from error
    if not isinstance(found, dict) or tuple(found) != _FIELDS or _canonical(found).encode("ascii") != line:
        raise _tampered(path, number, "it is not in the form it was written in")
    at, crc, digest = found["at"], found["crc"], found["hash"]
    # What is sealed is cut out of the line, which is the canonical text: nothing is encoded again.
    begin = len(f'{{"at":{_canonical(at)},')
    unsealed = line[:begin] + line[begin + len(f'"crc":{_canonical(crc)},') :]
    if crc != f"{zlib.crc32(unsealed):08x}":
        raise _tampered(path, number, "its check sum is wrong")
    # Only numbers and text follow the digest, and a quotation mark within a text is never after a comma.
    place = unsealed.rfind(b',"hash":') + 1
    rest = unsealed[place + len(f'"hash":{_canonical(digest)},') :]
    if digest != hashlib.sha256(unsealed[:place] + rest).hexdigest():
        raise _tampered(path, number, "its digest is wrong")
    if found["prev"] != previous:
        raise _tampered(path, number, "it does not follow the record before it")
    sequence, kind, host_ns, data = found["seq"], found["kind"], found["host_ns"], found["data"]
    whole = isinstance(sequence, int) and isinstance(host_ns, int)
    if not (whole and isinstance(kind, str) and isinstance(at, str) and isinstance(data, dict)):
        raise _tampered(path, number, "a field has the wrong type")
    return Record(sequence, kind, at, host_ns, data, digest)


_canonical: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
).encode


_SCALARS: Final = (str, int, bool, NoneType)


def _require_plain(value: Json, place: str) -> None:
    if isinstance(value, _SCALARS):
        return
    if isinstance(value, (list, tuple)):
        for item in value:
            if not isinstance(item, _SCALARS):
                _require_plain(item, place)
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"a journal record of kind {place!r} has the key {key!r}", allowed="text")
            if not isinstance(item, _SCALARS):
                _require_plain(item, f"{place}.{key}")
        return
    raise ConfigError(
        f"a journal record holds {type(value).__name__} at {place}",
        allowed="text, whole numbers, truth values, lists and mappings",
    )


def _refuse_float(text: str) -> float:
    raise ValueError(f"found the number {text}")


_read_json: Final = json.JSONDecoder(parse_float=_refuse_float, parse_constant=_refuse_float).decode


def _tampered(path: Path, number: int, why: str) -> JournalError:
    return JournalError(
        f"line {number} of the journal {path} cannot be trusted: {why}",
        remedy="Keep the file as it is for review; it was changed or damaged after it was written.",
        code="journal-tampered",
    )


def _write_failed(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"the journal {path} cannot be written: {error}",
        remedy="Free space on the disk or choose another folder; without a journal nothing is delivered.",
        code="journal-write",
    )
