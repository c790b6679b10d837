"""Requests that were not answered in time become jobs: those of one moment by one round trip."""

from collections.abc import Sequence

from api.loops.call_batches import CallBatcher
from api.valuations.lookups import CacheLookup
from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, DomainError
from shared.domain.ids import JobId
from shared.domain.job import DispatchOrigin, Job, JobState
from shared.domain.valuation import Estimate, Valuation
from shared.queue.work import JobSubmitter
from shared.redis.job_store.creation import CreateOutcome
from shared.redis.job_store.store import JobStore


class UnansweredRequests:
    """Leaves requests to the jobs that they become, unless their replies come just now.

    A job is stored before the reply is given up: a reply that comes later completes the job. The
    job's own message completes it if no reply comes; if the broker refused it, the sweep sends it.

    Args:
        jobs: ends the jobs whose replies have come meanwhile.
        submitter: stores and queues jobs.
        clock: Unix time, seconds.
    """

    def __init__(self, jobs: JobStore, submitter: JobSubmitter, clock: Clock) -> None:
        self._jobs = jobs
        self._submitter = submitter
        self._clock = clock
        self._batcher: CallBatcher[CacheLookup, Valuation | Job] = CallBatcher(
            "unanswered", self._leave_all
        )

    async def leave(self, lookup: CacheLookup) -> Valuation | Job:
        """The job of a request, or its answer if that has just come.

        Raises:
            AcceptanceUnknown: the job may be carried out, or not.
            BrokerUnavailable: the job cannot be kept.
            DomainError: the worker has just reported a failure.
        """
        return await self._batcher.call(lookup)

    def _leave_all(self, lookups: Sequence[CacheLookup]) -> list[Valuation | Job | DomainError]:
        jobs = [self._job_of(lookup) for lookup in lookups]
        try:
            outcomes = self._submitter.submit(jobs)
        except BrokerUnavailable as error:
            raise _not_kept(error) from error
        return [self._end_of(*each) for each in zip(lookups, jobs, outcomes, strict=True)]

    def _job_of(self, lookup: CacheLookup) -> Job:
        return Job(
            id=JobId(lookup.id),
            caller=lookup.caller,
            state=JobState.QUEUED,
            created_at=self._clock(),
            requests=(lookup.request,),
            is_list=False,
            origin=DispatchOrigin(lookup.future.group_id, lookup.deadline),
            trace=lookup.trace,
        )

    def _end_of(
        self, lookup: CacheLookup, job: Job, outcome: CreateOutcome
    ) -> Valuation | Job | DomainError:
        if isinstance(outcome, DomainError):
            return _not_kept(outcome)
        try:
            return self._answer_of(lookup, job)
        except DomainError as error:  # must not become the answer of the others
            return error

    def _answer_of(self, lookup: CacheLookup, job: Job) -> Valuation | Job:
        try:
            estimate = lookup.future.abandon()
        except DomainError as error:
            self._jobs.finish(job.id, JobState.FAILED, error=error.code)
            raise
        if estimate is None:
            return job
        self._jobs.finish(job.id, JobState.SUCCEEDED, [estimate])  # counts it
        return worker_valuation(lookup, estimate)


def worker_valuation(lookup: CacheLookup, estimate: Estimate) -> Valuation:
    """The answer that a worker gave."""
    return Valuation(id=lookup.id, request=lookup.request, estimate=estimate, cached=False)


def _not_kept(error: DomainError) -> DomainError:
    """The error of a request that has no reply and no job."""
    if not isinstance(error, BrokerUnavailable):
        return error
    return type(error)(reason="no reply, and the job cannot be kept")
