"""Jobs: accept one car or a list, read the state, wait for the end, cancel.

Requests on an event loop share their calls to the broker: what is submitted in one iteration of the
loop is stored and queued by one round trip, and what is polled is read by another one. Threads
(Flask's) submit by themselves, and wait through the loop.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import NamedTuple

from api.events.departures import ClientLeftError
from api.events.thread_waits import ThreadWaits
from api.events.waits import Client, Waits
from api.jobs.idempotency import RedisIdempotency
from api.jobs.reading import JobQuery, JobReader, JobView, Moved
from api.loops.call_batches import CallBatcher
from api.loops.event_loops import EventLoops, LoopThreads
from api.loops.shared_reads import SharedReads
from api.middleware.key_limits import Admission
from api.valuations.queue_guard import QueueGuard
from model_store.registry.registry import ActiveVersionCache
from shared.domain.clock import Clock
from shared.domain.errors import (
    TEMPORARY_CODES,
    BrokerFull,
    BrokerUnavailable,
    DomainError,
    JobExpired,
    JobNotFound,
    JobStorageFull,
    ModelNotLoaded,
    QueueFull,
    RateLimited,
)
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Callback, Job, JobState, QueuePosition
from shared.domain.valuation import CarRequest
from shared.logging import get_logger
from shared.queue.names import QueueName
from shared.queue.work import JobSubmitter
from shared.redis import keys
from shared.redis.job_store.creation import Created, CreateOutcome, KeyEntry, QueueCall
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.store import JobStore
from shared.tracing.current import current_traceparent

ROUTE = "jobs"
"""Of the Idempotency-Keys of jobs."""
MOVED_THREADS = 4
"""Threads that read jobs which have left Redis; a slow blob store holds up nothing else."""

REFUSALS = (RateLimited, QueueFull, BrokerFull, JobStorageFull)
"""Errors that say for sure that nothing was stored."""

log = get_logger("jobs")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A request to create a job."""

    requests: Sequence[CarRequest]
    is_list: bool
    body: bytes
    """Raw body and query; requests with the same idempotency key must not differ in it."""
    idempotency_key: str | None = None
    callback: Callback | None = None
    """Where the end of the job is reported."""
    trace: str = dataclasses.field(default_factory=current_traceparent)
    """`traceparent` of the request that makes it; empty if it is not traced."""

    @property
    def fingerprint(self) -> str:
        """Digest of `body`."""
        return hashlib.sha256(self.body).hexdigest()


class AcceptedJob(NamedTuple):
    """A job that is stored, and queued now or by the sweep."""

    job: Job
    position: QueuePosition | None
    """None if it has ended, or the position cannot be read now."""


class _NewJob(NamedTuple):
    submission: Submission
    caller: CallerId


class _PerhapsRepeated(NamedTuple):
    """A submission whose Idempotency-Key is known, or that was refused and may be a repetition."""


class _AlreadyStoredError(Exception):
    """Another request has stored the same job."""


