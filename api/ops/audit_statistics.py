"""Statistics of a day of the audit log; each call reads only the lines added since the last."""

import dataclasses
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.audit.chain import FILE_PATTERN
from shared.logging import get_logger

READ_BYTES = 1 << 20
MAX_CACHED_DAYS = 8
"""Days whose sums are kept in memory (least recently used is evicted)."""

log = get_logger("audit.stats")


class _ReadOffset(NamedTuple):
    """How far a file has been read."""

    inode: int
    offset: int
    """Bytes; the end of a line."""


class _FileChanged(Exception):
    """A file was replaced, truncated or removed since it was read."""


@dataclasses.dataclass(slots=True)
class DaySums:
    """Running sums over the records of one day."""

    files: dict[str, _ReadOffset] = dataclasses.field(default_factory=dict)
    successes: int = 0
    failures: int = 0
    cache_hits: int = 0
    price_sum: float = 0.0
    price_min: float = float("inf")
    price_max: float = 0.0
    response_ms_sum: float = 0.0
    versions: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, line: bytes) -> None:
        """Add one record; on an error nothing is added.

        Raises:
            KeyError, TypeError, ValueError: the line is not a valid record.
        """
        record = orjson.loads(line)
        response_ms, is_hit = float(record["response_time_ms"]), bool(record["cached"])
        if record["status"] == "success":
            price_mad, version = float(record["price_mad"]), str(record["model_version"])
            self.successes += 1
            self.price_sum += price_mad
            self.price_min = min(self.price_min, price_mad)
            self.price_max = max(self.price_max, price_mad)
            self.versions[version] += 1
        else:
            self.failures += 1
        self.response_ms_sum += response_ms
        self.cache_hits += is_hit


class _Day:
    """The sums of a day with the lock of their reader."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = DaySums()

    def read(self, paths: Sequence[Path]) -> DaySums:
        """The sums over these files; lines read before are not read again."""
        with self._lock:
            try:
                _read_appended(paths, self._sums, strict=True)
            except _FileChanged:
                # Rare: all lines of the day are read again.
                self._sums = DaySums()
                _read_appended(paths, self._sums, strict=False)
            return dataclasses.replace(self._sums, versions=self._sums.versions.copy())


class AuditStats:
    """Statistics of `/predictions/stats`.

    Args:
        folder: the audit log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._days: OrderedDict[str, _Day] = OrderedDict()

    def of_day(self, day: str) -> dict[str, Any]:
        """Statistics of a UTC day (`YYYY-MM-DD`), with the field names of the reference API."""
        paths = [
            path
            for path in sorted(self._folder.glob(f"predictions_{day}.*.jsonl"))
            if FILE_PATTERN.fullmatch(path.name)
        ]
        return _figures(day, self._day(day).read(paths) if paths else DaySums())

    def _day(self, day: str) -> _Day:
        """The entry of a day; evicts the least recently used one if there are too many."""
        with self._lock:
            found = self._days.setdefault(day, _Day())
            self._days.move_to_end(day)
            if len(self._days) > MAX_CACHED_DAYS:
                self._days.popitem(last=False)
            return found


def _read_appended(paths: Sequence[Path], sums: DaySums, *, strict: bool) -> None:
    """Add the lines appended to the files since the last call.

    Args:
        paths: all files of the day.
        sums: updated in place; invalid after `_FileChanged`.
        strict: whether an invalid line raises `_FileChanged`; otherwise it is skipped.
    """
    if not sums.files.keys() <= {path.name for path in paths}:
        raise _FileChanged
    for path in paths:
        try:
            _read_file(path, sums, strict=strict)
        except FileNotFoundError:
            if path.name in sums.files:
                raise _FileChanged from None


def _read_file(path: Path, sums: DaySums, *, strict: bool) -> None:
    """Add the complete lines after the known offset."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        known = sums.files.get(path.name, _ReadOffset(state.st_ino, 0))
        if known.inode != state.st_ino or known.offset > state.st_size:
            raise _FileChanged
        file.seek(known.offset)
        rest = b""
        while block := file.read(READ_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                _count(line, sums, path, strict=strict)
        # A last line without line feed is being written or was cut off by a crash.
        sums.files[path.name] = _ReadOffset(state.st_ino, file.tell() - len(rest))


def _count(line: bytes, sums: DaySums, path: Path, *, strict: bool) -> None:
    try:
        sums.add(line)
    except (KeyError, TypeError, ValueError) as error:
        if strict:
            raise _FileChanged from error
        log.warning("audit_line_unreadable", file=path.name, error=repr(error))


def _figures(day: str, sums: DaySums) -> dict[str, Any]:
    total = sums.successes + sums.failures
    figures: dict[str, Any] = {"date": day, "total_predictions": total}
    if total == 0:
        figures["message"] = "Aucune prédiction pour cette date"
    return figures | {
        "successful_predictions": sums.successes,
        "failed_predictions": sums.failures,
        "cache_hits": sums.cache_hits,
        "cache_hit_rate": round(100 * sums.cache_hits / total, 2) if total else 0.0,
        "average_price": round(sums.price_sum / sums.successes, 2) if sums.successes else 0.0,
        "min_price": sums.price_min if sums.successes else 0.0,
        "max_price": sums.price_max,
        "average_response_time_ms": round(sums.response_ms_sum / total, 2) if total else 0.0,
        "model_versions": dict(sums.versions),
    }
