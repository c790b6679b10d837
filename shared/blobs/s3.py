"""Blob store in an S3-compatible object store, through fsspec.

Imported only if such a store is configured: its libraries cost memory and start-up time.
"""

import errno
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import s3fs
from aiohttp import ClientError
from botocore.exceptions import BotoCoreError

from shared.domain.ids import BatchId, is_id

PART_BYTES = 8 << 20
"""A blob up to this size is one request; a larger one is a multipart upload with parts of this
size, which bounds a writer's memory. S3 takes 10,000 parts, 80 GB."""

READ_AHEAD_BYTES = 1 << 20
MAX_KEYS_PER_DELETE = 1000
"""Maximum keys per delete request of S3."""

ATTEMPTS = 2
CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S = 1.0, 10.0
"""An absent store is reported within seconds, one that stops answering after both attempts; a part
of a large blob may take several seconds."""


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Raise errors of the store and the connection as `OSError`, like those of a disk.

    A context manager and a decorator.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(errno.EIO, f"object store: {error}") from error


class S3BlobStore:
    """A `BlobStore` in a bucket of an S3-compatible object store.

    An object becomes visible as a whole, and reads see the last complete write at once.
    Credentials and region come from the AWS variables and files.

    Args:
        url: `s3://bucket/prefix`; the bucket must exist.
        endpoint_url: of a store other than Amazon S3; empty: Amazon S3.
    """

    def __init__(self, url: str, endpoint_url: str = "") -> None:
        self._root = url.removeprefix("s3://").strip("/")
        self._bucket, _, self._prefix = self._root.partition("/")
        self._files = s3fs.S3FileSystem(
            endpoint_url=endpoint_url or None,
            # Another process may write at any time: listings are never cached.
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": REPLY_TIMEOUT_S,
                "retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"},
                # Host names like minio:9000 have no subdomain per bucket.
                "s3": {"addressing_style": "path" if endpoint_url else "auto"},
            },
        )
        # s3fs would repeat all of these attempts, with waits of its own.
        self._files.retries = 1

    @contextmanager
    def write(self, batch_id: BatchId, name: str) -> Iterator["S3Writer"]:
        """Write a blob; it becomes visible when the context ends without an error."""
        writer = S3Writer(self._files, self._path(batch_id, name))
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.discard()
            raise

    def write_all(
        self,
        batch_id: BatchId,
        blobs: Mapping[str, Sequence[bytes | memoryview]],
        *,
        uncached: Collection[str] = (),  # noqa: ARG002 - there is no page cache
    ) -> None:
        """Write whole blobs, in order."""
        for name, pieces in blobs.items():
            with self.write(batch_id, name) as blob:
                for piece in pieces:
                    blob.write(piece)

    @_storage_errors()
    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob; reads fetch byte ranges."""
        file = self._files.open(
            self._path(batch_id, name), "rb", block_size=READ_AHEAD_BYTES, cache_type="readahead"
        )
        return cast("BinaryIO", io.BufferedReader(_RawObjectReader(file), READ_AHEAD_BYTES))

    @_storage_errors()
    def read_range(self, batch_id: BatchId, name: str, start: int, end: int) -> bytes:
        """Bytes of a blob from `start` to before `end`, fewer where it ends, by one request."""
        return bytes(self._files.cat_file(self._path(batch_id, name), start=start, end=end))

    @_storage_errors()
    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        try:
            return int(self._files.size(self._path(batch_id, name)))
        except FileNotFoundError:
            return None

    @_storage_errors()
    def total_size(self, batch_id: BatchId) -> int:
        """Size of all objects of a batch."""
        found = self._files.find(self._path(batch_id, ""), detail=True, refresh=True)
        return sum(int(entry["size"]) for entry in found.values())

    def local_path(self, batch_id: BatchId, name: str) -> None:
        """None: an object is no file."""

    @_storage_errors()
    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs in a folder of the batch, sorted; "" is the batch itself."""
        path = self._path(batch_id, folder).rstrip("/")
        prefix = f"{folder}/" if folder else ""
        return sorted(
            prefix + entry["name"].rpartition("/")[2]
            for entry in self._list(path)
            if entry["type"] == "file"
        )

    @_storage_errors()
    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; S3 ignores missing ones."""
        self._delete([self._key(batch_id, name) for name in names])

    @_storage_errors()
    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete a batch, including the multipart uploads of killed writers."""
        kept = {self._path(batch_id, name) for name in keep}
        found = self._files.find(self._path(batch_id, ""), refresh=True)
        skip = len(self._bucket) + 1
        self._delete([path[skip:] for path in found if path not in kept])
        self._abort_uploads(self._key(batch_id, ""))

    @_storage_errors()
    def batches(self) -> Iterator[BatchId]:
        """Every batch, in order of age."""
        names = [entry["name"].rpartition("/")[2] for entry in self._list(self._root)]
        return (BatchId(name) for name in sorted(names) if is_id(name))

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._files.ls(path, detail=True, refresh=True)
        except FileNotFoundError:
            return []
        return [entry for entry in found if entry["name"] != path]

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), MAX_KEYS_PER_DELETE):
            objects = [{"Key": key} for key in keys[start : start + MAX_KEYS_PER_DELETE]]
            answer = self._files.call_s3(
                "delete_objects", Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            for error in answer.get("Errors", ()):
                raise OSError(errno.EIO, f"object store: {error['Code']}", error["Key"])

    def _abort_uploads(self, prefix: str) -> None:
        """Abort incomplete multipart uploads, whose parts occupy storage."""
        listed = self._files.call_s3("list_multipart_uploads", Bucket=self._bucket, Prefix=prefix)
        for upload in listed.get("Uploads", ()):
            self._files.call_s3(
                "abort_multipart_upload",
                Bucket=self._bucket,
                Key=upload["Key"],
                UploadId=upload["UploadId"],
            )

    def _path(self, batch_id: BatchId, name: str) -> str:
        return f"{self._root}/{batch_id}/{name}"

    def _key(self, batch_id: BatchId, name: str) -> str:
        return self._path(batch_id, name)[len(self._bucket) + 1 :]


class S3Writer:
    """Writes an object: buffered in memory while it is small, then a multipart upload."""

    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._path = path
        self._buffer = io.BytesIO()
        self._multipart: Any = None

    @_storage_errors()
    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes."""
        if self._multipart is None:
            if self._buffer.tell() + len(data) <= PART_BYTES:
                return self._buffer.write(data)
            self._multipart = self._files.open(
                self._path, "wb", block_size=PART_BYTES, autocommit=False
            )
            self._multipart.write(self._buffer.getvalue())
            self._buffer = io.BytesIO()
        return int(self._multipart.write(data))

    @_storage_errors()
    def commit(self) -> None:
        """Make the object visible."""
        if self._multipart is None:
            self._files.pipe_file(self._path, self._buffer.getvalue())
            return
        self._multipart.close()
        self._multipart.commit()

    def discard(self) -> None:
        """Drop the object; parts that cannot be aborted now are when the batch is deleted."""
        if self._multipart is None:
            return
        try:
            with _storage_errors():
                self._multipart.discard()
        except OSError:
            return
        finally:
            # Otherwise its finalizer would complete the upload.
            self._multipart.closed = True


class _RawObjectReader(io.RawIOBase):
    """Reads an object; its errors are those of a file."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    @_storage_errors()
    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
