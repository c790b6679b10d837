"""What the services need from the outside, as protocols.

Each docstring says what happens when the backend is down, so that degradation is declared.
`shared.adapters` holds the implementations; one contract suite tests them all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Protocol

from shared.domain.audit import AuditRecord
from shared.domain.batch import BatchProgress, RowCounts
from shared.domain.car import CarFeatures
from shared.domain.ids import BatchId, CallerId, JobId, ValuationId
from shared.domain.job import CarRequest, Job, JobState, QueuePlace
from shared.domain.valuation import CachedEstimate, Estimate, Extra


class Clock(Protocol):
    """The time of day."""

    def __call__(self) -> float:
        """Unix time in seconds."""
        ...


class ValuationCache(Protocol):
    """Estimates by model version, car and extras.

    Backend down: `get` finds nothing and `put` does nothing, both counted and logged once a
    while; a valuation never fails for the cache's sake.
    """

    def get(
        self, model_version: str, car: CarFeatures, extras: Sequence[Extra]
    ) -> CachedEstimate | None:
        """The cached estimate, in one round trip."""
        ...

    def put(self, entries: Sequence[tuple[CarFeatures, Sequence[Extra], Estimate]]) -> None:
        """Store estimates for the configured time, in one round trip."""
        ...

    def stats(self) -> Mapping[str, Any]:
        """Size, memory and hit rate; `{"enabled": False, …}` while the backend is down."""
        ...


class JobStore(Protocol):
    """Jobs, readable until their retention time is over.

    Backend down: every method raises `BrokerUnavailable` within two seconds.
    """

    def create(self, job: Job) -> None:
        """Store a job that must be carried out; it is swept up if it is lost on the way."""
        ...

    def get(self, job_id: JobId, caller: CallerId) -> Job:
        """Read a job.

        Raises:
            JobNotFound: this caller has no such job.
            JobExpired: it was there, and its retention time is over.
        """
        ...

    def load(self, job_id: JobId) -> Job | None:
        """Read a job for its worker; None if it is gone."""
        ...

    def start(self, job_id: JobId) -> JobState | None:
        """Note an attempt and renew the lease; the state it is in now, None if it is gone."""
        ...

    def finish(
        self, job_id: JobId, state: JobState, estimates: Sequence[Estimate] = (), error: str = ""
    ) -> bool:
        """Move to a terminal state, once: False if the job had ended before."""
        ...

    def request_cancel(self, job_id: JobId, caller: CallerId) -> Job:
        """Ask for the job to end; a queued one ends at once.

        Raises:
            JobNotFound, JobExpired: as for `get`.
            JobAlreadyEnded: nothing is left to cancel.
        """
        ...

    def queue_place(self, job_id: JobId) -> QueuePlace | None:
        """Where an open job stands in the queue; None once it has ended."""
        ...

    def overdue(self, limit: int) -> list[JobId]:
        """Open jobs whose lease has run out."""
        ...

    def renew(self, job_id: JobId) -> None:
        """Give an open job a new lease (it was sent again)."""
        ...

    def forget(self, job_id: JobId) -> None:
        """Take a job off the list of open ones, when its record is gone."""
        ...


class JobNews(Protocol):
    """One thread's ear for one job."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the job has ended or the time is over; True if it may have ended."""
        ...


class JobEvents(Protocol):
    """Tells waiting threads that a job has ended.

    Backend down: waiters wake at their own interval and read the store; none waits for ever.
    """

    def listen(self, job_id: str) -> AbstractContextManager[JobNews]:
        """Start listening; read the job's state after this, then wait."""
        ...


