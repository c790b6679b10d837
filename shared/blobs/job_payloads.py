"""Cars and results of long jobs, in the blob store instead of Redis."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from shared.blobs.stores import BlobStore
from shared.domain.errors import StorageUnavailable, UnreadableRecord
from shared.domain.ids import BatchId, JobId, new_id


class JobPayloads:
    """The payloads of jobs as blobs, by job and name.

    A name is never used twice: an attempt that lost a race cannot change the result of the job.
    While the backend is down, every method raises `StorageUnavailable`.

    Args:
        blobs: a store that holds jobs only.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def write(self, job_id: JobId, kind: str, content: bytes) -> str:
        """Write a payload, durably; return its name."""
        name = f"{kind}-{new_id()}"
        with _storage_errors(), self._blobs.write(_folder(job_id), name) as blob:
            blob.write(content)
        return name

    def read(self, job_id: JobId, name: str) -> bytes:
        """Read a payload; raises `UnreadableRecord` if it is missing."""
        try:
            with _storage_errors(), self._blobs.read(_folder(job_id), name) as blob:
                return blob.read()
        except FileNotFoundError:
            raise UnreadableRecord(reason=f"{name} is missing") from None

    def remove(self, job_id: JobId, names: Sequence[str]) -> None:
        """Delete payloads; a missing one is no error."""
        with _storage_errors():
            self._blobs.remove(_folder(job_id), names)

    def discard(self, job_id: JobId) -> None:
        """Delete all payloads of a job."""
        with _storage_errors():
            self._blobs.discard(_folder(job_id))

    def jobs(self) -> Iterator[JobId]:
        """Every job that has a payload, in order of age."""
        with _storage_errors():
            yield from map(JobId, self._blobs.batches())


def _folder(job_id: JobId) -> BatchId:
    """The folder of a job; the store names its folders by the type of its first use."""
    return cast("BatchId", job_id)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageUnavailable(reason=error.strerror or str(error)) from error
