"""Blobs of batches in an S3-compatible object store, through fsspec.

Imported only where such a store is configured: its libraries cost memory and start-up time.
"""

import errno
import functools
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

import s3fs
from aiohttp import ClientError
from botocore.exceptions import BotoCoreError

from shared.domain.ids import BatchId, is_id

PART_BYTES = 8 << 20
"""A blob up to this size is one request; a larger one is sent in parts of it, so that a writer
never holds more. Ten thousand parts, the most that S3 takes, are 80 GB."""

READ_AHEAD_BYTES = 1 << 20
MAX_KEYS_PER_DELETE = 1000
"""Most keys that S3 deletes by one request."""

ATTEMPTS = 2
CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S = 1.0, 10.0
"""A store that is not there is reported within seconds, one that falls silent after both attempts;
a part of a large blob may take its time."""

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Whatever goes wrong between here and the store is an `OSError`, as with a disk."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(errno.EIO, f"object store: {error}") from error


def _wrap_storage_errors(method: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _storage_errors():
            return method(*args, **kwargs)

    return call


class S3BlobStore:
    """A `BlobStore` in a bucket of an S3-compatible object store.

    S3 shows an object when all of it is there, and not before; so does this. Reads see the last
    complete write at once. Credentials and region come from AWS's own variables and files.

    Args:
        url: `s3://bucket/prefix`; the bucket must be there.
        endpoint_url: of a store that is not Amazon's; empty: Amazon's.
    """

    def __init__(self, url: str, endpoint_url: str = "") -> None:
        self._root = url.removeprefix("s3://").strip("/")
        self._bucket, _, self._prefix = self._root.partition("/")
        self._files = s3fs.S3FileSystem(
            endpoint_url=endpoint_url or None,
            # Another process may write at any time: what was listed is never remembered.
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "read_timeout": REPLY_TIMEOUT_S,
                "retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"},
                # Host names like minio:9000 have no subdomain for each bucket.
                "s3": {"addressing_style": "path" if endpoint_url else "auto"},
            },
        )
        # s3fs would try all of these attempts again, each with a wait of its own.
        self._files.retries = 1

    @contextmanager
    def write(self, batch_id: BatchId, name: str) -> Iterator["S3Writer"]:
        """Write a blob; it appears as a whole when the context ends well."""
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
        uncached: Collection[str] = (),  # noqa: ARG002 - none takes memory here
    ) -> None:
        """Write whole blobs, in order."""
        for name, pieces in blobs.items():
            with self.write(batch_id, name) as blob:
                for piece in pieces:
                    blob.write(piece)

    @_wrap_storage_errors
    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob; what is read of it is fetched by range."""
        file = self._files.open(
            self._path(batch_id, name), "rb", block_size=READ_AHEAD_BYTES, cache_type="readahead"
        )
        return cast("BinaryIO", io.BufferedReader(_RawObjectReader(file), READ_AHEAD_BYTES))

    @_wrap_storage_errors
    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        try:
            return int(self._files.size(self._path(batch_id, name)))
        except FileNotFoundError:
            return None

    def local_path(self, batch_id: BatchId, name: str) -> None:
        """An object is no file."""

    @_wrap_storage_errors
    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs in a folder of the batch, sorted; "" is the batch itself."""
        path = self._path(batch_id, folder).rstrip("/")
        prefix = f"{folder}/" if folder else ""
        return sorted(
            prefix + entry["name"].rpartition("/")[2]
            for entry in self._list(path)
            if entry["type"] == "file"
        )

    @_wrap_storage_errors
    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; S3 does not mind one that is not there."""
        self._delete([self._key(batch_id, name) for name in names])

    @_wrap_storage_errors
    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete all of a batch with the parts that writers which died have sent."""
        kept = {self._path(batch_id, name) for name in keep}
        found = self._files.find(self._path(batch_id, ""), refresh=True)
        skip = len(self._bucket) + 1
        self._delete([path[skip:] for path in found if path not in kept])
        self._abort_uploads(self._key(batch_id, ""))

    @_wrap_storage_errors
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
        """Take back the parts of objects that never became whole: they are stored, and paid for."""
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
    """An object on its way: in memory while it is small, sent in parts from then on.

    Args:
        files: the store.
        path: bucket and key.
    """

    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._path = path
        self._buffer = io.BytesIO()
        self._multipart: Any = None

    @_wrap_storage_errors
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

    @_wrap_storage_errors
    def commit(self) -> None:
        """Make the object visible."""
        if self._multipart is None:
            self._files.pipe_file(self._path, self._buffer.getvalue())
            return
        self._multipart.close()
        self._multipart.commit()

    def discard(self) -> None:
        """Forget the object; parts that cannot be taken back now go when its batch is deleted."""
        if self._multipart is None:
            return
        try:
            with _storage_errors():
                self._multipart.discard()
        except OSError:
            return
        finally:
            # Python would flush and complete it otherwise, when it is collected.
            self._multipart.closed = True


class _RawObjectReader(io.RawIOBase):
    """An object that is read, whose errors are those of a file."""

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

    @_wrap_storage_errors
    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
