"""The text that a batch is cut from: the uploaded CSV, or the numbered CSV made of a table.

Numbered CSV is UTF-8 with commas. Its first column is the number of the row in the sheet or Parquet
file, so that reports name the place that its owner sees.
"""

import dataclasses
from collections.abc import Iterator
from typing import BinaryIO

from shared.domain.table import NUMBERED_DELIMITER, NUMBERED_ENCODING, Dialect
from shared.tabular.csv_reader import (
    REPEATED_HEADER,
    CsvReader,
    Position,
    SourceRow,
    repeats_header,
)

NUMBER_COLUMN = "row"


class NumberedReader:
    """Reads numbered CSV, from any position on; see `CsvReader`.

    Args:
        stream: the text.
        dialect: of the workbook or Parquet file.
        start: where to begin.
    """

    def __init__(self, stream: BinaryIO, dialect: Dialect, start: Position) -> None:
        header = (NUMBER_COLUMN, *dialect.header)
        stored = Dialect(
            encoding=NUMBERED_ENCODING,
            delimiter=NUMBERED_DELIMITER,
            header=header,
            has_header=dialect.has_header,
            unit_rows=dialect.unit_rows,
        )
        self._header = dialect.header if dialect.has_header else ()
        self._reader = CsvReader.of(stream, stored, start)

    @property
    def position(self) -> Position:
        """The position after the last row that was yielded."""
        return self._reader.position

    def __iter__(self) -> Iterator[SourceRow]:
        for _, (number, *cells), fault in self._reader:
            if fault is None and repeats_header(cells, self._header):
                fault = REPEATED_HEADER  # noqa: PLW2901
            yield SourceRow(int(number), cells, fault)


def open_rows(
    stream: BinaryIO, dialect: Dialect, start: Position, *, encoding: str | None = None
) -> CsvReader | NumberedReader:
    """A reader of the rows from a position on; from the beginning, it skips the header.

    Args:
        stream: the text.
        dialect: of the file.
        start: where to begin.
        encoding: of the stream if it is not that of the file.
    """
    if dialect.text_form.is_numbered:
        return NumberedReader(stream, dialect, start)
    if encoding is not None:
        dialect = dataclasses.replace(dialect, encoding=encoding)
    return CsvReader.of(stream, dialect, start)
