"""Streaming upload: enforces limits, decompresses and hashes block by block in constant memory."""

import hashlib

from shared.domain.batch import BatchOptions
from shared.domain.errors import (
    DecompressionBomb,
    FieldProblem,
    UnreadableUpload,
    UploadTooLarge,
)
from shared.domain.table import Dialect, FileKind
from shared.tabular.csv_reader import LINE_MAX_BYTES
from shared.tabular.dialect import HEAD_BYTES, detect_dialect
from shared.tabular.encoding import EncodingDetector, detect_encoding
from shared.tabular.files.compression import MAGIC_BYTES, Decompressor, decompressor_of
from shared.tabular.files.file_kinds import (
    KIND_HEAD_BYTES,
    MAX_COMPRESSION_RATIO,
    RATIO_CHECK_MIN_BYTES,
    detect_kind,
)
from shared.tabular.tables.process import ByteSink


class Upload:
    """Writes a file to its target, decompressed, while it arrives; detects its kind and dialect.

    Args:
        target: receives the decompressed bytes.
        options: the caller's options of reading the file.
        max_bytes: limit of the file, compressed and decompressed.
        is_draft: whether the columns are looked at later: of a text only its encoding is detected.
    """

    def __init__(
        self, target: ByteSink, options: BatchOptions, max_bytes: int, *, is_draft: bool = False
    ) -> None:
        self._is_draft = is_draft
        self._target = target
        self._options = options
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._decompressor: Decompressor | None = None
        self._text: _CsvSniffer | None = None
        self._raw_head = b""
        self._is_compression_detected = False
        self._decompressed_head = b""
        self._kind: FileKind | None = None
        self.charset: str | None = None
        """Of the file's Content-Type; set before the first block is written."""
        self.received = 0
        """Bytes received, before decompression."""
        self.size = 0
        """Bytes written, after decompression."""

    @property
    def sha256(self) -> str:
        """Digest of the file as sent."""
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        """Process the next block as received.

        Raises:
            UploadTooLarge, DecompressionBomb, UnreadableUpload, UnsupportedUpload: the file is
                refused; the rest of it is not read.
        """
        self.received += len(block)
        self._digest.update(block)
        if self.received > self._max_bytes:
            raise UploadTooLarge(maximum=self._max_bytes)
        if not self._is_compression_detected:
            self._raw_head += block
            if len(self._raw_head) < MAGIC_BYTES:
                return
            block = self._detect_compression()
        self._decompress(block)

    def close(self) -> Dialect:
        """Finish the file and return its dialect.

        The dialect of a workbook or Parquet file names only its kind: a worker opens the file.
        """
        if not self._is_compression_detected:
            self._decompress(self._detect_compression())
        if self._decompressor is not None:
            self._decompressor.close()
        if self._kind is None:
            self._write(self._detect_kind())
        if self._text is None:
            return Dialect(kind=self._kind or FileKind.CSV)
        return self._text.close()

    def _detect_compression(self) -> bytes:
        """Choose the decompressor; returns the buffered first bytes."""
        first, self._raw_head, self._is_compression_detected = self._raw_head, b"", True
        self._decompressor = decompressor_of(first)
        return first

    def _decompress(self, block: bytes) -> None:
        if self._decompressor is None:
            self._consume(block)
            return
        for decompressed in self._decompressor.feed(block):
            self._consume(decompressed)
            if (
                self.size > RATIO_CHECK_MIN_BYTES
                and self.size > MAX_COMPRESSION_RATIO * self.received
            ):
                raise DecompressionBomb(ratio=MAX_COMPRESSION_RATIO)

    def _consume(self, decompressed: bytes) -> None:
        """Check the size of decompressed bytes and write them."""
        self.size += len(decompressed)
        if self.size > self._max_bytes:
            raise UploadTooLarge(maximum=self._max_bytes)
        if self._kind is None:
            self._decompressed_head += decompressed
            if len(self._decompressed_head) < KIND_HEAD_BYTES:
                return
            decompressed = self._detect_kind()
        self._write(decompressed)

    def _detect_kind(self) -> bytes:
        """Detect the kind of file; returns the buffered first decompressed bytes."""
        first, self._decompressed_head = self._decompressed_head, b""
        self._kind = detect_kind(first)
        if self._kind is FileKind.CSV:
            sniffer = _EncodingSniffer if self._is_draft else _CsvSniffer
            self._text = sniffer(self._options, self.charset)
        return first

    def _write(self, decompressed: bytes) -> None:
        if self._text is not None:
            self._text.feed(decompressed)
        self._target.write(decompressed)


class _CsvSniffer:
    """Detects the dialect of a CSV file while it is streamed, and checks its line lengths."""

    def __init__(self, options: BatchOptions, charset: str | None) -> None:
        self._options = options
        self._charset = charset
        self._detector = EncodingDetector()
        self._line = _LineLengthLimit()
        self._head = b""
        self._head_is_checked = False
        self._is_longer = False

    def feed(self, decompressed: bytes) -> None:
        """Process the next bytes."""
        self._detector.feed(decompressed)
        if len(self._head) < HEAD_BYTES:
            room = HEAD_BYTES - len(self._head)
            self._head += decompressed[:room]
            self._is_longer = len(decompressed) > room
        else:
            self._is_longer = self._is_longer or bool(decompressed)
            if not self._head_is_checked:
                self._head_is_checked = True
                self._detect(whole=False)
        self._line.feed(decompressed)

    def close(self) -> Dialect:
        """The dialect of the file."""
        return self._detect(whole=not self._is_longer)

    def _detect(self, *, whole: bool) -> Dialect:
        return detect_dialect(
            self._head, self._detector, self._options, whole=whole, charset=self._charset
        )


class _EncodingSniffer(_CsvSniffer):
    """Detects the encoding of a text file only; its columns may still be unknown."""

    def _detect(self, *, whole: bool) -> Dialect:
        del whole
        if not self._head:
            raise UnreadableUpload.of("empty-file")
        encoding = detect_encoding(
            self._head, self._detector, self._options.encoding, self._charset
        )
        return Dialect(encoding=encoding.value, findings={"encoding": encoding})


class _LineLengthLimit:
    """Refuses files with a line longer than `LINE_MAX_BYTES`."""

    def __init__(self) -> None:
        self._length = 0
        self._lines = 0

    def feed(self, block: bytes) -> None:
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
