"""Segments of ended jobs: thousands of jobs in three files of the blob store.

`records` has the stored fields of each job, `lists` what a list of the jobs of a caller shows, and
`owners` whose each job was. The first two are deleted when the jobs have expired; then the third
tells an expired id from an unknown one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

import msgpack

from shared.blobs.ended_jobs.keyed_files import Item, KeyedFiles, pack_items
from shared.blobs.stores import BlobStore
from shared.domain.errors import StorageUnavailable, check_schema, record_errors
from shared.domain.ids import BatchId, CallerId, JobId, id_timestamp, new_id

SCHEMA = 1
"""Version of a segment; a reader refuses a newer one."""

INFO, RECORDS, LISTS, OWNERS = "info", "records", "lists", "owners"
CONTENTS = (RECORDS, LISTS)
"""What is deleted when the jobs have expired."""

LAST_ID = b"\x7f"
"""Sorts after every id."""


class EndedKey(NamedTuple):
    """What tells one end of a job from another."""

    id: JobId
    caller: CallerId
    finished_at: bytes
    """As stored."""


class EndedJob(NamedTuple):
    """An ended job on its way into a segment, and in it."""

    id: JobId
    fields: Mapping[bytes, bytes]
    """As Redis had them."""
    expires_at: int
    """Unix time, seconds."""

    @property
    def caller(self) -> CallerId:
        """Whose it is."""
        return CallerId(self.fields[b"caller"].decode())

    @property
    def key(self) -> EndedKey:
        """Its end."""
        return EndedKey(self.id, self.caller, self.fields[b"finished_at"])


class Segment(NamedTuple):
    """What is known of a segment without reading its files."""

    id: str
    first: str
    """The smallest id of a job in it."""
    last: str
    """The largest."""
    expires_at: int
    """Unix time from which all its jobs have expired."""
    known_until: int
    """Until when their ids are known to have existed."""
    jobs: int

    @classmethod
    def of(cls, jobs: Sequence[EndedJob], *, known_until: int) -> Self:
        """A new segment of jobs that are sorted by their ids."""
        expires_at = max(each.expires_at for each in jobs)
        return cls(new_id(), jobs[0].id, jobs[-1].id, expires_at, known_until, len(jobs))

    @property
    def last_at(self) -> float:
        """The time of the largest id."""
        return id_timestamp(self.last)

    def covers(self, job_id: str) -> bool:
        """Whether an id lies between the smallest and the largest one."""
        return self.first <= job_id <= self.last

    def pack(self) -> bytes:
        """The stored form; readers ignore further values."""
        packed: bytes = msgpack.packb([SCHEMA, *self])
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Rebuild a segment.

        Raises:
            NewerRecord, UnreadableRecord: a newer version wrote it, or it is damaged.
        """
        with record_errors():
            schema, *values = msgpack.unpackb(packed)
            check_schema(schema, SCHEMA)
            return cls(*values[:6])


class ListedJob(NamedTuple):
    """An ended job as it is listed: its id, the fields of a summary, when it expires."""

    id: JobId
    values: Sequence[bytes | None]
    expires_at: int


