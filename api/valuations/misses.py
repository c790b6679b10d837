"""What an event loop cannot answer from its own memory, fetched by one thread for all who wait.

A thread of its own, because cache and broker may keep it waiting; only one, because all who wait
by the time it comes back share the next round trip.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence

from api.queue_guard import QueueGuard
from api.valuations.micro_batches import EstimateFuture, MicroBatchDispatcher, set_results
from api.valuations.service import Question
from shared.domain.errors import BrokerUnavailable, DomainError, ValuationFailed
from shared.domain.valuation import CachedEstimate
from shared.logging import get_logger
from shared.metrics import CACHE_MISSES
from shared.redis.cache import ValuationCache

log = get_logger("misses")


@dataclasses.dataclass(kw_only=True, slots=True)
class CacheLookup:
    """A question on its way to the cache server and, if that has no answer, to the workers."""

    question: Question
    version: str
    pending: EstimateFuture
    hit: CachedEstimate | None = None


class MissDispatcher:
    """Asks the cache server, then the workers.

    Args:
        cache: result cache.
        queue_guard: refuses new work while the queue is too long.
        dispatcher: puts work on the queue; it delivers its outcomes itself.
        done: told, from the thread, of those that the cache has answered, and of those whose wait
            was over before they were looked up.
    """

    def __init__(
        self,
        cache: ValuationCache,
        queue_guard: QueueGuard,
        dispatcher: MicroBatchDispatcher,
        done: Callable[[Sequence[CacheLookup]], None],
    ) -> None:
        self._cache = cache
        self._queue_guard = queue_guard
        self._dispatcher = dispatcher
        self._done = done
        self._queue: queue.SimpleQueue[list[CacheLookup]] = queue.SimpleQueue()
        self._is_running = False

    def submit(self, lookups: list[CacheLookup]) -> None:
        """Ask for these, without waiting; from one thread only, the loop's."""
        if not self._is_running:
            self._is_running = True
            threading.Thread(target=self._run, name="misses", daemon=True).start()
        self._queue.put(lookups)

    def _run(self) -> None:
        while True:
            lookups = [*self._queue.get(), *self._drain_queue()]
            try:
                self._process(lookups)
            except Exception as error:
                log.exception("misses_failed", error=str(error))
                _fail(lookups, ValuationFailed(reason="not dispatched"))

    def _drain_queue(self) -> list[CacheLookup]:
        """Whatever else has come by now."""
        more: list[CacheLookup] = []
        while not self._queue.empty():
            more += self._queue.get()
        return more

    def _process(self, lookups: list[CacheLookup]) -> None:
        missing = self._cache_misses(lookups)
        if not missing:
            return
        failure = self._submit_misses(missing)
        if isinstance(failure, BrokerUnavailable):
            # To learn that takes up to two seconds. Who came meanwhile need not wait for it again.
            _fail(self._cache_misses(self._drain_queue()), failure)
        now = time.time()
        if overdue := [each for each in missing if each.question.deadline <= now]:
            self._done(overdue)

    def _cache_misses(self, lookups: list[CacheLookup]) -> list[CacheLookup]:
        """Those that the cache has nothing for."""
        if not lookups:
            return []
        wanted = [(each.version, each.question.request.car, ()) for each in lookups]
        for each, hit in zip(lookups, self._cache.get_all(wanted), strict=True):
            each.hit = hit
        if found := [each for each in lookups if each.hit is not None]:
            self._done(found)
        return [each for each in lookups if each.hit is None]

    def _submit_misses(self, lookups: list[CacheLookup]) -> DomainError | None:
        """Put questions on the queue; what went wrong, which they have been told."""
        CACHE_MISSES.inc(len(lookups))
        futures = [each.pending for each in lookups]
        try:
            self._queue_guard.check()
            self._dispatcher.submit_all(futures)
        except DomainError as error:
            _fail(lookups, error)
            return error
        return futures[0].failure


def _fail(lookups: Sequence[CacheLookup], error: DomainError) -> None:
    set_results((each.pending, error) for each in lookups)
