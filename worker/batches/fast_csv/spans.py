"""Plain rows: rows that can be told apart without parsing, kept as the bytes that they are.

Where quotes stand around whole cells only, and no lone carriage return and no undecodable byte
stands, rows end at the line feeds outside of quotes. Nothing needs to be parsed to cut them, and
compiled loops read most of them as they are. Everything else is left to the general reader.
"""

import dataclasses
import io
from typing import BinaryIO

import msgpack

from shared.domain.table import Dialect, FileKind
from shared.tabular.csv_reader import FIELD_MAX_CHARS, CsvReader, Position, min_row_cells
from worker.batches.fast_csv.row_index import RowIndex
from worker.batches.rows.chunk import CHUNK_MAX_CHARS, Chunk, cut

ENCODINGS = frozenset({"utf-8", "ascii", "cp1252", "latin-1", "iso8859-1", "iso8859-15"})
"""Those in which a byte below 128 is never a part of another sign."""

READ_BYTES = 1 << 20
_MARK = "plain"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ByteSpan:
    """Where consecutive plain rows lie in their file: a chunk of them is no copy."""

    first_row: int
    """Number of the first row in the file, from 1; the header does not count."""
    first_line: int
    """Line of the file with which they begin, from 1."""
    rows: int
    offset: int
    """Their first byte."""
    size: int
    """Their bytes: whole rows, of which the file's last one may lack its end."""

    def __len__(self) -> int:
        """How many rows there are."""
        return self.rows

    def pack(self) -> bytes:
        """The place as it lies in the chunk's blob."""
        packed: bytes = msgpack.packb([_MARK, *dataclasses.astuple(self)])
        return packed

    def read(self, source: BinaryIO, encoding: str) -> "FastCsvChunk":
        """The rows themselves.

        Args:
            source: the file.
            encoding: of the file.

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
    """Consecutive plain rows of a file."""

    first_row: int
    """Number of its first row in the file, from 1; the header does not count."""
    first_line: int
    """Line of the file with which `text` begins, from 1."""
    rows: int
    text: bytes
    """Whole rows in UTF-8; lines without any value may be among them."""

    def __len__(self) -> int:
        """How many rows there are."""
        return self.rows

    def as_cells(self, dialect: Dialect) -> Chunk:
        """The same rows as the general reader cuts them."""
        # The empty line keeps a byte order mark at the beginning from being taken for the file's.
        stream, start = io.BytesIO(b"\n" + self.text), Position(1, self.first_line - 1)
        width = len(dialect.header)
        reader = CsvReader(
            stream,
            "utf-8",
            dialect.delimiter,
            start=start,
            width=width,
            min_cells=min_row_cells(dialect),
        )
        chunk = cut(
            iter(reader),
            width=width,
            delimiter=dialect.delimiter,
            first_row=self.first_row,
            max_rows=self.rows,
        )
        if chunk is None:
            raise ValueError("a chunk without rows")
        return chunk


def unpack(data: bytes) -> ByteSpan | Chunk:
    """A chunk of either kind from its blob."""
    members = msgpack.unpackb(data)
    if members[0] != _MARK:
        return Chunk.from_packed(members)
    _, first_row, first_line, rows, offset, size = members
    return ByteSpan(first_row=first_row, first_line=first_line, rows=rows, offset=offset, size=size)


def supports_fast_csv(dialect: Dialect) -> bool:
    """Whether a file of this dialect may have plain rows."""
    is_text = dialect.kind is FileKind.CSV
    return is_text and dialect.encoding in ENCODINGS and dialect.delimiter.isascii()


def find_byte_span(
    source: BinaryIO, dialect: Dialect, at: Position, *, first_row: int, max_rows: int
) -> tuple[ByteSpan, Position] | None:
    """Where the next rows of a file lie; None if they are not plain, or at the end.

    Args:
        source: the file.
        dialect: how it writes its table.
        at: where to begin: between two rows, after the header.
        first_row: number of the first row.
        max_rows: most rows of the chunk.

    Returns:
        The place of the rows, and the position after them.
    """
    source.seek(at.offset)
    block, size = b"", 0
    while True:
        more = source.read(READ_BYTES)
        block, size = block + more, size + len(more)
        if not more and block and not block.endswith(b"\n"):
            block += b"\n"
        ends = RowIndex.of(block, dialect.delimiter)
        if len(ends.rows) >= max_rows or not more:
            break
        if len(block) > CHUNK_MAX_CHARS:
            return None
    rows = min(max_rows, len(ends.rows))
    if not rows or (rows < max_rows and ends.is_quote_open):
        return None
    ends = ends.first(rows)
    text = block[: len(ends.chars)]
    if (
        not _is_fast_csv(text, ends, len(dialect.header))
        or _as_utf8(text, dialect.encoding) is None
    ):
        return None
    place = ByteSpan(
        first_row=first_row,
        first_line=at.line + 1,
        rows=rows,
        offset=at.offset,
        size=min(len(text), size),
    )
    return place, Position(at.offset + len(text), at.line + len(ends.lines))


def _is_fast_csv(text: bytes, ends: RowIndex, width: int) -> bool:
    """Whether the general reader, too, ends rows where `ends` does."""
    return (
        b"\0" not in text
        and (b"\r" not in text or text.count(b"\r") == text.count(b"\r\n"))
        and len(text) <= CHUNK_MAX_CHARS
        and ends.longest_row() < FIELD_MAX_CHARS
        and ends.are_quotes_sound(width)
    )


def _as_utf8(text: bytes, encoding: str) -> bytes | None:
    if text.isascii():
        return text
    try:
        decoded = text.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text if encoding == "utf-8" else decoded.encode()
