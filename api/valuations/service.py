"""Values single cars while their callers wait: result cache, queue, bounded wait.

The service runs on an event loop, where no request holds a thread while it waits. One thread asks
the cache server and sends the misses to the broker, another one stores the requests that become
jobs. Threads of Flask call the service through the loop.
"""

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from api.events.departures import Receive, while_present
from api.loops.event_loops import EventLoops, LoopStoppedError, PerLoop
from api.valuations.lookups import CacheLookup, LookupDispatcher
from api.valuations.loop_state import LoopState
from api.valuations.micro_batches import MicroBatchDispatcher
from api.valuations.queue_guard import QueueGuard
from api.valuations.unanswered import UnansweredRequests, worker_valuation
from model_store.registry.registry import ActiveVersionCache
from shared.audit.log import AuditLog
from shared.domain.clock import Clock
from shared.domain.errors import DomainError, ModelNotLoaded
from shared.domain.ids import CallerId, ModelVersionId, ValuationId, new_id
from shared.domain.job import Job
from shared.domain.valuation import AuditRecord, CarRequest, Valuation
from shared.logging import get_logger
from shared.metrics import CACHE_HITS, PREDICTIONS, observe_valuations
from shared.redis.cache import EstimateCache
from shared.tracing.current import current_members, current_traceparent

SHORT_WAIT_S = 1.0
"""Every request may hold a thread this long; the semaphore `long_waits` limits longer holds."""

SYNC_THREADS = 2
"""Threads that flush audit records before their answers, with `AUDIT_FSYNC=always`."""

log = get_logger("misses")


