"""Writes one object of an S3-compatible store: at once while it is small, else in parts."""

import errno
import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from aiohttp import ClientError
from botocore.exceptions import BotoCoreError

PART_BYTES = 8 << 20
"""A blob up to this size is one request; a larger one is a multipart upload with parts of this
size. S3 takes 10,000 parts, 80 GB."""

PARTS_AT_ONCE = 4
"""Parts of an object that are sent at the same time. With the one that is filled they bound the
memory of a writer to 40 MB."""


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise errors of the store and the connection as `OSError`, like those of a disk.

    A context manager and a decorator.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(errno.EIO, f"object store: {error}") from error


class S3Writer:
    """Writes an object; parts are sent while further ones are written.

    Args:
        files: the file system of s3fs.
        bucket: name of the bucket.
        key: of the object.
    """

    def __init__(self, files: Any, bucket: str, key: str) -> None:
        self._files = files
        self._target = {"Bucket": bucket, "Key": key}
        self._buffer = io.BytesIO()
        self._upload: dict[str, str] = {}
        """The multipart upload; empty while the object is small."""
        self._threads: ThreadPoolExecutor | None = None
        self._sending: deque[Future[None]] = deque()
        self._etags: dict[int, str] = {}
        """Of the parts that are stored, by their numbers."""
        self._parts = 0

    @storage_errors()
    def write(self, data: bytes | memoryview, /) -> int:
        """Append bytes."""
        rest = memoryview(data)
        # A part is sent when more follows: an object of exactly one part is one request.
        while self._buffer.tell() + len(rest) > PART_BYTES:
            room = PART_BYTES - self._buffer.tell()
            self._buffer.write(rest[:room])
            rest = rest[room:]
            self._send_part()
        self._buffer.write(rest)
        return len(data)

    @storage_errors()
    def commit(self) -> None:
        """Make the object visible."""
        if not self._upload:
            self._files.call_s3("put_object", **self._target, Body=self._buffer.getvalue())
            return
        self._send_part()
        while self._sending:
            self._sending.popleft().result()
        self._stop_threads()
        parts = [{"PartNumber": n, "ETag": self._etags[n]} for n in sorted(self._etags)]
        self._files.call_s3(
            "complete_multipart_upload",
            **self._target,
            **self._upload,
            MultipartUpload={"Parts": parts},
        )

    def discard(self) -> None:
        """Drop the object; parts that cannot be aborted now are when the batch is deleted."""
        self._stop_threads()
        if not self._upload:
            return
        try:
            with storage_errors():
                self._files.call_s3("abort_multipart_upload", **self._target, **self._upload)
        except OSError:
            return

    def _send_part(self) -> None:
        """Have the buffer sent; waits for the oldest part if too many are under way."""
        if self._threads is None:
            upload = self._files.call_s3("create_multipart_upload", **self._target)
            self._upload = {"UploadId": upload["UploadId"]}
            self._threads = ThreadPoolExecutor(PARTS_AT_ONCE, "blob-parts")
        if len(self._sending) == PARTS_AT_ONCE:
            self._sending.popleft().result()
        self._parts += 1
        body, self._buffer = self._buffer.getvalue(), io.BytesIO()
        self._sending.append(self._threads.submit(self._store_part, self._parts, body))

    def _store_part(self, number: int, body: bytes) -> None:
        stored = self._files.call_s3(
            "upload_part", **self._target, **self._upload, PartNumber=number, Body=body
        )
        self._etags[number] = stored["ETag"]

    def _stop_threads(self) -> None:
        """End the threads, so that no part arrives after the upload was aborted."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
