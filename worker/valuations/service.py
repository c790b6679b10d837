"""Values micro-batches of waiting requests and stored jobs: estimate, audit, cache, answer."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgpack

from shared.audit.log import AuditLog
from shared.domain.car import CarFeatures
from shared.domain.clock import Clock
from shared.domain.errors import (
    TEMPORARY_ERRORS,
    AuditNotFlushed,
    BrokerUnavailable,
    DomainError,
    StorageUnavailable,
    UnreadableRecord,
    record_errors,
)
from shared.domain.ids import CallerId, JobId, ValuationId
from shared.domain.job import Job, JobState
from shared.domain.valuation import AuditRecord, CarRequest, Estimate, Extra
from shared.logging import get_logger
from shared.metrics import JOBS_POSTPONED, QUEUE_WAIT, RECORDS_UNREADABLE
from shared.queue.names import QueueName
from shared.queue.sender import EstimateResult, RequestResult, push_reply
from shared.redis.cache import EstimateCache
from shared.redis.connections import Command, ConnectionCache, RedisClient
from shared.redis.dead_letters import DeadLetters
from shared.redis.job_store.store import JobStore
from worker.model import Estimation
from worker.valuations.claims import (
    BUSY_RETRY_S,
    Claim,
    ClaimLost,
    ClaimState,
    RedisClaims,
    done_commands,
)

OUTAGE_RETRY_DELAY_S = 1.0
"""Delay after a failure of the service's surroundings, like an audit log on a full disk. It counts
as no attempt: an accepted job waits for the end of the outage."""

OUTAGE_WAIT_S = 30.0
"""How long a worker waits for the broker to note that a job was interrupted: the default lease."""

OUTAGE_POLL_S = 0.5

log = get_logger("valuation")


@dataclasses.dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One request of a micro-batch, as received from the queue."""

    id: ValuationId
    request: CarRequest
    caller: CallerId
    deadline: float
    enqueued_at: float

    @classmethod
    def from_wire(cls, packed: bytes) -> "WaitingRequest":
        """Rebuild the request from what `MicroBatchDispatcher` sent.

        Raises:
            UnreadableRecord: a newer version sent it.
        """
        with record_errors():
            valuation_id, request, caller, deadline, enqueued_at, *_ = msgpack.unpackb(packed)
            return cls(valuation_id, CarRequest.from_wire(request), caller, deadline, enqueued_at)


AnsweredRequest: TypeAlias = tuple[WaitingRequest, EstimateResult]


