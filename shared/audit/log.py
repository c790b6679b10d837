"""The audit log: JSON lines, one file per writer and day, each line chained to the one before.

A line is the record's JSON with two more members at its end: `prev`, the hash of the line
before (64 zeros in the first), and `hash`, the SHA-256 of the line's JSON without `hash`. A
changed, missing or reordered line breaks the chain.

Lines that are written at once may share a link: those without the two members are covered by
the next line that has them, whose `prev` is then the SHA-256 of the hash before and of them.
"""

import dataclasses
import hashlib
import os
import re
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from shared.domain.clock import Clock
from shared.domain.errors import AuditUnavailable
from shared.domain.sale import SaleReport
from shared.domain.valuation import AuditRecord
from shared.metrics import AUDIT_FAILURES, AUDIT_RECORDS

GENESIS_HASH = "0" * 64
PREDICTIONS_PREFIX = "predictions"
"""Prefix of the names of files with answers."""
OUTCOMES_PREFIX = "outcomes"
"""Prefix of the names of files with reported sales."""
_PREV_MEMBER = b',"prev":"'
_HASH_MEMBER = b',"hash":"'


def file_pattern(*kinds: str) -> re.Pattern[str]:
    """Match the names of files of these kinds; the group is the day."""
    return re.compile(rf"(?:{'|'.join(kinds)})_(\d{{4}}-\d{{2}}-\d{{2}})\.[\w-]+\.jsonl")


FILE_PATTERN = file_pattern(PREDICTIONS_PREFIX)


def day_of(at: float) -> str:
    """The UTC day of a Unix time, as in file names."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def file_name(day: str, writer: str, kind: str = PREDICTIONS_PREFIX) -> str:
    """Name of the file of one writer and day."""
    return f"{kind}_{day}.{writer}.jsonl"


def chain(bodies: Iterable[bytes], prev: str) -> tuple[bytes, str, int]:
    """Write encoded records as chained lines.

    Args:
        bodies: JSON objects of the records.
        prev: hash of the line before the first.

    Returns:
        The lines, the hash of the last one, and how many there are.
    """
    lines = []
    for record in bodies:
        body = record[:-1] + _PREV_MEMBER + prev.encode() + b'"}'
        prev = hashlib.sha256(body).hexdigest()
        lines.append(body[:-1] + _HASH_MEMBER + prev.encode() + b'"}\n')
    return b"".join(lines), prev, len(lines)


def link(prev: str, lines: bytes | memoryview) -> str:
    """The hash that follows `prev` and lines without hashes, as in segments."""
    if not lines:
        return prev
    digest = hashlib.sha256(prev.encode())
    digest.update(lines)
    return digest.hexdigest()


def verify_line(line: bytes, prev: str) -> str | None:
    """The hash of a line that follows `prev`; None if the line was changed."""
    body, mark, tail = line.rstrip(b"\n").rpartition(_HASH_MEMBER)
    if not mark:
        return None
    body += b"}"
    digest = hashlib.sha256(body).hexdigest()
    if tail != digest.encode() + b'"}':
        return None
    try:
        record = orjson.loads(body)
    except orjson.JSONDecodeError:  # its writer computed a hash of something else than a record
        return None
    return digest if isinstance(record, dict) and record.get("prev") == prev else None


@dataclasses.dataclass(slots=True)
class _PendingWrite:
    """Encoded records of one call of `append`."""

    bodies: list[bytes]
    is_written: bool = False
    failure: str = "not written"


class ChainVerifier:
    """Verifies the chain of one file, line by line."""

    def __init__(self) -> None:
        self._prev = GENESIS_HASH
        self._block_digest = hashlib.sha256(GENESIS_HASH.encode())
        self.verified = 0
        """Number of verified lines."""
        self.open = 0
        """Lines after them that the next line with hashes verifies."""

    def follow(self, line: bytes) -> bool:
        """Take the next line; False if it, or an open line before it, was changed."""
        if _HASH_MEMBER not in line:
            self._block_digest.update(line)
            self.open += 1
            return line.startswith(b"{") and line.endswith(b"}\n")
        digest = verify_line(line, self._block_digest.hexdigest() if self.open else self._prev)
        if digest is None:
            return False
        self._prev, self._block_digest = digest, hashlib.sha256(digest.encode())
        self.verified, self.open = self.verified + self.open + 1, 0
        return True


class AuditLog:
    """The audit log, in files of this process.

    While the disk is full, `append` raises `AuditUnavailable`, and the answer is not given.

    Threads that call `append` while another one writes wait; then one of them writes the records
    of all of them by one system call. `append` returns after its records were written.

    Args:
        folder: folder of the log; created if it is missing.
        writer: name of this process, new at each start, so that no two processes share a file.
        clock: the time of day; its UTC day names the file.
        kind: `PREDICTIONS_PREFIX` or `OUTCOMES_PREFIX`.
    """

    def __init__(
        self, folder: Path, writer: str, clock: Clock, kind: str = PREDICTIONS_PREFIX
    ) -> None:
        self._kind = kind
        self._folder = folder
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_PendingWrite] = deque()  # its appends are atomic
        self._day = ""
        self._descriptor = -1
        self._prev = GENESIS_HASH

    def append(self, records: Sequence[AuditRecord | SaleReport]) -> None:
        """Write the records as one block, flushed to the operating system.

        Raises:
            AuditUnavailable: the write failed; the file contains nothing of the block.
        """
        block = _PendingWrite([orjson.dumps(record.to_json()) for record in records])
        self._waiting.append(block)
        with self._lock:
            if self._waiting and not block.is_written:
                self._write_waiting()
        if not block.is_written:
            raise AuditUnavailable(reason=block.failure)

    def recorded(self, ids: Collection[str]) -> set[str]:
        """Which of the ids have a record of today or yesterday, by any writer."""
        now = self._clock()
        return recorded_ids(self._folder, ids, (day_of(now), day_of(now - 86_400)))

    def close(self) -> None:
        """Close the current file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                self._day = ""

    def _write_waiting(self) -> None:
        """Write all waiting records or none."""
        blocks = [self._waiting.popleft() for _ in range(len(self._waiting))]
        bodies = [body for block in blocks for body in block.bodies]
        try:
            self._rotate(day_of(self._clock()))
            lines, last, count = chain(bodies, self._prev)
            self._write(lines)
        except OSError as error:
            AUDIT_FAILURES.inc()
            for block in blocks:
                block.failure = error.strerror or str(error)
            return
        self._prev = last
        for block in blocks:
            block.is_written = True
        AUDIT_RECORDS.inc(count)

    def _rotate(self, day: str) -> None:
        """Open the file of a new day, with a new chain.

        If the clock goes back over midnight, the file of the later day stays open.
        """
        if day <= self._day:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / file_name(day, self._writer, self._kind)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._day, self._prev = descriptor, day, GENESIS_HASH

    def _write(self, lines: bytes) -> None:
        """Write all of the lines or leave the file as it was."""
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise


def recorded_ids(folder: Path, ids: Collection[str], days: Collection[str]) -> set[str]:
    """Which of `ids` have a record in the files of `days`; reads whole files, so use it rarely."""
    marks = {f'{{"id":"{each}",'.encode(): each for each in ids}
    found = set()
    for day in days:
        for path in folder.glob(f"predictions_{day}.*.jsonl"):
            with path.open("rb") as file:
                found |= {
                    marks[mark] for line in file if (mark := line[: line.find(b",") + 1]) in marks
                }
    return found
