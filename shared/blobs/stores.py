"""The blob store protocol, and the store that the settings name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from shared.blobs.local import LocalBlobStore
from shared.domain.ids import BatchId
from shared.settings import Settings


class BlobWriter(Protocol):
    """A blob being written: a binary file that is not visible yet."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes."""
        ...


class BlobStore(Protocol):
    """Files of batches, by batch and name: the durable record of every batch.

    While the backend is down (disk full, store unreachable), every method raises `OSError`, and
    incomplete writes stay invisible.
    """

    def write(self, batch_id: BatchId, name: str) -> AbstractContextManager[BlobWriter]:
        """Write a blob; it becomes durable and visible when the context ends.

        An exception inside the context changes nothing.
        """
        ...

    def write_all(
        self,
        batch_id: BatchId,
        blobs: Mapping[str, Sequence[bytes | memoryview]],
        *,
        uncached: Collection[str] = (),
    ) -> None:
        """Write whole blobs, given in pieces, with fewer syncs than one by one.

        They become visible in this order; all are durable when this returns. Those named in
        `uncached` are not read soon and need not be cached.
        """
        ...

    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob, seekable.

        Raises:
            FileNotFoundError: there is no such blob.
        """
        ...

    def load(self, batch_id: BatchId, name: str, limit: int | None = None) -> bytes:
        """Read a whole blob, or at most its first `limit` bytes.

        Raises:
            FileNotFoundError: there is no such blob.
        """
        ...

    def load_all(self, batch_id: BatchId, names: Sequence[str]) -> Iterator[bytes]:
        """Read whole blobs, in this order, for the last time.

        Raises:
            FileNotFoundError: one of them does not exist.
        """
        ...

    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        ...

    def total_size(self, batch_id: BatchId) -> int:
        """Size of all blobs of a batch, bytes."""
        ...

    def local_path(self, batch_id: BatchId, name: str) -> Path | None:
        """The file of a blob, if it is one; it may be linked to, but not changed."""
        ...

    def download_url(
        self, batch_id: BatchId, name: str, *, for_s: int, media_type: str, disposition: str
    ) -> str | None:
        """An address by which anybody can download a blob for some time; None: there is none.

        Args:
            batch_id: the batch.
            name: of the blob.
            for_s: how long the address holds, seconds.
            media_type: that the download states.
            disposition: the header `Content-Disposition` of the download.
        """
        ...

    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs whose name begins with `folder`, sorted."""
        ...

    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; a missing one is no error."""
        ...

    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete all of a batch except some blobs, including incomplete writes."""
        ...

    def batches(self) -> Iterator[BatchId]:
        """Every batch that has a blob, in order of age."""
        ...

    def mark_open(self, batch_id: BatchId) -> None:
        """Have `open_batches` name a batch from now on."""
        ...

    def mark_ended(self, batch_id: BatchId) -> None:
        """Have `open_batches` no longer name a batch; it may be unknown."""
        ...

    def open_batches(self) -> Iterator[BatchId]:
        """At least the batches that are marked as open, in order of age.

        They are found without a look at the blobs of the others.
        """
        ...


JOBS_FOLDER = "jobs"
"""Folder of the payloads of jobs beside the batches, whose names are ids."""

ESTIMATES_FOLDER = "estimates"
"""Folder of the estimates that are kept under their addresses."""


def open_blob_store(settings: Settings) -> BlobStore:
    """The store of the batches: a folder, or a bucket if `BLOB_URL` names one."""
    return _open_store(settings, "")


def open_job_store(settings: Settings) -> BlobStore:
    """The store of the payloads of jobs, inside that of the batches."""
    return _open_store(settings, JOBS_FOLDER)


def open_estimate_store(settings: Settings) -> BlobStore:
    """The store of the kept estimates, inside that of the batches."""
    return _open_store(settings, ESTIMATES_FOLDER)


def _open_store(settings: Settings, folder: str) -> BlobStore:
    if not settings.blob_url:
        return LocalBlobStore(settings.batches_path / folder)
    # Imported here: its libraries would slow the start of every process.
    from shared.blobs.s3 import S3BlobStore  # noqa: PLC0415

    url = "/".join(filter(None, [settings.blob_url.rstrip("/"), folder]))
    return S3BlobStore(url, settings.blob_endpoint_url, settings.blob_public_url)
