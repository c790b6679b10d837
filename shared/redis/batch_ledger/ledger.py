"""The ledger of batches in Redis: steps, leases and counters, each change one atomic script."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from shared.domain.batch import BatchOutcome, BatchProgress, RowCounts
from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, record_errors
from shared.domain.files.draft import DRAFT_TTL_S
from shared.domain.ids import BatchId, CallerId, min_id_at
from shared.domain.job import Callback, JobState
from shared.redis import keys
from shared.redis.batch_ledger import scripts
from shared.redis.connections import ALLOW_OOM, RedisClient, broker_errors
from shared.redis.webhooks.records import pack_callback
from shared.settings import Settings

ENDED_TTL_S = 3600
"""Time to live of an ended batch in Redis; the blob store keeps it longer."""

OVERDUE_LIMIT = 64
FAILURES_TTL_S = 86_400
ROW_REJECTED = "row-rejected"
"""Error of a batch that ends at its first rejected row, as requested."""

CORRECTIONS_LOCK = "corrections"
CORRECTIONS_LOCK_TTL_S = 120
"""Longer than the check of the rows of a correction takes."""

_ASSEMBLE = -1
NO_SCRIPTS_OF_ONE_BATCH = frozenset({"HEAD", "RECORD_END", "LIST_BATCH", "RECORD_BYTES"})
"""Names in `scripts` that do not follow `HEAD`."""


class StepDecision(StrEnum):
    """Whether a worker should carry out a step."""

    RUN = "run"
    DONE = "done"
    """It is done."""
    STOPPED = "stopped"
    """The batch is ending: cancelled, aborted or ended."""
    EXHAUSTED = "exhausted"
    """It has no attempts left."""
    UNKNOWN = "unknown"
    """The ledger has no such batch: it was removed, or the broker lost its data."""


class StepLease(NamedTuple):
    """A step that is under way, and when it counts as lost, Unix time."""

    batch_id: BatchId
    step: str
    end: float


class StepAttempt(NamedTuple):
    """The ledger's decision about a step, and the number of the attempt."""

    decision: StepDecision
    attempt: int


class DueSteps(NamedTuple):
    """Steps to send now; they are leased already."""

    chunks: Sequence[int]
    assemble: bool


class BatchOwner(NamedTuple):
    """Whose work the steps of a batch are, and the number of its chunks that are cut."""

    caller: CallerId
    chunks: int


def make_ledger(client: RedisClient, clock: Clock, settings: Settings) -> "BatchLedger":
    """The ledger of a process with these settings."""
    return BatchLedger(
        client,
        clock,
        lease_s=settings.job_lease_s,
        window=settings.batch_window,
        max_attempts=settings.job_max_attempts,
    )