class ValuationService:
    """Carries out `valuation.value_cars`, `valuation.value_job` and `valuation.value_list`.

    The order is always: claim, estimate, audit, answer, so that every answer is recorded. A message
    may be delivered to two workers at once, or again after its worker died: the claim lets one of
    them write the records, and later ones answer without writing them.

    Args:
        estimation: calls the forest.
        audit: the audit log.
        claims: claims on messages.
        cache: result cache.
        jobs: the stored jobs.
        client: connection to the broker instance, for the replies.
        clock: the time of day.
        dead_letters: list of the jobs that have used all their attempts.
        max_attempts: a job fails after this many attempts.
    """

    def __init__(
        self,
        *,
        estimation: Estimation,
        audit: AuditLog,
        claims: RedisClaims,
        cache: EstimateCache,
        jobs: JobStore,
        client: RedisClient,
        clock: Clock,
        dead_letters: DeadLetters,
        max_attempts: int,
    ) -> None:
        self._estimation = estimation
        self._audit = audit
        self._claims = claims
        self._cache = cache
        self._jobs = jobs
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._dead_letters = dead_letters
        self._max_attempts = max_attempts

    def value_micro_batch(self, group_id: str, reply_to: str, items: Sequence[bytes]) -> None:
        """Answer a micro-batch of waiting requests by one forest call and one reply.

        A request whose deadline had passed when the micro-batch was first claimed is left out: its
        caller waits no more, and it has become a job with a message of its own. That job finds out
        by the same comparison that it was left out here.

        Args:
            group_id: id of the micro-batch.
            reply_to: reply list of the API process.
            items: the requests, as `WaitingRequest.from_wire` reads them.
        """
        try:
            self._value_micro_batch(group_id, reply_to, items)
        finally:
            self._claims.end()

    def _value_micro_batch(self, group_id: str, reply_to: str, items: Sequence[bytes]) -> None:
        now = self._clock()
        with self._claims.begin_concurrently(group_id, now) as claimed:
            waiting, unreadable = _read_items(items)
            _observe_wait(now, [item.enqueued_at for item in waiting])
            # The forest runs while the claim is sent.
            answered = self._answer(waiting, now)
            claim = claimed()
        if claim.state is ClaimState.BUSY:
            return
        if claim.state is not ClaimState.FRESH:  # compare the deadlines with that claim
            answered = self._answer(waiting, claim.first_at)
        try:
            answered, commands = self._record_micro_batch(claim, answered)
        except ClaimLost:
            log.warning("message_taken_over", message_id=group_id)
            return
        # Cache first: a caller who has the answer and asks again finds it there.
        with self._cache.put_concurrently(
            _cacheable((item.request, result) for item, result in answered)
        ):
            replies = [*unreadable, *((item.id, result) for item, result in answered)]
            push_reply(self._connections, reply_to, group_id, replies, commands)

    def _record_micro_batch(
        self, claim: Claim, answered: list[AnsweredRequest]
    ) -> tuple[list[AnsweredRequest], list[Command]]:
        """Record the answers; return them with the commands that mark the claim as done.

        A temporary failure is not recorded and gives the claim up: if a caller has stopped waiting,
        its request is a job by now, which is valued and recorded after the outage.
        """
        try:
            for _, result in answered:
                if isinstance(result, TEMPORARY_ERRORS):
                    raise result
            self._record(claim, self._micro_batch_records(answered))
        except TEMPORARY_ERRORS as error:
            self._claims.release(claim, may_be_recorded=isinstance(error, AuditNotFlushed))
            return [(item, error) for item, _ in answered], []
        return answered, done_commands(claim.message_id)

    def _answer(
        self, waiting: Sequence[WaitingRequest], claimed_at: float
    ) -> list[AnsweredRequest]:
        """Estimate the requests whose deadline was not over at `claimed_at`."""
        wanted = [item for item in waiting if item.deadline >= claimed_at]
        results = self._estimation.estimate([item.request for item in wanted])
        return list(zip(wanted, results, strict=True))

    def value_job(
        self, job_id: JobId, enqueued_at: float, queue: QueueName = QueueName.INTERACTIVE
    ) -> None:
        """Carry out a stored job; does nothing if it has ended or is gone.

        Args:
            job_id: the job.
            enqueued_at: Unix time at which the message was sent.
            queue: the queue of the message.
        """
        try:
            self._value_job(job_id, enqueued_at, queue)
        except BrokerUnavailable:
            # The message is gone: without this the job would wait until its lease ends.
            self._after_outage(lambda: self._jobs.postpone(job_id, self._clock()))
            raise
        finally:
            self._claims.end()

    @staticmethod
    def _after_outage(store: Callable[[], None]) -> None:
        """Repeat a call until the broker can store what it says.

        Raises:
            BrokerUnavailable: it cannot for longer than `OUTAGE_WAIT_S`.
        """
        until = time.monotonic() + OUTAGE_WAIT_S
        while True:
            try:
                return store()
            except BrokerUnavailable:
                if time.monotonic() > until:
                    raise
            time.sleep(OUTAGE_POLL_S)

    def _value_job(self, job_id: JobId, enqueued_at: float, queue: QueueName) -> None:
        try:
            job = self._jobs.load(job_id)
        except UnreadableRecord as error:
            self._jobs.defer_unreadable(job_id, error)
            return
        except StorageUnavailable as error:
            log.warning("job_postponed", job_id=job_id, error=str(error))
            JOBS_POSTPONED.inc()
            self._jobs.postpone(job_id, self._clock() + OUTAGE_RETRY_DELAY_S)
            return
        if job is None or job.state.is_terminal:
            return
        _observe_wait(self._clock(), [enqueued_at], queue)
        if job.cancel_requested:
            self._jobs.finish(job_id, JobState.CANCELLED)
        elif job.attempts >= self._max_attempts:
            self._dead_letters.give_up(job, self._jobs)
        elif (claim := self._claim(job)).state is ClaimState.BUSY:
            # Its worker is alive and ends it; this is not counted as an attempt.
            self._jobs.postpone(job_id, self._clock() + BUSY_RETRY_S)
        elif self._jobs.start(job_id) is JobState.RUNNING:
            self._carry_out(job, claim)

    def _claim(self, job: Job) -> Claim:
        """Claim a job, or use the claim of the micro-batch that has valued its car."""
        if job.origin is None:
            return _as_doubtful_after_attempts(job, self._claims.begin(job.id))
        earlier = self._claims.peek(job.origin.group_id)
        was_left_out = earlier.state is ClaimState.FRESH or job.origin.deadline < earlier.first_at
        if not was_left_out and earlier.state is not ClaimState.DOUBTFUL:
            return earlier
        claim = _as_doubtful_after_attempts(job, self._claims.begin(job.id))
        if was_left_out or claim.state is not ClaimState.FRESH:
            return claim
        return dataclasses.replace(claim, state=ClaimState.DOUBTFUL)

    def _carry_out(self, job: Job, claim: Claim) -> None:
        """Value the cars of a started job and end it, or have it sent again after a failure."""
        try:
            self._value(job, claim)
        except ClaimLost:
            log.warning("message_taken_over", message_id=claim.message_id)
        except BrokerUnavailable as error:
            log.warning("job_interrupted", job_id=job.id, error=str(error))
            JOBS_POSTPONED.inc()
            # The claim is not released: its records may be in the log.
            self._after_outage(
                lambda: self._jobs.retry_at(
                    job.id,
                    self._clock() + OUTAGE_RETRY_DELAY_S,
                    failure=BrokerUnavailable.code,
                    counts_attempt=False,
                )
            )
        except (*TEMPORARY_ERRORS, OSError) as error:
            log.warning("job_postponed", job_id=job.id, error=str(error))
            JOBS_POSTPONED.inc()
            self._retry(job, claim, OUTAGE_RETRY_DELAY_S, error, counts_attempt=False)
        except Exception as error:
            log.exception("job_attempt_failed", job_id=job.id, attempt=job.attempts + 1)
            self._retry(job, claim, job.attempts + 1.0, error, counts_attempt=True)

    def _retry(
        self, job: Job, claim: Claim, delay_s: float, error: Exception, *, counts_attempt: bool
    ) -> None:
        self._claims.release(claim, may_be_recorded=isinstance(error, AuditNotFlushed))
        # The text of an exception may contain what the caller sent: only its kind is kept.
        failure = error.code if isinstance(error, DomainError) else type(error).__name__
        self._jobs.retry_at(
            job.id, self._clock() + delay_s, failure=failure, counts_attempt=counts_attempt
        )

    def _value(self, job: Job, claim: Claim) -> None:
        results = self._estimation.estimate(job.requests)
        if self._jobs.is_cancel_requested(job.id):
            self._jobs.finish(job.id, JobState.CANCELLED)
            return
        failure = next((each for each in results if isinstance(each, DomainError)), None)
        if isinstance(failure, TEMPORARY_ERRORS):
            raise failure
        self._record(claim, self._job_records(job, results))
        self._claims.mark_done(claim.message_id)
        if failure is not None:
            self._jobs.finish(job.id, JobState.FAILED, error=failure.code)
            return
        self._cache.put(_cacheable(zip(job.requests, results, strict=True)))
        estimates = [result for result in results if isinstance(result, Estimate)]
        self._jobs.finish(job.id, JobState.SUCCEEDED, estimates)

    # Audit

    def _record(self, claim: Claim, records: list[AuditRecord]) -> None:
        """Append the records that the log does not have yet.

        Raises:
            AuditNotFlushed: they were written, but may not be on the disk.
            AuditUnavailable: none was written.
            ClaimLost: another worker has taken the message over.
        """
        if claim.state is ClaimState.DONE:
            return
        self._claims.verify(claim)
        if claim.state is ClaimState.DOUBTFUL:
            known = self._audit.recorded([record.id for record in records])
            records = [record for record in records if record.id not in known]
            if known and self._audit.syncs_before_answer:
                self._audit.sync()  # an earlier attempt may have failed to
        if records:
            self._audit.append(records)

    def _micro_batch_records(self, answered: Sequence[AnsweredRequest]) -> list[AuditRecord]:
        now = self._clock()
        return [
            _audit_record(
                item.id, item.caller, item.request, result, at=now, since=item.enqueued_at
            )
            for item, result in answered
        ]

    def _job_records(self, job: Job, results: Sequence[EstimateResult]) -> list[AuditRecord]:
        now = self._clock()
        pairs = enumerate(zip(job.requests, results, strict=True), start=1)
        return [
            _audit_record(
                ValuationId(f"{job.id}-{number}" if job.is_list else job.id),
                job.caller, request, result, at=now, since=job.created_at, job_id=job.id,
            )
            for number, (request, result) in pairs
        ]  # fmt: skip


