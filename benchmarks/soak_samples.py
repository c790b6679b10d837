"""What a soak looks at every few seconds, and whether it stays as it is."""

import collections
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import Program
from shared.adapters.redis_client import RedisClient

KINDS = {
    "broker": "carprice-broker",
    "cache": "carprice-cache",
    "interactive worker": "--queues interactive",
    "bulk worker": "--queues bulk",
    "beat": " beat ",
    "flower": " flower ",
    "api": "granian",
}
JUDGED_SHARE = 0.5
"""The last part of a soak is judged: before it, caches and pools fill."""
ALLOWED_SHARE = 0.03
"""A line may rise by this share of its mean …"""
ALLOWED_RISE = {"MB": 1.5, "": 3.0}
"""… or by so much, whatever is more: what is measured jumps by pages, and by who is connected."""

GROWING = {
    "broker server: keys",
    "broker server: data MB",
    "broker: memory MB",
    "flower: memory MB",
}
SCAN_STEP, FOR_EVER = 1_000, -1

Sample = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measured quantity over the judged part of a soak."""

    name: str
    unit: str
    first: float
    last: float
    rise: float
    """Of the fitted straight line, from its beginning to its end."""
    per_hour: float
    is_flat: bool | None
    """None: it is meant to grow."""


def sample_processes(program: Program) -> Sample:
    """Memory, threads and open files of each kind of process, added up."""
    found: dict[str, float] = collections.defaultdict(float)
    for process in program.family():
        try:
            kind = kind_of(" ".join(process.cmdline()))
            found[f"{kind}: memory MB"] += process.memory_info().rss / 1e6
            found[f"{kind}: threads"] += process.num_threads()
            found[f"{kind}: open files"] += process.num_fds()
        except psutil.Error:
            continue
    return dict(found)


def sample_server(name: str, client: RedisClient) -> Sample:
    """Memory and keys of a Redis server; lasting keys are those that never expire."""
    info = client.info()
    space = info.get("db0", {"keys": 0, "expires": 0})
    return {
        f"{name} server: data MB": info["used_memory_dataset"] / 1e6,
        f"{name} server: keys": space["keys"],
        f"{name} server: lasting keys": space["keys"] - space["expires"],
        f"{name} server: clients": info["connected_clients"],
    }


def sample_lasting(client: RedisClient) -> Sample:
    """Members of the collections that never expire: a leak can hide in one key."""
    sizes: Mapping[bytes, Any] = {
        b"list": client.llen,
        b"zset": client.zcard,
        b"set": client.scard,
        b"hash": client.hlen,
    }
    keys = list(client.scan_iter(count=SCAN_STEP))
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.ttl(key)
    lasting = [key for key, ttl in zip(keys, pipeline.execute(), strict=True) if ttl == FOR_EVER]
    members = sum(sizes.get(client.type(key), lambda _: 1)(key) for key in lasting)
    return {"broker server: members of lasting keys": members}


def sample_disk(folder: Path) -> Sample:
    """Size of the audit log."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"audit log: size MB (grows)": size / 1e6}


def judge(samples: Sequence[tuple[float, Sample]]) -> list[Line]:
    """Hold each quantity's last part against a level line.

    Args:
        samples: times in seconds, and what was found then.
    """
    begin_s = samples[0][0] + (1 - JUDGED_SHARE) * (samples[-1][0] - samples[0][0])
    judged = [(at, sample) for at, sample in samples if at >= begin_s]
    names = sorted({name for _, sample in judged for name in sample})
    return [_line(name, [(at, one[name]) for at, one in judged if name in one]) for name in names]


def _line(name: str, points: Sequence[tuple[float, float]]) -> Line:
    times, values = zip(*points, strict=True)
    span_s = times[-1] - times[0]
    slope = statistics.linear_regression(times, values).slope if span_s > 0 else 0.0
    rise = slope * span_s
    unit = "MB" if " MB" in name else ""
    allowed = max(ALLOWED_SHARE * statistics.fmean(values), ALLOWED_RISE[unit])
    return Line(
        name=name.replace(" MB", ""),
        unit=unit,
        first=values[0],
        last=values[-1],
        rise=rise,
        per_hour=3600 * slope,
        is_flat=None if _is_meant_to_grow(name) else rise <= allowed,
    )


def _is_meant_to_grow(name: str) -> bool:
    """The log does; so do claims, which live for 20 minutes, and what Flower shows of tasks."""
    return "(grows)" in name or name in GROWING


def kind_of(command: str) -> str:
    """The kind of a process of the service, by its command line."""
    return next((kind for kind, mark in KINDS.items() if mark in command), "supervisor")


def merged(samples: Iterable[Sample]) -> Sample:
    """Several looks at one moment."""
    return {name: value for sample in samples for name, value in sample.items()}
