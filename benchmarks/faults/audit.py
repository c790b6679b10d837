"""Reads what the service has appended to its audit log since the last look."""

import collections
import json
from pathlib import Path

from benchmarks.faults.load import JOBS_CC
from benchmarks.faults.work import Answer


class AuditReader:
    """Counts the records of each id; each call of `read` goes on where the last one ended.

    Args:
        folder: folder of the log, as this process sees it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: collections.Counter[str] = collections.Counter()
        self.answered: dict[str, Answer] = {}
        """Car and price of each record, except those of batches."""
        self.sales: collections.Counter[str] = collections.Counter()
        self.cars_of_jobs: dict[tuple[int, float], set[str]] = collections.defaultdict(set)
        """Ids by car, of cars that were submitted once, in jobs."""
        self._offsets: dict[str, int] = {}

    def read(self) -> None:
        """Count the complete lines that are new."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path.name, 0))
                block = file.read()
            end = block.rfind(b"\n") + 1
            self._offsets[path.name] = self._offsets.get(path.name, 0) + end
            is_sales = path.name.startswith("outcomes")
            is_batch = ".batch-" in path.name
            for line in block[:end].splitlines():
                if is_sales:
                    self.sales[json.loads(line)["id"]] += 1
                elif is_batch:
                    self.answers[line.split(b'"', 4)[3].decode()] += 1
                else:
                    self._count(json.loads(line))

    def _count(self, record: dict[str, object]) -> None:
        identity = str(record["id"])
        self.answers[identity] += 1
        features = record.get("features")
        if isinstance(features, dict):
            price = record.get("price_mad")
            self.answered[identity] = Answer(
                features.get("km_driven"),
                features.get("engine_cc"),
                price if isinstance(price, float) else None,
            )
        if isinstance(features, dict) and (features.get("engine_cc") or 0) >= JOBS_CC:
            self.cars_of_jobs[features["km_driven"], features["engine_cc"]].add(identity)

    def valued_twice(self) -> int:
        """Cars of jobs that have answers under more than one id."""
        return sum(len(ids) - 1 for ids in self.cars_of_jobs.values())
