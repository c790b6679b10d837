"""One car, answered while the caller waits: cache, queue, bounded wait."""

import contextlib
import threading
import time

from api.services.queue_guard import QueueGuard
from model_store.registry import ActiveModel
from shared.domain.audit import AuditRecord
from shared.domain.errors import BrokerUnavailable, DomainError, ModelNotLoaded
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import CarRequest, Job, JobState, Origin, Valuation
from shared.domain.valuation import Estimate
from shared.metrics import CACHE_HITS, CACHE_MISSES, PREDICTIONS, observe_valuations
from shared.ports import (
    AuditLog,
    Clock,
    Dispatcher,
    JobStore,
    PendingEstimate,
    ValuationCache,
)

SHORT_WAIT_S = 1.0
"""Every caller may hold a thread this long; longer only so many at once."""


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
        active_model: ActiveModel,
        cache: ValuationCache,
        dispatcher: Dispatcher,
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
            return self._ask_worker(valuation_id, request, caller, wait_s)
        CACHE_HITS.inc()
        valuation = Valuation(
            id=valuation_id,
            request=request,
            estimate=hit.estimate,
            cached=True,
            cache_ttl_s=hit.ttl_s,
        )
        self._record(valuation, caller, 1000 * (time.perf_counter() - started))
        observe_valuations([hit.estimate.price_mad])
        return valuation

    def _ask_worker(
        self, valuation_id: ValuationId, request: CarRequest, caller: CallerId, wait_s: float
    ) -> Valuation | Job:
        deadline = self._clock() + wait_s
        pending = self._dispatcher.submit(valuation_id, request, caller, deadline)
        estimate = self._wait(pending, wait_s)
        if estimate is None:
            job = self._keep_as_job(
                valuation_id, request, caller, Origin(pending.group_id, deadline)
            )
            estimate = self._hand_over(pending, job)
            if estimate is None:
                return job
        else:
            observe_valuations([estimate.price_mad])
        return Valuation(id=valuation_id, request=request, estimate=estimate, cached=False)

    def _wait(self, pending: PendingEstimate, wait_s: float) -> Estimate | None:
        """Wait for the estimate; long waits must leave threads for everybody else."""
        estimate = pending.wait(min(wait_s, SHORT_WAIT_S))
        if estimate is None and wait_s > SHORT_WAIT_S and self._long_waits.acquire(blocking=False):
            try:
                estimate = pending.wait(wait_s - SHORT_WAIT_S)
            finally:
                self._long_waits.release()
        return estimate

    def _hand_over(self, pending: PendingEstimate, job: Job) -> Estimate | None:
        """Leave the request to its job, unless the reply comes just now.

        The job exists before the reply stops being ours: whoever gets the reply from then on
        completes it. Its own message makes sure of it, should the reply never come.
        """
        try:
            estimate = pending.abandon()
        except DomainError as error:
            self._jobs.finish(job.id, JobState.FAILED, error=error.code)
            raise
        if estimate is not None:
            self._jobs.finish(job.id, JobState.SUCCEEDED, [estimate])
            return estimate
        with contextlib.suppress(BrokerUnavailable):  # the sweep sends what cannot be sent now
            self._dispatcher.submit_job(job.id)
        return None

    def _keep_as_job(
        self, valuation_id: ValuationId, request: CarRequest, caller: CallerId, origin: Origin
    ) -> Job:
        job = Job(
            id=JobId(valuation_id),
            caller=caller,
            state=JobState.QUEUED,
            created_at=self._clock(),
            requests=(request,),
            is_list=False,
            origin=origin,
        )
        try:
            self._jobs.create(job)
        except BrokerUnavailable as error:
            raise BrokerUnavailable(reason="no reply, and the job cannot be kept") from error
        return job

    def _record(self, valuation: Valuation, caller: CallerId, response_time_ms: float) -> None:
        self._audit.append(
            [
                AuditRecord(
                    id=valuation.id,
                    at=self._clock(),
                    caller=caller,
                    car=valuation.request.car,
                    estimate=valuation.estimate,
                    cached=True,
                    response_time_ms=response_time_ms,
                )
            ]
        )
