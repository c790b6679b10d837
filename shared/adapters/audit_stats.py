"""Figures of one day of the audit log, read once and then only what has been added."""

import dataclasses
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from shared.adapters.jsonl_audit import FILE_PATTERN

READ_BYTES = 1 << 20
KEEP_DAYS = 8
"""Days whose sums stay in memory."""


@dataclasses.dataclass(slots=True)
class DaySums:
    """Running sums over the records of one day."""

    offsets: dict[str, int] = dataclasses.field(default_factory=dict)
    """How far each file has been read, in bytes."""
    successes: int = 0
    failures: int = 0
    cache_hits: int = 0
    price_sum: float = 0.0
    price_min: float = float("inf")
    price_max: float = 0.0
    response_ms_sum: float = 0.0
    versions: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, record: dict[str, Any]) -> None:
        """Count one record."""
        self.response_ms_sum += record["response_time_ms"]
        self.cache_hits += record["cached"]
        if record["status"] != "success":
            self.failures += 1
            return
        price_mad = record["price_mad"]
        self.successes += 1
        self.price_sum += price_mad
        self.price_min = min(self.price_min, price_mad)
        self.price_max = max(self.price_max, price_mad)
        self.versions[record["model_version"]] += 1


class AuditStats:
    """Answers `/predictions/stats` from the audit log.

    Args:
        folder: the audit log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._days: dict[str, DaySums] = {}

    def of_day(self, day: str) -> dict[str, Any]:
        """The figures of one UTC day (`YYYY-MM-DD`), under the reference API's names."""
        with self._lock:
            sums = self._days.setdefault(day, DaySums())
            for path in sorted(self._folder.glob(f"predictions_{day}.*.jsonl")):
                if FILE_PATTERN.fullmatch(path.name):
                    _read_on(path, sums)
            for old in sorted(self._days)[:-KEEP_DAYS]:
                del self._days[old]
            return _figures(day, sums)


def _read_on(path: Path, sums: DaySums) -> None:
    """Count the complete lines that were added since the last time."""
    offset = sums.offsets.get(path.name, 0)
    if path.stat().st_size <= offset:
        return
    with path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while block := file.read(READ_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                sums.add(orjson.loads(line))
        # A line without its end is still being written, or was torn by a crash.
        sums.offsets[path.name] = file.tell() - len(rest)


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
