"""Submit and poll: jobs of one car or of a list."""

import dataclasses
import hashlib
import threading
import time

from api.events.subscriptions import JobEvents
from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import SubmissionIndex
from api.valuations.micro_batches import MicroBatchDispatcher, QueueGuard
from model_store.registry.registry import ActiveVersionCache
from shared.domain.clock import Clock
from shared.domain.errors import JobExpired, JobNotFound, ModelNotLoaded
from shared.domain.ids import CallerId, JobId, is_id, new_id
from shared.domain.job import Job, JobState, JobSummary, QueuePosition
from shared.domain.valuation import CarRequest
from shared.queue.names import QueueName
from shared.redis.jobs import JobStore


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a caller sends as a job."""

    requests: tuple[CarRequest, ...]
    is_list: bool
    body: bytes
    """The body as it came: the same Idempotency-Key must come with the same body."""
    idempotency_key: str | None = None


class Jobs:
    """Accepts jobs, finds them again, waits for them, cancels them.

    Args:
        active_model: without an active version no job is accepted.
        store: the jobs.
        lists: tells where jobs stand without their cars.
        events: wakes the threads that wait for a job.
        dispatcher: puts jobs on the queue.
        idempotency: finds the job of a repeated submission.
        clock: the time of day.
        queue_guard: refuses new work while the queue is too long.
        long_waits: the threads that may wait at once; beyond, a caller gets the state as it is.
    """

    def __init__(
        self,
        *,
        active_model: ActiveVersionCache,
        store: JobStore,
        lists: SubmissionIndex,
        events: JobEvents,
        dispatcher: MicroBatchDispatcher,
        idempotency: RedisIdempotency,
        clock: Clock,
        queue_guard: QueueGuard,
        long_waits: threading.Semaphore,
    ) -> None:
        self._queue_guard = queue_guard
        self._active_model = active_model
        self._store = store
        self._lists = lists
        self._events = events
        self._dispatcher = dispatcher
        self._idempotency = idempotency
        self._clock = clock
        self._long_waits = long_waits

    def submit(self, submission: Submission, caller: CallerId) -> Job:
        """Accept a job: it is stored and on the queue when this returns.

        Raises:
            ModelNotLoaded: no version is active.
            IdempotencyConflict: the key came before with another body.
            BrokerUnavailable, QueueFull: it cannot be accepted now.
        """
        if self._active_model.version_id() is None:
            raise ModelNotLoaded
        job_id = JobId(new_id())
        if submission.idempotency_key is not None:
            claim = self._idempotency.claim(
                caller,
                "jobs",
                submission.idempotency_key,
                hashlib.sha256(submission.body).hexdigest(),
                job_id,
            )
            job_id = JobId(claim.id)
            if not claim.is_new and (job := self._find(job_id, caller)) is not None:
                return job
        return self._accept(job_id, submission, caller)

    def get(self, job_id: JobId, caller: CallerId) -> Job:
        """Read a job; raises `JobNotFound` or `JobExpired`."""
        return self._store.get(job_id, caller)

    def place(self, job: Job) -> QueuePosition | None:
        """Where an open job stands in the queue."""
        return None if job.state.is_terminal else self._store.queue_position(job.id)

    def head(self, job_id: JobId, caller: CallerId) -> JobSummary:
        """Where a job stands, without its cars; raises as `get`."""
        if is_id(job_id):
            (head,) = self._lists.summaries([job_id])
            if head is not None and head.caller == caller:
                return head
        self._store.get(job_id, caller)  # says what has become of it
        raise JobNotFound(id=job_id)

    def wait(self, job_id: JobId, caller: CallerId, timeout_s: float) -> JobSummary:
        """Where a job stands, at the latest after `timeout_s`, earlier when it ends."""
        head = self.head(job_id, caller)
        if head.state.is_terminal or timeout_s <= 0 or not self._long_waits.acquire(blocking=False):
            return head
        try:
            return self._wait(job_id, caller, time.monotonic() + timeout_s)
        finally:
            self._long_waits.release()

    def cancel(self, job_id: JobId, caller: CallerId) -> Job:
        """Ask for the end of a job; raises `JobAlreadyEnded` if there is nothing left to end."""
        return self._store.request_cancel(job_id, caller)

    def _accept(self, job_id: JobId, submission: Submission, caller: CallerId) -> Job:
        job = Job(
            id=job_id,
            caller=caller,
            state=JobState.QUEUED,
            created_at=self._clock(),
            requests=submission.requests,
            is_list=submission.is_list,
        )
        self._queue_guard.check(QueueName.BULK if job.is_long else QueueName.INTERACTIVE)
        if self._store.create(job):
            self._dispatcher.submit_job(job_id, is_long=job.is_long)
            return job
        # Another call with the same Idempotency-Key was faster.
        return self._store.get(job_id, caller)

    def _find(self, job_id: JobId, caller: CallerId) -> Job | None:
        """The job of a repeated submission; None if the first one did not get that far."""
        try:
            return self._store.get(job_id, caller)
        except (JobNotFound, JobExpired):
            return None

    def _wait(self, job_id: JobId, caller: CallerId, until: float) -> JobSummary:
        with self._events.listen(job_id) as listener:
            while True:
                head = self.head(job_id, caller)
                remaining = until - time.monotonic()
                if head.state.is_terminal or remaining <= 0:
                    return head
                listener.wait(remaining)
