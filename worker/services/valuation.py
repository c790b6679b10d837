"""Value a group of waiting requests, or a stored job: estimate, audit, cache, reply."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import msgpack

from model_store.inference import LoadedModel
from shared.adapters import redis_keys
from shared.adapters.celery_dispatch import REPLY_LIST_TTL_S
from shared.adapters.redis_client import RedisClient, broker_errors
from shared.domain.audit import AuditRecord
from shared.domain.errors import AuditUnavailable, DomainError, ValuationFailed
from shared.domain.ids import CallerId, JobId, ValuationId
from shared.domain.job import CarRequest, Job, JobState
from shared.domain.valuation import Estimate, Extra
from shared.logging import get_logger
from shared.metrics import INFERENCE, QUEUE_WAIT
from shared.names import QueueName
from shared.ports import AuditLog, Clock, JobStore, ValuationCache
from worker.runtime.model_runtime import ModelRuntime

AUDIT_MARK_TTL_S = 3600
"""How long it is remembered that a message has its audit records; far above redelivery."""

log = get_logger("valuation")


@dataclasses.dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One request of a group, as it came off the queue."""

    id: ValuationId
    request: CarRequest
    caller: CallerId
    deadline: float
    enqueued_at: float

    @classmethod
    def from_wire(cls, values: list[Any]) -> "WaitingRequest":
        """Rebuild the request from what `CeleryDispatcher.submit` sent."""
        valuation_id, request, caller, deadline, enqueued_at = values
        return cls(valuation_id, CarRequest.from_wire(request), caller, deadline, enqueued_at)


