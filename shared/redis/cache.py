"""The result cache: estimates by model version, car and month, in Redis and in this process.

Intervals widen with the age of the data: an estimate is only found in the month it was made for.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import msgpack
import redis

from shared.domain.car import CarFeatures
from shared.domain.clock import Clock, current_month
from shared.domain.valuation import CachedEstimate, Estimate, Extra
from shared.logging import get_logger
from shared.metrics import CACHE_FAILURES
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, mget
from shared.redis.pipelines import Command, PipelinedCommands


class LocalEstimateCache:
    """Estimates in the memory of this process; the least recently used are dropped first.

    A hit takes 0.7 us, and 2.0 us by `cachetools.TLRUCache` (docs/adr/0093).

    Args:
        capacity: most estimates that are kept; 0: none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[float, Estimate]] = OrderedDict()
        self._hits = 0

    def __len__(self) -> int:
        """How many estimates are kept."""
        return len(self._entries)

    @property
    def hits(self) -> int:
        """How many estimates were found so far."""
        return self._hits

    def get(self, key: Hashable, now: float) -> tuple[float, Estimate] | None:
        """When an estimate expires (Unix time), and the estimate; None if it is not kept."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[0] <= now:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            self._hits += 1
        return entry

    def put(self, key: Hashable, expires_at: float, estimate: Estimate) -> None:
        """Keep an estimate until it expires or is the least recently used."""
        if self._capacity == 0:
            return
        with self._lock:
            self._entries[key] = (expires_at, estimate)
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)


CIRCUIT_OPEN_S = 1.0
"""How long a server that failed is not called: a dead one must not slow every request."""

CacheEntry: TypeAlias = tuple[CarFeatures, Sequence[Extra], Estimate]
CacheQuery: TypeAlias = tuple[str, CarFeatures, Sequence[Extra]]
"""Model version, car, extras."""

log = get_logger("cache")


class EstimateCache:
    """Estimates by model version, car and extras, in a Redis server of their own.

    While the server is down, reads find nothing and writes do nothing; both are counted, and
    logged once per outage. A valuation never fails because of the cache.

    Args:
        client: connection to the cache instance.
        ttl_s: how long an estimate stays valid.
        clock: the time of day.
        near_entries: how many estimates the local cache of this process keeps.
    """

    def __init__(
        self, client: RedisClient, ttl_s: int, clock: Clock, *, near_entries: int = 0
    ) -> None:
        self._client = client
        self._local_cache = LocalEstimateCache(near_entries)
        self._connections = ConnectionCache(client)
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._circuit_open_until = 0.0

    def get(
        self, model_version: str, car: CarFeatures, extras: Sequence[Extra]
    ) -> CachedEstimate | None:
        """The cached estimate, by at most one round trip; None if absent or the cache is down."""
        if not extras and (copy := self.get_local(model_version, car)) is not None:
            return copy
        return self.get_all([(model_version, car, extras)])[0]

    def get_local(self, model_version: str, car: CarFeatures) -> CachedEstimate | None:
        """The estimate without extras from the local cache; None if it is not there."""
        copy = self._local_cache.get((model_version, car), self._clock())
        if copy is None or copy[1].month not in {0, current_month()}:
            return None
        return self._hit(*copy)

    def get_all(self, wanted: Sequence[CacheQuery]) -> list[CachedEstimate | None]:
        """The estimates that the server has, by one round trip.

        They are added to the local cache, except those with extras, which are large.
        """
        if self._is_circuit_open():
            return [None] * len(wanted)
        try:
            month = current_month()
            names = [keys.estimate(*each, month).encode() for each in wanted]
            packed = mget(self._connections, names)
        except redis.RedisError as error:
            self._open_circuit("get", error)
            return [None] * len(wanted)
        return [
            None if each is None else self._read(one, each)
            for one, each in zip(wanted, packed, strict=True)
        ]

    def _read(self, wanted: CacheQuery, packed: bytes) -> CachedEstimate | None:
        """Read an entry; one that cannot be read counts as absent and will be overwritten."""
        model_version, car, extras = wanted
        try:
            expires_at, wire, *_ = msgpack.unpackb(packed)
            estimate = Estimate.from_wire(wire)
            hit = self._hit(expires_at, estimate)
        except Exception as error:  # noqa: BLE001 - whatever the bytes are
            CACHE_FAILURES.labels(operation="read").inc()
            log.warning("cache_entry_unreadable", error=repr(error))
            return None
        if not extras:
            self._local_cache.put((model_version, car), expires_at, estimate)
        return hit

    def _hit(self, expires_at: float, estimate: Estimate) -> CachedEstimate:
        return CachedEstimate(estimate, max(0, round(expires_at - self._clock())))

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Store estimates, in one round trip; does nothing while the cache is down."""
        with self.put_concurrently(entries):
            pass

    @contextmanager
    def put_concurrently(self, entries: Sequence[CacheEntry]) -> Iterator[None]:
        """Send estimates to the server, run the block, then wait for the response."""
        with ExitStack() as stack:
            sent = None
            if entries and not self._is_circuit_open():
                try:
                    sent = stack.enter_context(
                        PipelinedCommands(self._connections, *self._put_commands(entries))
                    )
                except redis.RedisError as error:
                    self._open_circuit("put", error)
            yield
            try:
                if sent is not None:
                    sent.responses()
            except redis.RedisError as error:
                self._open_circuit("put", error)

    def _put_commands(self, entries: Sequence[CacheEntry]) -> list[Command]:
        expires_at = self._clock() + self._ttl_s
        return [
            (
                "SET",
                keys.estimate(
                    estimate.model_version, car, extras, estimate.month or current_month()
                ),
                msgpack.packb([expires_at, estimate.to_wire()]),
                "EX",
                self._ttl_s,
            )
            for car, extras, estimate in entries
        ]

    def stats(self) -> dict[str, Any]:
        """Size, memory and hit rate, under the names that the reference API used.

        Hits are those of the server, for all processes, and those of the local cache.
        """
        try:
            info = self._client.info()
            size = self._client.dbsize()
        except redis.RedisError as error:
            return {"enabled": False, "error": type(error).__name__}
        near_hits = self._local_cache.hits
        hits, misses = info["keyspace_hits"] + near_hits, info["keyspace_misses"]
        return {
            "enabled": True,
            "total_predictions_cached": size,
            "memory_used_mb": round(info["used_memory"] / 1024**2, 3),
            "memory_max_mb": round(info.get("maxmemory", 0) / 1024**2, 3),
            "eviction_policy": info.get("maxmemory_policy", "unknown"),
            "evicted": info.get("evicted_keys", 0),
            "connected_clients": info["connected_clients"],
            "total_commands_processed": info["total_commands_processed"],
            "hits": hits,
            "near_hits": near_hits,
            "near_entries": len(self._local_cache),
            "misses": misses,
            "hit_rate": round(100 * hits / (hits + misses), 2) if hits + misses else 0.0,
            "ttl_s": self._ttl_s,
        }

    def size(self) -> int | None:
        """How many estimates are stored; None while the cache is down."""
        try:
            return int(self._client.dbsize())
        except redis.RedisError:
            return None

    def ping(self) -> None:
        """Reach the server once.

        Raises:
            redis.RedisError: it does not answer.
        """
        self._client.ping()

    def _is_circuit_open(self) -> bool:
        # A later end means that the clock was set back.
        return 0.0 < self._circuit_open_until - self._clock() <= CIRCUIT_OPEN_S

    def _open_circuit(self, operation: str, error: redis.RedisError) -> None:
        CACHE_FAILURES.labels(operation=operation).inc()
        with self._lock:
            was_open = self._is_circuit_open()
            self._circuit_open_until = self._clock() + CIRCUIT_OPEN_S
        if not was_open:
            log.warning("cache_unavailable", operation=operation, error=str(error))
