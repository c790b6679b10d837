"""Exemplars: the last trace that was observed in each bucket of a histogram of latencies.

The library keeps none in its files that processes share, so each process keeps its own, and writes
them beside those files (docs/adr/0174).
"""

import math
import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from shared.metric_files import FOLDER_VARIABLE

MAX_KEPT: Final = 4096
"""Buckets with an exemplar in one process."""

KEPT_S: Final = 3600.0
"""An exemplar is shown for this long."""

WRITE_INTERVAL_S: Final = 1.0

TRACE_ID_CHARS: Final = 32
"""Prometheus refuses all metrics of a process if one of them has a long exemplar."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""
Key: TypeAlias = tuple[str, Labels, float]
"""Name of the histogram, labels, and upper bound of the bucket."""

log = structlog.get_logger("carprice.tracing")


class Observed(NamedTuple):
    """What is kept of an observation."""

    trace_id: str
    value: float
    at: float
    """Unix time, seconds."""


class Exemplars:
    """The exemplars of this process, and the file in which other processes find them."""

    def __init__(self) -> None:
        self._kept: dict[Key, Observed] = {}
        self._is_changed = False
        self._written_at = 0.0
        self._has_told = False
        """Whether the log says already that something was left out."""
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._kept = {}

    def note(
        self, histogram: str, bounds: Iterable[float], labels: Labels, value: float, trace_id: str
    ) -> None:
        """Keep the trace of an observation, if there is space for its bucket.

        Args:
            histogram: name of the metric.
            bounds: upper bounds of its buckets, without infinity.
            labels: see `Labels`.
            value: what was observed.
            trace_id: of the trace.
        """
        ordered = tuple(bounds)
        at = bisect_left(ordered, value)
        key = (histogram, labels, ordered[at] if at < len(ordered) else float("inf"))
        if key in self._kept or len(self._kept) < MAX_KEPT:
            self._kept[key] = Observed(trace_id, value, time.time())
            self._is_changed = True

    def write(self) -> None:
        """Write the file, if that is due; a disk that does not take it is no failure."""
        folder = os.environ.get(FOLDER_VARIABLE)
        now = time.monotonic()
        if not folder or not self._is_changed or now - self._written_at < WRITE_INTERVAL_S:
            return
        self._is_changed, self._written_at = False, now
        # Infinity is null in JSON.
        rows = [[*key, *observed] for key, observed in list(self._kept.items())]
        path = Path(folder) / f"exemplars-{os.getpid()}.json"
        try:
            new = path.with_suffix(".new")
            new.write_bytes(orjson.dumps(rows))
            new.rename(path)
        except OSError:
            self._is_changed = True

    def of_host(self) -> dict[Key, Observed]:
        """The newest exemplars of all processes of this host."""
        since = time.time() - KEPT_S
        found = dict(self._kept)
        for key, observed in self._of_files(os.environ.get(FOLDER_VARIABLE), since):
            if key not in found or found[key].at < observed.at:
                found[key] = observed
        return {key: each for key, each in found.items() if each.at >= since}

    def _of_files(self, folder: str | None, since: float) -> Iterator[tuple[Key, Observed]]:
        """What processes have written; files of processes that ended long ago are deleted.

        What cannot be read is left out: the metrics are worth more than their exemplars.
        """
        for path in Path(folder).glob("exemplars-*.json") if folder else ():
            try:
                if path.stat().st_mtime < since:
                    path.unlink()
                    continue
                rows = orjson.loads(path.read_bytes())
            except OSError:  # its process may have ended
                continue
            except ValueError:
                rows = None
            read = [_read_row(each) for each in rows] if isinstance(rows, list) else [None]
            if None in read:
                self._tell_once(path.name)
            yield from (each for each in read if each is not None)

    def _tell_once(self, file: str) -> None:
        """Note in the log that exemplars are left out; each scrape would repeat it."""
        if not self._has_told:
            self._has_told = True
            log.debug("exemplars_unreadable", file=file)


def _read_row(row: Any) -> tuple[Key, Observed] | None:
    """An exemplar of a file; None if it has not the form in which `Exemplars.write` writes it."""
    try:
        name, pairs, bound, trace_id, *numbers = row
        labels = tuple((label, text) for label, text in pairs)
        value, at = map(float, numbers)
        key = (name, labels, float("inf") if bound is None else float(bound))
    except (TypeError, ValueError):
        return None
    texts = [name, trace_id, *(text for pair in labels for text in pair)]
    if not all(isinstance(text, str) for text in texts) or len(trace_id) > TRACE_ID_CHARS:
        return None
    return (key, Observed(trace_id, value, at)) if math.isfinite(at) else None


class _WithExemplars(Collector):
    """The metrics of registries, whose buckets name traces."""

    def __init__(
        self, registries: Iterable[CollectorRegistry], exemplars: Mapping[Key, Observed]
    ) -> None:
        self._registries = registries
        self._exemplars = exemplars

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        names = {name for name, _, _ in self._exemplars}
        for registry in self._registries:
            for metric in registry.collect():
                if metric.name in names:
                    metric.samples = [self._completed(metric.name, each) for each in metric.samples]
                yield metric

    def _completed(self, name: str, sample: Sample) -> Sample:
        if not sample.name.endswith("_bucket"):
            return sample
        labels = tuple(sorted((key, text) for key, text in sample.labels.items() if key != "le"))
        found = self._exemplars.get((name, labels, float(sample.labels["le"])))
        if found is None:
            return sample
        exemplar = Exemplar({"trace_id": found.trace_id}, found.value, found.at)
        return sample._replace(exemplar=exemplar)


def accepts_openmetrics(accept: str) -> bool:
    """Whether a client prefers the format that has exemplars, as Prometheus does."""
    return OPENMETRICS.partition(";")[0] in accept


def openmetrics(
    registries: Iterable[CollectorRegistry], exemplars: Mapping[Key, Observed]
) -> bytes:
    """The metrics of registries in the format OpenMetrics, with exemplars."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_WithExemplars(registries, exemplars))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text
