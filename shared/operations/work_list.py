"""The jobs and batches of all callers, newest first, for the operator."""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.domain.batch import BatchOutcome, BatchProgress
from shared.domain.clock import Clock
from shared.domain.errors import DomainError, UnreadableRecord
from shared.domain.ids import BatchId, CallerId, min_id_at
from shared.domain.job import JobKind, JobState, JobSummary
from shared.keys.shared_store import open_key_store
from shared.redis import keys
from shared.redis.batch_ledger.ledger import BatchLedger, make_ledger
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store.archive import JobArchive, open_job_archive
from shared.redis.job_store.records import SUMMARY_FIELDS, read_summary
from shared.settings import Settings, SettingsError

BLOCK = 100
MAX_READ = 1000
"""Most entries that one list looks at."""

MAX_NAMED = 20
"""Most unreadable entries that a list names."""

WITHOUT_KEYS = (CallerId("local"), CallerId("visitor"))
"""The callers that send no key: on loopback without keys, and the visitors of a demonstration."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkFilter:
    """Which jobs and batches are listed."""

    kinds: Collection[JobKind] = tuple(JobKind)
    states: Collection[JobState] = tuple(JobState)
    caller: CallerId | None = None
    """None: those of all callers that have a key, or none."""
    accepted_after: float = 0.0
    """Unix time, seconds."""

    def matches(self, entry: "WorkEntry") -> bool:
        """Whether an entry is listed."""
        summary = entry.summary
        return summary.state in self.states and summary.created_at >= self.accepted_after


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkEntry:
    """A job or batch."""

    summary: JobSummary
    failed_rows: int = 0
    """Rows of a batch that could not be valued, though they are valid."""
    may_be_retried: bool = False
    """Whether another run may complete a batch that has ended."""

    @property
    def id(self) -> str:
        """Its id; ids are ordered by the time of acceptance."""
        return self.summary.id


class FoundWork(NamedTuple):
    """The entries of a list.

    Attributes:
        entries: the newest first.
        is_cut: whether older ones may match as well, which were not looked at.
        unreadable: ids of jobs in Redis and of batches that are left out because a newer release
            wrote their record, or because it is damaged; the newest `MAX_NAMED`. Segments of ended
            jobs that cannot be read are logged (`JobArchive`).
    """

    entries: Sequence[WorkEntry]
    is_cut: bool
    unreadable: Sequence[str] = ()


class WorkList:
    """Reads lists of jobs and batches; each call raises `BrokerUnavailable`.

    Args:
        client: connection to the broker instance.
        archive: jobs that have left Redis.
        files: records of batches.
        ledger: state of open batches.
        callers: all callers that have a key.
    """

    def __init__(
        self,
        client: RedisClient,
        archive: JobArchive,
        files: BatchFiles,
        ledger: BatchLedger,
        callers: Callable[[], Iterable[CallerId]],
    ) -> None:
        self._client = client
        self._archive = archive
        self._files = files
        self._ledger = ledger
        self._callers = callers
        self._unreadable: list[str] = []

    @classmethod
    def of(cls, settings: Settings, client: RedisClient, clock: Clock) -> "WorkList":
        """The list of a service."""
        return cls(
            client,
            open_job_archive(settings, client, clock),
            BatchFiles(open_blob_store(settings)),
            make_ledger(client, clock, settings),
            lambda: known_callers(settings),
        )

    def newest(self, wanted: WorkFilter, limit: int) -> FoundWork:
        """The newest entries that a filter lets through.

        Raises:
            BrokerUnavailable, StorageUnavailable: they cannot be read now.
        """
        named = (*WITHOUT_KEYS, *self._callers())
        callers = [wanted.caller] if wanted.caller else list(dict.fromkeys(named))
        read = {JobKind.JOB: self._jobs, JobKind.BATCH: self._batches}
        after = min_id_at(max(0.0, wanted.accepted_after - 60))
        found = heapq.merge(
            *(read[kind](caller, after) for kind in wanted.kinds for caller in callers),
            key=attrgetter("id"),
            reverse=True,
        )
        entries: list[WorkEntry] = []
        for entry in itertools.islice(found, MAX_READ):
            if wanted.matches(entry):
                entries.append(entry)
            if len(entries) == limit:
                break
        is_cut = len(entries) < limit and next(found, None) is not None
        unreadable = sorted(self._unreadable, reverse=True)[:MAX_NAMED]
        return FoundWork(entries, is_cut=is_cut, unreadable=unreadable)

    def _jobs(self, caller: CallerId, after: str) -> Iterator[WorkEntry]:
        before = "~"  # sorts after every id
        while True:
            ids = self._ids(keys.jobs_by_caller(caller), after, before)
            archived = self._archive.listed(caller, after=after, before=before, limit=BLOCK)
            block = sorted({*ids, *archived}, reverse=True)[:BLOCK]
            if not block:
                return
            stored = self._stored_jobs([each for each in block if each not in archived])
            summaries: dict[str, JobSummary | None] = {str(one): archived[one] for one in archived}
            summaries |= stored
            for each in block:
                summary = summaries.get(each)
                if summary is not None and summary.caller == caller:
                    yield WorkEntry(summary=summary)
            before = block[-1]

    def _stored_jobs(self, job_ids: Sequence[str]) -> dict[str, JobSummary]:
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for each in job_ids:
                pipeline.hmget(keys.job(each), SUMMARY_FIELDS)
            values = pipeline.execute() if job_ids else []
        found = {}
        for job_id, fields in zip(job_ids, values, strict=True):
            try:
                summary = read_summary(job_id, fields)
            except UnreadableRecord:
                self._unreadable.append(job_id)
                continue
            if summary is not None:
                found[job_id] = summary
        return found

    def _batches(self, caller: CallerId, after: str) -> Iterator[WorkEntry]:
        before = "~"
        while ids := self._ids(keys.batches_by_caller(caller), after, before):
            for each in ids:  # one by one: reading a batch opens files
                entry = self._batch(BatchId(each), caller)
                if entry is not None:
                    yield entry
            before = ids[-1]

    def _batch(self, batch_id: BatchId, caller: CallerId) -> WorkEntry | None:
        try:
            manifest = self._files.manifest(batch_id)
            if manifest is None or manifest.caller != caller:
                return None
            final = self._files.final(batch_id)
            progress = final or self._ledger.progress(batch_id) or BatchProgress()
        except UnreadableRecord:
            self._unreadable.append(batch_id)
            return None
        return WorkEntry(
            summary=JobSummary(
                id=batch_id,
                kind=JobKind.BATCH,
                file_name=manifest.file_name,
                caller=caller,
                state=progress.state,
                created_at=manifest.accepted_at,
                started_at=progress.started_at,
                finished_at=progress.finished_at,
                done=progress.counts.done,
                total=progress.total,
            ),
            failed_rows=progress.counts.failed,
            may_be_retried=final is not None and _is_incomplete(final) and not manifest.corrects,
        )

    def _ids(self, name: str, after: str, before: str) -> list[str]:
        with broker_errors():
            found = self._client.zrange(
                name, f"({before}", f"({after}", desc=True, bylex=True, offset=0, num=BLOCK
            )
        return [one.decode() for one in found]


def known_callers(settings: Settings) -> list[CallerId]:
    """The callers that have a key; none while the keys cannot be read."""
    try:
        return [CallerId(entry.caller) for entry in open_key_store(settings).load() or ()]
    except (SettingsError, OSError, DomainError):
        return []


def _is_incomplete(final: BatchProgress) -> bool:
    whole = (BatchOutcome.COMPLETE, BatchOutcome.WITH_ERRORS, BatchOutcome.DRY_RUN)
    return final.outcome not in whole and not final.corrections