class Valuations:
    """Values one car, or leaves the request to a job when the caller's wait is over.

    Args:
        active_model: says which version is active; the cache is asked for that one.
        cache: result cache.
        dispatcher: puts a miss on the queue.
        unanswered: keeps the requests that were not answered in time.
        audit: records the answers from the cache; the workers record theirs.
        clock: the time of day.
        queue_guard: refuses a miss while the queue is too long.
        long_waits: the threads that may wait long at once.
        loops: the loop through which threads call.
        disconnects: `receive` of the request of the current thread, if there is one.
    """

    def __init__(
        self,
        *,
        active_model: ActiveVersionCache,
        cache: EstimateCache,
        dispatcher: MicroBatchDispatcher,
        unanswered: UnansweredRequests,
        audit: AuditLog,
        clock: Clock,
        queue_guard: QueueGuard,
        long_waits: threading.Semaphore,
        loops: EventLoops,
        disconnects: Callable[[], Receive | None] = lambda: None,
    ) -> None:
        self._active_model = active_model
        self._cache = cache
        self._dispatcher = dispatcher
        self._unanswered = unanswered
        self._audit = audit
        self._clock = clock
        self._queue_guard = queue_guard
        self._long_waits = long_waits
        self._loops = loops
        self._disconnects = disconnects
        self.is_stalled = dispatcher.is_stalled
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := reset()) and own())

    def _reset(self) -> None:
        """Start without loops and threads, as a forked child has to."""
        self._lookups = LookupDispatcher(self._cache, self._queue_guard, self._dispatcher)
        # Two: while one flush runs, the next tick's waits for it and then covers all later ones.
        self._sync_threads = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="audit-sync")
        self._states = PerLoop(lambda loop: LoopState(loop, self._record, self._lookups.submit))

    async def value(
        self,
        request: CarRequest,
        caller: CallerId,
        wait_s: float,
        *,
        receive: Receive | None = None,
        holds_thread: bool = False,
    ) -> Valuation | Job:
        """Return the valuation, or after `wait_s` the job under whose id it will be found.

        Args:
            request: the car and what is asked about it.
            caller: who asks.
            wait_s: how long the caller waits for a worker, seconds.
            receive: `receive` of the request, whose body was read; None: nobody looks whether the
                client leaves.
            holds_thread: whether a thread waits for the result: long waits are then limited.

        Raises:
            ClientLeftError: the client has left; the request becomes no job.
            ModelNotLoaded: no version is active.
            BrokerUnavailable, QueueFull: a miss cannot be queued, or the job cannot be kept.
            AuditUnavailable: the answer cannot be recorded, so it is not given.
            ValuationFailed: the worker reported a failure.
        """
        try:
            return await self._value(request, caller, wait_s, receive, holds_thread=holds_thread)
        except DomainError:
            PREDICTIONS.labels(status="error").inc()
            raise

    def value_from_thread(
        self, request: CarRequest, caller: CallerId, wait_s: float
    ) -> Valuation | Job:
        """Call `value` from a thread that is not the loop's, and wait for the result.

        Raises:
            ClientLeftError: the client of the thread's request has left; it becomes no job.
            DomainError: as `value`, and as `EventLoops.call`.
        """
        value = partial(self.value, request, caller, wait_s, holds_thread=True)
        try:
            return self._loops.call(while_present(value, self._disconnects()), wait_s)
        except LoopStoppedError:
            PREDICTIONS.labels(status="error").inc()
            raise

    async def _value(
        self,
        request: CarRequest,
        caller: CallerId,
        wait_s: float,
        receive: Receive | None,
        *,
        holds_thread: bool,
    ) -> Valuation | Job:
        started = time.perf_counter()
        version = self._active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        valuation_id = ValuationId(new_id())
        state = self._states.current()
        hit = None if request.extras else self._cache.get_local(version, request.car)
        if hit is None:
            with self._limited_wait(wait_s, holds_thread=holds_thread) as allowed_s:
                lookup = self._new_lookup(valuation_id, request, caller, version, allowed_s, state)
                await state.ask(lookup, allowed_s, receive)
                if lookup.hit is None:
                    return await self._from_worker(lookup, state)
            hit = lookup.hit
        valuation = Valuation(
            id=valuation_id,
            request=request,
            estimate=hit.estimate,
            cached=True,
            cache_ttl_s=hit.ttl_s,
        )
        await state.records.add(hit_record(valuation, caller, self._clock(), started))
        return valuation

    def _new_lookup(  # noqa: PLR0917 - the parts of one request
        self,
        valuation_id: ValuationId,
        request: CarRequest,
        caller: CallerId,
        version: ModelVersionId,
        wait_s: float,
        state: LoopState,
    ) -> CacheLookup:
        deadline = self._clock() + wait_s
        trace = current_traceparent()
        future = self._dispatcher.prepare(
            valuation_id, request, caller, deadline, state.on_done, trace=trace
        )
        return CacheLookup(
            id=valuation_id,
            request=request,
            caller=caller,
            version=version,
            deadline=deadline,
            future=future,
            trace=trace,
        )

    async def _from_worker(self, lookup: CacheLookup, state: LoopState) -> Valuation | Job:
        """Return the worker's answer if there is one, else the job that the request becomes."""
        estimate = lookup.future.estimate()
        if estimate is None:
            return await self._unanswered.leave(lookup)
        state.prices.add(estimate.price_mad)
        return worker_valuation(lookup, estimate)

    def _record(self, records: list[AuditRecord]) -> asyncio.Future[None] | None:
        """Record the answers from the cache of one tick by one write.

        If the records must be on the disk before the answers, the returned future ends then; the
        loop answers other requests meanwhile.
        """
        CACHE_HITS.inc(len(records))
        self._audit.write(records)
        observe_valuations([each.estimate.price_mad for each in records if each.estimate])
        if not self._audit.syncs_before_answer:
            return None
        return asyncio.get_running_loop().run_in_executor(self._sync_threads, self._audit.sync)

    @contextlib.contextmanager
    def _limited_wait(self, wait_s: float, *, holds_thread: bool) -> Iterator[float]:
        """Return how long a request may wait: long waits must leave threads for all others.

        The wait is known before the request is sent, because its deadline is part of the message:
        a worker answers until then, and the job that the request becomes afterwards relies on it.
        """
        if not holds_thread:
            yield wait_s
        elif wait_s <= SHORT_WAIT_S or not self._long_waits.acquire(blocking=False):
            yield min(wait_s, SHORT_WAIT_S)
        else:
            try:
                yield wait_s
            finally:
                self._long_waits.release()


def hit_record(valuation: Valuation, caller: CallerId, at: float, started: float) -> AuditRecord:
    """The audit record of an answer from the cache.

    Args:
        valuation: the answer.
        caller: who gets it.
        at: Unix time, seconds.
        started: `time.perf_counter` when the request came.
    """
    return AuditRecord(
        id=valuation.id,
        at=at,
        caller=caller,
        car=valuation.request.car,
        match=valuation.match,
        given=valuation.request.given,
        estimate=valuation.estimate,
        cached=True,
        response_time_ms=1000 * (time.perf_counter() - started),
        trace=current_members(),
    )
