"""Job store in Redis: one hash per job, changed by Lua scripts so that a job ends exactly once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

import msgpack

from shared.blobs.job_payloads import JobPayloads
from shared.domain.clock import Clock
from shared.domain.errors import (
    DomainError,
    JobAlreadyEnded,
    JobNotFound,
    StorageUnavailable,
    UnreadableRecord,
)
from shared.domain.ids import CallerId, JobId, id_timestamp, is_id
from shared.domain.job import TOMBSTONE_TTL_FACTOR, Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.logging import get_logger
from shared.metrics import JOBS, RECORDS_UNREADABLE
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store import scripts
from shared.redis.job_store.accepted import AcceptedJobs
from shared.redis.job_store.archive import JobArchive
from shared.redis.job_store.creation import (
    Created,
    CreateOutcome,
    JobCreation,
    KeyEntry,
    QueueJobs,
)
from shared.redis.job_store.endings import (
    EndingScripts,
    StoredResult,
    count_ends,
    read_outcomes,
)
from shared.redis.job_store.gone import GoneJobs
from shared.redis.job_store.memory import BrokerMemory
from shared.redis.job_store.records import (
    INLINE_MAX_BYTES,
    TOMBSTONE_BYTES,
    from_hash,
    pack_estimates,
)
from shared.redis.pipelines import Command, ScriptCall, raise_errors, run_script, run_scripts

EXPIRE_LIMIT = 1000
"""Most jobs whose leases are expired at once; further ones wait for the end of theirs."""

MAX_LEASE_S = 600
"""Upper limit of a renewed lease; claims on messages are kept for twice as long."""

UNREADABLE_RETRY_S = 10.0
"""Delay after which workers look again at an open job that one of them could not read."""

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
        accepted: waits for replicas and keeps new jobs; None: no replica is waited for.
        archive: finds jobs that have left Redis; None: they are not looked for.
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
        accepted: AcceptedJobs | None = None,
        archive: JobArchive | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._retention_s = retention_s
        self._lease_s = lease_s
        self._payloads = payloads
        self._connections = ConnectionCache(client)
        self._creation = JobCreation(
            client,
            clock,
            retention_s=retention_s,
            lease_s=lease_s,
            payloads=payloads,
            protocol=protocol,
            memory=memory,
            accepted=accepted,
        )
        self._endings = EndingScripts(client, clock, retention_s)
        self._gone = GoneJobs(
            client, archive, self._read_fields, self._endings, retention_s=retention_s
        )
        self._load = client.register_script(scripts.LOAD)
        self._cancel_requests = client.register_script(scripts.CANCEL_REQUESTS)
        self._start = client.register_script(scripts.START)
        self._retry = client.register_script(scripts.RETRY)
        self._reopen = client.register_script(scripts.REOPEN)
        self._delete = client.register_script(scripts.DELETE)

    def create(self, job: Job) -> bool:
        """Store a job as open, with a lease, in one step; False if it exists already.

        Raises:
            BrokerFull: Redis has no memory for it and its result.
            JobStorageFull: memory is scarce, and this caller's jobs hold most of it.
            BrokerUnavailable: the broker does not answer.
        """
        (outcome,) = self.create_all([job])
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome is Created.STORED

    def create_all(
        self,
        jobs: Sequence[Job],
        queue: QueueJobs | None = None,
        entries: Mapping[JobId, KeyEntry] | None = None,
    ) -> list[CreateOutcome]:
        """As `create`, of many jobs by one round trip; see `JobCreation.create_all`."""
        return self._creation.create_all(jobs, queue, entries)

    def get(self, job_id: JobId, caller: CallerId) -> Job:
        """Read a job of this caller.

        Raises:
            JobNotFound, JobExpired, JobDeleted: there is none, or no more.
            UnreadableRecord, StorageUnavailable: see `load`.
        """
        if not is_id(job_id):
            raise JobNotFound(id=job_id[:64])
        job, place = self._get_stored(job_id, caller), None
        if job is None:
            place = self._gone.place(job_id)
            if place.tombstone is not None:  # the job may have been stored since it was looked for
                job = self._get_stored(job_id, caller)
        if job is None and place is not None:
            return self._gone.get(job_id, caller, place)
        if job is None or job.caller != caller:
            raise JobNotFound(id=job_id)
        return job

    def _get_stored(self, job_id: JobId, caller: CallerId) -> Job | None:
        """A job that is in Redis; who may not see it is not told that it is unreadable."""
        (found,) = self.load_all([job_id])
        if isinstance(found, UnreadableRecord):
            self._check_owner(job_id, caller)
        if isinstance(found, DomainError):
            raise found
        return found

    def load(self, job_id: JobId) -> Job | None:
        """Read a job of any caller; None if there is none.

        Raises:
            UnreadableRecord: a newer version wrote it, or it is damaged.
            StorageUnavailable: its payload cannot be read now.
        """
        (found,) = self.load_all([job_id])
        if isinstance(found, DomainError):
            raise found
        return self._gone.load(job_id) if found is None else found

    def load_all(self, job_ids: Sequence[JobId]) -> list[Job | DomainError | None]:
        """Jobs that are in Redis, by one round trip; an error stands in the place of its job."""
        if not job_ids:
            return []
        call = ScriptCall(self._load, (), (keys.job(""), *job_ids))
        with broker_errors():
            packed = run_script(self._connections, call)
        return [
            self._read(job_id, fields)
            for job_id, fields in zip(job_ids, msgpack.unpackb(packed, raw=True), strict=True)
        ]

    def _read(self, job_id: JobId, fields: Sequence[bytes]) -> Job | DomainError | None:
        if not fields:
            return None
        stored = dict(zip(fields[::2], fields[1::2], strict=True))
        try:
            return self._read_fields(job_id, stored)
        except (UnreadableRecord, StorageUnavailable) as error:
            return error

    def _read_fields(self, job_id: JobId, stored: Mapping[bytes, bytes]) -> Job:
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
            self.postpone(now + UNREADABLE_RETRY_S, job_id)

    def start(self, job_id: JobId) -> JobState | None:
        """Mark a job as running, count the attempt and renew the lease.

        Returns the state of the job; None if it is gone.
        """
        (state,) = self.start_all([job_id])
        return state

    def start_all(self, job_ids: Sequence[JobId]) -> list[JobState | None]:
        """As `start`, of many jobs by one round trip."""
        now = self._clock()
        arguments = (now, now + self._lease_s, keys.PROGRESS_CHANNEL, keys.job(""), *job_ids)
        with broker_errors():
            states = run_script(
                self._connections, ScriptCall(self._start, (keys.OPEN_JOBS,), arguments)
            )
        return [JobState(each) if each else None for each in states.decode().split(",")]

    def finish(
        self, job_id: JobId, state: JobState, estimates: Sequence[Estimate] = (), error: str = ""
    ) -> bool:
        """Move a job to a terminal state; False if it had ended before or is gone.

        Raises:
            StorageUnavailable: the result is large and the blob store does not take it. The job
                stays open.
        """
        (outcome,) = self.finish_all([JobEnd(job_id, state, estimates, error)])
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    def finish_all(
        self, ends: Sequence[JobEnd], first: Sequence[ScriptCall | Command] = ()
    ) -> list[bool | StorageUnavailable]:
        """As `finish`, of many jobs by one round trip; an error stands in the place of its job.

        Args:
            ends: at most one for each job.
            first: commands to execute before.
        """
        results = self._store_results(ends)
        ended = [
            (end, result)
            for end, result in zip(ends, results, strict=True)
            if isinstance(result, StoredResult)
        ]
        outcomes = iter(self._run_finish(ended, first) if ended else ())
        return [
            next(outcomes) if isinstance(result, StoredResult) else result for result in results
        ]

    def _run_finish(
        self, ended: Sequence[tuple[JobEnd, StoredResult]], first: Sequence[ScriptCall | Command]
    ) -> list[bool]:
        with broker_errors():
            *_, response = raise_errors(
                run_scripts(self._connections, *first, self._endings.finish(ended))
            )
        outcomes = [outcome == 1 for outcome in read_outcomes(response)]
        for (end, result), has_ended in zip(ended, outcomes, strict=True):
            if result.blob and not has_ended and self._payloads is not None:
                with suppress(StorageUnavailable):  # the sweep deletes it
                    self._payloads.remove(end.id, [result.blob])
        pairs = zip(ended, outcomes, strict=True)
        count_ends([end for (end, _), has_ended in pairs if has_ended])
        return outcomes

    def _store_results(self, ends: Sequence[JobEnd]) -> list[StoredResult | StorageUnavailable]:
        """The results as they are stored; writes large ones of jobs that use the blob store."""
        found: list[StoredResult | StorageUnavailable] = []
        for end in ends:
            packed = pack_estimates(end.estimates)
            try:
                blob = self._write_result(end.id, packed)
            except StorageUnavailable as error:
                found.append(error)
                continue
            found.append(StoredResult(b"", blob, len(packed)) if blob else StoredResult(packed))
        return found

    def _write_result(self, job_id: JobId, packed: bytes) -> str:
        """Write a large result of a job that uses the blob store; "" if it stays in Redis."""
        if self._payloads is None or len(packed) <= INLINE_MAX_BYTES:
            return ""
        with broker_errors():
            uses_blobs = self._client.hexists(keys.job(job_id), "blobs")
        return self._payloads.write(job_id, "estimates", packed) if uses_blobs else ""

    def request_cancel(self, job_id: JobId, caller: CallerId) -> Job:
        """Request the cancellation of a job of this caller; raises `JobAlreadyEnded`."""
        found = self.get(job_id, caller)
        with broker_errors():
            outcome = run_script(self._connections, self._endings.cancel(job_id))
        if outcome != b"CANCEL_REQUESTED":
            state = outcome.decode() if outcome else str(found.state)
            raise JobAlreadyEnded(id=job_id, state=state)
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
            owner = self._client.hget(keys.job(job_id), "caller")
        if owner is not None and owner.decode() != caller:
            raise JobNotFound(id=job_id)
        outcome = None if owner is None else self._delete_stored(job_id, caller)
        if outcome is None:
            self.get(job_id, caller)  # raises what applies to one that is gone
            outcome = self._delete_stored(job_id, caller)
        if outcome is None:
            self._gone.delete(job_id, caller, self._gone.place(job_id))
        if outcome is not False and self._payloads is not None:
            with suppress(StorageUnavailable):  # the sweep deletes them
                self._payloads.discard(job_id)
        return outcome is not False

    def _delete_stored(self, job_id: JobId, caller: CallerId) -> bool | None:
        """Delete a job that is in Redis; False if it has not ended, None if it is gone."""
        names = [
            keys.job(job_id),
            keys.job_tombstone(job_id),
            keys.jobs_by_caller(caller),
            keys.ended_usage(caller),
        ]
        keep_s = self._retention_s * TOMBSTONE_TTL_FACTOR
        tombstone = [
            caller + keys.DELETED_MARK,
            keep_s,
            self._endings.period_end(keep_s),
            TOMBSTONE_BYTES,
        ]
        with broker_errors():
            deleted = self._delete(keys=names, args=[job_id, *tombstone])
        return None if deleted is None else bool(deleted)

    def _check_owner(self, job_id: JobId, caller: CallerId) -> None:
        """Raise `JobNotFound` unless a stored job belongs to this caller."""
        with broker_errors():
            owner = self._client.hget(keys.job(job_id), "caller")
        if owner is None or owner.decode() != caller:
            raise JobNotFound(id=job_id)

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

    def renew(self, *job_ids: JobId) -> None:
        """Renew the leases of jobs that are sent again; each doubles with each renewal.

        Otherwise a message that waits in a long queue would be duplicated repeatedly.
        """
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hincrby(keys.job(job_id), "resent", 1)
            resent = pipeline.execute()
            longest_s = max(self._lease_s, MAX_LEASE_S)
            leases_s = [min(self._lease_s * 2 ** min(each, 32), longest_s) for each in resent]
            now = self._clock()
            ends = {job_id: now + each for job_id, each in zip(job_ids, leases_s, strict=True)}
            self._client.zadd(keys.OPEN_JOBS, ends, xx=True)

    def postpone(self, until: float, *job_ids: JobId) -> None:
        """Set the end of the leases of open jobs, without counting an attempt or a renewal."""
        if job_ids:
            with broker_errors():
                self._client.zadd(keys.OPEN_JOBS, dict.fromkeys(job_ids, until), xx=True)

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

    def cancel_requests(self, job_ids: Sequence[JobId]) -> list[bool]:
        """Whether the cancellation of each job has been requested, by one round trip."""
        call = ScriptCall(self._cancel_requests, (), (keys.job(""), *job_ids))
        with broker_errors():
            found = run_script(self._connections, call)
        return [each == b"1" for each in found.split(b",")]

    def forget(self, job_id: JobId) -> None:
        """Remove a job whose hash has expired from the sets of open jobs."""
        with broker_errors():
            # No transaction: Redis refuses it as a whole while it lacks memory.
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrem(keys.OPEN_JOBS, job_id)
            pipeline.zrem(keys.JOB_ORDER, job_id)
            pipeline.execute()