class Jobs:
    """Accepts jobs, reads their state, waits for their end and cancels them.

    Args:
        active_model: says whether a version is active.
        store: the stored jobs.
        submitter: stores and queues jobs.
        send_job: queues a stored job again; raises `BrokerUnavailable`.
        reader: reads jobs for polls.
        positions: reads positions in the queue.
        waits: the requests that wait for the end of a job.
        threads: lets threads wait.
        loops: runs calls to the broker on threads.
        idempotency: the Idempotency-Keys.
        clock: Unix time, seconds.
        queue_guard: refuses jobs while the queue is too long.
    """

    def __init__(
        self,
        *,
        active_model: ActiveVersionCache,
        store: JobStore,
        submitter: JobSubmitter,
        send_job: Callable[[Job], None],
        reader: JobReader,
        positions: QueuePositions,
        waits: Waits,
        threads: ThreadWaits,
        loops: EventLoops,
        idempotency: RedisIdempotency,
        clock: Clock,
        queue_guard: QueueGuard,
    ) -> None:
        self._active_model = active_model
        self._store = store
        self._submitter = submitter
        self._send_job = send_job
        self._positions = positions
        self._waits = waits
        self._threads = threads
        self._loops = loops
        self._idempotency = idempotency
        self._clock = clock
        self._queue_guard = queue_guard
        self._reads: CallBatcher[JobQuery, JobView | Moved] = CallBatcher(
            "job-reads", reader.read_all
        )
        self._moved_reads = SharedReads(LoopThreads("moved-jobs", MOVED_THREADS))
        self._submissions: CallBatcher[_NewJob, AcceptedJob | _PerhapsRepeated] = CallBatcher(
            "submissions", self._accept_all
        )

    # Submissions

    async def submit_soon(self, submission: Submission, caller: CallerId) -> AcceptedJob:
        """Accept a job together with others that arrive now; for callers without limits of jobs.

        Raises: as `submit`.
        """
        found = await self._submissions.call(_NewJob(submission, caller))
        if isinstance(found, AcceptedJob):
            return found
        return await self._loops.run_in_thread(lambda: self.submit(submission, caller))

    def submit(
        self, submission: Submission, caller: CallerId, admission: Admission | None = None
    ) -> AcceptedJob:
        """Accept a job; when this returns it is stored, and queued unless the broker refused that.

        Raises:
            ModelNotLoaded: no version is active.
            IdempotencyConflict: the key was used before with another body.
            JobDeleted: the job of the key was deleted.
            RateLimited: `admission` does not allow it; a repeated submission is always allowed.
            BrokerUnavailable, BrokerFull, QueueFull, JobStorageFull: it cannot be accepted now.
        """
        found = self._submit(submission, caller, admission)
        if isinstance(found, AcceptedJob):
            return found
        return AcceptedJob(found, self._known_position(found))

    def _submit(
        self, submission: Submission, caller: CallerId, admission: Admission | None
    ) -> AcceptedJob | Job:
        """Accept a job, or find the one that an earlier request has stored."""
        if self._active_model.version_id() is None:
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
            accepted = self._accept(found, submission, caller, admission)
        except REFUSALS:
            # Of requests at once, the one that made the key may be stored after this refusal.
            if found == job_id:
                self._idempotency.shorten(*entry, found, keys.job(found))
            raise
        if found != job_id:  # an earlier request with the key was refused
            try:
                self._idempotency.rebind(*entry, found)
            except BrokerUnavailable as error:  # the job is stored all the same
                log.warning("idempotency_key_not_renewed", error=str(error))
        return accepted

    # Reading

    async def wait(
        self, job_id: JobId, caller: CallerId, timeout_s: float, client: Client
    ) -> JobView:
        """A job of this caller when it has ended, or after `timeout_s`.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
            TooManyWaits, ClientLeftError, DomainError: as `Wait.change`.
        """
        if timeout_s <= 0 or self._waits.is_draining:
            return await self.read(job_id, caller)
        until = self._waits.until(timeout_s)
        with self._waits.listen(job_id, client) as wait:
            watched = self._waits.changes.watched(job_id)
            if watched is None or watched.caller != caller:
                view = await self.read(job_id, caller, needs_position=False)
                if view.is_terminal:
                    return view
                if view.job is not None:
                    self._waits.changes.watch(view.job)
            while (left_s := self._waits.left_s(until)) > 0:
                is_woken = await wait.change(min(left_s, self._waits.recheck_s))
                if wait.final is not None:
                    return JobView.of(wait.final)
                if is_woken or left_s > self._waits.recheck_s:
                    view = await self.read(job_id, caller, needs_position=False)
                    if view.is_terminal:
                        return view
        return await self.read(job_id, caller)

    def wait_from_thread(self, job_id: JobId, caller: CallerId, timeout_s: float) -> JobView:
        """Call `wait` from a thread; it returns at once while too many wait, or nobody reads."""
        with self._threads.slot(timeout_s) as waited_s, suppress(ClientLeftError):
            waited = self.wait(job_id, caller, waited_s, self._threads.client())
            return self._threads.run(waited, waited_s)
        return self._threads.run(self.read(job_id, caller), 0.0)

    async def read(
        self, job_id: JobId, caller: CallerId, *, needs_position: bool = True
    ) -> JobView:
        """A job of this caller as it is now; raises as `wait`."""
        found = await self._reads.call(JobQuery(job_id, caller, needs_position))
        if isinstance(found, JobView):
            return found
        get = partial(self._store.get, job_id, caller)
        return JobView.of(await self._moved_reads.read((job_id, caller), get))

    def get(self, job_id: JobId, caller: CallerId) -> Job:
        """Read a job of this caller with its cars; raises `JobNotFound` or `JobExpired`."""
        return self._store.get(job_id, caller)

    def queue_position(self, job: Job) -> QueuePosition | None:
        """The position of a job in the queue; None if it has ended."""
        return None if job.state.is_terminal else self._positions.of(job.id)

    def cancel_or_delete(self, job_id: JobId, caller: CallerId) -> Job | None:
        """Request the cancellation of an open job and return it, or delete an ended one.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
            JobAlreadyEnded: it has ended during the call, and is kept.
        """
        if self._store.delete(job_id, caller):
            # The message of its end may be on its way: nobody may be answered from memory now.
            self._waits.changes.forget(job_id)
            return None
        return self._store.request_cancel(job_id, caller)

    # Idempotency

    def _require_memory(self, key: str, caller: CallerId) -> None:
        """Refuse a new key while the broker lacks memory: to keep it would take more of it.

        Raises:
            BrokerFull: there is no memory, and no earlier request with this key.
        """
        try:
            self._queue_guard.check_memory()
        except BrokerFull:
            if self._idempotency.find(caller, ROUTE, key) is None:
                raise

    def _find_repeated(
        self, submission: Submission, new_job_id: JobId, caller: CallerId
    ) -> Job | JobId:
        """The job of an earlier request with the same Idempotency-Key, or the id of a new job."""
        key = submission.idempotency_key or ""
        fingerprint = submission.fingerprint
        claim = self._idempotency.claim(caller, ROUTE, key, fingerprint, new_job_id)
        if claim.is_new:
            return new_job_id
        first_id = JobId(claim.id)
        try:
            job = self._store.get(first_id, caller)
            if job.error not in TEMPORARY_CODES:
                return job
            # A failure that is over must not be repeated for as long as the key is kept.
        except JobNotFound:  # the first request failed before it was stored
            return first_id
        except JobExpired:  # a new id, because the audit log has records of the old one
            pass
        job_id = JobId(
            self._idempotency.replace(caller, ROUTE, key, fingerprint, first_id, new_job_id)
        )
        with suppress(JobNotFound, JobExpired):
            return self._store.get(job_id, caller)
        return job_id

    # Storing and queueing

    def _accept(
        self,
        job_id: JobId,
        submission: Submission,
        caller: CallerId,
        admission: Admission | None,
    ) -> AcceptedJob | Job:
        job = self._new_job(job_id, submission, caller)
        try:
            with nullcontext() if admission is None else admission.job(len(job.requests)):
                return self._store_new(job)
        except _AlreadyStoredError:
            # A concurrent request with the same Idempotency-Key has stored the job.
            return self._sent(self._store.get(job_id, caller))

    def _store_new(self, job: Job) -> AcceptedJob:
        (accepted,) = self._commit([job])
        if isinstance(accepted, AcceptedJob):
            return accepted
        if isinstance(accepted, DomainError):
            raise accepted
        raise _AlreadyStoredError

    def _accept_all(
        self, wanted: Sequence[_NewJob]
    ) -> list[AcceptedJob | _PerhapsRepeated | DomainError]:
        """Accept new jobs by one commit; the job of each, or why it is refused."""
        if self._active_model.version_id() is None:
            raise ModelNotLoaded
        admitted = [self._admit(each) for each in wanted]
        new = {
            each.id: submission
            for each, submission in zip(admitted, wanted, strict=True)
            if isinstance(each, Job)
        }
        entries = {
            job_id: self._idempotency.entry(caller, ROUTE, key, submission.fingerprint, job_id)
            for job_id, (submission, caller) in new.items()
            if (key := submission.idempotency_key) is not None
        }
        jobs = [each for each in admitted if isinstance(each, Job)]
        committed = iter(self._commit(jobs, entries))
        found = [next(committed) if isinstance(each, Job) else each for each in admitted]
        return [_result(*each) for each in zip(wanted, found, strict=True)]

    def _admit(self, new: _NewJob) -> Job | DomainError:
        try:
            return self._new_job(JobId(new_id()), new.submission, new.caller)
        except REFUSALS as error:
            return error

    def _new_job(self, job_id: JobId, submission: Submission, caller: CallerId) -> Job:
        """A job that the queue takes; raises as `QueueGuard.check_job`."""
        job = Job(
            id=job_id,
            caller=caller,
            state=JobState.QUEUED,
            created_at=self._clock(),
            requests=submission.requests,
            is_list=submission.is_list,
            callback=submission.callback,
            trace=submission.trace,
        )
        queue = QueueName.BULK if job.is_long else QueueName.INTERACTIVE
        self._queue_guard.check_job(queue, caller)
        return job

    def _commit(
        self, jobs: Sequence[Job], entries: Mapping[JobId, KeyEntry] | None = None
    ) -> list[AcceptedJob | CreateOutcome]:
        """Store and queue jobs, and read their positions; their ends are noticed from now on."""
        if not jobs:
            return []
        changes = self._waits.changes
        changes.start()
        for job in jobs:  # before they are stored: the message of the end may come at once
            changes.watch(job)
        query = self._positions.query([job.id for job in jobs])
        told: list[bytes] = []
        read = QueueCall(query.call, on_response=told.append)
        try:
            outcomes = self._submitter.submit(jobs, entries, lambda _: [read])
        except BaseException:
            for job in jobs:
                changes.forget(job.id)
            raise
        for job, outcome in zip(jobs, outcomes, strict=True):
            if outcome is not Created.STORED:
                changes.forget(job.id)
        positions = query.read(told[-1]) if told else [None] * len(jobs)
        return [
            AcceptedJob(job, position) if outcome is Created.STORED else outcome
            for job, outcome, position in zip(jobs, outcomes, positions, strict=True)
        ]

    def _known_position(self, job: Job) -> QueuePosition | None:
        """The position of an accepted job; None also if the broker does not answer any more."""
        try:
            return self.queue_position(job)
        except BrokerUnavailable as error:
            log.warning("queue_position_not_read", error=str(error))
            return None

    def _sent(self, job: Job) -> Job:
        """Send a stored job that has not started: the broker may have failed before it was sent.

        A second message is harmless: the first one that is carried out claims the job. Without any,
        the sweep sends one.
        """
        if job.state is JobState.QUEUED:
            try:
                self._send_job(job)
            except BrokerUnavailable as error:
                log.warning("jobs_not_queued", count=1, error=str(error))
        return job


def _result(
    new: _NewJob, found: AcceptedJob | CreateOutcome
) -> AcceptedJob | _PerhapsRepeated | DomainError:
    """What became of a submission; of one with a refused Idempotency-Key that is not known yet."""
    if isinstance(found, AcceptedJob):
        return found
    is_refusal = isinstance(found, REFUSALS)
    if isinstance(found, DomainError) and not (is_refusal and new.submission.idempotency_key):
        return found
    return _PerhapsRepeated()
