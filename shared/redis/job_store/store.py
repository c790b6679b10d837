"""Job store in Redis: one hash per job, changed by Lua scripts so that a job ends exactly once."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis

from shared.blobs.job_payloads import JobPayloads
from shared.domain.clock import Clock
from shared.domain.errors import (
    BrokerUnavailable,
    JobAlreadyEnded,
    JobDeleted,
    JobExpired,
    JobNotFound,
    JobStorageFull,
    StorageUnavailable,
    UnreadableRecord,
)
from shared.domain.ids import CallerId, JobId, id_timestamp, is_id
from shared.domain.job import (
    TOMBSTONE_TTL_FACTOR,
    Job,
    JobEnd,
    JobState,
    QueuePosition,
)
from shared.domain.valuation import Estimate
from shared.logging import get_logger
from shared.metrics import JOBS, PREDICTIONS, RECORDS_UNREADABLE, observe_valuations
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store import scripts
from shared.redis.job_store.memory import BrokerMemory
from shared.redis.job_store.records import (
    BLOB_PROTOCOL,
    INLINE_MAX_BYTES,
    MESSAGE_BYTES,
    RECORD_BYTES,
    TOMBSTONE_BYTES,
    from_hash,
    max_result_bytes,
    pack_estimates,
    pack_requests,
    to_hash,
)
from shared.redis.webhooks.records import callback_bytes

RATE_WINDOW_S = 30
"""Completions are counted per window of this length; the rate is that of the last two."""

BUSY_AFTER_S = 1.0
"""If the oldest open job is older than this, jobs arrive faster than they are done."""

EXPIRE_LIMIT = 1000
"""Most jobs whose leases are expired at once; further ones wait for the end of theirs."""

MAX_LEASE_S = 600
"""Upper limit of a renewed lease; claims on messages are kept for twice as long."""

CIRCUIT_OPEN_S = 1.0
"""After a time-out of the broker, `create` fails at once for this time."""


UNREADABLE_RETRY_S = 10.0
"""Delay after which workers look again at an open job that one of them could not read."""

USAGE_PERIODS = 24
"""The usage of ended jobs is counted in this many periods per retention time."""

log = get_logger("jobs")


class JobStore:
    """Stores jobs in the broker's Redis until their retention time is over.

    Payloads of long jobs are blobs if all live workers can read them there
    (`docs/adr/0097-job-storage.md`). While the broker is down, every method raises
    `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
        clock: returns Unix time.
        retention_s: how long an ended job can be read.
        lease_s: an open job counts as overdue after this time without a state change.
        payloads: the blob store of jobs; None: everything stays in Redis.
        protocol: `WorkerRegistry.protocol`; decides whether new jobs use the blob store.
        memory: refuses new jobs while Redis lacks memory; None: Redis alone refuses.
    """

    def __init__(
        self,
        client: RedisClient,
        clock: Clock,
        *,
        retention_s: int,
        lease_s: int,
        payloads: JobPayloads | None = None,
        protocol: Callable[[], int] = lambda: 1,
        memory: BrokerMemory | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._retention_s = retention_s
        self._lease_s = lease_s
        self._payloads = payloads
        self._protocol = protocol
        self._memory = memory
        self._circuit_open_until = 0.0
        self._create = client.register_script(scripts.CREATE)
        self._start = client.register_script(scripts.START)
        self._retry = client.register_script(scripts.RETRY)
        self._reopen = client.register_script(scripts.REOPEN)
        self._finish = client.register_script(scripts.FINISH)
        self._cancel = client.register_script(scripts.CANCEL)
        self._delete = client.register_script(scripts.DELETE)

    def create(self, job: Job) -> bool:
        """Store a job as open, with a lease, in one step; False if it exists already.

        Raises:
            BrokerFull: Redis has no memory for it and its result.
            JobStorageFull: memory is scarce, and this caller's jobs hold most of it.
            BrokerUnavailable: the broker does not answer.
        """
        packed, need = pack_requests(job.requests), max_result_bytes(job.requests)
        with self._circuit_breaker():
            blobs = self._payloads if len(packed) + need > INLINE_MAX_BYTES else None
            if blobs is not None and self._protocol() < BLOB_PROTOCOL:
                blobs = None
            limit = self._admit(job, packed, need, is_in_blobs=blobs is not None)
            fields, blob = to_hash(job), ""
            if blobs is not None:
                need = min(need, INLINE_MAX_BYTES)
                fields["blobs"] = 1
                if len(packed) > INLINE_MAX_BYTES:
                    blob = blobs.write(job.id, "requests", packed)
                    fields |= {"requests_blob": blob, "schema": BLOB_PROTOCOL}
            if not blob:
                fields["requests"] = packed
            in_memory, in_blobs = (0, len(packed)) if blob else (len(packed), 0)
            record = RECORD_BYTES + callback_bytes(job.callback)
            usage = [limit, record + in_memory, in_blobs, MESSAGE_BYTES + need]
            created = self._run_create_script(job, fields, usage)
        if created != 1 and blob and blobs is not None:
            with suppress(StorageUnavailable):  # the sweep deletes it
                blobs.remove(job.id, [blob])
        if created < 0:
            raise JobStorageFull
        return created == 1

    def _admit(self, job: Job, packed: bytes, need: int, *, is_in_blobs: bool) -> int:
        """Raise `BrokerFull` if there is no room; return the limit of the caller, 0 for none.

        The request of a caller who stopped waiting was admitted when it was sent.
        """
        if self._memory is None or job.origin is not None:
            return 0
        payload = min(len(packed) + need, INLINE_MAX_BYTES) if is_in_blobs else len(packed) + need
        self._memory.check(RECORD_BYTES + callback_bytes(job.callback) + MESSAGE_BYTES + payload)
        return self._memory.caller_limit

    def _run_create_script(self, job: Job, fields: dict[str, Any], usage: list[int]) -> int:
        names = [
            keys.job(job.id),
            keys.OPEN_JOBS,
            keys.JOB_ORDER,
            keys.job_tombstone(job.id),
            keys.jobs_by_caller(job.caller),
            keys.OPEN_USAGE,
            keys.ended_usage(job.caller),
        ]
        now = self._clock()
        times = [now + self._lease_s, job.created_at]
        keep_s = self._retention_s * TOMBSTONE_TTL_FACTOR
        pairs = [part for pair in fields.items() for part in pair]
        arguments = [job.id, *times, job.caller, keep_s, keys.job(""), now, *usage, *pairs]
        with broker_errors():
            return int(self._create(keys=names, args=arguments))

    @contextmanager
    def _circuit_breaker(self) -> Iterator[None]:
        """Raise `BrokerUnavailable` at once for `CIRCUIT_OPEN_S` after a time-out.

        When requests of `/predict` time out, each becomes a job. There are more of them than
        threads, so their time-outs would add up.
        """
        if time.monotonic() < self._circuit_open_until:
            raise BrokerUnavailable(reason="silent a moment ago")
        try:
            yield
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, redis.TimeoutError):
                self._circuit_open_until = time.monotonic() + CIRCUIT_OPEN_S
            raise

    def get(self, job_id: JobId, caller: CallerId) -> Job:
        """Read a job of this caller.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
            UnreadableRecord, StorageUnavailable: see `load`.
        """
        if not is_id(job_id):
            raise JobNotFound(id=job_id[:64])
        try:
            job = self.load(job_id)
            tombstone = self._tombstone(job_id) if job is None else None
            if tombstone is not None:  # the job may have been stored since it was looked for
                job = self.load(job_id)
        except UnreadableRecord:
            self._check_owner(job_id, caller)
            raise
        if job is None and tombstone == caller:
            raise JobExpired(id=job_id)
        if job is None and tombstone == caller + keys.DELETED_MARK:
            raise JobDeleted(id=job_id)
        if job is None or job.caller != caller:
            raise JobNotFound(id=job_id)
        return job

    def _tombstone(self, job_id: JobId) -> str | None:
        """The owner of a job, also of one that is gone; None: there was none."""
        with broker_errors():
            owner = self._client.get(keys.job_tombstone(job_id))
        return None if owner is None else owner.decode()

    def load(self, job_id: JobId) -> Job | None:
        """Read a job of any caller; None if there is none.

        Raises:
            UnreadableRecord: a newer version wrote it, or it is damaged.
            StorageUnavailable: its payload cannot be read now.
        """
        with broker_errors():
            stored = self._client.hgetall(keys.job(job_id))
        if not stored:
            return None
        return from_hash(job_id, stored, lambda name: self._read_payload(job_id, name))

    def _read_payload(self, job_id: JobId, name: str) -> bytes:
        if self._payloads is None:
            raise StorageUnavailable(reason="no blob store of jobs")
        return self._payloads.read(job_id, name)

    def defer_unreadable(self, job_id: JobId, error: UnreadableRecord) -> None:
        """Leave an open job that cannot be read to workers of a newer version.

        It is looked at again later, without an attempt being counted. If it cannot be read for as
        long as jobs are kept, it fails.
        """
        RECORDS_UNREADABLE.labels(record="job").inc()
        log.error("job_unreadable", job_id=job_id, error=str(error))
        now = self._clock()
        if is_id(job_id) and id_timestamp(job_id) + self._retention_s < now:
            self.finish(job_id, JobState.FAILED, error=error.code)
        else:
            self.postpone(job_id, now + UNREADABLE_RETRY_S)

    def start(self, job_id: JobId) -> JobState | None:
        """Mark a job as running, count the attempt and renew the lease.

        Returns the state of the job; None if it is gone.
        """
        now = self._clock()
        arguments = [now, now + self._lease_s, job_id, keys.PROGRESS_CHANNEL]
        with broker_errors():
            state = self._start(keys=[keys.job(job_id), keys.OPEN_JOBS], args=arguments)
        return JobState(state.decode()) if state else None

    def finish(
        self, job_id: JobId, state: JobState, estimates: Sequence[Estimate] = (), error: str = ""
    ) -> bool:
        """Move a job to a terminal state; False if it had ended before or is gone.

        Raises:
            StorageUnavailable: the result is large and the blob store does not take it. The job
                stays open.
        """
        end = JobEnd(job_id, state, tuple(estimates), error)
        packed = pack_estimates(end.estimates)
        blob = self._write_result(job_id, packed)
        with broker_errors():
            ended = self._run_finish_script(end, packed, self._client, blob)
        if blob and ended != 1 and self._payloads is not None:
            with suppress(StorageUnavailable):  # the sweep deletes it
                self._payloads.remove(job_id, [blob])
        return _count_job_end(end, has_ended=ended == 1)

    def _write_result(self, job_id: JobId, packed: bytes) -> str:
        """Write a large result of a job that uses the blob store; "" if it stays in Redis."""
        if self._payloads is None or len(packed) <= INLINE_MAX_BYTES:
            return ""
        with broker_errors():
            uses_blobs = self._client.hexists(keys.job(job_id), "blobs")
        return self._payloads.write(job_id, "estimates", packed) if uses_blobs else ""

    def finish_all(self, ends: Sequence[JobEnd]) -> list[bool]:
        """Like `finish`, for many jobs of one car in one round trip."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for end in ends:
                self._run_finish_script(end, pack_estimates(end.estimates), pipeline)
            found = pipeline.execute()
        return [
            _count_job_end(end, has_ended=ended == 1)
            for end, ended in zip(ends, found, strict=True)
        ]

    def _run_finish_script(
        self, end: JobEnd, packed: bytes, client: RedisClient, blob: str = ""
    ) -> Any:
        result = [b"", blob, len(packed)] if blob else [packed, "", 0]
        return self._finish(
            keys=self._script_keys(end.id),
            args=[*self._script_arguments(end.id), str(end.state), end.error, *result],
            client=client,
        )

    def request_cancel(self, job_id: JobId, caller: CallerId) -> Job:
        """Request the cancellation of a job of this caller; raises `JobAlreadyEnded`."""
        self.get(job_id, caller)
        with broker_errors():
            outcome = self._cancel(
                keys=self._script_keys(job_id), args=self._script_arguments(job_id)
            )
        if outcome != b"CANCEL_REQUESTED":
            raise JobAlreadyEnded(id=job_id, state=outcome.decode() if outcome else "")
        job = self.get(job_id, caller)
        if job.state is JobState.CANCELLED:
            JOBS.labels(state=str(JobState.CANCELLED)).inc()
        return job

    def delete(self, job_id: JobId, caller: CallerId) -> bool:
        """Delete an ended job of this caller and its payloads; False if it has not ended.

        Its id is answered by `JobDeleted` for as long as that of an expired job.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
        """
        if not is_id(job_id):
            raise JobNotFound(id=job_id[:64])
        with broker_errors():
            is_stored = self._client.exists(keys.job(job_id))
        if not is_stored:
            self.get(job_id, caller)  # raises the error that applies
        self._check_owner(job_id, caller)
        names = [
            keys.job(job_id),
            keys.job_tombstone(job_id),
            keys.jobs_by_caller(caller),
            keys.ended_usage(caller),
        ]
        keep_s = self._retention_s * TOMBSTONE_TTL_FACTOR
        tombstone = [caller + keys.DELETED_MARK, keep_s, self._period_end(keep_s), TOMBSTONE_BYTES]
        with broker_errors():
            deleted = self._delete(keys=names, args=[job_id, *tombstone])
        if deleted is None:
            raise JobDeleted(id=job_id)
        if deleted and self._payloads is not None:
            with suppress(StorageUnavailable):  # the sweep deletes them
                self._payloads.discard(job_id)
        return bool(deleted)

    def _check_owner(self, job_id: JobId, caller: CallerId) -> None:
        """Raise `JobNotFound` unless a stored job belongs to this caller."""
        with broker_errors():
            owner = self._client.hget(keys.job(job_id), "caller")
        if owner is None or owner.decode() != caller:
            raise JobNotFound(id=job_id)

    def queue_position(self, job_id: JobId) -> QueuePosition | None:
        """Number of open jobs before this one and the estimated time; None if it has ended."""
        window = self._window()
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrank(keys.JOB_ORDER, job_id)
            pipeline.mget([keys.completions(window), keys.completions(window - 1)])
            pipeline.zrange(keys.JOB_ORDER, 0, 0, withscores=True)
            position, counts, oldest = pipeline.execute()
        if position is None:
            return None
        now = self._clock()
        ended = sum(int(count or 0) for count in counts)
        # Without a queue, the rate of completions is the rate of arrivals, not the capacity.
        is_busy = bool(oldest) and now - oldest[0][1] > BUSY_AFTER_S
        eta_s = None
        if ended and is_busy:
            per_second = ended / (now - (window - 1) * RATE_WINDOW_S)
            eta_s = round((position + 1) / per_second, 1)
        return QueuePosition(position=position, eta_s=eta_s)

    def overdue(self, limit: int) -> list[JobId]:
        """Open jobs whose lease has expired, oldest first."""
        now = self._clock()
        # A lease that ends later than any valid one was given before the clock was set back.
        impossible = now + 2 * max(self._lease_s, MAX_LEASE_S)
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for low, high in (("-inf", now), (impossible, "+inf")):
                pipeline.zrange(keys.OPEN_JOBS, low, high, byscore=True, offset=0, num=limit)
            past, future = pipeline.execute()
        return [JobId(job_id.decode()) for job_id in [*past, *future]]

    def expire_leases(self, waiting: Collection[str]) -> int:
        """Make the long jobs overdue that no message stands for; return their number.

        Args:
            waiting: ids of the jobs whose messages are on the queue; no worker holds any.
        """
        now = self._clock()
        with broker_errors():
            names = self._client.zrange(keys.OPEN_JOBS, 0, EXPIRE_LIMIT - 1)
            ids = [JobId(name.decode()) for name in names if name.decode() not in waiting]
            lost = [job_id for job_id in ids if (job := self.load(job_id)) and job.is_long]
            if lost:
                self._client.zadd(keys.OPEN_JOBS, dict.fromkeys(lost, now), xx=True)
        return len(lost)

    def renew(self, job_id: JobId) -> None:
        """Renew the lease of a job that is sent again; it doubles with each renewal.

        Otherwise a message that waits in a long queue would be duplicated repeatedly.
        """
        with broker_errors():
            resent = self._client.hincrby(keys.job(job_id), "resent", 1)
            longest_s = max(self._lease_s, MAX_LEASE_S)
            lease_s = min(self._lease_s * 2 ** min(resent, 32), longest_s)
            self._client.zadd(keys.OPEN_JOBS, {job_id: self._clock() + lease_s}, xx=True)

    def postpone(self, job_id: JobId, until: float) -> None:
        """Set the end of the lease of an open job, without counting an attempt or a renewal."""
        with broker_errors():
            self._client.zadd(keys.OPEN_JOBS, {job_id: until}, xx=True)

    def retry_at(
        self, job_id: JobId, at: float, *, failure: str = "", counts_attempt: bool = True
    ) -> None:
        """Have a started job sent again after a time.

        Args:
            job_id: the job.
            at: Unix time.
            failure: why the attempt failed, without personal data; for the operator.
            counts_attempt: False after a failure of the service's surroundings.
        """
        arguments = [job_id, at, int(not counts_attempt), failure]
        with broker_errors():
            self._retry(keys=[keys.job(job_id), keys.OPEN_JOBS], args=arguments)

    def reopen(self, job_id: JobId) -> bool:
        """Open a failed job again, with a lease; False if it has not failed or is gone."""
        names = [keys.job(job_id), keys.OPEN_JOBS, keys.JOB_ORDER, keys.OPEN_USAGE]
        arguments = [job_id, self._clock() + self._lease_s, keys.ended_usage("")]
        with broker_errors():
            return bool(self._reopen(keys=names, args=arguments))

    def is_cancel_requested(self, job_id: JobId) -> bool:
        """Whether the cancellation of a job has been requested."""
        with broker_errors():
            return bool(self._client.hget(keys.job(job_id), "cancel_requested") == b"1")

    def forget(self, job_id: JobId) -> None:
        """Remove a job whose hash has expired from the sets of open jobs."""
        with broker_errors():
            # No transaction: Redis refuses it as a whole while it lacks memory.
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrem(keys.OPEN_JOBS, job_id)
            pipeline.zrem(keys.JOB_ORDER, job_id)
            pipeline.execute()

    def _script_keys(self, job_id: JobId) -> list[str]:
        done = keys.completions(self._window())
        return [keys.job(job_id), keys.OPEN_JOBS, keys.JOB_ORDER, done, keys.OPEN_USAGE]

    def _window(self) -> int:
        return int(self._clock() // RATE_WINDOW_S)

    def _script_arguments(self, job_id: JobId) -> list[Any]:
        usage = [keys.ended_usage(""), self._period_end(self._retention_s)]
        return [self._clock(), self._retention_s, job_id, keys.ENDED_CHANNEL, *usage]

    def _period_end(self, keep_s: int) -> int:
        """End of the period of usage in which something expires that is kept from now on."""
        period_s = math.ceil(max(keep_s / USAGE_PERIODS, 60))
        return math.ceil((self._clock() + keep_s) / period_s) * period_s


def _count_job_end(end: JobEnd, *, has_ended: bool) -> bool:
    """Update the metrics if the job has ended by this call; returns `has_ended`."""
    if has_ended:
        JOBS.labels(state=str(end.state)).inc()
        observe_valuations([estimate.price_mad for estimate in end.estimates])
        if end.state is JobState.FAILED:
            PREDICTIONS.labels(status="error").inc()
    return has_ended
