"""The list of a caller's jobs and batches, page by page, newest first."""

import dataclasses
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
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
)
from shared.domain.ids import BatchId, CallerId, JobId, is_id, min_id_at
from shared.domain.job import JobKind, JobState, JobSummary
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store.archive import JobArchive
from shared.redis.job_store.records import SUMMARY_FIELDS, read_summary
from shared.redis.pipelines import PipelinedCommands

_KEYS: Mapping[JobKind, Callable[[str], str]] = {
    JobKind.JOB: keys.jobs_by_caller,
    JobKind.BATCH: keys.batches_by_caller,
}
IDEMPOTENCY_ROUTES = {JobKind.JOB: "jobs", JobKind.BATCH: "batches"}
"""`route` of `RedisIdempotency`, by kind."""

MAX_SCANNED = 1000
"""Most entries that one call reads; with a selective filter a page may be short."""

FIRST_FETCH_SIZE, FETCH_SIZE = 25, 100
"""Entries that are read at once at first, and later: those of a usual page, then more."""

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
            commands = [("HMGET", keys.job(job_id), *SUMMARY_FIELDS) for job_id in job_ids]
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
        return read_summary(job_id, values)
    except UnreadableRecord as error:
        return error


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
    archive: JobArchive
    """Jobs that have left Redis."""

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
                if summary is None and kind is JobKind.JOB and is_id(found):
                    summary = self.archive.summary(JobId(found), caller)
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
            *(
                (self._jobs if kind is JobKind.JOB else self._batches)(caller, after, before)
                for kind in wanted.kinds
            ),
            key=attrgetter("id"),
            reverse=True,
        )

    def _jobs(self, caller: CallerId, after: str, before: str) -> Iterator[_Entry]:
        size = FIRST_FETCH_SIZE
        while True:
            ids = self.lists.ids(JobKind.JOB, caller, after=after, before=before, limit=size)
            # Read later than the ids: a job that leaves Redis meanwhile is in one of both.
            moved = partial(self.archive.listed, caller, after=after, before=before, limit=size)
            archived = moved()
            block = sorted({*ids, *archived}, reverse=True)[:size]
            if not block:
                return
            stored = [each for each in block if each in set(ids)]
            found = dict(zip(stored, self._summaries(JobKind.JOB, caller, stored), strict=True))
            if None in found.values():
                archived = moved()
            for job_id in block:
                yield _Entry(job_id, found.get(job_id) or archived.get(JobId(job_id)))
            before, size = block[-1], min(2 * size, FETCH_SIZE)

    def _batches(self, caller: CallerId, after: str, before: str) -> Iterator[_Entry]:
        while ids := self.lists.ids(
            JobKind.BATCH, caller, after=after, before=before, limit=FETCH_SIZE
        ):
            for each in ids:  # reading a batch opens files
                (summary,) = self._summaries(JobKind.BATCH, caller, [each])
                yield _Entry(each, summary)
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
