"""Cuts rows off a file: plain rows by place, others as cells."""

from typing import TYPE_CHECKING, BinaryIO

from shared.domain.table import Dialect, FileKind
from shared.schemas.csv_reader import START, CsvReader, Position, SourceRow
from worker.services.batch_chunk import Chunk, cut
from worker.services.plain_chunk import ByteSpan, find_byte_span, supports_fast_csv
from worker.services.tables_rows import STORED_DIALECT, StoredTableReader

if TYPE_CHECKING:
    from collections.abc import Iterator


class ChunkReader:
    """Cuts a file from a place on. What is cut depends on the file and the place alone.

    Args:
        source: the file, or the table that was made of it.
        dialect: how it writes its table.
        start: where to begin.
    """

    def __init__(self, source: BinaryIO, dialect: Dialect, start: Position) -> None:
        self._source = source
        self._dialect = dialect
        self._at = start
        self._supports_fast_csv = supports_fast_csv(dialect)
        self._reader: CsvReader | StoredTableReader | None = None
        self._rows: Iterator[SourceRow] = iter(())
        if self._supports_fast_csv and start == START:
            self._at = CsvReader.of(source, dialect, start).position

    @property
    def position(self) -> Position:
        """The place after the last row that was cut."""
        return self._reader.position if self._reader else self._at

    def cut(self, *, first_row: int, max_rows: int) -> ByteSpan | Chunk | None:
        """The next rows; None at the end.

        Args:
            first_row: number of the first of them.
            max_rows: most rows of the chunk.
        """
        if self._supports_fast_csv:
            at, self._reader = self.position, None
            found = find_byte_span(
                self._source, self._dialect, at, first_row=first_row, max_rows=max_rows
            )
            if found is not None:
                chunk, self._at = found
                return chunk
            self._at = at
        if self._reader is None:
            self._open_reader()
        return cut(
            self._rows,
            width=len(self._dialect.header),
            delimiter=self._dialect.delimiter or STORED_DIALECT.delimiter,
            first_row=first_row,
            max_rows=max_rows,
        )

    def _open_reader(self) -> None:
        """Go on with the general reader."""
        if self._dialect.kind is FileKind.CSV:
            self._reader = CsvReader.of(self._source, self._dialect, self._at)
        else:
            self._reader = StoredTableReader(self._source, self._dialect, self._at)
        self._rows = iter(self._reader)
