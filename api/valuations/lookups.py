"""Looks single cars up in the cache server, and sends the misses to the workers."""

import dataclasses
import queue
import threading
import time
from collections.abc import Sequence

from api.valuations.micro_batches import (
    EstimateFuture,
    MicroBatchDispatcher,
    notify,
    set_results,
)
from api.valuations.queue_guard import QueueGuard
from shared.domain.errors import BrokerUnavailable, DomainError, ValuationFailed
from shared.domain.ids import CallerId, ModelVersionId, ValuationId
from shared.domain.valuation import CachedEstimate, CarRequest
from shared.logging import get_logger
from shared.metrics import CACHE_MISSES
from shared.redis.cache import EstimateCache

log = get_logger("misses")


@dataclasses.dataclass(kw_only=True, slots=True)
class CacheLookup:
    """A request on its way to the cache server and, if that has no estimate, to the workers."""

    id: ValuationId
    request: CarRequest
    caller: CallerId
    version: ModelVersionId
    deadline: float
    """Unix time, seconds, until which the caller waits."""
    future: EstimateFuture
    """Its callback also announces a hit and a deadline that passed before the request was sent."""
    hit: CachedEstimate | None = None
    trace: str = ""
    """`traceparent` of the request; empty if it is not traced."""
    is_sent: bool = False
    """Whether the request was handed to the dispatcher."""


class LookupDispatcher:
    """Looks requests up in the cache server, and sends the misses to the workers, from one thread.

    All requests that have arrived by the time the thread comes back share the next round trip.

    Args:
        cache: result cache.
        queue_guard: refuses new work while the queue is too long.
        dispatcher: puts work on the queue; it sets the results of the futures itself.
    """

    def __init__(
        self, cache: EstimateCache, queue_guard: QueueGuard, dispatcher: MicroBatchDispatcher
    ) -> None:
        self._cache = cache
        self._queue_guard = queue_guard
        self._dispatcher = dispatcher
        self._queue: queue.SimpleQueue[list[CacheLookup]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_running = False

    def submit(self, lookups: list[CacheLookup]) -> None:
        """Queue lookups for the thread; returns at once."""
        if not self._is_running:
            self._start()
        self._queue.put(lookups)

    def _start(self) -> None:
        with self._lock:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="lookups", daemon=True).start()

    def _run(self) -> None:
        while True:
            lookups = [*self._queue.get(), *self._drain_queue()]
            try:
                self._process(lookups)
            except Exception as error:
                log.exception("misses_failed", error=str(error))
                fail_lookups(lookups, ValuationFailed(reason="not dispatched"))

    def _drain_queue(self) -> list[CacheLookup]:
        """Take what else has arrived by now."""
        more: list[CacheLookup] = []
        while not self._queue.empty():
            more += self._queue.get()
        return more

    def _process(self, lookups: list[CacheLookup]) -> None:
        missing = self._cache_misses(lookups)
        if not missing:
            return
        failure = self._send(missing)
        if isinstance(failure, BrokerUnavailable):
            # It takes up to two seconds to notice an outage: requests that arrived meanwhile
            # share the result instead of waiting for the same again.
            fail_lookups(self._cache_misses(self._drain_queue()), failure)
        now = time.time()
        notify([each.future for each in missing if each.deadline <= now])

    def _cache_misses(self, lookups: list[CacheLookup]) -> list[CacheLookup]:
        """Look into the cache; return those that it has no estimate for."""
        if not lookups:
            return []
        wanted = [(each.version, each.request.car, each.request.extras) for each in lookups]
        for each, hit in zip(lookups, self._cache.get_all(wanted), strict=True):
            each.hit = hit
        notify([each.future for each in lookups if each.hit is not None])
        missing = [each for each in lookups if each.hit is None]
        CACHE_MISSES.inc(len(missing))
        return missing

    def _send(self, lookups: list[CacheLookup]) -> DomainError | None:
        """Hand requests to the dispatcher; return the error that their futures were given."""
        futures = [each.future for each in lookups]
        try:
            self._queue_guard.check()
            self._dispatcher.submit_all(futures)
        except DomainError as error:
            fail_lookups(lookups, error)
            return error
        for each in lookups:
            each.is_sent = True
        failures = [each.failure for each in futures]
        return next((each for each in failures if isinstance(each, BrokerUnavailable)), None)


def fail_lookups(lookups: Sequence[CacheLookup], error: DomainError) -> None:
    """Set an error as the result of all lookups."""
    set_results((each.future, error) for each in lookups)
