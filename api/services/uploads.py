"""Receive an uploaded file: limits, decompression and digest, block by block in flat memory."""

import hashlib
import zlib
from collections.abc import Iterator

from shared.batch_ports import BlobWriter
from shared.domain.batch import BatchOptions, Dialect
from shared.domain.errors import FieldProblem, UnreadableUpload, UploadTooLarge
from shared.schemas.csv_dialect import HEAD_BYTES, TextEvidence, detect
from shared.schemas.csv_reader import LINE_MAX_BYTES

GZIP_MAGIC = b"\x1f\x8b"
INFLATE_BYTES = 1 << 20
"""Most bytes that come out of one call of the decompressor."""

RATIO_MAX = 200
RATIO_FREE_BYTES = 64_000_000
"""Up to this size any compression ratio is fine; cars never compress better than that."""


class Upload:
    """One file on its way into the blob store.

    Args:
        target: where the decompressed bytes go.
        options: the caller's; needed to judge the file's beginning.
        max_bytes: limit of the file, as sent and decompressed.
    """

    def __init__(self, target: BlobWriter, options: BatchOptions, max_bytes: int) -> None:
        self._target = target
        self._options = options
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._inflater: _Gunzip | None = None
        self._evidence = TextEvidence()
        self._head = b""
        self._head_is_checked = False
        self._line = _LineLength()
        self._pending = b""
        self._started = False
        self.received = 0
        """Bytes as sent."""
        self.size = 0
        """Bytes decompressed."""

    @property
    def sha256(self) -> str:
        """Digest of the file as sent."""
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        """Take the next bytes as they were sent.

        Raises:
            UploadTooLarge, UnreadableUpload, UnsupportedUpload: no more need be sent.
        """
        self.received += len(block)
        self._digest.update(block)
        if self.received > self._max_bytes:
            raise UploadTooLarge(maximum=self._max_bytes)
        if not self._started:
            block = self._pending + block
            if len(block) < len(GZIP_MAGIC):
                self._pending = block
                return
            self._start(block)
        if self._inflater is None:
            self._take(block)
        else:
            self._inflate(self._inflater, block)

    def close(self) -> Dialect:
        """Check what is known at the end only; how the file writes its table."""
        if not self._started:
            self._start(self._pending)
            self._take(self._pending)
        if self._inflater is not None:
            self._inflater.close()
        return detect(self._head, self._evidence, self._options, whole=self.size <= HEAD_BYTES)

    def _start(self, first: bytes) -> None:
        self._started = True
        if first.startswith(GZIP_MAGIC):
            self._inflater = _Gunzip()

    def _inflate(self, inflater: "_Gunzip", block: bytes) -> None:
        for plain in inflater.feed(block):
            self._take(plain)
            if self.size > RATIO_FREE_BYTES and self.size > RATIO_MAX * self.received:
                raise UploadTooLarge(maximum=RATIO_MAX * self.received)

    def _take(self, plain: bytes) -> None:
        """Check and keep decompressed bytes."""
        self.size += len(plain)
        if self.size > self._max_bytes:
            raise UploadTooLarge(maximum=self._max_bytes)
        self._evidence.see(plain)
        if len(self._head) < HEAD_BYTES:
            self._head += plain[: HEAD_BYTES - len(self._head)]
        elif not self._head_is_checked:
            self._head_is_checked = True
            detect(self._head, self._evidence, self._options, whole=False)
        self._line.see(plain)
        self._target.write(plain)


class _LineLength:
    """Watches that no line is too long to be one."""

    def __init__(self) -> None:
        self._length = 0
        self._lines = 0

    def see(self, block: bytes) -> None:
        end = max(block.rfind(b"\n"), block.rfind(b"\r"))
        first_end = block.find(b"\n")
        reach = self._length + (len(block) if end < 0 else max(first_end, 0))
        if reach > LINE_MAX_BYTES:
            line = self._lines + 1
            raise UnreadableUpload(
                [FieldProblem(f"/line/{line}", "line-too-long", line=line, maximum=LINE_MAX_BYTES)]
            )
        self._length = reach if end < 0 else len(block) - end - 1
        self._lines += block.count(b"\n")


class _Gunzip:
    """Decompresses gzip data, several members in a row included, a bounded piece at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decompressed pieces of the next compressed bytes."""
        while data:
            if self._member.eof:
                data = data.lstrip(b"\0")  # padding after a member is allowed
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=31)
            try:
                piece = self._member.decompress(data, INFLATE_BYTES)
            except zlib.error:
                raise UnreadableUpload([FieldProblem("/file", "wrong-gzip")]) from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece

    def close(self) -> None:
        """The data must be complete now."""
        if not self._member.eof:
            raise UnreadableUpload([FieldProblem("/file", "truncated-gzip")])
