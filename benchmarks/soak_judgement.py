"""Whether what a soak has looked at stays as it is, and within its limits."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celery.events.state import State

from benchmarks.soak_samples import PROCFILE, Sample
from shared.redis.jobs import TOMBSTONE_TTL_FACTOR
from shared.settings import Settings

JUDGED_SHARE = 0.5
"""The last part of a soak is judged: before it, caches and pools fill."""
MIN_SAMPLES = 10
ALLOWED_SHARE, ALLOWED_TRAFFIC_SHARE = 0.03, 0.2
"""A line may rise by this share of its mean, or by that one if it follows how many requests come,
which the machine decides; what is left behind by each request rises by much more …"""
ALLOWED_RISE = {"MB": 1.5, "": 3.0}
"""… or by so much, whatever is more: what is measured jumps by pages, and by who is connected."""
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
"""What is stored for a day otherwise expires within the soak, so that a level can be seen."""
MAX_TTL_S = TOMBSTONE_TTL_FACTOR * RETENTION_S
"""After it, the oldest of the other keys expire: ids of jobs that have been forgotten."""

_max_tasks = re.search(r"--max_tasks=(\d+)", PROCFILE["flower"])
FLOWER_WARM_EVENTS = 2 * State.heap_multiplier * int(_max_tasks.group(1) if _max_tasks else 10_000)
"""Flower holds so many tasks, and so many times more events; then the oldest go. As many again come
before its memory, which it writes to disk every minute, has all the room that this takes."""

API_THREADS = "api: threads (pool)"
NEW_THREAD_S = 60.0
"""So long a new thread takes its memory bit by bit."""
MAX_API_THREADS = Settings().api_threads + 32
"""Those that work on requests, made when they are needed, and the servers' own."""

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
    "supervisor: largest own MB": 60,
}
"""What one process may hold for itself at any time. The broker's file is written anew at 64 MB, the
cache evicts at 128 MB."""


@dataclass(frozen=True, kw_only=True)
class TrendLine:
    """One measured quantity over the judged part of a soak."""

    name: str
    unit: str
    first: float
    last: float
    rise: float
    """Of the fitted straight line, from its beginning to its end."""
    per_hour: float
    is_flat: bool | None
    """None: it is not judged."""
    remark: str = ""
    """Why it is not."""


@dataclass(frozen=True, kw_only=True)
class LimitCheck:
    """The largest value of a quantity in all of a soak, and its limit."""

    name: str
    unit: str
    value: float
    at_most: float | None = None
    """None: it has none of its own."""

    @property
    def holds(self) -> bool | None:
        """Whether it is within its limit."""
        return None if self.at_most is None else self.value <= self.at_most


def judge(samples: Sequence[tuple[float, Sample]]) -> list[TrendLine]:
    """Hold each quantity's last part against a level line.

    Args:
        samples: times in seconds since the beginning, and what was found then.
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
    """Each thread takes memory, and the API makes them when they are needed."""
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
    """The largest values, and those limits that follow from what was asked.

    Args:
        samples: everything found; the last of them after the last answer.
        requests: how many requests there were.
        asked: the same by kind.
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