class JobSegments:
    """Writes, reads and deletes segments.

    While the store is down, every method raises `StorageUnavailable`. Reading raises
    `UnreadableRecord` for what is damaged, and `FileNotFoundError` for what is missing.

    Args:
        blobs: a store that holds segments only.
        list_fields: the fields of a summary, in order.
    """

    def __init__(self, blobs: BlobStore, list_fields: Sequence[str]) -> None:
        self._blobs = blobs
        self._list_fields = [name.encode() for name in list_fields]
        self._files = KeyedFiles(blobs)

    def write(self, segment: Segment, jobs: Sequence[EndedJob]) -> None:
        """Write a segment, durably, or replace it by fewer jobs; `info` is the last of its files.

        Args:
            segment: what `info` says.
            jobs: sorted by their ids.
        """
        contents = {
            RECORDS: pack_items((each.id.encode(), _pack_job(each)) for each in jobs),
            LISTS: pack_items(sorted(map(self._list_item, jobs))),
            OWNERS: pack_items((each.id.encode(), msgpack.packb(each.key[1:])) for each in jobs),
            INFO: [segment.pack()],
        }
        with _storage_errors():
            self._blobs.write_all(BatchId(segment.id), contents)

    def info(self, segment_id: str) -> Segment | None:
        """What a segment is; None if it was not written to its end."""
        try:
            with _storage_errors():
                return Segment.unpack(self._blobs.load(BatchId(segment_id), INFO))
        except FileNotFoundError:
            return None

    def read(self, segment_id: str, job_id: JobId) -> EndedJob | None:
        """One job; None if the segment does not have it."""
        found = self._files.get(segment_id, RECORDS, job_id.encode())
        return None if found is None else _unpack_job(job_id, found)

    def read_all(self, segment_id: str) -> list[EndedJob]:
        """All jobs, in the order of their ids."""
        found = self._files.all(segment_id, RECORDS)
        return [_unpack_job(JobId(key.decode()), value) for key, value in found]

    def owner(self, segment_id: str, job_id: JobId) -> CallerId | None:
        """Whose a job was, also when it has expired; None if the segment did not have it."""
        found = self._files.get(segment_id, OWNERS, job_id.encode())
        return None if found is None else _unpack_owner(found)[0]

    def ends(self, segment_id: str) -> list[EndedKey]:
        """The ends of all jobs, also of expired ones."""
        found = self._files.all(segment_id, OWNERS)
        return [EndedKey(JobId(key.decode()), *_unpack_owner(value)) for key, value in found]

    def listed(
        self, segment_id: str, caller: CallerId, *, after: str, before: str, limit: int
    ) -> list[ListedJob]:
        """The newest jobs of a caller between `after` and `before`, both excluded, newest first."""
        prefix = _prefix(caller)
        low, high = prefix + after.encode(), prefix + before.encode()
        found = self._files.newest(segment_id, LISTS, low, high, limit)
        return [_unpack_listed(key[len(prefix) :], value) for key, value in found]

    def remove_contents(self, segment_id: str) -> None:
        """Delete the jobs of a segment; whose they were stays."""
        with _storage_errors():
            self._blobs.remove(BatchId(segment_id), CONTENTS)

    def discard(self, segment_id: str) -> None:
        """Delete a segment."""
        with _storage_errors():
            self._blobs.remove(BatchId(segment_id), [INFO])
            self._blobs.discard(BatchId(segment_id))

    def ids(self) -> list[str]:
        """Every segment, also an incomplete one, oldest first."""
        with _storage_errors():
            return list(self._blobs.batches())

    def _list_item(self, job: EndedJob) -> Item:
        values = [job.fields.get(name) for name in self._list_fields]
        return _prefix(job.caller) + job.id.encode(), msgpack.packb([values, job.expires_at])


def without(jobs: Sequence[EndedJob], ids: Collection[str]) -> list[EndedJob]:
    """The jobs without some of them."""
    return [each for each in jobs if each.id not in ids]


def _prefix(caller: CallerId) -> bytes:
    return caller.encode() + b"\0"


def _pack_job(job: EndedJob) -> bytes:
    packed: bytes = msgpack.packb([dict(job.fields), job.expires_at])
    return packed


def _unpack_job(job_id: JobId, packed: bytes) -> EndedJob:
    with record_errors():
        fields, expires_at, *_ = msgpack.unpackb(packed)
        return EndedJob(job_id, fields, int(expires_at))


def _unpack_owner(packed: bytes) -> tuple[CallerId, bytes]:
    with record_errors():
        caller, finished_at, *_ = msgpack.unpackb(packed)
        return CallerId(caller), finished_at


def _unpack_listed(job_id: bytes, packed: bytes) -> ListedJob:
    with record_errors():
        values, expires_at, *_ = msgpack.unpackb(packed)
        return ListedJob(JobId(job_id.decode()), values, int(expires_at))


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageUnavailable(reason=error.strerror or str(error)) from error