class BatchLedger:
    """The ledger of batches: steps that are done, leases of those under way, and counters.

    A step is `split`, `assemble` or a chunk's number. The blob store is the durable record; a lost
    ledger is restored from it. While the broker is down, every method raises `BrokerUnavailable`
    within two seconds.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        lease_s: time after which a step without renewal is overdue.
        window: chunks of one batch in work at once, at least.
        max_attempts: attempts before a step is exhausted.
    """

    def __init__(
        self, client: RedisClient, clock: Clock, *, lease_s: int, window: int, max_attempts: int
    ) -> None:
        self._client = client
        self._clock = clock
        self._lease_s = lease_s
        self._window = window
        self._max_attempts = max_attempts
        self._scripts = {
            name: client.register_script(ALLOW_OOM + scripts.HEAD + source)
            for name, source in vars(scripts).items()
            if name.isupper() and name not in NO_SCRIPTS_OF_ONE_BATCH
        }
        self._list_batch = client.register_script(ALLOW_OOM + scripts.LIST_BATCH)
        self._record_bytes = client.register_script(ALLOW_OOM + scripts.RECORD_BYTES)

    def ping(self) -> None:
        """Check that Redis answers."""
        with broker_errors():
            self._client.ping()

    def create(
        self,
        batch_id: BatchId,
        accepted_at: float,
        caller: CallerId,
        callback: Callback | None = None,
    ) -> None:
        """Open the ledger of a batch; its end is recorded for the callback, if there is one."""
        arguments = (accepted_at, self._lease_end(), caller, _packed(callback))
        self._run("CREATE", batch_id, batch_id, *arguments)

    def owner(self, batch_id: BatchId) -> BatchOwner:
        """Whose work the steps of a batch are."""
        with broker_errors():
            caller, chunks = self._client.hmget(keys.batch(batch_id), "caller", "chunks_cut")
        # A ledger that an older release opened names no caller.
        return BatchOwner(CallerId((caller or b"").decode()), int(chunks or 0))

    def index_by_caller(self, batch_id: BatchId, caller: CallerId, keep_s: int) -> None:
        """Add a batch to its caller's list, from which those older than `keep_s` are removed."""
        names = [keys.batches_by_caller(caller), keys.batch_bytes_of(caller)]
        oldest = min_id_at(self._clock() - keep_s)
        with broker_errors():
            self._list_batch(keys=names, args=[batch_id, oldest, keep_s])

    def record_bytes(self, batch_id: BatchId, caller: CallerId, size: int) -> None:
        """Record what a batch takes up in the blob store, bytes, unless it was deleted."""
        names = [keys.batches_by_caller(caller), keys.batch_bytes_of(caller)]
        with broker_errors():
            self._record_bytes(keys=names, args=[batch_id, size])

    def record_draft_bytes(self, draft_id: BatchId, caller: CallerId, size: int) -> None:
        """Record what a draft takes up, bytes; it is in no list of batches."""
        name = keys.batch_bytes_of(caller)
        with broker_errors(), self._client.pipeline() as pipeline:
            pipeline.hset(name, draft_id, size)
            # Later than the draft, and never sooner than the batches in the same hash.
            pipeline.expire(name, DRAFT_TTL_S, nx=True)
            pipeline.expire(name, DRAFT_TTL_S, gt=True)
            pipeline.execute()

    def has_bytes(self, batch_id: BatchId, caller: CallerId) -> bool:
        """Whether it is recorded what a batch takes up."""
        with broker_errors():
            return bool(self._client.hexists(keys.batch_bytes_of(caller), batch_id))

    def forget_bytes(self, batch_id: BatchId, caller: CallerId) -> None:
        """Record that a batch takes up nothing any more, and have the next scan read it."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hdel(keys.batch_bytes_of(caller), batch_id)
            pipeline.hdel(keys.RETAINED_BATCHES, batch_id)
            pipeline.execute()

    def claim_export(self, batch_id: BatchId, name: str) -> bool:
        """Claim the making of an export; False if it is under way."""
        key = keys.batch_export(batch_id, name)
        with broker_errors():
            return bool(self._client.set(key, 1, nx=True, ex=self._lease_s))

    def renew_export(self, batch_id: BatchId, name: str) -> None:
        """Record that an export is still being made."""
        with broker_errors():
            self._client.set(keys.batch_export(batch_id, name), 1, ex=self._lease_s)

    def finish_export(self, batch_id: BatchId, name: str) -> None:
        """Record that an export is made, or has failed."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.delete(keys.batch_export(batch_id, name))
            pipeline.publish(keys.PROGRESS_CHANNEL, batch_id)
            pipeline.execute()

    def lock_corrections(self, batch_id: BatchId) -> bool:
        """Begin the acceptance of a correction of a batch; False if another one is accepted now."""
        key = keys.batch_export(batch_id, CORRECTIONS_LOCK)
        with broker_errors():
            return bool(self._client.set(key, 1, nx=True, ex=CORRECTIONS_LOCK_TTL_S))

    def unlock_corrections(self, batch_id: BatchId) -> None:
        """End the acceptance of a correction; after a failure, the lock expires by itself."""
        with contextlib.suppress(BrokerUnavailable), broker_errors():
            self._client.delete(keys.batch_export(batch_id, CORRECTIONS_LOCK))

    def restore(
        self,
        batch_id: BatchId,
        accepted_at: float,
        caller: CallerId,
        *,
        chunks_cut: int,
        total: int | None,
        done: Mapping[int, RowCounts],
        callback: Callback | None = None,
    ) -> bool:
        """Open a lost ledger again; False if it exists."""
        chunks = [number for chunk, counts in done.items() for number in (chunk, *counts)]
        rows = "" if total is None else total
        arguments = (accepted_at, self._clock(), chunks_cut, rows, caller, _packed(callback))
        return bool(self._run("RESTORE", batch_id, batch_id, *arguments, *chunks))

    def progress(self, batch_id: BatchId) -> BatchProgress | None:
        """State and counters of a batch; None if the ledger has no such batch."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hgetall(keys.batch(batch_id))
            pipeline.zrank(keys.OPEN_BATCHES, batch_id)
            stored, ahead = pipeline.execute()
        return _progress(stored, ahead) if stored else None

    def begin(self, batch_id: BatchId, step: str) -> StepAttempt:
        """Begin an attempt and renew the step's lease."""
        decision, attempt = self._run(
            "BEGIN", batch_id, step, self._clock(), self._lease_end(), self._max_attempts
        )
        return StepAttempt(StepDecision(decision.decode()), attempt)

    def record_split(self, batch_id: BatchId, chunks_cut: int, total: int | None) -> None:
        """Record the number of chunks cut."""
        rows = "" if total is None else total
        self._run("RECORD_SPLIT", batch_id, chunks_cut, rows, self._lease_end())

    def finish_chunk(
        self, batch_id: BatchId, chunk: int, counts: RowCounts, *, abort: bool
    ) -> bool:
        """Mark a chunk done and add its counts, once."""
        arguments = (ROW_REJECTED if abort else "", batch_id, keys.PROGRESS_CHANNEL)
        return bool(self._run("FINISH_CHUNK", batch_id, chunk, *counts, *arguments))

    def postpone(
        self, batch_id: BatchId, step: str, delay_s: float, *, count_attempt: bool
    ) -> None:
        """Have the step sent again after a delay."""
        self._run("POSTPONE", batch_id, step, self._clock() + delay_s, int(not count_attempt))

    def record_failure(self, batch_id: BatchId, step: str, reason: str) -> None:
        """Keep the kind of the last failure of a step, for its dead letter."""
        name = keys.batch_failures(batch_id)
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(name, step, reason)
            pipeline.expire(name, FAILURES_TTL_S)
            pipeline.execute()

    def last_failure(self, batch_id: BatchId, step: str) -> str:
        """The kind of the last failure of a step; empty if no attempt ended."""
        with broker_errors():
            reason = self._client.hget(keys.batch_failures(batch_id), step)
        return reason.decode() if reason else ""

    def forget(self, batch_id: BatchId) -> None:
        """Remove the ledger of a batch; the next sweep restores it from the blobs."""
        own = (keys.batch, keys.batch_chunks, keys.batch_leases, keys.batch_attempts)
        with broker_errors():
            self._client.delete(*(key(batch_id) for key in own), keys.BATCH_SCAN_MARKER)

    def delete_ended(self, batch_id: BatchId, caller: CallerId) -> None:
        """Remove what is kept of an ended batch, and the batch from its caller's list."""
        own = (keys.batch, keys.batch_failures, keys.batch_quota)
        with broker_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.delete(*(key(batch_id) for key in own))
            pipeline.zrem(keys.batches_by_caller(caller), batch_id)
            pipeline.hdel(keys.batch_bytes_of(caller), batch_id)
            pipeline.hdel(keys.RETAINED_BATCHES, batch_id)
            pipeline.execute()

    def renew(self, batch_id: BatchId, step: str) -> None:
        """Renew the lease of a running step."""
        with broker_errors():
            self._client.zadd(keys.batch_leases(batch_id), {step: self._lease_end()}, xx=True)

    def advance(self, batch_id: BatchId, places: int = 0) -> DueSteps:
        """Lease the steps that are due, and return them.

        Args:
            batch_id: of the batch.
            places: number of bulk processes: with one chunk more in work than these, a process that
                ends one finds the next at once.
        """
        window = max(self._window, places + 1)
        steps = self._run("ADVANCE", batch_id, self._lease_end(), window)
        return DueSteps([step for step in steps if step != _ASSEMBLE], _ASSEMBLE in steps)

    def claim_overdue(self, batch_id: BatchId) -> list[str]:
        """Lease again the steps whose lease has expired, and return them."""
        limits = (self._lease_s, OVERDUE_LIMIT)
        steps = self._run("OVERDUE", batch_id, self._clock(), *limits, batch_id)
        return [step.decode() for step in steps]

    def leases(self, batch_ids: Sequence[BatchId], after: float) -> list[StepLease]:
        """The leases of batches that end after a time, Unix seconds."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for batch_id in batch_ids:
                name = keys.batch_leases(batch_id)
                pipeline.zrange(name, f"({after}", "+inf", byscore=True, withscores=True)
            answers = pipeline.execute()
        return [
            StepLease(batch_id, step.decode(), end)
            for batch_id, found in zip(batch_ids, answers, strict=True)
            for step, end in found
        ]

    def expire_lease(self, lease: StepLease) -> bool:
        """End a lease now; False if it was renewed after it was read."""
        arguments = (lease.step, lease.end, self._clock())
        return bool(self._run("EXPIRE", lease.batch_id, *arguments))

    def expire_leases(self, waiting: Collection[tuple[str, str]]) -> int:
        """Make the leased steps overdue that no message stands for; return their number.

        Args:
            waiting: batch and step of the messages on the queues; no worker holds any.
        """
        with broker_errors():
            released = 0
            for batch_id in self.open_batches():
                leases = keys.batch_leases(batch_id)
                steps = [
                    step
                    for step in self._client.zrange(leases, 0, -1)
                    if (batch_id, step.decode()) not in waiting
                ]
                if steps:
                    self._client.zadd(leases, dict.fromkeys(steps, self._clock()), xx=True)
                released += len(steps)
        return released

    def abort(self, batch_id: BatchId, error: str) -> None:
        """End the batch early with an error."""
        self._run("ABORT", batch_id, error)

    def request_cancel(self, batch_id: BatchId) -> bool:
        """Request the cancellation; False if there is nothing to cancel."""
        return bool(self._run("CANCEL", batch_id))

    def finish(self, batch_id: BatchId, progress: BatchProgress) -> bool:
        """Close the ledger; False if it is closed."""
        end = (str(progress.state), str(progress.outcome), progress.finished_at or self._clock())
        kept = (progress.error or "", ENDED_TTL_S, keys.ENDED_CHANNEL)
        rows = ("" if progress.total is None else progress.total, *progress.counts)
        return bool(self._run("FINISH", batch_id, batch_id, *end, *kept, *rows))

    def open_batches(self) -> list[BatchId]:
        """The unfinished batches, oldest first."""
        with broker_errors():
            ids = self._client.zrange(keys.OPEN_BATCHES, 0, -1)
        return [BatchId(batch_id.decode()) for batch_id in ids]

    def claim_scan(self, for_s: int) -> bool:
        """Claim the scan of the blob store for some time; False if the last one is recent."""
        with broker_errors():
            claimed = self._client.set(keys.BATCH_SCAN_MARKER, 1, nx=True, ex=for_s)
        return bool(claimed)

    def finish_scan(self, interval_s: int) -> None:
        """Have the next scan begin after the interval, unless one was requested meanwhile."""
        with broker_errors():
            self._client.expire(keys.BATCH_SCAN_MARKER, interval_s)

    def request_scan(self) -> None:
        """Have the next sweep look for open batches in the blob store: one has no ledger."""
        with broker_errors():
            self._client.delete(keys.BATCH_SCAN_MARKER)

    def _lease_end(self) -> float:
        return self._clock() + self._lease_s

    def _run(self, name: str, batch_id: BatchId, *arguments: Any) -> Any:
        own = (keys.batch, keys.batch_chunks, keys.batch_leases, keys.batch_attempts)
        names = [*(key(batch_id) for key in own), keys.OPEN_BATCHES]
        with broker_errors():
            return self._scripts[name](keys=names, args=list(arguments))


def _packed(callback: Callback | None) -> bytes:
    return b"" if callback is None else pack_callback(callback)


def _progress(stored: dict[bytes, bytes], ahead: int | None) -> BatchProgress:
    def number(name: bytes) -> int:
        return int(stored.get(name, 0))

    def seconds(name: bytes) -> float | None:
        return float(stored[name]) if name in stored else None

    outcome = stored.get(b"outcome", b"").decode()
    with record_errors():
        return BatchProgress(
            state=JobState(stored[b"state"].decode()),
            outcome=BatchOutcome(outcome) if outcome else None,
            counts=RowCounts(number(b"valid"), number(b"invalid"), number(b"failed")),
            total=number(b"total") if b"total" in stored else None,
            started_at=seconds(b"started_at"),
            finished_at=seconds(b"finished_at"),
            cancel_requested=stored.get(b"cancel_requested") == b"1",
            error=stored.get(b"error", b"").decode() or None,
            ahead=ahead if stored[b"state"] == b"QUEUED" else None,
        )
