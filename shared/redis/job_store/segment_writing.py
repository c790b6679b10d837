"""Changes what Redis knows of the segments of ended jobs, under a lease."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgpack

from shared.blobs.ended_jobs.segments import EndedKey, Segment
from shared.domain.clock import Clock
from shared.domain.ids import CallerId, JobId, id_timestamp, new_id
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store import segment_scripts as scripts
from shared.redis.pipelines import ScriptCall, run_script

LEASE_S = 60
"""For how long a process may write segments without a sign of life."""

REMOVE_BLOCK = 64
"""Jobs that one script call removes or reads; a call occupies the broker."""


class StoredJob(NamedTuple):
    """A job as Redis has it."""

    fields: dict[bytes, bytes]
    """Empty if it is gone."""
    expires_at: int
    """Unix time, seconds."""
    known_until: int
    """When its tombstone expires."""


class LeaseLost(Exception):
    """Another process writes segments now."""


class SegmentWriting:
    """Changes what is known of segments, under a lease that one process holds.

    Every method raises `LeaseLost` if another process holds it, and `BrokerUnavailable` while the
    broker is down.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._connections = ConnectionCache(client)
        self._holder = new_id()
        names = ("ACQUIRE", "RELEASE", "SET_PENDING", "ADD", "REMOVE", "TRIM", "EXPIRE")
        self._scripts = {name: client.register_script(getattr(scripts, name)) for name in names}
        self._read_ended = client.register_script(scripts.READ_ENDED)

    def acquire(self) -> None:
        """Take the lease, or renew it."""
        self._run("ACQUIRE", [])

    def release(self) -> None:
        """Give the lease back, if it is held."""
        self._run("RELEASE", [])

    def pending(self) -> str | None:
        """The segment that was being written when the last holder of the lease stopped."""
        with broker_errors():
            found = self._client.get(keys.SEGMENT_PENDING)
        return None if found is None else found.decode()

    def set_pending(self, segment_id: str) -> None:
        """Say which segment is being written; "": none."""
        self._run("SET_PENDING", [keys.SEGMENT_PENDING], segment_id)

    def add(self, segment: Segment, callers: Iterable[CallerId], *, due: int) -> None:
        """Enter a segment: from now on its jobs are found in it."""
        names = [keys.SEGMENTS, keys.SEGMENTS_BY_TIME, keys.SEGMENTS_DUE]
        packed = msgpack.packb(sorted(callers), use_bin_type=False)
        self._run(
            "ADD", names, segment.id, segment.pack(), repr(segment.last_at), due,
            keys.segments_of(""), segment.known_until, int(self._clock()), packed,
        )  # fmt: skip

    def remove(self, segment_id: str, jobs: Sequence[EndedKey]) -> None:
        """Remove jobs from Redis that are in a segment which is entered.

        Args:
            segment_id: the segment.
            jobs: id, caller and time of the end, as stored; one that ended again stays.
        """
        prefixes = [
            keys.job(""), keys.job_tombstone(""), keys.jobs_by_caller(""), keys.ended_usage(""),
            keys.DELETED_MARK,
        ]  # fmt: skip
        for start in range(0, len(jobs), REMOVE_BLOCK):
            packed = msgpack.packb(jobs[start : start + REMOVE_BLOCK], use_bin_type=False)
            self._run("REMOVE", [keys.SEGMENT_DELETIONS], segment_id, *prefixes, packed)

    def ended_at(self, place: int) -> float:
        """When the job at a place of the queue ended, at least; infinite if there is none."""
        with broker_errors():
            found = self._client.lindex(keys.ENDED_QUEUE, place)
            if found is None:
                return float("inf")
            job_id = found.decode()
            ended = self._client.hget(keys.job(job_id), "finished_at")
        return id_timestamp(job_id) if ended is None else float(ended)

    def queued(self, limit: int) -> list[JobId]:
        """The jobs that ended first."""
        with broker_errors():
            found = self._client.lrange(keys.ENDED_QUEUE, 0, limit - 1)
        return [JobId(each.decode()) for each in found]

    def read_ended(self, job_ids: Sequence[JobId]) -> list[StoredJob]:
        """The jobs, as they are stored."""
        prefixes = [keys.job(""), keys.job_tombstone("")]
        found = []
        for start in range(0, len(job_ids), REMOVE_BLOCK):
            block = job_ids[start : start + REMOVE_BLOCK]
            call = ScriptCall(self._read_ended, (), [*prefixes, *block])
            with broker_errors():
                packed = run_script(self._connections, call)
            found += [
                StoredJob(dict(zip(fields[::2], fields[1::2], strict=True)), *times)
                for fields, *times in msgpack.unpackb(packed, raw=True)
            ]
        return found

    def trim_queue(self, count: int) -> None:
        """Take the first jobs off the queue."""
        self._run("TRIM", [keys.ENDED_QUEUE], count)

    def due(self, until: float, limit: int) -> list[Segment]:
        """Segments of which something was to be deleted by a Unix time."""
        with broker_errors():
            names = self._client.zrange(
                keys.SEGMENTS_DUE, "-inf", until, byscore=True, offset=0, num=limit
            )
            found = self._client.hmget(keys.SEGMENTS, names) if names else []
        return [Segment.unpack(each) for each in found if each]

    def set_due(self, segment_id: str, at: int | None) -> None:
        """Say when a segment is due again; None: it is deleted."""
        names = [keys.SEGMENTS, keys.SEGMENTS_BY_TIME, keys.SEGMENTS_DUE]
        self._run("EXPIRE", names, segment_id, "" if at is None else at)

    def deletions(self, limit: int) -> dict[str, set[str]]:
        """Jobs that are to be removed, by the segments that have them."""
        with broker_errors():
            found = self._client.srandmember(keys.SEGMENT_DELETIONS, limit)
        by_segment: dict[str, set[str]] = {}
        for entry in found:
            segment_id, _, job_id = entry.decode().partition(" ")
            by_segment.setdefault(segment_id, set()).add(job_id)
        return by_segment

    def deletions_done(self, segment_id: str, job_ids: Iterable[str]) -> None:
        """Say that jobs are removed from a segment."""
        with broker_errors():
            self._client.srem(keys.SEGMENT_DELETIONS, *(f"{segment_id} {one}" for one in job_ids))

    def known(self, segment_ids: Sequence[str]) -> set[str]:
        """Those of the segments that are entered."""
        if not segment_ids:
            return set()
        with broker_errors():
            found = self._client.hmget(keys.SEGMENTS, segment_ids)
        return {one for one, packed in zip(segment_ids, found, strict=True) if packed}

    def is_compared(self) -> bool:
        """Whether the segments in the store were compared with those that are entered lately."""
        with broker_errors():
            return bool(self._client.exists(keys.SEGMENT_SCAN_MARKER))

    def has_lost_data(self) -> bool:
        """Whether Redis may lack segments that are in the store."""
        with broker_errors():
            return not self._client.exists(keys.SEGMENTS_KNOWN)

    def set_compared(self, keep_s: int) -> None:
        """Say that every segment in the store is entered; to be compared again after a time."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(keys.SEGMENTS_KNOWN, 1)
            pipeline.set(keys.SEGMENT_SCAN_MARKER, 1, ex=keep_s)
            pipeline.execute()

    def _run(self, name: str, names: Sequence[str], *arguments: Any) -> None:
        call = ScriptCall(
            self._scripts[name], [keys.SEGMENT_LEASE, *names], [self._holder, LEASE_S, *arguments]
        )
        with broker_errors():
            if run_script(self._connections, call) is None:
                raise LeaseLost
