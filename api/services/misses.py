"""What an event loop cannot answer from its own memory, asked for by one thread for all who wait.

A thread of its own, because cache and broker may keep it waiting; only one, because all who wait
by the time it comes back share the next round trip.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence

from api.services.queue_guard import QueueGuard
from api.services.valuations import Question
from shared.adapters.celery_dispatch import MicroBatchDispatcher
from shared.adapters.pending import Pending, resolve_all
from shared.adapters.redis_cache import ValuationCache
from shared.domain.errors import BrokerUnavailable, DomainError, ValuationFailed
from shared.domain.valuation import CachedEstimate
from shared.logging import get_logger
from shared.metrics import CACHE_MISSES

log = get_logger("misses")


@dataclasses.dataclass(kw_only=True, slots=True)
class Asked:
    """A question on its way to the cache server and, if that has no answer, to the workers."""

    question: Question
    version: str
    pending: Pending
    hit: CachedEstimate | None = None


class Misses:
    """Asks the cache server, then the workers.

    Args:
        cache: result cache.
        queue_guard: refuses new work while the queue is too long.
        dispatcher: puts work on the queue; it delivers its outcomes itself.
        done: told, from the thread, of those that the cache has answered, and of those whose wait
            was over before they were asked for.
    """

    def __init__(
        self,
        cache: ValuationCache,
        queue_guard: QueueGuard,
        dispatcher: MicroBatchDispatcher,
        done: Callable[[Sequence[Asked]], None],
    ) -> None:
        self._cache = cache
        self._queue_guard = queue_guard
        self._dispatcher = dispatcher
        self._done = done
        self._asked: queue.SimpleQueue[list[Asked]] = queue.SimpleQueue()
        self._is_running = False

    def ask(self, asked: list[Asked]) -> None:
        """Ask for these, without waiting; from one thread only, the loop's."""
        if not self._is_running:
            self._is_running = True
            threading.Thread(target=self._run, name="misses", daemon=True).start()
        self._asked.put(asked)

    def _run(self) -> None:
        while True:
            asked = [*self._asked.get(), *self._rest()]
            try:
                self._take(asked)
            except Exception as error:
                log.exception("misses_failed", error=str(error))
                _fail(asked, ValuationFailed(reason="not asked for"))

    def _rest(self) -> list[Asked]:
        """Whatever else has come by now."""
        more: list[Asked] = []
        while not self._asked.empty():
            more += self._asked.get()
        return more

    def _take(self, asked: list[Asked]) -> None:
        missing = self._without_hits(asked)
        if not missing:
            return
        failure = self._ask_workers(missing)
        if isinstance(failure, BrokerUnavailable):
            # To learn that takes up to two seconds. Who came meanwhile need not wait for it again.
            _fail(self._without_hits(self._rest()), failure)
        now = time.time()
        if overdue := [each for each in missing if each.question.deadline <= now]:
            self._done(overdue)

    def _without_hits(self, asked: list[Asked]) -> list[Asked]:
        """Those that the cache has nothing for."""
        if not asked:
            return []
        wanted = [(each.version, each.question.request.car, ()) for each in asked]
        for each, hit in zip(asked, self._cache.get_all(wanted), strict=True):
            each.hit = hit
        if found := [each for each in asked if each.hit is not None]:
            self._done(found)
        return [each for each in asked if each.hit is None]

    def _ask_workers(self, asked: list[Asked]) -> DomainError | None:
        """Put questions on the queue; what went wrong, which they have been told."""
        CACHE_MISSES.inc(len(asked))
        pendings = [each.pending for each in asked]
        try:
            self._queue_guard.check()
            self._dispatcher.submit_all(pendings)
        except DomainError as error:
            _fail(asked, error)
            return error
        return pendings[0].failure


def _fail(asked: Sequence[Asked], error: DomainError) -> None:
    resolve_all((each.pending, error) for each in asked)
