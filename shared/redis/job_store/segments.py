"""What Redis knows of the segments of ended jobs: where a job may be."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgpack

from shared.blobs.ended_jobs.segments import Segment
from shared.domain.errors import UnreadableRecord
from shared.domain.ids import CallerId, JobId, id_timestamp
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store import segment_scripts as scripts
from shared.redis.pipelines import ScriptCall, run_script


class Place(NamedTuple):
    """Where a job may be that Redis does not have.

    Attributes:
        tombstone: of a job that has expired in Redis, or was deleted; else None.
        segments: those that may have it.
        error: there are others, which only a newer version can read.
    """

    tombstone: str | None
    segments: Sequence[Segment] = ()
    error: UnreadableRecord | None = None

    @property
    def may_be_moved(self) -> bool:
        """Whether a segment may have it."""
        return bool(self.segments) or self.error is not None

    @property
    def is_deleted(self) -> bool:
        """Whether its caller has deleted it."""
        return self.tombstone is not None and self.tombstone.endswith(keys.DELETED_MARK)


class SegmentCatalogue:
    """Finds segments, by jobs and by callers.

    While the broker is down, every method raises `BrokerUnavailable`.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._connections = ConnectionCache(client)
        self._find = client.register_script(scripts.FIND)
        self._of_caller = client.register_script(scripts.OF_CALLER)
        self._delete = client.register_script(scripts.DELETE_MOVED)

    def find(self, job_ids: Sequence[JobId]) -> list[Place]:
        """Where jobs may be, by one round trip.

        Args:
            job_ids: valid ids.
        """
        if not job_ids:
            return []
        asked = [part for job_id in job_ids for part in (job_id, id_timestamp(job_id))]
        names = [keys.SEGMENTS, keys.SEGMENTS_BY_TIME]
        found = self._run(ScriptCall(self._find, names, [keys.job_tombstone(""), *asked]))
        return [
            _place(job_id, tombstone, packed)
            for job_id, (tombstone, packed) in zip(job_ids, found, strict=True)
        ]

    def of_caller(self, caller: CallerId, *, low: float, high: float, limit: int) -> list[Segment]:
        """The latest segments with jobs of a caller whose largest id is of this time span.

        Those that a newer version wrote are left out.
        """
        names = [keys.SEGMENTS, keys.segments_of(caller)]
        _, packed = self._run(ScriptCall(self._of_caller, names, [_text(high), low, limit]))
        found = [_unpack(each) for each in packed if each]
        return [each for each in found if isinstance(each, Segment)]

    def deleted(self, job_ids: Sequence[JobId]) -> set[JobId]:
        """Those of the jobs that their caller has deleted."""
        if not job_ids:
            return set()
        with broker_errors():
            found = self._client.mget([keys.job_tombstone(each) for each in job_ids])
        mark = keys.DELETED_MARK.encode()
        return {
            job_id
            for job_id, owner in zip(job_ids, found, strict=True)
            if owner is not None and owner.endswith(mark)
        }

    def delete(
        self,
        job_id: JobId,
        caller: CallerId,
        segments: Iterable[Segment],
        *,
        keep_s: int,
        period_end: int,
        tombstone_bytes: int,
        blob_bytes: int,
        kept_until: str,
    ) -> bool:
        """Mark a job that is in segments as deleted; False if it was before.

        Args:
            job_id: the job.
            caller: whose it is.
            segments: those that have it, from which the sweep removes it.
            keep_s: how long it is known to be deleted.
            period_end: the period of usage under which its tombstone counts.
            tombstone_bytes: what that takes.
            blob_bytes: what its payloads took.
            kept_until: the period of usage under which they counted.
        """
        names = [
            keys.job_tombstone(job_id), keys.ended_usage(caller), keys.SEGMENT_DELETIONS
        ]  # fmt: skip
        arguments = [
            caller + keys.DELETED_MARK, keep_s, period_end, tombstone_bytes, blob_bytes, kept_until
        ]  # fmt: skip
        entries = [f"{each.id} {job_id}" for each in segments]
        return bool(self._run_plain(ScriptCall(self._delete, names, [*arguments, *entries])))

    def _run(self, call: ScriptCall) -> Any:
        return msgpack.unpackb(self._run_plain(call), raw=True)

    def _run_plain(self, call: ScriptCall) -> Any:
        with broker_errors():
            return run_script(self._connections, call)


def _place(job_id: JobId, tombstone: bytes | None, packed: Sequence[bytes]) -> Place:
    found = [_unpack(each) for each in packed if each]
    segments = [each for each in found if isinstance(each, Segment) and each.covers(job_id)]
    errors = [each for each in found if isinstance(each, UnreadableRecord)]
    return Place(tombstone.decode() if tombstone else None, segments, next(iter(errors), None))


def _unpack(packed: bytes) -> Segment | UnreadableRecord:
    try:
        return Segment.unpack(packed)
    except UnreadableRecord as error:
        return error


def _text(at: float) -> str:
    return "+inf" if at == float("inf") else repr(at)
