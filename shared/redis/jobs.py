"""Job store in Redis: one hash per job, changed by Lua scripts so that a job ends exactly once."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgpack
import redis

from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, JobAlreadyEnded, JobExpired, JobNotFound
from shared.domain.ids import CallerId, JobId, is_id
from shared.domain.job import (
    TOMBSTONE_TTL_FACTOR,
    DispatchOrigin,
    Job,
    JobEnd,
    JobState,
    QueuePosition,
)
from shared.domain.valuation import CarRequest, Estimate
from shared.metrics import JOBS, PREDICTIONS, observe_valuations
from shared.redis import job_scripts, keys
from shared.redis.connections import RedisClient, broker_errors

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


class JobStore:
    """Stores jobs in the broker's Redis until their retention time is over.

    While the broker is down, every method raises `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
        clock: returns Unix time.
        retention_s: how long an ended job can be read.
        lease_s: an open job counts as overdue after this time without a state change.
    """

    def __init__(
        self, client: RedisClient, clock: Clock, *, retention_s: int, lease_s: int
    ) -> None:
        self._client = client
        self._clock = clock
        self._retention_s = retention_s
        self._lease_s = lease_s
        self._circuit_open_until = 0.0
        self._create = client.register_script(job_scripts.CREATE)
        self._start = client.register_script(job_scripts.START)
        self._retry = client.register_script(job_scripts.RETRY)
        self._reopen = client.register_script(job_scripts.REOPEN)
        self._finish = client.register_script(job_scripts.FINISH)
        self._cancel = client.register_script(job_scripts.CANCEL)

    def create(self, job: Job) -> bool:
        """Store a job as open, with a lease, in one step; False if it exists already."""
        fields = [part for pair in _to_hash(job).items() for part in pair]
        sets = [keys.OPEN_JOBS, keys.JOB_ORDER]
        names = [
            keys.job(job.id),
            *sets,
            keys.job_tombstone(job.id),
            keys.jobs_by_caller(job.caller),
        ]
        times = [self._clock() + self._lease_s, job.created_at]
        keep_s = self._retention_s * TOMBSTONE_TTL_FACTOR
        arguments = [job.id, *times, job.caller, keep_s, keys.job(""), *fields]
        with self._circuit_breaker(), broker_errors():
            return bool(self._create(keys=names, args=arguments))

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
        """Read a job of this caller; raises `JobNotFound` or `JobExpired`."""
        if not is_id(job_id):
            raise JobNotFound(id=job_id[:64])
        job = self.load(job_id)
        if job is None:
            with broker_errors():
                owner = self._client.get(keys.job_tombstone(job_id))
            if owner is not None and owner.decode() == caller:
                raise JobExpired(id=job_id)
        if job is None or job.caller != caller:
            raise JobNotFound(id=job_id)
        return job

    def load(self, job_id: JobId) -> Job | None:
        """Read a job of any caller; None if there is none."""
        with broker_errors():
            stored = self._client.hgetall(keys.job(job_id))
        return _from_hash(job_id, stored) if stored else None

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
        """Move a job to a terminal state; False if it had ended before or is gone."""
        end = JobEnd(job_id, state, tuple(estimates), error)
        with broker_errors():
            ended = self._run_finish_script(end, self._client)
        return _count_job_end(end, has_ended=ended == 1)

    def finish_all(self, ends: Sequence[JobEnd]) -> list[bool]:
        """Like `finish`, for many jobs in one round trip."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for end in ends:
                self._run_finish_script(end, pipeline)
            found = pipeline.execute()
        return [
            _count_job_end(end, has_ended=ended == 1)
            for end, ended in zip(ends, found, strict=True)
        ]

    def _run_finish_script(self, end: JobEnd, client: RedisClient) -> Any:
        packed = msgpack.packb([estimate.to_wire() for estimate in end.estimates])
        return self._finish(
            keys=self._script_keys(end.id),
            args=[*self._script_arguments(end.id), str(end.state), packed, end.error],
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
        names = [keys.job(job_id), keys.OPEN_JOBS, keys.JOB_ORDER]
        with broker_errors():
            return bool(self._reopen(keys=names, args=[job_id, self._clock() + self._lease_s]))

    def is_cancel_requested(self, job_id: JobId) -> bool:
        """Whether the cancellation of a job has been requested."""
        with broker_errors():
            return bool(self._client.hget(keys.job(job_id), "cancel_requested") == b"1")

    def forget(self, job_id: JobId) -> None:
        """Remove a job whose hash has expired from the sets of open jobs."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.zrem(keys.OPEN_JOBS, job_id)
            pipeline.zrem(keys.JOB_ORDER, job_id)
            pipeline.execute()

    def _script_keys(self, job_id: JobId) -> list[str]:
        done = keys.completions(self._window())
        return [keys.job(job_id), keys.OPEN_JOBS, keys.JOB_ORDER, done]

    def _window(self) -> int:
        return int(self._clock() // RATE_WINDOW_S)

    def _script_arguments(self, job_id: JobId) -> list[Any]:
        return [self._clock(), self._retention_s, job_id, keys.ENDED_CHANNEL]


def _count_job_end(end: JobEnd, *, has_ended: bool) -> bool:
    """Update the metrics if the job has ended by this call; returns `has_ended`."""
    if has_ended:
        JOBS.labels(state=str(end.state)).inc()
        observe_valuations([estimate.price_mad for estimate in end.estimates])
        if end.state is JobState.FAILED:
            PREDICTIONS.labels(status="error").inc()
    return has_ended


def _to_hash(job: Job) -> dict[str, Any]:
    return {
        "caller": job.caller,
        "state": str(job.state),
        "created_at": job.created_at,
        "is_list": int(job.is_list),
        "total": len(job.requests),
        "origin": msgpack.packb(job.origin and [job.origin.group_id, job.origin.deadline]),
        "requests": msgpack.packb([request.to_wire() for request in job.requests]),
    }


def _from_hash(job_id: JobId, stored: dict[bytes, bytes]) -> Job:
    def seconds(name: bytes) -> float | None:
        return float(stored[name]) if name in stored else None

    return Job(
        id=job_id,
        caller=CallerId(stored[b"caller"].decode()),
        state=JobState(stored[b"state"].decode()),
        created_at=float(stored[b"created_at"]),
        requests=tuple(CarRequest.from_wire(r) for r in msgpack.unpackb(stored[b"requests"])),
        is_list=stored[b"is_list"] == b"1",
        started_at=seconds(b"started_at"),
        finished_at=seconds(b"finished_at"),
        attempts=int(stored.get(b"attempts", 0)),
        cancel_requested=stored.get(b"cancel_requested") == b"1",
        estimates=tuple(
            Estimate.from_wire(e) for e in msgpack.unpackb(stored.get(b"estimates", b"\x90"))
        ),
        error=stored.get(b"error", b"").decode() or None,
        origin=DispatchOrigin(*origin) if (origin := msgpack.unpackb(stored[b"origin"])) else None,
    )
