"""Byte spans: rows of a CSV that are cut without parsing and stay where they are in the file.

If quotes stand only around whole cells, and the text has no lone carriage return and no undecodable
byte, then rows end at the line feeds outside of quotes. Such rows are cut here into spans, which
workers read as `FastCsvChunk`s. All other rows are cut by the general reader.
"""

import csv
import dataclasses
import io
from collections.abc import Callable
from typing import BinaryIO, ClassVar

import msgpack
import numpy as np

from shared.blobs.direct_io import drop_from_page_cache
from shared.domain.batch import BatchManifest
from shared.domain.errors import record_errors
from shared.domain.table import Dialect
from shared.tabular.csv_reader import FIELD_MAX_CHARS, Position
from shared.tabular.rows.chunk import CHUNK_MAX_CHARS, CellChunk, cut
from shared.tabular.rows.inner_headers import InnerHeaders
from shared.tabular.rows.text import open_rows
from worker.batches.engine import EngineName
from worker.batches.fast_csv.row_index import RowIndex

ENCODINGS = frozenset({"utf-8", "ascii", "cp1252", "latin-1", "iso8859-1", "iso8859-15"})
"""Encodings in which a byte below 128 is never a part of another character."""

READ_BYTES = 1 << 20
_SPAN_MARK = "plain"
"""First member of a packed span, an older word that blobs contain; a packed `CellChunk` begins with
a number."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ByteSpan:
    """The location of consecutive rows in their file: a chunk that is no copy of them."""

    first_row: int
    """Number of the first row in the file, from 1, without the header."""
    first_line: int
    """Line of the file with which they begin, from 1."""
    rows: int
    offset: int
    """Their first byte."""
    size: int
    """Their bytes: whole rows; the last row of the file may lack its line feed."""

    def __len__(self) -> int:
        """Number of rows."""
        return self.rows

    def pack(self) -> bytes:
        """Encode the span for the chunk's blob."""
        packed: bytes = msgpack.packb([_SPAN_MARK, *dataclasses.astuple(self)])
        return packed

    def read(self, source: BinaryIO, encoding: str) -> "FastCsvChunk":
        """Read the rows from their file.

        Raises:
            EOFError: the file has shrunk.
        """
        source.seek(self.offset)
        text = source.read(self.size)
        utf8 = _as_utf8(text if text.endswith(b"\n") else text + b"\n", encoding)
        if len(text) != self.size or utf8 is None:
            raise EOFError(f"{self.size} bytes from {self.offset} are not what was cut")
        return FastCsvChunk(
            first_row=self.first_row, first_line=self.first_line, rows=self.rows, text=utf8
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FastCsvChunk:
    """A chunk of the fast CSV engine: consecutive rows of a file as bytes."""

    engine: ClassVar = EngineName.FAST_CSV
    first_row: int
    """Number of its first row in the file, from 1, without the header."""
    first_line: int
    """Line of the file with which `text` begins, from 1."""
    rows: int
    text: bytes
    """Whole rows in UTF-8, perhaps with lines without any value between them."""

    def as_cells(self, dialect: Dialect) -> CellChunk:
        """The same rows as the general reader cuts them."""
        # The empty line keeps the reader from taking a mark in the first row for that of the file.
        stream, start = io.BytesIO(b"\n" + self.text), Position(1, self.first_line - 1)
        reader = open_rows(stream, dialect, start, encoding="utf-8")
        chunk = cut(iter(reader), dialect, first_row=self.first_row, max_rows=self.rows)
        if chunk is None:
            raise ValueError("a chunk without rows")
        return chunk


def unpack_chunk(
    packed: bytes, manifest: BatchManifest, open_source: Callable[[], BinaryIO]
) -> CellChunk | FastCsvChunk:
    """The chunk of a blob, with its rows.

    Args:
        packed: content of the blob, from `CellChunk.pack` or `ByteSpan.pack`.
        manifest: of the batch.
        open_source: opens the text of the batch.

    Raises:
        EOFError: the file has shrunk.
        UnreadableRecord: a newer version cut the chunk.
    """
    with record_errors():
        members = msgpack.unpackb(packed)
        if members[0] != _SPAN_MARK:
            return CellChunk.from_packed(members)
        _, first_row, first_line, rows, offset, size, *_ = members
    span = ByteSpan(first_row=first_row, first_line=first_line, rows=rows, offset=offset, size=size)
    with open_source() as source:
        chunk = span.read(source, manifest.dialect.text_form.encoding)
        drop_from_page_cache(source, offset, size)
    return chunk


def supports_fast_csv(dialect: Dialect) -> bool:
    """Whether rows of a file of this dialect can be cut as byte spans."""
    form = dialect.text_form
    is_cuttable = form.encoding in ENCODINGS and form.delimiter.isascii()
    return is_cuttable and dialect.is_plain_csv and dialect.has_usual_units


def find_byte_span(
    source: BinaryIO,
    dialect: Dialect,
    at: Position,
    *,
    first_row: int,
    max_rows: int,
    inner: InnerHeaders | None = None,
) -> tuple[ByteSpan, Position] | None:
    """Find the next rows of a file; None at the end, or if they need the general reader.

    Args:
        source: the text of the file.
        dialect: of the file.
        at: where to begin: between two rows, after the header.
        first_row: number of the first row.
        max_rows: maximum rows of the chunk.
        inner: recognises headers among the rows; None: there are none.

    Returns:
        The span of the rows, and the position after them.
    """
    form = dialect.text_form
    source.seek(at.offset)
    block, size = b"", 0
    while True:
        more = source.read(READ_BYTES)
        block, size = block + more, size + len(more)
        if not more and block and not block.endswith(b"\n"):
            block += b"\n"
        index = RowIndex.of(block, form.delimiter)
        if len(index.rows) >= max_rows or not more:
            break
        if len(block) > CHUNK_MAX_CHARS:
            return None
    rows = min(max_rows, len(index.rows))
    if not rows or (rows < max_rows and index.is_quote_open):
        return None
    index = index.first(rows)
    text = block[: len(index.chars)]
    if not _is_fast_csv(text, index, form.width) or _as_utf8(text, form.encoding) is None:
        return None
    if (inner is None or not inner.finds_repeated_header) and _may_repeat_header(text, dialect):
        return None
    if inner is not None and _has_inner_header(text, index, dialect, inner):
        return None
    span = ByteSpan(
        first_row=first_row,
        first_line=at.line + 1,
        rows=rows,
        offset=at.offset,
        size=min(len(text), size),
    )
    return span, Position(at.offset + len(text), at.line + len(index.lines))


def _may_repeat_header(text: bytes, dialect: Dialect) -> bool:
    """Whether the header may stand among the rows, which the general reader reports."""
    if not dialect.has_header:
        return False
    names = [name for name in dialect.header if '"' not in name and not name.startswith("column_")]
    names.sort(key=len, reverse=True)
    encoding = dialect.text_form.encoding
    return bool(names) and all(name.encode(encoding, "replace") in text for name in names)


def _has_inner_header(text: bytes, index: RowIndex, dialect: Dialect, inner: InnerHeaders) -> bool:
    """Whether a row is a header, or states units; only rows without digits in a column may be."""
    if inner.probe is None or not inner.can_probe_digits:
        return False
    # The process that cuts files loads kernels only after their cache is filled.
    from worker.batches.fast_csv import header_kernels  # noqa: PLC0415

    form = dialect.text_form
    column = inner.probe + form.is_numbered
    places = np.empty((len(index.rows), 2), dtype=np.int64)
    found = header_kernels.find_rows_without_digits(
        index.chars, ord(form.delimiter), index.rows, column, places
    )
    width = len(dialect.header)
    for start, stop in places[:found].tolist():
        row = io.StringIO(
            text[start:stop].decode(form.encoding, "replace").rstrip("\r"), newline=""
        )
        cells = next(csv.reader(row, delimiter=form.delimiter), [])[form.is_numbered :]
        cells = (cells + [""] * (width - len(cells)))[:width]
        if inner.find(cells) is not None:
            return True
    return False


def _is_fast_csv(text: bytes, index: RowIndex, width: int) -> bool:
    """Whether the general reader ends rows at the same line feeds as `index`."""
    return (
        b"\0" not in text
        and (b"\r" not in text or text.count(b"\r") == text.count(b"\r\n"))
        and len(text) <= CHUNK_MAX_CHARS
        and index.longest_row() < FIELD_MAX_CHARS
        and index.are_quotes_sound(width)
    )


def _as_utf8(text: bytes, encoding: str) -> bytes | None:
    """The text in UTF-8; None if it is not of this encoding."""
    if text.isascii():
        return text
    try:
        decoded = text.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text if encoding == "utf-8" else decoded.encode()
