"""Blob stores: the protocol, and the store that the settings name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from shared.blobs.local import LocalBlobStore
from shared.domain.ids import BatchId
from shared.settings import Settings


class BlobWriter(Protocol):
    """A blob that is being written: a binary file, of which nobody sees anything yet."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes."""
        ...


class BlobStore(Protocol):
    """Files of batches, by batch and name: the durable truth about every batch.

    Backend down (disk full or gone): every method raises `OSError`, and what was being written
    is not there.
    """

    def write(self, batch_id: BatchId, name: str) -> AbstractContextManager[BlobWriter]:
        """Write a blob; it is durable and visible as a whole when the context ends well.

        An exception inside the context leaves things as they were.
        """
        ...

    def write_all(
        self,
        batch_id: BatchId,
        blobs: Mapping[str, Sequence[bytes | memoryview]],
        *,
        uncached: Collection[str] = (),
    ) -> None:
        """Write whole blobs, given in pieces, with fewer waits than one by one.

        They become visible in this order; all are durable when this returns. Those named by
        `uncached` are not read soon: memory need not be spent on them.
        """
        ...

    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob for reading from any place.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        ...

    def local_path(self, batch_id: BatchId, name: str) -> Path | None:
        """The file that a blob is, if it is one; it must not be changed, but may be linked to."""
        ...

    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs whose name begins with `folder`, sorted."""
        ...

    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; one that is not there is no error."""
        ...

    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete all of a batch but the blobs named, what is being written included."""
        ...

    def batches(self) -> Iterator[BatchId]:
        """Every batch that has a blob, in order of age."""
        ...


def open_blob_store(settings: Settings) -> BlobStore:
    """The store of uploads and results: a folder, or a bucket if `BLOB_URL` names one."""
    if not settings.blob_url:
        return LocalBlobStore(settings.batches_path)
    # Only here: the libraries of an object store would make every process slower to start.
    from shared.blobs.s3 import S3BlobStore  # noqa: PLC0415

    return S3BlobStore(settings.blob_url, settings.blob_endpoint_url)
