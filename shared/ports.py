"""What the services need from the outside, as protocols.

Each docstring says what happens when the backend is down, so that degradation is declared.
`shared.adapters` holds the implementations; one contract suite tests them all.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from shared.domain.audit import AuditRecord
from shared.domain.car import CarFeatures
from shared.domain.ids import CallerId, JobId, ValuationId
from shared.domain.job import CarRequest, Job, JobEnd, JobHead, JobKind, JobState, QueuePlace
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

    def near(self, model_version: str, car: CarFeatures) -> CachedEstimate | None:
        """The estimate that this process has a copy of; needs no round trip."""
        ...

    def get_all(
        self, wanted: Sequence[tuple[str, CarFeatures, Sequence[Extra]]]
    ) -> list[CachedEstimate | None]:
        """The estimates of model versions, cars and extras, in one round trip."""
        ...

    def put(self, entries: Sequence[tuple[CarFeatures, Sequence[Extra], Estimate]]) -> None:
        """Store estimates for the configured time, in one round trip."""
        ...

    def putting(
        self, entries: Sequence[tuple[CarFeatures, Sequence[Extra], Estimate]]
    ) -> AbstractContextManager[None]:
        """Store estimates while a block of code runs; they are under way before it begins."""
        ...

    def stats(self) -> Mapping[str, Any]:
        """Size, memory and hit rate; `{"enabled": False, …}` while the backend is down."""
        ...


class JobStore(Protocol):
    """Jobs, readable until their retention time is over.

    Backend down: every method raises `BrokerUnavailable` within two seconds.
    """

    def create(self, job: Job) -> bool:
        """Store a job that must be carried out; False if it is there already.

        It is swept up if its message is lost on the way.
        """
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

    def finish_all(self, ends: Sequence[JobEnd]) -> list[bool]:
        """As `finish`, for many jobs in one round trip."""
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
        """Give an open job that was sent again a new lease, longer each time."""
        ...

    def postpone(self, job_id: JobId, until: float) -> None:
        """Let an open job count as overdue at this Unix time; no attempt, no longer lease."""
        ...

    def is_cancel_requested(self, job_id: JobId) -> bool:
        """Whether the caller asked for the end of a job since it was read."""
        ...

    def forget(self, job_id: JobId) -> None:
        """Take a job off the list of open ones, when its record is gone."""
        ...


class CallerLists(Protocol):
    """What each caller handed in, the newest first, as long as it can be read.

    Backend down: every method raises `BrokerUnavailable` within two seconds.
    """

    def ids(
        self, kind: JobKind, caller: CallerId, *, after: str, before: str, limit: int
    ) -> list[str]:
        """Up to `limit` ids between the two, both not included, the newest first."""
        ...

    def heads(self, job_ids: Sequence[str]) -> list[JobHead | None]:
        """The heads of jobs; None for one whose record is gone."""
        ...

    def drop(self, kind: JobKind, caller: CallerId, ids: Sequence[str]) -> None:
        """Take what is gone off the list."""
        ...


class JobNews(Protocol):
    """One thread's ear for one job."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is news or the time is over; True if there may be some."""
        ...


class JobEvents(Protocol):
    """Tells waiting threads that a job or batch has ended, or has got on.

    Backend down: waiters wake at their own interval and read the store; none waits for ever.
    """

    def listen(self, job_id: str, *, progress: bool = False) -> AbstractContextManager[JobNews]:
        """Start listening; read the job's state after this, then wait."""
        ...


class AuditLog(Protocol):
    """The durable list of answers.

    Backend down (disk full): `append` raises `AuditUnavailable`, and the answer is not given.
    """

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Write the records and flush them to the operating system, all or nothing."""
        ...

    def recorded(self, ids: Collection[str]) -> set[str]:
        """Which of the ids have a record of today or yesterday, whoever wrote it. Slow."""
        ...


class PendingEstimate(Protocol):
    """The future of one submitted valuation."""

    @property
    def group_id(self) -> str:
        """The group in which it was sent; empty while it waits to be sent."""
        ...

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

    def submit_job(self, job_id: JobId, *, is_long: bool) -> None:
        """Put a stored job on the queue; returns once the broker has it."""
        ...