class ValuationService:
    """Carries out `valuation.value_cars` and `valuation.value_job`.

    The order is always: estimate, audit, then reply; so that no answer goes unrecorded. A message
    that comes again, because a worker died before it was acknowledged, gives the same result and
    no second audit record.

    Args:
        runtime: the loaded model.
        audit: where every answer is recorded first.
        cache: result cache.
        jobs: the stored jobs.
        client: connection to the broker instance, for the replies.
        clock: the time of day.
        max_attempts: a job that was tried this often fails.
    """

    def __init__(
        self,
        *,
        runtime: ModelRuntime,
        audit: AuditLog,
        cache: ValuationCache,
        jobs: JobStore,
        client: RedisClient,
        clock: Clock,
        max_attempts: int,
    ) -> None:
        self._runtime = runtime
        self._audit = audit
        self._cache = cache
        self._jobs = jobs
        self._client = client
        self._clock = clock
        self._max_attempts = max_attempts

    def value_group(
        self, group_id: str, reply_to: str, items: Sequence[list[Any]], *, redelivered: bool
    ) -> None:
        """Answer a group of waiting requests with one forest call and one reply.

        Args:
            group_id: names the group in the reply.
            reply_to: list on which the API process waits.
            items: the requests, as `WaitingRequest.from_wire` reads them.
            redelivered: the message may have been carried out before.
        """
        waiting = [WaitingRequest.from_wire(item) for item in items]
        self._observe_wait([item.enqueued_at for item in waiting])
        wanted = [item for item in waiting if self._is_wanted(item)]
        outcomes = self._estimate([item.request for item in wanted])
        try:
            self._record(group_id, self._audit_records(wanted, outcomes), redelivered=redelivered)
        except AuditUnavailable as error:
            outcomes = [error] * len(wanted)
        self._reply(group_id, reply_to, wanted, outcomes)
        self._store_in_cache([item.request for item in wanted], outcomes)

    def value_job(self, job_id: JobId, enqueued_at: float) -> None:
        """Carry out a stored job; does nothing if it has ended or is gone.

        Args:
            job_id: the job.
            enqueued_at: Unix time at which the message was sent.
        """
        state = self._jobs.start(job_id)
        if state is not JobState.RUNNING or (job := self._jobs.load(job_id)) is None:
            return
        self._observe_wait([enqueued_at])
        if job.cancel_requested:
            self._jobs.finish(job_id, JobState.CANCELLED)
            return
        if job.attempts > self._max_attempts:
            self._jobs.finish(job_id, JobState.FAILED, error="attempts-exhausted")
            return
        outcomes = self._estimate(job.requests)
        failure = next((o for o in outcomes if isinstance(o, DomainError)), None)
        if failure is None:
            self._succeed(job, [o for o in outcomes if isinstance(o, Estimate)])
        else:
            self._jobs.finish(job_id, JobState.FAILED, error=failure.code)

    def _succeed(self, job: Job, estimates: list[Estimate]) -> None:
        try:
            self._record(job.id, self._job_records(job, estimates), redelivered=job.attempts > 1)
            self._mark(job.id)
        except AuditUnavailable as error:
            self._jobs.finish(job.id, JobState.FAILED, error=error.code)
            return
        self._jobs.finish(job.id, JobState.SUCCEEDED, estimates)
        self._store_in_cache(job.requests, estimates)

    def _is_wanted(self, item: WaitingRequest) -> bool:
        """Whether somebody still reads the answer: the caller waits, or it became a job."""
        if item.deadline >= self._clock():
            return True
        job = self._jobs.load(JobId(item.id))
        return job is not None and not job.state.is_terminal

    # Estimate

    def _estimate(self, requests: Sequence[CarRequest]) -> list[Estimate | DomainError]:
        """One outcome per request; a request that breaks the forest never harms the others."""
        if not requests:
            return []
        try:
            model = self._runtime.current()
        except DomainError as error:
            return [error] * len(requests)
        started = time.perf_counter()
        try:
            outcomes: list[Estimate | DomainError] = list(_estimate_all(model, requests))
        except Exception as error:
            log.exception("group_failed", error=str(error), cars=len(requests))
            outcomes = [_estimate_alone(model, request) for request in requests]
        INFERENCE.labels(queue=str(QueueName.INTERACTIVE)).observe(time.perf_counter() - started)
        return outcomes

    # Audit

    def _record(self, message_id: str, records: list[AuditRecord], *, redelivered: bool) -> None:
        """Append the records, unless an earlier delivery of the message has done so."""
        if records and not (redelivered and self._is_marked(message_id)):
            self._audit.append(records)

    def _mark(self, message_id: str) -> None:
        with broker_errors():
            self._client.set(_audit_mark(message_id), 1, ex=AUDIT_MARK_TTL_S)

    def _is_marked(self, message_id: str) -> bool:
        with broker_errors():
            return bool(self._client.exists(_audit_mark(message_id)))

    def _audit_records(
        self, items: Sequence[WaitingRequest], outcomes: Sequence[Estimate | DomainError]
    ) -> list[AuditRecord]:
        now = self._clock()
        return [
            AuditRecord(
                id=item.id,
                at=now,
                caller=item.caller,
                car=item.request.car,
                estimate=outcome if isinstance(outcome, Estimate) else None,
                error=outcome.code if isinstance(outcome, DomainError) else None,
                cached=False,
                response_time_ms=1000 * (now - item.enqueued_at),
            )
            for item, outcome in zip(items, outcomes, strict=True)
        ]

    def _job_records(self, job: Job, estimates: Sequence[Estimate]) -> list[AuditRecord]:
        now = self._clock()
        return [
            AuditRecord(
                id=ValuationId(f"{job.id}-{number}" if job.is_list else job.id),
                at=now,
                caller=job.caller,
                car=request.car,
                estimate=estimate,
                cached=False,
                response_time_ms=1000 * (now - job.created_at),
                job_id=job.id,
            )
            for number, (request, estimate) in enumerate(
                zip(job.requests, estimates, strict=True), start=1
            )
        ]

    # Answer

    def _reply(
        self,
        group_id: str,
        reply_to: str,
        items: Sequence[WaitingRequest],
        outcomes: Sequence[Estimate | DomainError],
    ) -> None:
        """Push one reply for the whole group, and complete what has become a job."""
        now = self._clock()
        reply = [
            [item.id, outcome.to_wire(), None]
            if isinstance(outcome, Estimate)
            else [item.id, None, outcome.code]
            for item, outcome in zip(items, outcomes, strict=True)
        ]
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(_audit_mark(group_id), 1, ex=AUDIT_MARK_TTL_S)
            pipeline.lpush(reply_to, msgpack.packb([group_id, reply]))
            pipeline.expire(reply_to, REPLY_LIST_TTL_S)
            pipeline.execute()
        for item, outcome in zip(items, outcomes, strict=True):
            if item.deadline < now:
                self._finish_late(item, outcome)

    def _finish_late(self, item: WaitingRequest, outcome: Estimate | DomainError) -> None:
        if isinstance(outcome, Estimate):
            self._jobs.finish(JobId(item.id), JobState.SUCCEEDED, [outcome])
        else:
            self._jobs.finish(JobId(item.id), JobState.FAILED, error=outcome.code)

    def _store_in_cache(
        self, requests: Sequence[CarRequest], outcomes: Sequence[Estimate | DomainError]
    ) -> None:
        self._cache.put(
            [
                (request.car, request.extras, outcome)
                for request, outcome in zip(requests, outcomes, strict=True)
                if isinstance(outcome, Estimate)
            ]
        )

    def _observe_wait(self, enqueued_at: Sequence[float]) -> None:
        now = self._clock()
        histogram = QUEUE_WAIT.labels(queue=str(QueueName.INTERACTIVE))
        for at in enqueued_at:
            histogram.observe(max(0.0, now - at))


def _audit_mark(message_id: str) -> str:
    return f"{redis_keys.AUDITED}{message_id}"


def _estimate_all(model: LoadedModel, requests: Sequence[CarRequest]) -> list[Estimate]:
    estimates = model.estimate([request.car for request in requests])
    return [
        _with_extras(model, request, estimate) if request.extras else estimate
        for request, estimate in zip(requests, estimates, strict=True)
    ]


def _estimate_alone(model: LoadedModel, request: CarRequest) -> Estimate | DomainError:
    try:
        return _estimate_all(model, [request])[0]
    except Exception as error:
        log.exception("car_failed", error=str(error))
        return ValuationFailed(reason=type(error).__name__)


def _with_extras(model: LoadedModel, request: CarRequest, estimate: Estimate) -> Estimate:
    """Add what was asked for on top of the price."""
    car = request.car
    return dataclasses.replace(
        estimate,
        explanation=model.explain(car) if Extra.CONTRIBUTIONS in request.extras else None,
        depreciation=model.depreciation(car) if Extra.DEPRECIATION in request.extras else None,
    )
