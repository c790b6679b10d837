"""The jobs and batches of a caller, page by page, the newest first."""

import dataclasses
import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from api.batches.service import Batches
from api.jobs.idempotency import RedisIdempotency
from shared.domain.batch import Batch
from shared.domain.errors import BatchExpired, BatchNotFound
from shared.domain.ids import BatchId, CallerId, min_id_at
from shared.domain.job import JobKind, JobState, JobSummary
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

_FIELDS = ("caller", "state", "created_at", "started_at", "finished_at", "total")
_KEYS: Mapping[JobKind, Callable[[str], str]] = {
    JobKind.JOB: keys.jobs_by_caller,
    JobKind.BATCH: keys.batches_by_caller,
}


class SubmissionIndex:
    """The jobs and batches of each caller, the newest first, as long as they can be read.

    While the broker is down, every method raises `BrokerUnavailable` within two seconds.

    Jobs come on the list with `JobStore.create`, batches with `BatchLedger.index_by_caller`.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def ids(
        self, kind: JobKind, caller: CallerId, *, after: str, before: str, limit: int
    ) -> list[str]:
        """A part of the list, the newest first."""
        with broker_errors():
            found = self._client.zrange(
                _KEYS[kind](caller),
                f"({before}",
                f"({after}",
                desc=True,
                bylex=True,
                offset=0,
                num=limit,
            )
        return [one.decode() for one in found]

    def summaries(self, job_ids: Sequence[str]) -> list[JobSummary | None]:
        """The summaries of jobs, in one round trip and without their cars."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hmget(keys.job(job_id), _FIELDS)
            found = pipeline.execute()
        return [_summary(job_id, values) for job_id, values in zip(job_ids, found, strict=True)]

    def remove(self, kind: JobKind, caller: CallerId, ids: Sequence[str]) -> None:
        """Take ids off the list."""
        if ids:
            with broker_errors():
                self._client.zrem(_KEYS[kind](caller), *ids)


def _summary(job_id: str, values: Sequence[bytes | None]) -> JobSummary | None:
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


MAX_SCANNED = 1000
"""Entries that one call looks at: with a filter that hardly anything passes, pages are short."""

FETCH_SIZE = 100
ID_AGE_MARGIN_S = 60.0
"""A call that waited in vain becomes a job under the id that it began with."""

IDEMPOTENCY_ROUTES = {JobKind.JOB: "jobs", JobKind.BATCH: "batches"}
"""What `Idempotency-Key` is kept under, by kind."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ListFilter:
    """Which entries are wanted."""

    kinds: Collection[JobKind] = tuple(JobKind)
    states: Collection[JobState] = tuple(JobState)
    created_from: float = 0.0
    """Unix time, seconds; included."""
    created_to: float = float("inf")
    """Not included."""
    idempotency_key: str | None = None


class Page(NamedTuple):
    """Entries, and where the next page begins: the id before it, None at the end."""

    summaries: list[JobSummary]
    cursor: str | None


class _Entry(NamedTuple):
    id: str
    head: JobSummary | None


class Listing:
    """Lists jobs and batches; the cost of a page does not grow with what is stored.

    Args:
        lists: of every caller.
        batches: reads batches.
        idempotency: finds what a key stands for.
    """

    def __init__(
        self, lists: SubmissionIndex, batches: Batches, idempotency: RedisIdempotency
    ) -> None:
        self._lists = lists
        self._batches = batches
        self._idempotency = idempotency

    def page(self, caller: CallerId, wanted: ListFilter, cursor: str | None, limit: int) -> Page:
        """One page; raises `BrokerUnavailable`.

        Args:
            caller: whose entries.
            wanted: which of them.
            cursor: id before the page.
            limit: most entries.
        """
        if wanted.idempotency_key is not None:
            return Page(list(self._of_key(caller, wanted)), None)
        summaries: list[JobSummary] = []
        entries = self._entries(caller, wanted, cursor)
        last = None
        for last in islice(entries, MAX_SCANNED):
            if last.head is not None and _matches_filter(last.head, wanted):
                summaries.append(last.head)
                if len(summaries) == limit:
                    break
        is_over = last is None or next(entries, None) is None
        return Page(summaries, None if is_over or last is None else last.id)

    def _of_key(self, caller: CallerId, wanted: ListFilter) -> Iterator[JobSummary]:
        for kind in wanted.kinds:
            found = self._idempotency.find(
                caller, IDEMPOTENCY_ROUTES[kind], wanted.idempotency_key or ""
            )
            if found is not None:
                head = self._heads(kind, caller, [found])[0]
                if head is not None and _matches_filter(head, wanted):
                    yield head

    def _entries(
        self, caller: CallerId, wanted: ListFilter, cursor: str | None
    ) -> Iterator[_Entry]:
        """All entries of the time and kinds that are wanted, the newest first."""
        after = min_id_at(max(wanted.created_from - ID_AGE_MARGIN_S, 0.0))
        before = "~"  # after every id
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
        while ids := self._lists.ids(kind, caller, after=after, before=before, limit=FETCH_SIZE):
            # Batches are files: one is read when its turn comes.
            size = FETCH_SIZE if kind is JobKind.JOB else 1
            for start in range(0, len(ids), size):
                block = ids[start : start + size]
                yield from map(_Entry, block, self._heads(kind, caller, block))
            before = ids[-1]

    def _heads(self, kind: JobKind, caller: CallerId, ids: list[str]) -> list[JobSummary | None]:
        """The summaries of these; what is gone comes off the list."""
        if kind is JobKind.JOB:
            found = self._lists.summaries(ids)
        else:
            found = [self._batch_head(caller, each) for each in ids]
        gone = [each for each, head in zip(ids, found, strict=True) if head is None]
        self._lists.remove(kind, caller, gone)
        return [head if head is not None and head.caller == caller else None for head in found]

    def _batch_head(self, caller: CallerId, batch_id: str) -> JobSummary | None:
        try:
            return _head_of(self._batches.get(BatchId(batch_id), caller))
        except (BatchNotFound, BatchExpired):
            return None


def _matches_filter(head: JobSummary, wanted: ListFilter) -> bool:
    return head.state in wanted.states and (
        wanted.created_from <= head.created_at < wanted.created_to
    )


def _head_of(batch: Batch) -> JobSummary:
    progress = batch.progress
    return JobSummary(
        id=batch.manifest.id,
        kind=JobKind.BATCH,
        file_name=batch.manifest.file_name,
        caller=batch.manifest.caller,
        state=progress.state,
        created_at=batch.manifest.accepted_at,
        started_at=progress.started_at,
        finished_at=progress.finished_at,
        done=progress.counts.done,
        total=progress.total,
    )
