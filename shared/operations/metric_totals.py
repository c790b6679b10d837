"""Totals of the counters of this host, read from the metric files of its processes.

Only the few counters that operators look at are read: adding up all of them, as `/metrics` does,
takes ten times as long.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from prometheus_client.mmap_dict import MmapedDict

REQUESTS = "http_requests_total"
DURATIONS = "http_request_duration_seconds_bucket"
COUNTERS = {
    "predictions_total": "valuations",
    "cache_hits_total": "cache_hits",
    "cache_misses_total": "cache_misses",
    "batch_rows_total": "rows",
}
"""Counters that are added up over their labels, with the names of their totals."""

FIRST_SERVER_ERROR = "500"
DAMAGE = (OSError, ValueError, TypeError, LookupError, RuntimeError, struct.error)
"""What reading a damaged file raises."""


class SampleKey(NamedTuple):
    """What a value in a metric file belongs to."""

    name: str
    endpoint: str = ""
    status: str = ""
    bound_s: float = 0.0
    """Upper bound of a bucket."""


class Totals(NamedTuple):
    """Sums since the service was started."""

    counts: Mapping[str, float]
    """By the names in `COUNTERS`, and `requests` and `errors` (status 500 and above)."""
    requests: Mapping[str, float]
    """By endpoint."""
    durations: Mapping[str, Mapping[float, float]]
    """By endpoint: requests by the upper bound of their bucket, seconds, each counted once."""


def read_totals(folder: Path) -> Totals:
    """Add up the counters in a folder of metric files; those of a damaged file are left out."""
    counts: Counter[str] = Counter(dict.fromkeys([*COUNTERS.values(), "requests", "errors"], 0))
    requests: Counter[str] = Counter()
    durations: dict[str, Counter[float]] = {}
    for key, value in _samples(folder):
        if key.name in COUNTERS:
            counts[COUNTERS[key.name]] += value  # type: ignore[assignment] # Counter of numbers
        elif key.name == REQUESTS:
            requests[key.endpoint] += value  # type: ignore[assignment]
            counts["requests"] += value  # type: ignore[assignment]
            if key.status >= FIRST_SERVER_ERROR:
                counts["errors"] += value  # type: ignore[assignment]
        else:
            buckets = durations.setdefault(key.endpoint, Counter())
            buckets[key.bound_s] += value  # type: ignore[assignment]
    return Totals(counts, requests, durations)


def _samples(folder: Path) -> Iterator[tuple[SampleKey, float]]:
    """The values that are wanted, of all files."""
    for path in folder.glob("[ch]*.db"):  # counter_*.db and histogram_*.db
        try:
            values = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
            found = [(_parse_key(text), value) for text, value, *_ in values]
        except DAMAGE:  # it is being made, or damaged
            continue
        yield from ((key, value) for key, value in found if key is not None)


@lru_cache(maxsize=4096)
def _parse_key(text: str) -> SampleKey | None:
    """The key of a value; None if nobody asks for it."""
    _family, sample, labels, _help = json.loads(text)
    if sample in COUNTERS:
        return SampleKey(sample)
    if sample == REQUESTS:
        return SampleKey(sample, labels["endpoint"], labels["status"])
    if sample == DURATIONS:
        return SampleKey(sample, labels["endpoint"], bound_s=float(labels["le"]))
    return None
