"""The stored form of a job: a hash in Redis, and for long jobs payloads in the blob store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from shared.domain.errors import check_schema, record_errors
from shared.domain.ids import CallerId, JobId
from shared.domain.job import DispatchOrigin, Job, JobKind, JobState, JobSummary
from shared.domain.lists.estimates import EstimateList
from shared.domain.lists.requests import RequestList, count_extras
from shared.domain.valuation import CarRequest, Estimate
from shared.redis.webhooks.records import pack_callback, unpack_callback

JOB_SCHEMA = 3
"""Version that a reader of a job must know: 1, which is not stated, has everything in the hash; 2
may have payloads in the blob store; 3 has columns. Fields and values that a reader may ignore do
not raise it."""

BLOB_SCHEMA, COLUMNS_SCHEMA = 2, 3
BLOB_PROTOCOL = 2
"""`WorkerRegistry.protocol` from which workers read payloads in the blob store."""

COLUMNS_PROTOCOL = 4
"""`WorkerRegistry.protocol` from which workers read the requests of a list as columns."""

INLINE_MAX_BYTES = 16_384
"""Largest payload that stays in Redis if the workers read the blob store."""

RECORD_BYTES = 2_048
"""Upper limit of what a job takes in Redis besides its payloads: hash, tombstone, list entries."""

TOMBSTONE_BYTES = 640
"""Upper limit of what stays of a deleted job: its tombstone and its Idempotency-Key."""

MESSAGE_BYTES = 2_048
"""Upper limit of what an open job takes besides: its message, once more while it is unacknowledged,
and its claim."""

ESTIMATE_MAX_BYTES, EXTRA_MAX_BYTES = 256, 4_096
"""Upper limits of a packed estimate without extras, and of one extra."""

EMPTY_PAYLOAD = b"\x90"
"""An empty list, packed."""

SUMMARY_FIELDS = ("caller", "state", "created_at", "started_at", "finished_at", "total")
"""What `read_summary` takes."""

PayloadReader = Callable[[str], bytes]
"""Reads a payload by its name in the blob store."""


class JobUsage(NamedTuple):
    """What the jobs of one caller take up."""

    open_jobs: int
    """Jobs that have not ended."""
    memory_bytes: int
    """In Redis, of open and ended jobs; of open ones, with the room reserved for their results."""
    blob_bytes: int
    """In the blob store."""

    @property
    def stored_bytes(self) -> int:
        """In Redis and in the blob store."""
        return self.memory_bytes + self.blob_bytes


def pack_requests(requests: Sequence[CarRequest], *, as_columns: bool = False) -> bytes:
    """The requests of a job, packed.

    Args:
        requests: the requests.
        as_columns: whether a `RequestList` is packed as it is; older workers cannot read that.
    """
    if as_columns and isinstance(requests, RequestList):
        return _packed(requests.to_wire())
    return _packed([request.to_wire() for request in requests])


def pack_estimates(estimates: Sequence[Estimate]) -> bytes:
    """The estimates of a job, packed.

    Those of an `EstimateList` are packed as columns: there is one only for requests that are stored
    as columns, by an API that reads them.
    """
    if isinstance(estimates, EstimateList):
        return _packed(estimates.to_wire())
    return _packed([estimate.to_wire() for estimate in estimates])


def _packed(wire: Any) -> bytes:
    packed: bytes = msgpack.packb(wire)
    return packed


def unpack_estimates(packed: bytes) -> Sequence[Estimate]:
    """The estimates that `pack_estimates` packed, in this or an earlier release.

    Raises:
        Exception: of many kinds, for other bytes; see `record_errors`.
    """
    wire = msgpack.unpackb(packed)
    if isinstance(wire, dict):
        return EstimateList.from_wire(wire)
    return tuple(map(Estimate.from_wire, wire))


def _unpack_requests(packed: bytes) -> Sequence[CarRequest]:
    wire = msgpack.unpackb(packed)
    if isinstance(wire, dict):
        return RequestList.from_wire(wire)
    return tuple(map(CarRequest.from_wire, wire))


def max_result_bytes(requests: Sequence[CarRequest]) -> int:
    """Upper limit of the packed estimates of these requests."""
    return ESTIMATE_MAX_BYTES * len(requests) + EXTRA_MAX_BYTES * count_extras(requests)


def to_hash(job: Job) -> dict[str, Any]:
    """The fields of a new job, without its requests.

    `ends` says that the API that stored it reads `keys.ENDED_JOBS_CHANNEL`; 2, that it finds the
    job in a segment as well.
    """
    return {
        "caller": job.caller,
        "state": str(job.state),
        "created_at": job.created_at,
        "is_list": int(job.is_list),
        "total": len(job.requests),
        "ends": 2,
        "origin": msgpack.packb(job.origin and [job.origin.group_id, job.origin.deadline]),
        **({} if job.callback is None else {"callback": pack_callback(job.callback)}),
        **({"trace": job.trace} if job.trace else {}),
    }


def from_hash(job_id: JobId, stored: Mapping[bytes, bytes], read: PayloadReader) -> Job:
    """Rebuild a job of this or another version.

    Raises:
        NewerRecord: only a newer version can read it.
        UnreadableRecord: its content cannot be understood.
        StorageUnavailable: a payload cannot be read now.
    """
    with record_errors():
        check_schema(stored.get(b"schema", 1), JOB_SCHEMA)
        return _from_hash(job_id, stored, read)


def read_summary(job_id: str, values: Sequence[bytes | None]) -> JobSummary | None:
    """The summary of a job; None if its record is missing or not complete.

    Args:
        job_id: its id.
        values: of the fields `SUMMARY_FIELDS`.

    Raises:
        UnreadableRecord: they cannot be understood.
    """
    with record_errors():
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


def _from_hash(job_id: JobId, stored: Mapping[bytes, bytes], read: PayloadReader) -> Job:
    def seconds(name: bytes) -> float | None:
        return float(stored[name]) if name in stored else None

    def payload(name: bytes) -> bytes:
        blob = stored.get(name + b"_blob")
        return stored.get(name, EMPTY_PAYLOAD) if blob is None else read(blob.decode())

    origin = msgpack.unpackb(stored[b"origin"]) if b"origin" in stored else None
    return Job(
        id=job_id,
        caller=CallerId(stored[b"caller"].decode()),
        state=JobState(stored[b"state"].decode()),
        created_at=float(stored[b"created_at"]),
        requests=_unpack_requests(payload(b"requests")),
        is_list=stored.get(b"is_list") == b"1",
        started_at=seconds(b"started_at"),
        finished_at=seconds(b"finished_at"),
        attempts=int(stored.get(b"attempts", 0)),
        cancel_requested=stored.get(b"cancel_requested") == b"1",
        estimates=unpack_estimates(payload(b"estimates")),
        error=stored.get(b"error", b"").decode() or None,
        origin=DispatchOrigin(*origin[:2]) if origin else None,
        callback=unpack_callback(stored[b"callback"]) if b"callback" in stored else None,
        trace=stored.get(b"trace", b"").decode(),
    )
