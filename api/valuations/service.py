"""One car, answered while the caller waits: cache, queue, bounded wait."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

from api.queue_guard import QueueGuard
from api.valuations.micro_batches import EstimateFuture, MicroBatchDispatcher
from model_store.registry.registry import ActiveVersionCache
from shared.audit.log import AuditLog
from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, DomainError, ModelNotLoaded
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import DispatchOrigin, Job, JobState
from shared.domain.valuation import AuditRecord, CachedEstimate, CarRequest, Estimate, Valuation
from shared.metrics import CACHE_HITS, CACHE_MISSES, PREDICTIONS, observe_valuations
from shared.redis.cache import ValuationCache
from shared.redis.jobs import JobStore

SHORT_WAIT_S = 1.0
"""Every caller may hold a thread this long; longer only so many at once."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One caller's wish to know what a car is worth."""

    id: ValuationId
    request: CarRequest
    caller: CallerId
    deadline: float
    """Unix time, seconds, until which the caller waits."""


class Valuations:
    """The synchronous shortcut: submit plus a bounded wait.

    Args:
        active_model: says which version is active; the cache is asked for that one.
        cache: result cache.
        dispatcher: puts a miss on the queue.
        jobs: keeps what did not finish in time.
        audit: records the answers from the cache; the workers record theirs.
        clock: the time of day.
        queue_guard: refuses a miss while the queue is too long.
        long_waits: the threads that may wait long at once.
    """

    def __init__(
        self,
        *,
        active_model: ActiveVersionCache,
        cache: ValuationCache,
        dispatcher: MicroBatchDispatcher,
        jobs: JobStore,
        audit: AuditLog,
        clock: Clock,
        queue_guard: QueueGuard,
        long_waits: threading.Semaphore,
    ) -> None:
        self._long_waits = long_waits
        self._queue_guard = queue_guard
        self._active_model = active_model
        self._cache = cache
        self._dispatcher = dispatcher
        self._jobs = jobs
        self._audit = audit
        self._clock = clock

    def value(self, request: CarRequest, caller: CallerId, wait_s: float) -> Valuation | Job:
        """The valuation, or after `wait_s` the job under whose id it will be found.

        Raises:
            ModelNotLoaded: no version is active.
            BrokerUnavailable, QueueFull: a miss cannot be queued.
            AuditUnavailable: the answer cannot be recorded, so it is not given.
            ValuationFailed: the worker reported a failure.
        """
        try:
            return self._value(request, caller, wait_s)
        except DomainError:
            PREDICTIONS.labels(status="error").inc()
            raise

    def _value(self, request: CarRequest, caller: CallerId, wait_s: float) -> Valuation | Job:
        started = time.perf_counter()
        version = self._active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        valuation_id = ValuationId(new_id())
        hit = self._cache.get(version, request.car, request.extras)
        if hit is None:
            CACHE_MISSES.inc()
            self._queue_guard.check()
            with self._patience(wait_s) as patience_s:
                deadline = self._clock() + patience_s
                question = Question(
                    id=valuation_id, request=request, caller=caller, deadline=deadline
                )
                return self._ask_worker(question, patience_s)
        CACHE_HITS.inc()
        valuation = from_cache(valuation_id, request, hit)
        self._audit.append([hit_record(valuation, caller, self._clock(), started)])
        observe_valuations([hit.estimate.price_mad])
        return valuation

    def _ask_worker(self, question: Question, wait_s: float) -> Valuation | Job:
        pending = self._dispatcher.submit(
            question.id, question.request, question.caller, question.deadline
        )
        estimate = pending.wait(wait_s)
        if estimate is None:
            return self.keep(question, pending)
        observe_valuations([estimate.price_mad])
        return from_worker(question, estimate)

    @contextlib.contextmanager
    def _patience(self, wait_s: float) -> Iterator[float]:
        """How long a caller may wait: long waits must leave threads for everybody else.

        It is known before the question is sent, for its deadline goes with it: a worker answers
        until then, and the job that is made afterwards relies on that.
        """
        if wait_s <= SHORT_WAIT_S or not self._long_waits.acquire(blocking=False):
            yield min(wait_s, SHORT_WAIT_S)
            return
        try:
            yield wait_s
        finally:
            self._long_waits.release()

    def keep(self, question: Question, pending: EstimateFuture) -> Valuation | Job:
        """Leave a request to the job that it becomes, unless its reply comes just now.

        The job exists before the reply stops being ours: whoever gets the reply from then on
        completes it. Its own message makes sure of it, should the reply never come.

        Raises:
            BrokerUnavailable: the job cannot be kept.
            DomainError: the worker has just reported a failure.
        """
        job = self._create_job(question, DispatchOrigin(pending.group_id, question.deadline))
        try:
            estimate = pending.abandon()
        except DomainError as error:
            self._jobs.finish(job.id, JobState.FAILED, error=error.code)
            raise
        if estimate is not None:
            self._jobs.finish(job.id, JobState.SUCCEEDED, [estimate])  # counts it
            return from_worker(question, estimate)
        with contextlib.suppress(BrokerUnavailable):  # the sweep sends what cannot be sent now
            self._dispatcher.submit_job(job.id, is_long=job.is_long)
        return job

    def _create_job(self, question: Question, origin: DispatchOrigin) -> Job:
        job = Job(
            id=JobId(question.id),
            caller=question.caller,
            state=JobState.QUEUED,
            created_at=self._clock(),
            requests=(question.request,),
            is_list=False,
            origin=origin,
        )
        try:
            self._jobs.create(job)
        except BrokerUnavailable as error:
            raise BrokerUnavailable(reason="no reply, and the job cannot be kept") from error
        return job


def from_cache(valuation_id: ValuationId, request: CarRequest, hit: CachedEstimate) -> Valuation:
    """The answer from a cached estimate."""
    return Valuation(
        id=valuation_id, request=request, estimate=hit.estimate, cached=True, cache_ttl_s=hit.ttl_s
    )


def from_worker(question: Question, estimate: Estimate) -> Valuation:
    """The answer from a worker's estimate."""
    return Valuation(id=question.id, request=question.request, estimate=estimate, cached=False)


def hit_record(valuation: Valuation, caller: CallerId, at: float, started: float) -> AuditRecord:
    """What is recorded of an answer from the cache; workers record theirs.

    Args:
        valuation: the answer.
        caller: who gets it.
        at: Unix time, seconds.
        started: `time.perf_counter` when the question came.
    """
    return AuditRecord(
        id=valuation.id,
        at=at,
        caller=caller,
        car=valuation.request.car,
        estimate=valuation.estimate,
        cached=True,
        response_time_ms=1000 * (time.perf_counter() - started),
    )