def _read_items(items: Sequence[bytes]) -> tuple[list[WaitingRequest], list[RequestResult]]:
    """The requests of a micro-batch, and the error for those that this version cannot read."""
    waiting: list[WaitingRequest] = []
    unreadable: list[RequestResult] = []
    for item in items:
        try:
            waiting.append(WaitingRequest.from_wire(item))
        except UnreadableRecord as error:
            RECORDS_UNREADABLE.labels(record="request").inc()
            with suppress(UnreadableRecord), record_errors():
                unreadable.append((ValuationId(msgpack.unpackb(item)[0]), error))
    return waiting, unreadable


def _as_doubtful_after_attempts(job: Job, claim: Claim) -> Claim:
    """The claim of a job, DOUBTFUL if the job has attempts and its earlier claim has expired."""
    if claim.state is ClaimState.FRESH and job.attempts:
        return dataclasses.replace(claim, state=ClaimState.DOUBTFUL)
    return claim


def _audit_record(
    valuation_id: ValuationId, caller: CallerId, request: CarRequest, result: EstimateResult,
    *, at: float, since: float, job_id: JobId | None = None,
) -> AuditRecord:  # fmt: skip
    return AuditRecord(
        id=valuation_id,
        at=at,
        caller=caller,
        car=request.car,
        match=request.match,
        given=request.given,
        estimate=result if isinstance(result, Estimate) else None,
        error=result.code if isinstance(result, DomainError) else None,
        cached=False,
        response_time_ms=1000 * (at - since),
        job_id=job_id,
    )


def _cacheable(
    answered: Iterable[tuple[CarRequest, EstimateResult]],
) -> list[tuple[CarFeatures, Sequence[Extra], Estimate]]:
    return [
        (request.car, request.extras, result)
        for request, result in answered
        if isinstance(result, Estimate)
    ]


def _observe_wait(
    now: float, enqueued_at: Sequence[float], queue: QueueName = QueueName.INTERACTIVE
) -> None:
    histogram = QUEUE_WAIT.labels(queue=str(queue))
    for at in enqueued_at:
        histogram.observe(max(0.0, now - at))
