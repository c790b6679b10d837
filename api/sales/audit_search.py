"""Finds the audit record of a valuation by binary search.

An id contains its time, and the records of a file are sorted by time: the offset is found by
binary search, and only the records of the next minute are scanned.
"""

import mmap
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.audit.chain import PREDICTIONS_PREFIX, day_of, file_pattern
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import id_timestamp

REORDER_SLACK_S = 2.0
"""Tolerance for records of several threads that are not exactly in the order of time."""
ANSWER_WINDOW_S = 60.0
"""Longest time between an id and its record, except for jobs."""
JOB_WINDOW_S = 3600.0
"""The same for a job whose end is unknown."""
MAX_SCAN_BYTES = 64 << 20
"""Most bytes that are scanned of one file."""
_HEAD_BYTES = 512
_AT = re.compile(rb'"at":([0-9.e+]+)')
_ROW = re.compile(rb'\{"id":"[0-9a-z]+-(\d+)"')
_FILE = file_pattern(PREDICTIONS_PREFIX)


class AuditSearch:
    """Finds audit records by the id of their valuation.

    Args:
        folder: the audit log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._listing: tuple[int, dict[str, list[str]]] = (-1, {})

    def find(self, valuation_id: str, ended_at: float | None = None) -> dict[str, Any] | None:
        """The record of a valuation; None if there is none.

        Args:
            valuation_id: `id`, or `id-n` for the n-th car of a list or row of a batch.
            ended_at: Unix time of the end of its job, if known.

        Raises:
            AuditUnavailable: a file of the log cannot be read.
        """
        try:
            return self._find(valuation_id, ended_at)
        except OSError as error:
            raise AuditUnavailable(reason=error.strerror or str(error)) from error

    def _find(self, valuation_id: str, ended_at: float | None) -> dict[str, Any] | None:
        base, _, number = valuation_id.partition("-")
        made_at = id_timestamp(base)
        mark = b'{"id":"' + valuation_id.encode() + b'",'
        if number and (found := self._find_in_batch(base, int(number), made_at, mark)) is not None:
            return found
        spans = [
            (made_at - REORDER_SLACK_S, made_at + ANSWER_WINDOW_S),
            (made_at, made_at + JOB_WINDOW_S),
        ]
        if ended_at is not None:
            spans.insert(1, (ended_at - ANSWER_WINDOW_S, ended_at + ANSWER_WINDOW_S))
        for start, end in spans:
            for path in self._files(start, end):
                if (found := _search(path, mark, start, end)) is not None:
                    return found
        return None

    def _files(self, start: float, end: float) -> Iterator[Path]:
        """The files, except those of batches, of the days of a time span."""
        days = self._days()
        for day in dict.fromkeys((day_of(start), day_of(end))):
            yield from (self._folder / name for name in days.get(day, ()) if ".batch-" not in name)

    def _find_in_batch(
        self, batch_id: str, row: int, made_at: float, mark: bytes
    ) -> dict[str, Any] | None:
        """The record of a row of a batch: in the last file whose first row is not after it."""
        days = self._days()
        for day in dict.fromkeys((day_of(made_at), day_of(made_at + JOB_WINDOW_S))):
            start = f"{PREDICTIONS_PREFIX}_{day}.batch-{batch_id}-"
            names = [name for name in days.get(day, ()) if name.startswith(start)]
            names.sort(key=lambda name: int(name.removeprefix(start).partition(".")[0]))
            path = _last_at_or_before([self._folder / name for name in names], row)
            if path is not None:
                return _search(path, mark, 0.0, float("inf"))
        return None

    def _days(self) -> dict[str, list[str]]:
        """Names of the log files by day; the folder is listed again only if it has changed."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        with self._lock:
            if self._listing[0] != changed:
                days: dict[str, list[str]] = {}
                for path in self._folder.iterdir():
                    if (match := _FILE.fullmatch(path.name)) is not None:
                        days.setdefault(match[1], []).append(path.name)
                self._listing = (changed, days)
            return self._listing[1]


def _search(path: Path, mark: bytes, start: float, end: float) -> dict[str, Any] | None:
    """The record that begins with `mark`, among the records of a time span."""
    with path.open("rb") as file:
        try:
            log = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file
            return None
        with log:
            first = 0 if start <= 0 else _offset_at(log, start)
            last = len(log) if end == float("inf") else _offset_at(log, end)
            begin = log.find(mark, first, min(last + _HEAD_BYTES, first + MAX_SCAN_BYTES))
            if begin < 0 or (begin > 0 and log[begin - 1 : begin] != b"\n"):
                return None
            stop = log.find(b"\n", begin)
            if stop < 0:  # the record is incomplete
                return None
            found: dict[str, Any] = orjson.loads(log[begin:stop])
            return found


def _offset_at(log: mmap.mmap, at: float) -> int:
    """Offset of the first line at or after a time, by binary search."""
    low, high = 0, len(log)
    while low < high:
        start = log.rfind(b"\n", low, (low + high) // 2) + 1 or low
        stop = log.find(b"\n", start)
        match = _AT.search(log, start, start + _HEAD_BYTES)
        if stop < 0 or match is None:  # an incomplete last line
            high = start
        elif float(match[1]) < at:
            low = stop + 1
        else:
            high = start
    return low


def _last_at_or_before(paths: Sequence[Path], row: int) -> Path | None:
    """The only file that can contain a row, of files sorted by their first row."""
    low, high = 0, len(paths)
    while low < high:
        middle = (low + high) // 2
        if _first_row(paths[middle]) <= row:
            low = middle + 1
        else:
            high = middle
    return paths[low - 1] if low else None


def _first_row(path: Path) -> int:
    with path.open("rb") as file:
        match = _ROW.match(file.read(_HEAD_BYTES))
    return int(match[1]) if match else 0
