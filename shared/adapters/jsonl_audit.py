"""The audit log: JSON lines, one file per writer and day, each line chained to the one before.

A line is the record's JSON with two more members at its end: `prev`, the hash of the line
before (64 zeros in the first), and `hash`, the SHA-256 of the line's JSON without `hash`. A
changed, missing or reordered line breaks the chain.
"""

import hashlib
import os
import re
import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from shared.domain.audit import AuditRecord
from shared.domain.errors import AuditUnavailable
from shared.metrics import AUDIT_FAILURES, AUDIT_RECORDS
from shared.ports import Clock

GENESIS = "0" * 64
FILE_PATTERN = re.compile(r"predictions_(\d{4}-\d{2}-\d{2})\.[\w-]+\.jsonl")
_HASH_MEMBER = b',"hash":"'


def day_of(at: float) -> str:
    """The UTC day of a Unix time, as it stands in file names."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def file_name(day: str, writer: str) -> str:
    """Name of the log of one writer and day."""
    return f"predictions_{day}.{writer}.jsonl"


def chain(records: Iterable[dict[str, Any]], prev: str) -> tuple[bytes, str, int]:
    """Encode records as chained lines.

    Returns:
        The lines, the hash of the last one, and how many there are.
    """
    lines = []
    for record in records:
        record["prev"] = prev
        body = orjson.dumps(record)
        prev = hashlib.sha256(body).hexdigest()
        lines.append(body[:-1] + _HASH_MEMBER + prev.encode() + b'"}\n')
    return b"".join(lines), prev, len(lines)


def verify_line(line: bytes, prev: str) -> str | None:
    """The hash of a line that follows the hash `prev`; None if the line was tampered with."""
    body, mark, tail = line.rstrip(b"\n").rpartition(_HASH_MEMBER)
    if not mark:
        return None
    body += b"}"
    digest = hashlib.sha256(body).hexdigest()
    if tail != digest.encode() + b'"}':
        return None
    return digest if orjson.loads(body).get("prev") == prev else None


class JsonlAuditLog:
    """`shared.ports.AuditLog` on files of this process.

    Args:
        folder: where the log lies; made when it is missing.
        writer: name of this process; must be new at each start, so that no two ever share a file.
        clock: the time of day; its UTC day names the file.
    """

    def __init__(self, folder: Path, writer: str, clock: Clock) -> None:
        self._folder = folder
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._day = ""
        self._descriptor = -1
        self._prev = GENESIS

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Write the records as one block, flushed to the operating system.

        Raises:
            AuditUnavailable: the disk refuses; nothing of the block stays in the file.
        """
        with self._lock:
            try:
                self._roll(day_of(self._clock()))
                block, last, count = chain((record.to_json() for record in records), self._prev)
                self._write(block)
            except OSError as error:
                AUDIT_FAILURES.inc()
                raise AuditUnavailable(reason=error.strerror or str(error)) from error
            self._prev = last
        AUDIT_RECORDS.inc(count)

    def recorded(self, ids: Collection[str]) -> set[str]:
        """Which of the ids have a record of today or yesterday, whoever wrote it."""
        now = self._clock()
        return recorded_ids(self._folder, ids, (day_of(now), day_of(now - 86_400)))

    def close(self) -> None:
        """Close the current file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
                self._day = ""

    def _roll(self, day: str) -> None:
        """Open the day's file; its chain starts anew.

        A clock that goes back over midnight stays in the later file: the earlier one is closed.
        """
        if day <= self._day:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / file_name(day, self._writer)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._day, self._prev = descriptor, day, GENESIS

    def _write(self, block: bytes) -> None:
        """Write all of the block or leave the file as it was."""
        size_before = os.fstat(self._descriptor).st_size
        written = 0
        try:
            while written < len(block):
                written += os.write(self._descriptor, block[written:])
        except OSError:
            os.ftruncate(self._descriptor, size_before)
            raise


def recorded_ids(folder: Path, ids: Collection[str], days: Collection[str]) -> set[str]:
    """Which of `ids` have a record in the files of `days`; reads them whole, for rare doubts."""
    marks = {f'{{"id":"{each}",'.encode(): each for each in ids}
    found = set()
    for day in days:
        for path in folder.glob(f"predictions_{day}.*.jsonl"):
            with path.open("rb") as file:
                found |= {
                    marks[mark] for line in file if (mark := line[: line.find(b",") + 1]) in marks
                }
    return found
