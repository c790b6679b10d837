"""Evaluates the samples of a soak: trends and limits."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celery.events.state import State

from benchmarks.soak_samples import PROCFILE, Sample
from shared.domain.job import TOMBSTONE_TTL_FACTOR
from shared.settings import Settings

JUDGED_SHARE = 0.5
"""Share of the soak, at its end, that is judged; caches and pools fill before it."""
MIN_SAMPLES = 10
ALLOWED_SHARE, ALLOWED_TRAFFIC_SHARE = 0.03, 0.2
"""Allowed rise as a share of the mean; the second one for quantities that follow the number of
requests, which depends on the machine. A leak per request rises by much more."""
ALLOWED_RISE = {"MB": 1.5, "": 3.0}
"""Allowed rise by unit, if it is larger than the share: memory grows by pages, and the number of
connections varies."""
FOLLOWS_TRAFFIC = {
    "broker server: other keys",
    "broker server: members of collections",
    "broker server: other data MB",
    "cache server: keys",
    "cache server: data MB",
}

RETENTION_S = 30
SHORT_RETENTION_ENV = {
    "JOB_RETENTION_S": str(RETENTION_S),
    "BATCH_RETENTION_S": str(RETENTION_S),
    "CACHE_TTL_S": str(2 * RETENTION_S),
}
"""Settings that let keys expire within the soak (by default after a day), so that a steady state is
reached."""
MAX_TTL_S = TOMBSTONE_TTL_FACTOR * RETENTION_S
"""Longest time to live of these keys: that of the tombstones of expired jobs."""

_max_tasks = re.search(r"--max_tasks=(\d+)", PROCFILE["flower"])
FLOWER_WARM_EVENTS = 2 * State.heap_multiplier * int(_max_tasks.group(1) if _max_tasks else 10_000)
"""Number of events after which Flower's memory is steady: twice the events that it keeps, because
it also needs memory to write them to disk every minute."""

API_THREADS = "api: threads (pool)"
NEW_THREAD_S = 60.0
"""Time in which a new thread fills its memory."""
MAX_API_THREADS = Settings().api_threads + 32
"""Flask's threads, which are created when they are needed, and those of the server."""

LIMITS_MB = {
    "api: largest own MB": 120,
    "interactive worker: largest own MB": 200,
    "bulk worker: largest own MB": 200,
    "flower: largest own MB": 250,
    "broker: largest own MB": 100,
    "broker server: largest file MB": 150,
    "cache: largest own MB": 160,
    "flush: largest own MB": 60,
    "beat: largest own MB": 100,
    "webhooks: largest own MB": 100,
    "supervisor: largest own MB": 60,
}
"""Largest private memory of one process at any time. The broker's append-only file is rewritten at
64 MB; the cache evicts at 128 MB."""


@dataclass(frozen=True, kw_only=True)
class TrendLine:
    """One measured quantity over the judged part of a soak."""

    name: str
    unit: str
    first: float
    last: float
    rise: float
    """Rise of the fitted straight line from its beginning to its end."""
    per_hour: float
    is_flat: bool | None
    """None: it is not judged."""
    remark: str = ""
    """The reason why it is not judged."""


@dataclass(frozen=True, kw_only=True)
class LimitCheck:
    """The largest value of a quantity during a soak, and its limit."""

    name: str
    unit: str
    value: float
    at_most: float | None = None
    """None: it has no limit."""

    @property
    def holds(self) -> bool | None:
        """Whether the value is within the limit; None without a limit."""
        return None if self.at_most is None else self.value <= self.at_most


def judge(samples: Sequence[tuple[float, Sample]]) -> list[TrendLine]:
    """Fit a line to the last part of each quantity and judge its rise.

    Args:
        samples: times in seconds since the start, and the samples taken then.
    """
    half_s = (1 - JUDGED_SHARE) * samples[-1][0]
    names = sorted({name for _, sample in samples for name in sample if ": largest " not in name})
    settled_s = {
        "flower: memory MB": _time_when_flower_settles(samples),
        "api: memory MB": _time_when_threads_settle(samples),
    } | dict.fromkeys(FOLLOWS_TRAFFIC, float(MAX_TTL_S))
    lines = []
    for name in names:
        begin_s = max(half_s, settled_s.get(name, 0.0))
        points = [(at, one[name]) for at, one in samples if name in one]
        judged = [point for point in points if point[0] >= begin_s]
        is_too_short = begin_s > half_s and len(judged) < MIN_SAMPLES
        lines.append(_line(name, points if is_too_short else judged, is_too_short=is_too_short))
    return lines


def _time_when_flower_settles(samples: Sequence[tuple[float, Sample]]) -> float:
    found = (
        at for at, one in samples if one.get("flower: events (grows)", 0.0) >= FLOWER_WARM_EVENTS
    )
    return next(found, float("inf"))


def _time_when_threads_settle(samples: Sequence[tuple[float, Sample]]) -> float:
    """Return when the API has created its last thread, plus the time that a thread takes memory."""
    counts = [(at, one[API_THREADS]) for at, one in samples if API_THREADS in one]
    most = max((count for _, count in counts), default=0.0)
    made_s = next((at for at, count in counts if count == most), 0.0)
    return made_s + NEW_THREAD_S if made_s else 0.0


def _line(name: str, points: Sequence[tuple[float, float]], *, is_too_short: bool) -> TrendLine:
    times, values = zip(*points, strict=True)
    span_s = times[-1] - times[0]
    slope = statistics.linear_regression(times, values).slope if span_s > 0 else 0.0
    rise = slope * span_s
    unit = "MB" if " MB" in name else ""
    share = ALLOWED_TRAFFIC_SHARE if name in FOLLOWS_TRAFFIC else ALLOWED_SHARE
    allowed = max(share * statistics.fmean(values), ALLOWED_RISE[unit])
    remark = _remark(name, is_too_short=is_too_short)
    return TrendLine(
        name=name.replace(" MB", "").partition(" (")[0],
        unit=unit,
        first=values[0],
        last=values[-1],
        rise=rise,
        per_hour=3600 * slope,
        is_flat=None if remark else rise <= allowed,
        remark=remark,
    )


def _remark(name: str, *, is_too_short: bool) -> str:
    if "(grows)" in name:
        return "meant to grow"
    if "(kept)" in name or "(pool)" in name:
        return "held against a limit"
    return "the soak was too short" if is_too_short else ""


def limit_checks(
    samples: Sequence[Sample], requests: int, asked: Mapping[str, int]
) -> list[LimitCheck]:
    """Compare the largest values with their limits, some of which follow from the requests.

    Args:
        samples: all samples; the last one was taken after the last answer.
        requests: number of requests.
        asked: number of requests by kind.
    """
    names = sorted({name for sample in samples for name in sample if ": largest " in name})
    largest = [
        LimitCheck(
            name=name.replace(" MB", ""),
            unit="MB",
            value=max(sample.get(name, 0.0) for sample in samples),
            at_most=LIMITS_MB.get(name),
        )
        for name in names
    ]
    last = samples[-1]
    most = {"claims": requests, "ended batches": asked.get("batch", 0)}
    kept = [
        LimitCheck(
            name=f"broker server: {name}, at the end",
            unit="",
            value=last[f"broker server: {name} (kept)"],
            at_most=at_most,
        )
        for name, at_most in most.items()
    ]
    threads = LimitCheck(
        name="api: threads",
        unit="",
        value=max(sample.get(API_THREADS, 0.0) for sample in samples),
        at_most=MAX_API_THREADS,
    )
    return [*largest, threads, *kept]
