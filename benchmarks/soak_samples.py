"""What a soak looks at every few seconds: processes, both Redis servers, Flower, the log."""

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
from shared.redis.batches import ENDED_TTL_S
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
    "api": _api_module.group() if _api_module else "granian",
}
LONG_TTL_FAMILIES = {"audit-claim": ("claims", DONE_TTL_S), "batch": ("ended batches", ENDED_TTL_S)}
"""Families of keys that live longer than a soak lasts: their names, and for how many seconds."""
SIZE_SAMPLE_KEYS = 100
"""So many keys of a family tell how large one is …"""
KEY_OVERHEAD_BYTES = 48
"""… apart from its places in the server's tables of keys and of times to expire."""
KEPT_MB = "broker server: claims and ended batches MB (kept)"
SCAN_STEP, NO_EXPIRY = 1_000, -1
FLOWER_EVENT = re.compile(r"^flower_events_total\{.*\} (\S+)$", re.MULTILINE)
FLOWER_TIMEOUT_S = 10.0

Sample = dict[str, float]


def sample_processes(program: Program) -> Sample:
    """Memory, threads and open files of each kind of process, added up, and its largest process."""
    found: dict[str, float] = collections.defaultdict(float)
    for process in program.family():
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
    """Memory and keys of a Redis server; lasting keys are those that never expire."""
    info = client.info()
    space = info.get("db0", {"keys": 0, "expires": 0})
    return {
        f"{name} server: data MB": info["used_memory_dataset"] / 1e6,
        f"{name} server: keys": space["keys"],
        f"{name} server: lasting keys": space["keys"] - space["expires"],
        f"{name} server: clients": info["connected_clients"],
    }


def sample_broker(client: RedisClient) -> Sample:
    """The broker, apart from what is kept for longer than a soak lasts; and that, in numbers."""
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
    """The part of a key that says what it is about; empty for those of the queue itself."""
    text = key.decode(errors="replace")
    return text.removeprefix(PREFIX).partition(":")[0] if text.startswith(PREFIX) else ""


def _size_mb(client: RedisClient, keys: Sequence[bytes]) -> float:
    """Memory of many keys that are alike, by the mean of some."""
    pipeline = client.pipeline(transaction=False)
    for key in islice(keys, SIZE_SAMPLE_KEYS):
        pipeline.memory_usage(key)
    sizes = [size for size in pipeline.execute() if size]
    return len(keys) * (sum(sizes) / len(sizes) + KEY_OVERHEAD_BYTES) / 1e6 if sizes else 0.0


def _members(client: RedisClient, keys: Sequence[bytes]) -> int:
    """Members of all collections, and of hashes that never expire: a leak can hide in one key."""
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
    """How many events Flower has got."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=FLOWER_TIMEOUT_S) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError):  # it is busy: the next look will tell
        return {}
    return {"flower: events (grows)": sum(map(float, FLOWER_EVENT.findall(text)))}


def sample_disk(folder: Path) -> Sample:
    """Size of the audit log."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"audit log: size MB (grows)": size / 1e6}


def kind_of(command: str) -> str:
    """The kind of a process of the service, by its command line."""
    return next((kind for kind, mark in KINDS.items() if mark in command), "supervisor")


def merged(samples: Iterable[Sample]) -> Sample:
    """Several looks at one moment.

    The broker's process stands apart from what it keeps for long, the API's threads are a pool.
    """
    all_of = {name: value for sample in samples for name, value in sample.items()}
    if "api: threads" in all_of:
        all_of["api: threads (pool)"] = all_of.pop("api: threads")
    if "broker: memory MB" in all_of:
        all_of["broker: other memory MB"] = all_of.pop("broker: memory MB") - all_of[KEPT_MB]
    return all_of
