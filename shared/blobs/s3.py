"""Blob store in an S3-compatible object store, through fsspec.

Imported only if such a store is configured: its libraries cost memory and start-up time.
"""

import errno
import io
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import s3fs

from shared.blobs.s3_writer import PARTS_AT_ONCE, S3Writer, storage_errors
from shared.domain.ids import BatchId, is_id

READ_AHEAD_BYTES = 1 << 20
BLOBS_AHEAD = 8
"""Blobs of a sequence that are fetched before they are needed."""

OPEN_BATCHES = "open"
"""Folder of the marks of open batches, beside the batches."""

MAX_KEYS_PER_DELETE = 1000
"""Maximum keys per delete request of S3."""

ATTEMPTS = 2
CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S = 1.0, 10.0
"""An absent store is reported within seconds, one that stops answering after both attempts; a part
of a large blob may take several seconds."""


class S3BlobStore:
    """A `BlobStore` in a bucket of an S3-compatible object store.

    An object becomes visible as a whole, and reads see the last complete write at once.
    Credentials and region come from the AWS variables and files.

    Args:
        url: `s3://bucket/prefix`; the bucket must exist.
        endpoint_url: of a store other than Amazon S3; empty: Amazon S3.
        public_url: the endpoint as callers reach it; empty: `endpoint_url`.
    """

    def __init__(self, url: str, endpoint_url: str = "", public_url: str = "") -> None:
        self._root = url.removeprefix("s3://").strip("/")
        self._bucket, _, self._prefix = self._root.partition("/")
        self._files = open_files(endpoint_url)
        self._public = open_files(public_url) if public_url else self._files

    @contextmanager
    def write(self, batch_id: BatchId, name: str) -> Iterator[S3Writer]:
        """Write a blob; it becomes visible when the context ends without an error."""
        writer = S3Writer(self._files, self._bucket, self._key(batch_id, name))
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.discard()
            raise

    @storage_errors()
    def write_all(
        self,
        batch_id: BatchId,
        blobs: Mapping[str, Sequence[bytes | memoryview]],
        *,
        uncached: Collection[str] = (),  # noqa: ARG002 - there is no page cache
    ) -> None:
        """Write whole blobs, in order; each is one request, since it is in memory anyway."""
        for name, pieces in blobs.items():
            self._put(self._key(batch_id, name), b"".join(pieces))

    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob; reads fetch byte ranges."""
        return open_object(self._files, self._path(batch_id, name), READ_AHEAD_BYTES)

    @storage_errors()
    def load(self, batch_id: BatchId, name: str, limit: int | None = None) -> bytes:
        """Read a blob, or its first bytes, by one request."""
        path = self._path(batch_id, name)
        if limit is None:
            return bytes(self._files.cat_file(path, max_concurrency=1))
        return bytes(self._files.cat_file(path, start=0, end=limit))

    def load_all(self, batch_id: BatchId, names: Sequence[str]) -> Iterator[bytes]:
        """Read whole blobs in order; several are fetched at the same time."""
        fetched: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(BLOBS_AHEAD, "blobs-ahead") as threads:
            try:
                for name in names:
                    fetched.append(threads.submit(self.load, batch_id, name))
                    if len(fetched) > BLOBS_AHEAD:
                        yield fetched.popleft().result()
                while fetched:
                    yield fetched.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    @storage_errors()
    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        try:
            found = self._files.call_s3(
                "head_object", Bucket=self._bucket, Key=self._key(batch_id, name)
            )
        except FileNotFoundError:
            return None
        return int(found["ContentLength"])

    @storage_errors()
    def total_size(self, batch_id: BatchId) -> int:
        """Size of all objects of a batch."""
        found = self._files.find(self._path(batch_id, ""), detail=True, refresh=True)
        return sum(int(entry["size"]) for entry in found.values())

    def local_path(self, batch_id: BatchId, name: str) -> None:
        """None: an object is no file."""

    @storage_errors()
    def download_url(
        self, batch_id: BatchId, name: str, *, for_s: int, media_type: str, disposition: str
    ) -> str:
        """A presigned address; it is computed, without a request."""
        url: str = self._public.url(
            self._path(batch_id, name),
            expires=for_s,
            ResponseContentType=media_type,
            ResponseContentDisposition=disposition,
        )
        return url

    @storage_errors()
    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs in a folder of the batch, sorted; "" is the batch itself."""
        path = self._path(batch_id, folder).rstrip("/")
        prefix = f"{folder}/" if folder else ""
        return sorted(
            prefix + entry["name"].rpartition("/")[2]
            for entry in self._list(path)
            if entry["type"] == "file"
        )

    @storage_errors()
    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs; S3 ignores missing ones."""
        self._delete([self._key(batch_id, name) for name in names])

    @storage_errors()
    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete a batch, including the multipart uploads of killed writers."""
        kept = {self._path(batch_id, name) for name in keep}
        found = self._files.find(self._path(batch_id, ""), refresh=True)
        skip = len(self._bucket) + 1
        self._delete([path[skip:] for path in found if path not in kept])
        self._abort_uploads(self._key(batch_id, ""))

    @storage_errors()
    def batches(self) -> Iterator[BatchId]:
        """Every batch, in order of age."""
        names = [entry["name"].rpartition("/")[2] for entry in self._list(self._root)]
        return (BatchId(name) for name in sorted(names) if is_id(name))

    @storage_errors()
    def mark_open(self, batch_id: BatchId) -> None:
        """Write an empty object whose name is the id, beside the batches."""
        self._put(self._key(OPEN_BATCHES, batch_id), b"")

    @storage_errors()
    def mark_ended(self, batch_id: BatchId) -> None:
        """Delete the mark."""
        self._delete([self._key(OPEN_BATCHES, batch_id)])

    @storage_errors()
    def open_batches(self) -> Iterator[BatchId]:
        """The batches with a mark, in order of age: one request per thousand."""
        names = [
            entry["name"].rpartition("/")[2] for entry in self._list(self._path(OPEN_BATCHES, ""))
        ]
        return (BatchId(name) for name in sorted(names) if is_id(name))

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._files.ls(path, detail=True, refresh=True)
        except FileNotFoundError:
            return []
        return [entry for entry in found if entry["name"] != path]

    def _put(self, key: str, body: bytes) -> None:
        self._files.call_s3("put_object", Bucket=self._bucket, Key=key, Body=body)

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

    def _path(self, folder: str, name: str) -> str:
        return f"{self._root}/{folder}/{name}"

    def _key(self, folder: str, name: str) -> str:
        return self._path(folder, name)[len(self._bucket) + 1 :]


def open_files(endpoint_url: str) -> Any:
    """The file system of s3fs for an endpoint."""
    files = s3fs.S3FileSystem(
        endpoint_url=endpoint_url or None,
        # Another process may write at any time: listings are never cached.
        use_listings_cache=False,
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": REPLY_TIMEOUT_S,
            "max_pool_connections": BLOBS_AHEAD + PARTS_AT_ONCE,
            "retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"},
            "signature_version": "s3v4",
            # Host names like minio:9000 have no subdomain per bucket.
            "s3": {"addressing_style": "path" if endpoint_url else "auto"},
        },
    )
    # s3fs would repeat all of these attempts, with waits of its own.
    files.retries = 1
    return files


@storage_errors()
def open_object(files: Any, path: str, block_bytes: int) -> BinaryIO:
    """Open an object to be read in blocks; its errors are those of a file.

    Raises:
        FileNotFoundError: there is none.
        PermissionError: the service may not read it.
    """
    file = files.open(path, "rb", block_size=block_bytes, cache_type="readahead")
    return cast("BinaryIO", io.BufferedReader(_RawObjectReader(file), READ_AHEAD_BYTES))


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

    @storage_errors()
    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
