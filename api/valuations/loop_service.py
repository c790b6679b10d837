"""One car, for callers on an event loop: nothing here waits for another machine or process.

What this process has a copy of is answered at once. For the rest a thread asks (`MissDispatcher`),
while the loop serves others and keeps the time: no server that hangs makes a caller
wait longer than he said.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from api.http.tick_batcher import TickBatcher
from api.queue_guard import QueueGuard
from api.valuations.micro_batches import EstimateFuture, MicroBatchDispatcher
from api.valuations.misses import CacheLookup, MissDispatcher
from api.valuations.service import Question, Valuations, from_cache, from_worker, hit_record
from model_store.registry.registry import ActiveVersionCache
from shared.audit.log import AuditLog
from shared.domain.clock import Clock
from shared.domain.errors import DomainError, ModelNotLoaded
from shared.domain.ids import CallerId, ValuationId, new_id
from shared.domain.job import Job
from shared.domain.valuation import CachedEstimate, CarRequest, Valuation
from shared.metrics import CACHE_HITS, PREDICTIONS, observe_valuations
from shared.redis.cache import ValuationCache

if TYPE_CHECKING:
    from shared.domain.valuation import AuditRecord

Finish: TypeAlias = Callable[[], Valuation | Job]
"""What is left to do for a request whose wait is over; it calls the broker."""

MIN_WAIT_S = 0.5
"""Time for the cache server, which is asked for those too who would not wait for a worker."""


class LoopValuations:
    """`Valuations` for the coroutines of one loop; for requests without extras.

    Args:
        valuations: keeps the requests whose wait ends without a reply.
        active_model: says which version is active.
        cache: result cache.
        dispatcher: puts a miss on the queue.
        audit: records the answers from the cache: one write for all of a turn of the loop.
        clock: the time of day.
        queue_guard: refuses a miss while the queue is too long.
    """

    def __init__(
        self,
        *,
        valuations: Valuations,
        active_model: ActiveVersionCache,
        cache: ValuationCache,
        dispatcher: MicroBatchDispatcher,
        audit: AuditLog,
        clock: Clock,
        queue_guard: QueueGuard,
    ) -> None:
        self._valuations = valuations
        self._active_model = active_model
        self._cache = cache
        self._dispatcher = dispatcher
        self._clock = clock
        self._audit = audit
        self._records: TickBatcher[AuditRecord] = TickBatcher(self._record)
        self._prices: TickBatcher[float] = TickBatcher(observe_valuations)
        misses = MissDispatcher(cache, queue_guard, dispatcher, self._done)
        self._misses: TickBatcher[CacheLookup] = TickBatcher(misses.submit)
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def value(
        self, request: CarRequest, caller: CallerId, wait_s: float
    ) -> Valuation | Finish:
        """The valuation, or after `wait_s` what is left to be done by a thread.

        Raises:
            DomainError: as `Valuations.value`.
        """
        try:
            return await self._value(request, caller, wait_s)
        except DomainError:
            PREDICTIONS.labels(status="error").inc()
            raise

    async def _value(
        self, request: CarRequest, caller: CallerId, wait_s: float
    ) -> Valuation | Finish:
        started = time.perf_counter()
        version = self._active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        valuation_id = ValuationId(new_id())
        hit = self._cache.get_local(version, request.car)
        if hit is not None:
            return await self._answer_hit(valuation_id, request, caller, hit, started)
        question = Question(
            id=valuation_id, request=request, caller=caller, deadline=self._clock() + wait_s
        )
        asked = await self._ask(question, version, wait_s)
        if asked.hit is not None:
            return await self._answer_hit(valuation_id, request, caller, asked.hit, started)
        estimate = asked.pending.estimate()
        if estimate is None:
            return partial(self._keep, question, asked.pending)
        self._prices.add(estimate.price_mad)
        return from_worker(question, estimate)

    async def _answer_hit(
        self,
        valuation_id: ValuationId,
        request: CarRequest,
        caller: CallerId,
        hit: CachedEstimate,
        started: float,
    ) -> Valuation:
        valuation = from_cache(valuation_id, request, hit)
        await self._records.add(hit_record(valuation, caller, self._clock(), started))
        return valuation

    def _record(self, records: list["AuditRecord"]) -> None:
        CACHE_HITS.inc(len(records))
        self._audit.append(records)
        observe_valuations([each.estimate.price_mad for each in records if each.estimate])

    async def _ask(self, question: Question, version: str, wait_s: float) -> CacheLookup:
        """Ask cache server and workers; returns with an answer or when the wait is over."""
        loop = self._loop = asyncio.get_running_loop()
        pending = self._dispatcher.prepare(
            question.id, question.request, question.caller, question.deadline, self._delivered
        )
        asked = CacheLookup(question=question, version=version, pending=pending)
        answer = self._answers[question.id] = loop.create_future()
        self._misses.add(asked)
        timer = loop.call_later(max(wait_s, MIN_WAIT_S), self._wake, [question.id])
        await answer
        timer.cancel()
        return asked

    def _done(self, asked: Sequence[CacheLookup]) -> None:
        self._wake_loop([each.question.id for each in asked])

    def _delivered(self, futures: Sequence[EstimateFuture]) -> None:
        self._wake_loop([each.id for each in futures])

    def _wake_loop(self, ids: Sequence[str]) -> None:
        """Wake those who wait, once for all of them; called by other threads."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, ids)

    def _wake(self, ids: Sequence[str]) -> None:
        for each in ids:
            answer = self._answers.pop(each, None)
            if answer is not None and not answer.done():  # a server may cancel who waits
                answer.set_result(None)

    def _keep(self, question: Question, pending: EstimateFuture) -> Valuation | Job:
        try:
            return self._valuations.keep(question, pending)
        except DomainError:
            PREDICTIONS.labels(status="error").inc()
            raise
