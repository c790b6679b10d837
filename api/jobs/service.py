"""Jobs: accept one car or a list, read the state, wait for the end, cancel."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress

from api.events.subscriptions import JobEvents
from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import SubmissionIndex
from api.middleware.key_limits import Admission
from api.valuations.queue_guard import QueueGuard
from model_store.registry.registry import ActiveVersionCache
from shared.domain.clock import Clock
from shared.domain.errors import (
    TEMPORARY_CODES,
    BrokerFull,
    JobExpired,
    JobNotFound,
    JobStorageFull,
    ModelNotLoaded,
    QueueFull,
    RateLimited,
    UnreadableRecord,
)
from shared.domain.ids import CallerId, JobId, is_id, new_id
from shared.domain.job import Callback, Job, JobState, JobSummary, QueuePosition
from shared.domain.valuation import CarRequest
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.job_store.store import JobStore

ROUTE = "jobs"
"""Of the Idempotency-Keys of jobs."""
REFUSALS = (RateLimited, QueueFull, BrokerFull, JobStorageFull)
"""Errors that say for sure that nothing was stored."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A request to create a job."""

    requests: tuple[CarRequest, ...]
    is_list: bool
    body: bytes
    """Raw body and query; requests with the same idempotency key must not differ in it."""
    idempotency_key: str | None = None
    callback: Callback | None = None
    """Where the end of the job is reported."""

    @property
    def fingerprint(self) -> str:
        """Digest of `body`."""
        return hashlib.sha256(self.body).hexdigest()


class _AlreadyStoredError(Exception):
    """Another request has stored the same job."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Jobs:
    """Accepts jobs, reads their state, waits for their end and cancels them."""

    active_model: ActiveVersionCache
    store: JobStore
    lists: SubmissionIndex
    events: JobEvents
    send_job: Callable[[Job], None]
    """Queues a stored job; raises `BrokerUnavailable`."""
    idempotency: RedisIdempotency
    clock: Clock
    queue_guard: QueueGuard
    long_waits: threading.Semaphore
    """Bounds the waiting threads; beyond it, `wait` returns at once."""

    def submit(
        self, submission: Submission, caller: CallerId, admission: Admission | None = None
    ) -> Job:
        """Accept a job; it is stored and queued when this returns.

        Raises:
            ModelNotLoaded: no version is active.
            IdempotencyConflict: the key was used before with another body.
            JobDeleted: the job of the key was deleted.
            RateLimited: `admission` does not allow it; a repeated submission is always allowed.
            BrokerUnavailable, BrokerFull, QueueFull, JobStorageFull: it cannot be accepted now.
        """
        if self.active_model.version_id() is None:
            raise ModelNotLoaded
        key, job_id = submission.idempotency_key, JobId(new_id())
        if key is None:
            return self._accept(job_id, submission, caller, admission)
        self._require_memory(key, caller)
        found = self._find_repeated(submission, job_id, caller)
        if isinstance(found, Job):
            return self._sent(found)
        entry = (caller, ROUTE, key, submission.fingerprint)
        try:
            job = self._accept(found, submission, caller, admission)
        except REFUSALS:
            # Of requests at once, the one that made the key may be stored after this refusal.
            if found == job_id:
                self.idempotency.shorten(*entry, found, keys.job(found))
            raise
        if found != job_id:  # an earlier request with the key was refused
            self.idempotency.rebind(*entry, found)
        return job

    def get(self, job_id: JobId, caller: CallerId) -> Job:
        """Read a job of this caller; raises `JobNotFound` or `JobExpired`."""
        return self.store.get(job_id, caller)

    def queue_position(self, job: Job) -> QueuePosition | None:
        """The position of a job in the queue; None if it has ended."""
        return None if job.state.is_terminal else self.store.queue_position(job.id)

    def summary(self, job_id: JobId, caller: CallerId) -> JobSummary:
        """The state of a job without its cars; raises as `get`."""
        if is_id(job_id):
            (summary,) = self.lists.summaries([job_id])
            if isinstance(summary, UnreadableRecord):
                self.store.get(job_id, caller)  # raises the error that applies to this caller
                raise summary
            if summary is not None and summary.caller == caller:
                return summary
        self.store.get(job_id, caller)  # raises the error that applies
        raise JobNotFound(id=job_id)

    def wait(self, job_id: JobId, caller: CallerId, timeout_s: float) -> JobSummary:
        """The state of a job when it has ended, or after `timeout_s`."""
        return self.events.poll(
            job_id,
            lambda: self.summary(job_id, caller),
            lambda summary: summary.state.is_terminal,
            timeout_s,
            waiters=self.long_waits,
        )

    def cancel_or_delete(self, job_id: JobId, caller: CallerId) -> Job | None:
        """Request the cancellation of an open job and return it, or delete an ended one.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
            JobAlreadyEnded: it has ended during the call, and is kept.
        """
        if self.store.delete(job_id, caller):
            return None
        return self.store.request_cancel(job_id, caller)

    def _require_memory(self, key: str, caller: CallerId) -> None:
        """Refuse a new key while the broker lacks memory: to keep it would take more of it.

        Raises:
            BrokerFull: there is no memory, and no earlier request with this key.
        """
        try:
            self.queue_guard.check_memory()
        except BrokerFull:
            if self.idempotency.find(caller, ROUTE, key) is None:
                raise

    def _find_repeated(
        self, submission: Submission, new_job_id: JobId, caller: CallerId
    ) -> Job | JobId:
        """The job of an earlier request with the same Idempotency-Key, or the id of a new job."""
        key = submission.idempotency_key or ""
        fingerprint = submission.fingerprint
        claim = self.idempotency.claim(caller, ROUTE, key, fingerprint, new_job_id)
        if claim.is_new:
            return new_job_id
        first_id = JobId(claim.id)
        try:
            job = self.store.get(first_id, caller)
            if job.error not in TEMPORARY_CODES:
                return job
            # A failure that is over must not be repeated for as long as the key is kept.
        except JobNotFound:  # the first request failed before it was stored
            return first_id
        except JobExpired:  # a new id, because the audit log has records of the old one
            pass
        job_id = JobId(
            self.idempotency.replace(caller, ROUTE, key, fingerprint, first_id, new_job_id)
        )
        with suppress(JobNotFound, JobExpired):
            return self.store.get(job_id, caller)
        return job_id

    def _accept(
        self,
        job_id: JobId,
        submission: Submission,
        caller: CallerId,
        admission: Admission | None,
    ) -> Job:
        job = Job(
            id=job_id,
            caller=caller,
            state=JobState.QUEUED,
            created_at=self.clock(),
            requests=submission.requests,
            is_list=submission.is_list,
            callback=submission.callback,
        )
        self.queue_guard.check_job(QueueName.BULK if job.is_long else QueueName.INTERACTIVE, caller)
        cars = len(job.requests)
        try:
            with nullcontext() if admission is None else admission.job(cars):
                self._store(job)
        except _AlreadyStoredError:
            # A concurrent request with the same Idempotency-Key has stored the job.
            return self._sent(self.store.get(job_id, caller))
        self.send_job(job)
        return job

    def _sent(self, job: Job) -> Job:
        """Send a stored job that has not started: the broker may have failed before it was sent.

        A second message is harmless: the first one that is carried out claims the job.
        """
        if job.state is JobState.QUEUED:
            self.send_job(job)
        return job

    def _store(self, job: Job) -> None:
        if not self.store.create(job):
            raise _AlreadyStoredError
