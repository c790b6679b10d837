"""Reads jobs for many polls at once: state, content and position in the queue."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

from api.jobs.listing import SubmissionIndex
from shared.domain.errors import (
    DomainError,
    JobDeleted,
    JobExpired,
    JobNotFound,
    UnreadableRecord,
)
from shared.domain.ids import CallerId, JobId, is_id
from shared.domain.job import Job, JobState, JobSummary, QueuePosition
from shared.redis import keys
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.job_store.store import JobStore

LARGE_CARS = 100
"""Jobs with more cars are read one at a time: each takes megabytes, and because of the interpreter
lock two at once are not faster and would delay single cars."""


class JobQuery(NamedTuple):
    """What a poll asks for."""

    id: JobId
    caller: CallerId
    needs_position: bool = True
    """Whether the position in the queue is read if the job is open."""


class JobView(NamedTuple):
    """What was read of a job."""

    id: JobId
    state: JobState
    job: Job | None
    """None if the job is large: it is read when its content is needed."""
    position: QueuePosition | None = None
    finished_at: float | None = None
    """Unix time, seconds; None while it is open."""

    @classmethod
    def of(cls, job: Job) -> Self:
        """What is known of a job that was read; not its position."""
        return cls(job.id, job.state, job, finished_at=job.finished_at)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state.is_terminal


class Moved(NamedTuple):
    """A job that is not in Redis, and may be in a segment: `JobStore.get` knows."""


class JobReader:
    """Reads jobs, in three round trips however many they are.

    Of a job whose end is known, only its state is read: the content of an ended job never changes.

    Args:
        store: the stored jobs.
        lists: reads summaries.
        positions: reads positions in the queue.
        ended: jobs that have ended, as the message of their end told; None if it is not kept.
        catalogue: knows the segments of the jobs that have left Redis.
    """

    def __init__(
        self,
        store: JobStore,
        lists: SubmissionIndex,
        positions: QueuePositions,
        ended: Callable[[str], Job | None] = lambda _: None,
        *,
        catalogue: SegmentCatalogue,
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._lists = lists
        self._positions = positions
        self._ended = ended

    def read_all(self, queries: Sequence[JobQuery]) -> list[JobView | Moved | DomainError]:
        """What each query asks for, or the error that applies to it.

        The content of large jobs is left out. Nothing is read of the blob store but their payloads:
        polls of other jobs wait meanwhile.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        ids = list(dict.fromkeys(query.id for query in queries if is_id(query.id)))
        summaries = self._summaries(ids)
        jobs = self._known(summaries)
        jobs |= self._load(
            [each for each in ids if _is_small(summaries[each]) and each not in jobs]
        )
        gone = [each for each in ids if not _is_readable(summaries[each], jobs.get(each))]
        places = dict(zip(gone, self._catalogue.find(gone), strict=True))
        owners = {each: place.tombstone for each, place in places.items() if place.tombstone}
        # A job whose tombstone is there may have been stored since it was looked for.
        jobs |= self._load(
            [each for each, owner in owners.items() if keys.DELETED_MARK not in owner]
        )
        moved = {each for each in gone if each not in owners and places[each].may_be_moved}
        views = [
            Moved()
            if query.id in moved
            else _view(query, summaries.get(query.id), jobs.get(query.id), owners.get(query.id))
            for query in queries
        ]
        return self._with_positions(queries, views)

    def _known(
        self, summaries: Mapping[JobId, JobSummary | UnreadableRecord | None]
    ) -> dict[JobId, Job | DomainError | None]:
        """The ended jobs whose content is known, if they are still stored as they ended."""
        return {
            job_id: job
            for job_id, summary in summaries.items()
            if isinstance(summary, JobSummary)
            and (job := self._ended(job_id)) is not None
            and (job.state, job.finished_at, job.caller)
            == (summary.state, summary.finished_at, summary.caller)
        }

    def _load(self, ids: Sequence[JobId]) -> dict[JobId, Job | DomainError | None]:
        return dict(zip(ids, self._store.load_all(ids), strict=True)) if ids else {}

    def _summaries(self, ids: Sequence[JobId]) -> dict[JobId, JobSummary | UnreadableRecord | None]:
        return dict(zip(ids, self._lists.summaries(ids), strict=True)) if ids else {}

    def _with_positions(
        self, queries: Sequence[JobQuery], views: list[JobView | Moved | DomainError]
    ) -> list[JobView | Moved | DomainError]:
        """Add the positions of open jobs to the views that need them."""
        wanted = [
            view.id
            for query, view in zip(queries, views, strict=True)
            if isinstance(view, JobView) and query.needs_position and not view.is_terminal
        ]
        if not wanted:
            return views
        ids = list(dict.fromkeys(wanted))
        positions = dict(zip(ids, self._positions.of_all(ids), strict=True))
        return [
            view._replace(position=positions.get(view.id)) if isinstance(view, JobView) else view
            for view in views
        ]


def _is_small(summary: JobSummary | UnreadableRecord | None) -> bool:
    return isinstance(summary, JobSummary) and (summary.total or 1) <= LARGE_CARS


def _is_readable(
    summary: JobSummary | UnreadableRecord | None, job: Job | DomainError | None
) -> bool:
    """Whether it is known that a job exists, and whose it is."""
    return isinstance(summary, JobSummary) and not (_is_small(summary) and job is None)


def _view(
    query: JobQuery,
    summary: JobSummary | UnreadableRecord | None,
    job: Job | DomainError | None,
    owner: str | None,
) -> JobView | DomainError:
    """What a caller may see of a job: of another caller's job, not that it exists."""
    known = job if isinstance(job, Job) else summary
    owner = known.caller if isinstance(known, Job | JobSummary) else owner
    if owner is None or owner.removesuffix(keys.DELETED_MARK) != query.caller:
        return JobNotFound(id=query.id[:64])
    if isinstance(job, Job):
        return JobView.of(job)
    if isinstance(job, DomainError):
        return job
    if isinstance(summary, UnreadableRecord):
        return summary
    if isinstance(summary, JobSummary) and not _is_small(summary):
        return JobView(query.id, summary.state, None, finished_at=summary.finished_at)
    return (JobDeleted if owner.endswith(keys.DELETED_MARK) else JobExpired)(id=query.id)
