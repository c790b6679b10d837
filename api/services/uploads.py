"""Receive an uploaded file: limits, decompression and digest, block by block in flat memory."""

import hashlib

from api.services.decompress import MAGIC_BYTES, Decompressor, decompressor_of
from shared.adapters.blob_stores import BlobWriter
from shared.domain.batch import BatchOptions
from shared.domain.errors import (
    FieldProblem,
    UnreadableUpload,
    UploadOverpacked,
    UploadTooLarge,
)
from shared.domain.table import Dialect, FileKind
from shared.schemas.csv_dialect import HEAD_BYTES, detect
from shared.schemas.csv_encoding import TextEvidence
from shared.schemas.csv_reader import LINE_MAX_BYTES
from shared.schemas.file_kinds import RATIO_FREE_BYTES, RATIO_MAX, kind_of


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
        self._decompressor: Decompressor | None = None
        self._text: _TextWatch | None = None
        self._first = b""
        self._has_begun = False
        self._first_plain = b""
        self._is_known = False
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
            UploadTooLarge, UploadOverpacked, UnreadableUpload, UnsupportedUpload: no more need
                be sent.
        """
        self.received += len(block)
        self._digest.update(block)
        if self.received > self._max_bytes:
            raise UploadTooLarge(maximum=self._max_bytes)
        if not self._has_begun:
            self._first += block
            if len(self._first) < MAGIC_BYTES:
                return
            block = self._begin()
        self._unpack(block)

    def close(self) -> Dialect:
        """Check what is known at the end only; how the file writes its table.

        A workbook's or Parquet's table is not known yet: a worker opens it.
        """
        if not self._has_begun:
            self._unpack(self._begin())
        if self._decompressor is not None:
            self._decompressor.close()
        if not self._is_known:
            self._keep(self._know())
        if self._text is None:
            return Dialect(kind=kind_of(self._first_plain))
        return self._text.close()

    def _begin(self) -> bytes:
        """Find out whether the file is compressed; its first bytes."""
        first, self._first, self._has_begun = self._first, b"", True
        self._decompressor = decompressor_of(first)
        return first

    def _unpack(self, block: bytes) -> None:
        if self._decompressor is None:
            self._take(block)
            return
        for plain in self._decompressor.feed(block):
            self._take(plain)
            if self.size > RATIO_FREE_BYTES and self.size > RATIO_MAX * self.received:
                raise UploadOverpacked(ratio=RATIO_MAX)

    def _take(self, plain: bytes) -> None:
        """Check and keep decompressed bytes."""
        self.size += len(plain)
        if self.size > self._max_bytes:
            raise UploadTooLarge(maximum=self._max_bytes)
        if not self._is_known:
            self._first_plain += plain
            if len(self._first_plain) < MAGIC_BYTES:
                return
            plain = self._know()
        self._keep(plain)

    def _know(self) -> bytes:
        """Find out what kind of file it is; its first plain bytes."""
        self._is_known = True
        first = self._first_plain
        if kind_of(first) is FileKind.CSV:
            self._text = _TextWatch(self._options)
        self._first_plain = first[:MAGIC_BYTES]
        return first

    def _keep(self, plain: bytes) -> None:
        if self._text is not None:
            self._text.see(plain)
        self._target.write(plain)


class _TextWatch:
    """Looks at a text as it passes by: its beginning, its encoding, the length of its lines."""

    def __init__(self, options: BatchOptions) -> None:
        self._options = options
        self._evidence = TextEvidence()
        self._line = _LineLength()
        self._head = b""
        self._head_is_checked = False
        self._is_longer = False

    def see(self, plain: bytes) -> None:
        """Take note of the next bytes."""
        self._evidence.see(plain)
        if len(self._head) < HEAD_BYTES:
            room = HEAD_BYTES - len(self._head)
            self._head += plain[:room]
            self._is_longer = len(plain) > room
        else:
            self._is_longer = self._is_longer or bool(plain)
            if not self._head_is_checked:
                self._head_is_checked = True
                detect(self._head, self._evidence, self._options, whole=False)
        self._line.see(plain)

    def close(self) -> Dialect:
        """How the text writes its table."""
        return detect(self._head, self._evidence, self._options, whole=not self._is_longer)


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
