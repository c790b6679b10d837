"""Finds the audit record of a valuation by binary search.

An id contains its time, and the records of a file are sorted by time: the offset is found by
binary search, and only the records of the next minute are scanned. When the clock is set, each
process begins a file whose name tells the step (`shared.audit.log`): the record of an id from
shortly before is at the beginning of such a file.
"""

import mmap
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.audit.chain import PREDICTIONS_PREFIX, ClockStep, day_of, file_pattern, step_of
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
MAX_TIMES = 16
"""Most times at which an id may have been recorded, after steps of the clock."""
_HEAD_BYTES = 512
_AT = re.compile(rb'"at":([0-9.e+]+)')
_ROW = re.compile(rb'\{"id":"[0-9a-z]+-(\d+)"')
_FILE = file_pattern(PREDICTIONS_PREFIX)
_BATCH = re.compile(r"[^.]+\.batch-(\w+)-(\d+)\.jsonl")


class _Listing(NamedTuple):
    """The names of the files of the log."""

    changed_ns: int
    """When the folder had changed last."""
    days: dict[str, list[str]]
    """Those of single cars and jobs, by day."""
    batches: dict[str, list[str]]
    """Those of each batch, in the order of its rows."""
    steps: list[tuple[str, ClockStep]]
    """Those that were begun after a step of the clock."""


class AuditSearch:
    """Finds audit records by the id of their valuation.

    Args:
        folder: the audit log.
        slack_s: tolerance for records that are earlier than their id says; more if the clock of
            another host may have made the id.
    """

    def __init__(self, folder: Path, slack_s: float = REORDER_SLACK_S) -> None:
        self._folder = folder
        self._slack_s = slack_s
        self._lock = threading.Lock()
        self._listing = _Listing(-1, {}, {}, [])

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
        if number and (found := self._find_in_batch(base, int(number), mark)) is not None:
            return found
        if (found := self._find_near(made_at, mark, ended_at)) is not None:
            return found
        return self._find_across_steps(made_at, mark)

    def _find_near(
        self, made_at: float, mark: bytes, ended_at: float | None = None
    ) -> dict[str, Any] | None:
        """The record, unless the clock was set between id and record."""
        spans = [
            (made_at - self._slack_s, made_at + ANSWER_WINDOW_S),
            (made_at, made_at + JOB_WINDOW_S),
        ]
        if ended_at is not None:
            spans.insert(1, (ended_at - ANSWER_WINDOW_S, ended_at + ANSWER_WINDOW_S))
        for start, end in spans:
            for path in self._files(start, end):
                if (found := _search(path, mark, start, end)) is not None:
                    return found
        return None

    def _find_across_steps(self, made_at: float, mark: bytes) -> dict[str, Any] | None:
        """The record, if the clock was set between id and record, perhaps several times."""
        times, scanned = [made_at], set()
        for at in times:  # it grows in the loop
            if at != made_at and (found := self._find_near(at, mark)) is not None:
                return found
            for name, step in self._list().steps:
                shift_s = step.after - step.before
                if step.before - JOB_WINDOW_S <= at <= step.before + ANSWER_WINDOW_S:
                    _add_time(times, at + shift_s)
                    # At its beginning, records from before the step may follow later ones.
                    if name not in scanned:
                        scanned.add(name)
                        path = self._folder / name
                        if (found := _search(path, mark, 0.0, float("inf"))) is not None:
                            return found
                if abs(at - step.after) <= ANSWER_WINDOW_S:
                    # The process that wrote the record noticed the step later.
                    _add_time(times, at - shift_s)
        return None

    def _files(self, start: float, end: float) -> Iterator[Path]:
        """The files, except those of batches, of the days of a time span."""
        days = self._list().days
        for day in dict.fromkeys((day_of(start), day_of(end))):
            yield from (self._folder / name for name in days.get(day, ()))

    def _find_in_batch(self, batch_id: str, row: int, mark: bytes) -> dict[str, Any] | None:
        """The record of a row of a batch: in the last file whose first row is not after it."""
        names = self._list().batches.get(batch_id, ())
        path = _last_at_or_before([self._folder / name for name in names], row)
        return None if path is None else _search(path, mark, 0.0, float("inf"))

    def _list(self) -> _Listing:
        """The files of the log; the folder is listed again only if it has changed."""
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return _Listing(-1, {}, {}, [])
        with self._lock:
            if self._listing.changed_ns != changed_ns:
                self._listing = _list_folder(self._folder, changed_ns)
            return self._listing


def _list_folder(folder: Path, changed_ns: int) -> _Listing:
    found = _Listing(changed_ns, {}, {}, [])
    chunks: dict[str, list[tuple[int, str]]] = {}
    for name in (path.name for path in folder.iterdir()):
        if (match := _FILE.fullmatch(name)) is None:
            continue
        if (batch := _BATCH.fullmatch(name)) is not None:
            chunks.setdefault(batch[1], []).append((int(batch[2]), name))
            continue
        found.days.setdefault(match[1], []).append(name)
        if (step := step_of(name)) is not None:
            found.steps.append((name, step))
    for batch_id, numbered in chunks.items():
        found.batches[batch_id] = [name for _, name in sorted(numbered)]
    return found


def _add_time(times: list[float], at: float) -> None:
    """Add a time unless it is known: each process has noticed a step at its own moment."""
    if len(times) < MAX_TIMES and all(abs(at - known) > REORDER_SLACK_S / 2 for known in times):
        times.append(at)


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
