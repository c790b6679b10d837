"""Values micro-batches of waiting requests and stored jobs: claim, estimate, record, answer."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import NamedTuple

from shared.domain.clock import Clock
from shared.domain.errors import (
    TEMPORARY_ERRORS,
    AuditNotFlushed,
    BrokerUnavailable,
    DomainError,
    StorageUnavailable,
    UnreadableRecord,
)
from shared.domain.ids import JobId
from shared.domain.job import Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.logging import get_logger
from shared.metrics import JOBS_POSTPONED
from shared.queue.names import QueueName, TaskName
from shared.queue.sender import RequestResult, push_reply
from shared.redis.connections import ConnectionCache, RedisClient
from shared.redis.dead_letters import DeadLetters
from shared.redis.job_store.store import JobStore
from worker.tracing import note_members, traced_group
from worker.valuations.cars import ValuedCar, WaitingCar, read_items
from worker.valuations.claims import BUSY_RETRY_S, Claim, ClaimState, RedisClaims
from worker.valuations.lists import ValuedList
from worker.valuations.steps import ClaimedCars, ValuationSteps

OUTAGE_RETRY_DELAY_S = 1.0
"""Delay after a failure of the service's surroundings, like an audit log on a full disk. It counts
as no attempt: an accepted job waits for the end of the outage."""

OUTAGE_WAIT_S = 30.0
"""How long a worker waits for the broker to note that a job was interrupted: the default lease."""

OUTAGE_POLL_S = 0.5

log = get_logger("valuation")


class Turn(Enum):
    """How the open jobs of a message are carried out."""

    CANCELLED = 1
    TOGETHER = 2
    ALONE = 3
    """Jobs that were started before, since one may end its process again; former requests of
    micro-batches, whose claim may be that of their batch."""
    EXHAUSTED = 4
    """Jobs that have used all their attempts."""


class ClaimedJob(NamedTuple):
    """A started job and its claim."""

    job: Job
    claim: Claim

    @property
    def doubtful(self) -> "ClaimedJob":
        """The same after an attempt that may have written the records of the job."""
        if self.claim.state is not ClaimState.FRESH:
            return self
        return self._replace(claim=dataclasses.replace(self.claim, state=ClaimState.DOUBTFUL))


class ValuationService:
    """Carries out `valuation.value_cars`, `valuation.value_jobs` and `valuation.value_list`.

    The order is always: claim, estimate, audit, answer, so that every answer is recorded. A message
    may be delivered to two workers at once, or again after its worker died: the claim lets one of
    them write the records, and later ones answer without writing them.

    The jobs of a message take each step together, by one round trip. What goes wrong with one of
    them concerns no other: a job that has been started before is carried out alone, and after an
    unexpected failure of several each is tried alone.

    Args:
        steps: estimate, record and answer.
        claims: claims on messages.
        jobs: the stored jobs.
        client: connection to the broker instance, for the replies.
        clock: the time of day.
        dead_letters: list of the jobs that have used all their attempts.
        max_attempts: a job fails after this many attempts.
    """

    def __init__(
        self,
        *,
        steps: ValuationSteps,
        claims: RedisClaims,
        jobs: JobStore,
        client: RedisClient,
        clock: Clock,
        dead_letters: DeadLetters,
        max_attempts: int,
    ) -> None:
        self._steps = steps
        self._claims = claims
        self._jobs = jobs
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._dead_letters = dead_letters
        self._max_attempts = max_attempts

    # Micro-batches

    def value_micro_batch(self, group_id: str, reply_to: str, items: Sequence[bytes]) -> None:
        """Answer a micro-batch of waiting requests by one forest call and one reply.

        A request whose deadline had passed when the micro-batch was first claimed is left out: its
        caller waits no more, and it has become a job with a message of its own. That job finds out
        by the same comparison that it was left out here.

        Args:
            group_id: id of the micro-batch.
            reply_to: reply list of the API process.
            items: the requests, as `WaitingCar.from_wire` reads them.
        """
        with traced_group(TaskName.VALUE_CARS, QueueName.INTERACTIVE):
            try:
                self._value_micro_batch(group_id, reply_to, items)
            finally:
                self._leave()

    def _value_micro_batch(self, group_id: str, reply_to: str, items: Sequence[bytes]) -> None:
        now = self._clock()
        with self._claims.begin_concurrently([group_id], now) as claimed:
            waiting, unreadable = read_items(items)
            self._steps.note_waits([car.since for car in waiting], now)
            note_members((car.trace, car.since, car.id) for car in waiting)
            # The forest runs while the claim is sent.
            valued = self._value_waiting(waiting, now)
            (claim,) = claimed()
        if claim.state is ClaimState.BUSY:
            return
        if claim.state is not ClaimState.FRESH:  # compare the deadlines with that claim
            valued = self._value_waiting(waiting, claim.first_at)
        recorded: list[ClaimedCars] = []
        try:
            for _, result in valued:
                if isinstance(result, TEMPORARY_ERRORS):
                    raise result
            if not (recorded := self._steps.record([ClaimedCars(claim, valued)])):
                return
        except TEMPORARY_ERRORS as error:
            # Not recorded: a request whose caller has stopped waiting is a job by now, which is
            # valued and recorded after the outage.
            self._claims.release(claim, may_be_recorded=isinstance(error, AuditNotFlushed))
            valued = [(car, error) for car, _ in valued]
        replies: list[RequestResult] = [*unreadable, *((car.id, result) for car, result in valued)]
        self._steps.answer(
            recorded, partial(push_reply, self._connections, reply_to, group_id, replies)
        )

    def _value_waiting(self, waiting: Sequence[WaitingCar], claimed_at: float) -> list[ValuedCar]:
        """Estimate the requests whose deadline was not over at `claimed_at`."""
        return self._steps.estimate([car for car in waiting if car.deadline >= claimed_at])

    # Jobs

    def value_jobs(
        self,
        job_ids: Sequence[JobId],
        enqueued_at: float,
        queue: QueueName = QueueName.INTERACTIVE,
    ) -> None:
        """Carry out stored jobs; does nothing for those that have ended or are gone.

        Args:
            job_ids: the jobs.
            enqueued_at: Unix time at which the first of them was sent.
            queue: the queue of the message.
        """
        with traced_group(TaskName.VALUE_JOBS, queue):
            try:
                for group in self._load(job_ids, enqueued_at, queue):
                    self._value_group(group)
            except BrokerUnavailable:
                # The message is gone: without this the jobs would wait until their leases end.
                _after_outage(lambda: self._jobs.postpone(self._clock(), *job_ids))
                raise
            finally:
                self._leave()

    def _leave(self) -> None:
        """End the work on a message, whatever came of it."""
        self._claims.end()
        self._steps.update_metrics()

    def _load(
        self, job_ids: Sequence[JobId], enqueued_at: float, queue: QueueName
    ) -> Iterator[list[Job]]:
        """Load jobs; those that can be carried out together, then one by one the others.

        What cannot be carried out comes last, because a full broker refuses to note it.
        """
        jobs: dict[Turn, list[Job]] = {turn: [] for turn in Turn}
        unread: list[tuple[JobId, DomainError]] = []
        for job_id, job in zip(job_ids, self._jobs.load_all(job_ids), strict=True):
            if isinstance(job, DomainError):
                unread.append((job_id, job))
            elif job is not None and not job.state.is_terminal:
                jobs[self._turn(job)].append(job)
        # A job that was added to a message on the queue was sent later than its first one.
        sent_at = [max(enqueued_at, job.created_at) for own in jobs.values() for job in own]
        self._steps.note_waits(sent_at, self._clock(), queue)
        if jobs[Turn.CANCELLED]:
            ends = [JobEnd(job.id, JobState.CANCELLED) for job in jobs[Turn.CANCELLED]]
            self._jobs.finish_all(ends)
        if jobs[Turn.TOGETHER]:
            yield jobs[Turn.TOGETHER]
        for job in jobs[Turn.ALONE]:
            yield [job]
        for job_id, error in unread:
            self._defer(job_id, error)
        for job in jobs[Turn.EXHAUSTED]:
            self._dead_letters.give_up(job, self._jobs)

    def _turn(self, job: Job) -> Turn:
        """How an open job is carried out."""
        if job.cancel_requested:
            return Turn.CANCELLED
        if job.attempts >= self._max_attempts:
            return Turn.EXHAUSTED
        return Turn.ALONE if job.attempts or job.origin else Turn.TOGETHER

    def _defer(self, job_id: JobId, error: DomainError) -> None:
        """Have a job looked at again that could not be read."""
        if isinstance(error, UnreadableRecord):
            self._jobs.defer_unreadable(job_id, error)
            return
        log.warning("job_postponed", job_id=job_id, error=str(error))
        JOBS_POSTPONED.inc()
        self._jobs.postpone(self._clock() + OUTAGE_RETRY_DELAY_S, job_id)

    def _value_group(self, jobs: Sequence[Job]) -> None:
        """Claim and start jobs, and carry out those that are not another worker's."""
        note_members((job.trace, job.created_at, job.id) for job in jobs)
        claimed = list(map(ClaimedJob, jobs, self._claim(jobs)))
        free = [each for each in claimed if each.claim.state is not ClaimState.BUSY]
        states = self._jobs.start_all([each.job.id for each in free]) if free else []
        started = [
            each for each, state in zip(free, states, strict=True) if state is JobState.RUNNING
        ]
        if started:
            self._carry_out(started)
        # Their worker is alive and ends them; this is not counted as an attempt.
        busy = [each.job.id for each in claimed if each.claim.state is ClaimState.BUSY]
        self._jobs.postpone(self._clock() + BUSY_RETRY_S, *busy)

    def _claim(self, jobs: Sequence[Job]) -> list[Claim]:
        """Claim jobs, by one round trip unless one of them was a request of a micro-batch."""
        if any(job.origin for job in jobs):
            return [self._claim_late(job) for job in jobs]
        claims = self._claims.begin_all([job.id for job in jobs])
        return list(map(_as_doubtful_after_attempts, jobs, claims))

    def _claim_late(self, job: Job) -> Claim:
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

    def _carry_out(self, jobs: Sequence[ClaimedJob]) -> None:
        """Value started jobs and end them, or have them sent again after a failure."""
        try:
            self._value(jobs)
        except BrokerUnavailable as error:
            for job, _ in jobs:
                log.warning("job_interrupted", job_id=job.id, error=str(error))
                JOBS_POSTPONED.inc()
                # The claim is not released: its records may be in the log.
                _after_outage(partial(self._send_again, job, OUTAGE_RETRY_DELAY_S, error))
        except (*TEMPORARY_ERRORS, OSError) as error:
            for each in jobs:
                self._postpone(each, error)
        except Exception as error:
            if len(jobs) > 1:
                log.exception("job_group_failed", jobs=len(jobs))
                for each in jobs:
                    self._carry_out([each.doubtful])
                return
            ((job, claim),) = jobs
            log.exception("job_attempt_failed", job_id=job.id, attempt=job.attempts + 1)
            self._claims.release(claim)
            self._send_again(job, job.attempts + 1.0, error, counts_attempt=True)

    def _postpone(
        self, claimed: ClaimedJob, error: Exception, *, may_be_recorded: bool = False
    ) -> None:
        """Have a job sent again after an outage of the service's surroundings."""
        job, claim = claimed
        log.warning("job_postponed", job_id=job.id, error=str(error))
        JOBS_POSTPONED.inc()
        may_be_recorded = may_be_recorded or isinstance(error, AuditNotFlushed)
        self._claims.release(claim, may_be_recorded=may_be_recorded)
        self._send_again(job, OUTAGE_RETRY_DELAY_S, error)

    def _send_again(
        self, job: Job, delay_s: float, error: Exception, *, counts_attempt: bool = False
    ) -> None:
        # The text of an exception may contain what the caller sent: only its kind is kept.
        failure = error.code if isinstance(error, DomainError) else type(error).__name__
        self._jobs.retry_at(
            job.id, self._clock() + delay_s, failure=failure, counts_attempt=counts_attempt
        )

    def _value(self, jobs: Sequence[ClaimedJob]) -> None:
        """Estimate, record and end started jobs.

        A job whose cars could not be valued now, or whose result could not be stored, is sent again
        later; the others end.
        """
        cars = self._steps.estimate_jobs([job for job, _ in jobs])
        is_cancelled = self._jobs.cancel_requests([job.id for job, _ in jobs])
        ends: list[tuple[ClaimedJob, JobEnd]] = []
        to_record: dict[str, tuple[ClaimedJob, Sequence[ValuedCar], JobEnd]] = {}
        failed: list[tuple[ClaimedJob, DomainError]] = []
        for each, valued, is_over in zip(jobs, cars, is_cancelled, strict=True):
            end = _end_of(each.job, valued)
            if is_over:
                ends.append((each, JobEnd(each.job.id, JobState.CANCELLED)))
            elif isinstance(end, DomainError):
                failed.append((each, end))
            else:
                to_record[each.claim.message_id] = each, valued, end
        recorded = self._steps.record(
            [ClaimedCars(each.claim, valued) for each, valued, _ in to_record.values()]
        )
        for claim, _ in recorded:
            each, _, end = to_record[claim.message_id]
            ends.append((each, end))
        for each, outcome in self._end(ends, recorded):
            if isinstance(outcome, DomainError):
                self._postpone(each, outcome, may_be_recorded=True)
        for each, error in failed:
            self._postpone(each, error)

    def _end(
        self, ends: Sequence[tuple[ClaimedJob, JobEnd]], recorded: Sequence[ClaimedCars]
    ) -> list[tuple[ClaimedJob, bool | StorageUnavailable]]:
        """End jobs; an error is the outcome of one whose result could not be stored."""
        if not ends:
            return []
        outcomes = self._steps.answer(
            recorded, partial(self._jobs.finish_all, [end for _, end in ends])
        )
        return [(each, outcome) for (each, _), outcome in zip(ends, outcomes, strict=True)]


def _end_of(job: Job, valued: Sequence[ValuedCar]) -> JobEnd | DomainError:
    """How a job ends; an error if it has to wait for the end of an outage."""
    if isinstance(valued, ValuedList):
        return JobEnd(job.id, JobState.SUCCEEDED, valued.estimates)
    results = [result for _, result in valued]
    failure = next((each for each in results if isinstance(each, DomainError)), None)
    if isinstance(failure, TEMPORARY_ERRORS):
        return failure
    if failure is not None:
        return JobEnd(job.id, JobState.FAILED, error=failure.code)
    estimates = tuple(each for each in results if isinstance(each, Estimate))
    return JobEnd(job.id, JobState.SUCCEEDED, estimates)


def _as_doubtful_after_attempts(job: Job, claim: Claim) -> Claim:
    """The claim of a job, DOUBTFUL if the job has attempts and its earlier claim has expired."""
    if claim.state is ClaimState.FRESH and job.attempts:
        return dataclasses.replace(claim, state=ClaimState.DOUBTFUL)
    return claim


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
