"""The samples of a soak: processes, both Redis servers, Flower and the audit log."""

import collections
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import ROOT, Program, private_mb
from launcher.procfile import read_procfile
from shared.redis.batch_ledger.ledger import ENDED_TTL_S
from shared.redis.connections import RedisClient
from shared.redis.keys import PREFIX
from worker.valuations.claims import DONE_TTL_S

PROCFILE = read_procfile(ROOT / "Procfile")
_api_module = re.search(r"\bapi\.[\w.:]+", PROCFILE["api"])
KINDS = {
    "broker": "carprice-broker",
    "cache": "carprice-cache",
    "flush": "launcher.broker_flush",
    "interactive worker": "--queues interactive",
    "bulk worker": "--queues bulk",
    "beat": " beat ",
    "flower": " flower ",
    "webhooks": "api.webhooks.main",
    "api": _api_module.group() if _api_module else "granian",
}
LONG_TTL_FAMILIES = {"audit-claim": ("claims", DONE_TTL_S), "batch": ("ended batches", ENDED_TTL_S)}
"""Families of keys that are kept longer than a soak: their names and times to live, seconds."""
SIZE_SAMPLE_KEYS = 100
"""Number of keys of a family whose mean memory stands for all of them."""
KEY_OVERHEAD_BYTES = 48
"""Memory of a key in the server's tables of keys and of expiry times, which MEMORY USAGE omits."""
KEPT_MB = "broker server: claims and ended batches MB (kept)"
SCAN_STEP, NO_EXPIRY = 1_000, -1
FLOWER_EVENT = re.compile(r"^flower_events_total\{.*\} (\S+)$", re.MULTILINE)
FLOWER_TIMEOUT_S = 10.0

Sample = dict[str, float]


def sample_processes(program: Program) -> Sample:
    """Add up memory, threads and open files by kind of process, and find its largest process."""
    found: dict[str, float] = collections.defaultdict(float)
    for process in program.processes():
        try:
            kind = kind_of(" ".join(process.cmdline()))
            own, resident = private_mb(process.pid), process.memory_info().rss / 1e6
            found[f"{kind}: memory MB"] += own
            found[f"{kind}: threads"] += process.num_threads()
            found[f"{kind}: open files"] += process.num_fds()
        except psutil.Error:
            continue
        for measure, value in (("own", own), ("resident", resident)):
            largest = f"{kind}: largest {measure} MB"
            found[largest] = max(found[largest], value)
    return dict(found)


def sample_server(name: str, client: RedisClient) -> Sample:
    """Return memory and keys of a Redis server; lasting keys never expire."""
    info = client.info()
    space = info.get("db0", {"keys": 0, "expires": 0})
    return {
        f"{name} server: data MB": info["used_memory_dataset"] / 1e6,
        f"{name} server: keys": space["keys"],
        f"{name} server: lasting keys": space["keys"] - space["expires"],
        f"{name} server: clients": info["connected_clients"],
    }


def sample_broker(client: RedisClient) -> Sample:
    """Sample the broker; keys that are kept longer than a soak are counted separately."""
    all_of = sample_server("broker", client)
    families: dict[str, list[bytes]] = collections.defaultdict(list)
    for key in client.scan_iter(count=SCAN_STEP):
        families[family_of(key)].append(key)
    kept = {name: families.pop(family, []) for family, (name, _) in LONG_TTL_FAMILIES.items()}
    others = [key for keys in families.values() for key in keys]
    numbers = {f"broker server: {name} (kept)": len(keys) for name, keys in kept.items()}
    kept_mb = sum(_size_mb(client, keys) for keys in kept.values())
    aof_bytes = client.info("persistence").get("aof_current_size", 0)
    return {
        "broker server: lasting keys": all_of["broker server: lasting keys"],
        "broker server: clients": all_of["broker server: clients"],
        "broker server: other keys": len(others),
        "broker server: members of collections": _members(client, others),
        "broker server: other data MB": all_of["broker server: data MB"] - kept_mb,
        KEPT_MB: kept_mb,
        "broker server: largest file MB": aof_bytes / 1e6,
        **numbers,
    }


def family_of(key: bytes) -> str:
    """Return the first part of a key of the service; empty for the keys of Celery."""
    text = key.decode(errors="replace")
    return text.removeprefix(PREFIX).partition(":")[0] if text.startswith(PREFIX) else ""


def _size_mb(client: RedisClient, keys: Sequence[bytes]) -> float:
    """Estimate the memory of similar keys by the mean of some of them."""
    pipeline = client.pipeline(transaction=False)
    for key in islice(keys, SIZE_SAMPLE_KEYS):
        pipeline.memory_usage(key)
    sizes = [size for size in pipeline.execute() if size]
    return len(keys) * (sum(sizes) / len(sizes) + KEY_OVERHEAD_BYTES) / 1e6 if sizes else 0.0


def _members(client: RedisClient, keys: Sequence[bytes]) -> int:
    """Count the members of lists, sets and lasting hashes: a leak may be inside one key."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
        pipeline.ttl(key)
    found = pipeline.execute()
    sizes: Mapping[bytes, Any] = {
        b"list": client.llen,
        b"zset": client.zcard,
        b"set": client.scard,
    }
    count = 0
    for key, kind, ttl in zip(keys, found[::2], found[1::2], strict=True):
        if kind in sizes:
            count += sizes[kind](key)
        elif kind == b"hash" and ttl == NO_EXPIRY:
            count += client.hlen(key)
    return count


def sample_flower(url: str) -> Sample:
    """Return the number of events that Flower has received; nothing if it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=FLOWER_TIMEOUT_S) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError):  # busy: the next sample has the number
        return {}
    return {"flower: events (grows)": sum(map(float, FLOWER_EVENT.findall(text)))}


def sample_disk(folder: Path) -> Sample:
    """Return the size of the audit log."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"audit log: size MB (grows)": size / 1e6}


def kind_of(command: str) -> str:
    """Return the kind of a process of the service, by its command line."""
    return next((kind for kind, part in KINDS.items() if part in command), "supervisor")


def merged(samples: Iterable[Sample]) -> Sample:
    """Merge the samples of one moment.

    Keys that are kept longer than a soak are subtracted from the broker's memory. The API's threads
    are named as a pool, which is compared with a limit.
    """
    all_of = {name: value for sample in samples for name, value in sample.items()}
    if "api: threads" in all_of:
        all_of["api: threads (pool)"] = all_of.pop("api: threads")
    if "broker: memory MB" in all_of:
        all_of["broker: other memory MB"] = all_of.pop("broker: memory MB") - all_of[KEPT_MB]
    return all_of