class AuditLog(Protocol):
    """The durable list of answers.

    Backend down (disk full): `append` raises `AuditUnavailable`, and the answer is not given.
    """

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Write the records and flush them to the operating system, all or nothing."""
        ...


class PendingEstimate(Protocol):
    """The future of one submitted valuation."""

    def wait(self, timeout_s: float) -> Estimate | None:
        """The estimate; None if it did not arrive in time.

        Raises:
            DomainError: the worker reported a failure.
        """
        ...

    def abandon(self) -> Estimate | None:
        """Stop waiting: a reply that arrives from now on completes the job of the same id.

        Returns the estimate if it arrived just before.
        """
        ...


class Dispatcher(Protocol):
    """The one way to put work on the queue.

    Backend down: `BrokerUnavailable` within two seconds.
    """

    def submit(
        self, valuation_id: ValuationId, request: CarRequest, caller: CallerId, deadline: float
    ) -> PendingEstimate:
        """Ask for one estimate that somebody waits for until `deadline` (Unix time)."""
        ...

    def submit_job(self, job_id: JobId) -> None:
        """Put a stored job on the queue; returns once the broker has it."""
        ...


class BlobWriter(Protocol):
    """A blob that is being written: a binary file, of which nobody sees anything yet."""

    def write(self, data: bytes, /) -> int:
        """Append bytes."""
        ...


class BlobStore(Protocol):
    """Files of batches, by batch and name: the durable truth about every batch.

    Backend down (disk full or gone): every method raises `OSError`, and what was being written
    is not there.
    """

    def write(self, batch_id: BatchId, name: str) -> AbstractContextManager[BlobWriter]:
        """Write a blob; it is durable and visible as a whole when the context ends well.

        An exception inside the context leaves things as they were.
        """
        ...

    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob for reading from any place.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        ...

    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs whose name begins with `folder`, sorted."""
        ...

    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; one that is not there is no error."""
        ...

    def batches(self) -> Iterator[BatchId]:
        """Every batch that has a blob, in order of age."""
        ...


class StepVerdict(StrEnum):
    """Whether a step of a batch should be carried out now."""

    RUN = "run"
    DONE = "done"
    """It was done before."""
    STOPPED = "stopped"
    """The batch is ending: cancelled, aborted or ended."""
    EXHAUSTED = "exhausted"
    """It was tried too often."""
    UNKNOWN = "unknown"
    """The ledger knows no such batch: it was removed, or the broker lost its memory."""


class StepStart(NamedTuple):
    """The answer to a worker that wants to carry out a step."""

    verdict: StepVerdict
    attempt: int


class NextSteps(NamedTuple):
    """What is to be sent now; it is leased already."""

    chunks: Sequence[int]
    assemble: bool


class BatchStore(Protocol):
    """The ledger of batches: which step is done, which is under way, and the counters.

    A step is `split`, `assemble` or a chunk's number. It accelerates what the blobs record; a
    ledger that was lost is refilled from them.

    Backend down: every method raises `BrokerUnavailable` within two seconds.
    """

    def ping(self) -> None:
        """Check that the ledger can be reached."""
        ...

    def create(self, batch_id: BatchId, accepted_at: float) -> None:
        """Open the ledger of a batch, its split leased."""
        ...

    def restore(
        self,
        batch_id: BatchId,
        accepted_at: float,
        *,
        chunks_cut: int,
        total: int | None,
        done: Mapping[int, RowCounts],
    ) -> bool:
        """Open a ledger again with what the blobs say is done; False if it is there."""
        ...

    def progress(self, batch_id: BatchId) -> BatchProgress | None:
        """Where the batch stands; None if the ledger knows nothing of it."""
        ...

    def begin(self, batch_id: BatchId, step: str) -> StepStart:
        """Note an attempt and renew the step's lease."""
        ...

    def note_cut(self, batch_id: BatchId, chunks_cut: int, total: int | None) -> None:
        """Note how many chunks are cut; `total` rows once the whole file is."""
        ...

    def finish_chunk(
        self, batch_id: BatchId, chunk: int, counts: RowCounts, *, abort: bool
    ) -> bool:
        """Mark a chunk done and add its counts; False, and nothing added, if it was before."""
        ...

    def postpone(self, batch_id: BatchId, step: str, delay_s: float, *, blame: bool) -> None:
        """Let the step be sent again after a while; `blame` it or take the attempt back."""
        ...

    def renew(self, batch_id: BatchId, step: str) -> None:
        """Give a step that is under way a new lease."""
        ...

    def advance(self, batch_id: BatchId) -> NextSteps:
        """Lease what can go out now: chunks within the window, or the assembly."""
        ...

    def overdue(self, batch_id: BatchId) -> list[str]:
        """Steps whose lease has run out, leased anew."""
        ...

    def abort(self, batch_id: BatchId, error: str) -> None:
        """End the batch early for an error of its own."""
        ...

    def request_cancel(self, batch_id: BatchId) -> bool:
        """Ask for the end; False if the batch has ended or is unknown."""
        ...

    def finish(self, batch_id: BatchId, progress: BatchProgress) -> bool:
        """Close the ledger with the final word; False if it was closed before."""
        ...

    def open_batches(self) -> list[BatchId]:
        """The batches that have not ended, the oldest first."""
        ...

    def claim_scan(self, interval_s: int) -> bool:
        """Whether the blobs should be looked through now; True at most once an interval.

        A ledger that lost its memory says True at once.
        """
        ...
