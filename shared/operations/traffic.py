"""Throughput, latencies and cache hits of the last minutes, as differences of totals.

Totals are taken while somebody looks, and kept for a quarter of an hour.
"""

import dataclasses
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shared.operations.metric_totals import Totals

WINDOW_S = 300.0
"""The figures are of the last five minutes, or of the time since somebody looks."""

KEPT_S = 900.0
POINT_S = 10.0
"""Shortest time between two points of a plot."""

MAX_ENDPOINTS = 8
PREDICT = "/predict"


class Sample(NamedTuple):
    """Totals at a time, monotonic seconds."""

    at: float
    totals: Totals


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EndpointTraffic:
    """The requests of one route."""

    endpoint: str
    per_s: float
    p50_s: float | None
    """Median of the time to answer, seconds; None without requests."""
    p95_s: float | None


class TrafficPoint(NamedTuple):
    """What happened between two samples."""

    ago_s: float
    """How long ago it ended."""
    per_s: float
    """Requests in a second."""
    p95_s: float | None
    """Of single cars."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What the service did in the last minutes."""

    span_s: float
    """The time that the figures are about, seconds."""
    requests_per_s: float
    errors_per_s: float
    """Answers with status 500 and above."""
    valuations_per_s: float
    rows_per_s: float
    """Rows of files."""
    cache_hit_ratio: float | None
    """Cars that were answered from the cache, 0 to 1; None without cars."""
    p50_s: float | None
    """Median of the time to answer a single car, seconds; None without any."""
    p95_s: float | None
    endpoints: Sequence[EndpointTraffic]
    """Those with most requests."""
    points: Sequence[TrafficPoint]
    """The oldest first."""


class TrafficRing:
    """Keeps the totals of the last minutes. Not for use by several threads."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, at: float, totals: Totals) -> None:
        """Add the totals of now; forget those that are too old."""
        self._samples.append(Sample(at, totals))
        while self._samples[0].at < at - KEPT_S:
            self._samples.popleft()

    def traffic(self) -> Traffic | None:
        """The figures up to the last sample; None before the second one."""
        if len(self._samples) < 2:  # noqa: PLR2004 - of a difference
            return None
        last = self._samples[-1]
        first = next(each for each in self._samples if each.at >= last.at - WINDOW_S)
        if first is last:  # nobody has looked for a while
            first = self._samples[-2]
        return _traffic(first, last, _points(self._samples))


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The time within which a share of the requests was answered, seconds; None without any.

    It is interpolated inside its bucket, as Prometheus does; beyond the last bound, it is that.

    >>> round(quantile({0.1: 5, 0.2: 5}, 0.75), 3)
    0.15
    """
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted, seen, low = share * total, 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count and seen + count >= wanted:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - seen) / count
        seen, low = seen + count, bound if bound != float("inf") else low
    return low


def _traffic(first: Sample, last: Sample, points: Sequence[TrafficPoint]) -> Traffic:
    span_s = max(last.at - first.at, 0.001)
    counts = _difference(first.totals.counts, last.totals.counts)
    requests = _difference(first.totals.requests, last.totals.requests)
    busiest = sorted(requests, key=requests.__getitem__, reverse=True)[:MAX_ENDPOINTS]
    looked_up = counts["cache_hits"] + counts["cache_misses"]
    single = _durations(first, last, PREDICT)
    return Traffic(
        span_s=span_s,
        requests_per_s=counts["requests"] / span_s,
        errors_per_s=counts["errors"] / span_s,
        valuations_per_s=counts["valuations"] / span_s,
        rows_per_s=counts["rows"] / span_s,
        cache_hit_ratio=counts["cache_hits"] / looked_up if looked_up else None,
        p50_s=quantile(single, 0.5),
        p95_s=quantile(single, 0.95),
        endpoints=[
            EndpointTraffic(
                endpoint=each,
                per_s=requests[each] / span_s,
                p50_s=quantile(_durations(first, last, each), 0.5),
                p95_s=quantile(_durations(first, last, each), 0.95),
            )
            for each in busiest
            if requests[each]
        ],
        points=points,
    )


def _points(samples: Iterable[Sample]) -> list[TrafficPoint]:
    """The points of a plot: differences of samples that are far enough apart."""
    chosen: list[Sample] = []
    *_, last = samples = list(samples)
    for each in reversed(samples):
        if not chosen or chosen[-1].at - each.at >= POINT_S:
            chosen.append(each)
    points = []
    for first, second in itertools.pairwise(reversed(chosen)):
        requests = _difference(first.totals.counts, second.totals.counts)["requests"]
        p95_s = quantile(_durations(first, second, PREDICT), 0.95)
        points.append(TrafficPoint(last.at - second.at, requests / (second.at - first.at), p95_s))
    return points


def _durations(first: Sample, last: Sample, endpoint: str) -> Counter[float]:
    empty: Mapping[float, float] = {}
    before, after = (each.totals.durations.get(endpoint, empty) for each in (first, last))
    return _difference(before, after)


def _difference(before: Mapping, after: Mapping) -> Counter:  # type: ignore[type-arg] # of any keys
    """What was added; a counter that became smaller was started again, and counts as a whole."""
    found: Counter = Counter()  # type: ignore[type-arg]
    for key, value in after.items():
        earlier = before.get(key, 0)
        found[key] = value - earlier if value >= earlier else value
    return found
