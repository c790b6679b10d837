"""The list of a caller's jobs and batches, page by page, newest first."""

import dataclasses
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from api.batches.service import Batches
from api.jobs.idempotency import RedisIdempotency
from shared.domain.batch import Batch
from shared.domain.errors import (
    BatchDeleted,
    BatchExpired,
    BatchNotFound,
    UnreadableRecord,
    record_errors,
)
from shared.domain.ids import BatchId, CallerId, min_id_at
from shared.domain.job import JobKind, JobState, JobSummary
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.pipelines import PipelinedCommands

_FIELDS = ("caller", "state", "created_at", "started_at", "finished_at", "total")
_KEYS: Mapping[JobKind, Callable[[str], str]] = {
    JobKind.JOB: keys.jobs_by_caller,
    JobKind.BATCH: keys.batches_by_caller,
}
IDEMPOTENCY_ROUTES = {JobKind.JOB: "jobs", JobKind.BATCH: "batches"}
"""`route` of `RedisIdempotency`, by kind."""

MAX_SCANNED = 1000
"""Most entries that one call reads; with a selective filter a page may be short."""

FETCH_SIZE = 100
ID_AGE_MARGIN_S = 60.0
"""How much older than its job an id may be: a timed-out `/predict` keeps its id as a job."""


class SubmissionIndex:
    """Redis sorted sets with the ids of each caller's jobs and batches.

    `JobStore.create` adds jobs and `BatchLedger.index_by_caller` adds batches. While the broker is
    down, every method raises `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._connections = ConnectionCache(client)

    def ids(
        self, kind: JobKind, caller: CallerId, *, after: str, before: str, limit: int
    ) -> list[str]:
        """The newest ids between `after` and `before`, both excluded, newest first."""
        low, high = f"({before}", f"({after}"
        with broker_errors():
            found = self._client.zrange(
                _KEYS[kind](caller), low, high, desc=True, bylex=True, offset=0, num=limit
            )
        return [one.decode() for one in found]

    def summaries(self, job_ids: Sequence[str]) -> list[JobSummary | UnreadableRecord | None]:
        """The summaries of jobs without their cars, in one round trip; None for missing ones."""
        with broker_errors():
            commands = [("HMGET", keys.job(job_id), *_FIELDS) for job_id in job_ids]
            with PipelinedCommands(self._connections, *commands) as asked:
                found = asked.responses()
        return [
            _job_summary_or_error(job_id, values)
            for job_id, values in zip(job_ids, found, strict=True)
        ]

    def remove(self, kind: JobKind, caller: CallerId, ids: Sequence[str]) -> None:
        """Remove ids from the index."""
        if ids:
            with broker_errors():
                self._client.zrem(_KEYS[kind](caller), *ids)


def _job_summary_or_error(
    job_id: str, values: Sequence[bytes | None]
) -> JobSummary | UnreadableRecord | None:
    try:
        with record_errors():
            return _job_summary(job_id, values)
    except UnreadableRecord as error:
        return error


def _job_summary(job_id: str, values: Sequence[bytes | None]) -> JobSummary | None:
    caller, state, created_at, started_at, finished_at, total = values
    if caller is None or state is None or created_at is None:
        return None
    cars = int(total or 1)
    return JobSummary(
        id=job_id,
        kind=JobKind.JOB,
        caller=CallerId(caller.decode()),
        state=JobState(state.decode()),
        created_at=float(created_at),
        started_at=None if started_at is None else float(started_at),
        finished_at=None if finished_at is None else float(finished_at),
        done=cars if state == b"SUCCEEDED" else 0,
        total=cars,
    )


def _batch_summary(batch: Batch) -> JobSummary:
    manifest, progress = batch.manifest, batch.progress
    return JobSummary(
        id=manifest.id,
        kind=JobKind.BATCH,
        file_name=manifest.file_name,
        caller=manifest.caller,
        state=progress.state,
        created_at=manifest.accepted_at,
        started_at=progress.started_at,
        finished_at=progress.finished_at,
        done=progress.counts.done,
        total=progress.total,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ListFilter:
    """Which entries to list."""

    kinds: Collection[JobKind] = tuple(JobKind)
    states: Collection[JobState] = tuple(JobState)
    created_from: float = 0.0
    """Unix time, seconds; inclusive."""
    created_to: float = float("inf")
    """Exclusive."""
    idempotency_key: str | None = None

    def matches(self, summary: JobSummary) -> bool:
        """Whether an entry has one of the states and was created in the time span."""
        return (
            summary.state in self.states
            and self.created_from <= summary.created_at < self.created_to
        )


class Page(NamedTuple):
    """A page of the list; `cursor` is the last id read, None if no entry follows."""

    summaries: list[JobSummary]
    cursor: str | None


class _Entry(NamedTuple):
    id: str
    summary: JobSummary | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Lists jobs and batches; the cost of a page does not depend on the number of entries."""

    lists: SubmissionIndex
    batches: Batches
    idempotency: RedisIdempotency

    def page(self, caller: CallerId, wanted: ListFilter, cursor: str | None, limit: int) -> Page:
        """One page of a caller's entries; raises `BrokerUnavailable`.

        Args:
            caller: owner of the entries.
            wanted: the filter.
            cursor: of the previous page; None for the first page.
            limit: most entries.
        """
        if wanted.idempotency_key is not None:
            return Page(list(self._with_key(caller, wanted, wanted.idempotency_key)), None)
        summaries: list[JobSummary] = []
        entries = self._entries(caller, wanted, cursor)
        last = None
        for last in islice(entries, MAX_SCANNED):
            if last.summary is not None and wanted.matches(last.summary):
                summaries.append(last.summary)
                if len(summaries) == limit:
                    break
        is_over = last is None or next(entries, None) is None
        return Page(summaries, None if is_over or last is None else last.id)

    def _with_key(self, caller: CallerId, wanted: ListFilter, key: str) -> Iterator[JobSummary]:
        for kind in wanted.kinds:
            found = self.idempotency.find(caller, IDEMPOTENCY_ROUTES[kind], key)
            if found is not None:
                (summary,) = self._summaries(kind, caller, [found])
                if summary is not None and wanted.matches(summary):
                    yield summary

    def _entries(
        self, caller: CallerId, wanted: ListFilter, cursor: str | None
    ) -> Iterator[_Entry]:
        """All entries of the kinds and the time span, newest first."""
        after = min_id_at(max(wanted.created_from - ID_AGE_MARGIN_S, 0.0))
        before = "~"  # sorts after every id
        if wanted.created_to != float("inf"):
            before = min_id_at(wanted.created_to)
        if cursor is not None:
            before = min(before, cursor)
        return heapq.merge(
            *(self._of_kind(kind, caller, after, before) for kind in wanted.kinds),
            key=attrgetter("id"),
            reverse=True,
        )

    def _of_kind(
        self, kind: JobKind, caller: CallerId, after: str, before: str
    ) -> Iterator[_Entry]:
        # Reading a batch opens files, so batches are read one at a time.
        size = FETCH_SIZE if kind is JobKind.JOB else 1
        while ids := self.lists.ids(kind, caller, after=after, before=before, limit=FETCH_SIZE):
            for start in range(0, len(ids), size):
                block = ids[start : start + size]
                yield from map(_Entry, block, self._summaries(kind, caller, block))
            before = ids[-1]

    def _summaries(
        self, kind: JobKind, caller: CallerId, ids: list[str]
    ) -> list[JobSummary | None]:
        """The summaries of these ids; expired ids are removed from the index.

        Entries that a newer version wrote are left out, and stay in the index.
        """
        if kind is JobKind.JOB:
            found = self.lists.summaries(ids)
        else:
            found = [self._read_batch(caller, each) for each in ids]
        gone = [each for each, summary in zip(ids, found, strict=True) if summary is None]
        self.lists.remove(kind, caller, gone)
        return [
            one if isinstance(one, JobSummary) and one.caller == caller else None for one in found
        ]

    def _read_batch(self, caller: CallerId, batch_id: str) -> JobSummary | UnreadableRecord | None:
        try:
            return _batch_summary(self.batches.get(BatchId(batch_id), caller))
        except (BatchNotFound, BatchExpired, BatchDeleted):
            return None
        except UnreadableRecord as error:
            return error
