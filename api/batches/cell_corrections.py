"""Corrections of cells: rows of a batch with other cells, sent back as a file of corrections."""

from collections.abc import Iterator, Sequence

from api.batches.service import Batches
from api.middleware.key_limits import Admission
from shared.domain.batch import Batch
from shared.domain.ids import CallerId
from shared.tabular.cells import csv_lines, escape_column
from shared.tabular.corrections import rejected_header

FILE_NAME = "cells.csv"


class RowsFile:
    """Rows as the CSV that a caller would upload.

    Args:
        header: names of the columns.
        rows: the cells of each row.
    """

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._header = header
        self._rows = rows
        self.file_name = FILE_NAME
        self.charset: str | None = "utf-8"

    def __iter__(self) -> Iterator[bytes]:
        """The bytes."""
        yield csv_lines([[name] for name in self._header])
        # Corrections are read as the result files are written.
        yield csv_lines([escape_column(column) for column in zip(*self._rows, strict=True)])


def correct_rows(
    batches: Batches,
    batch: Batch,
    rows: Sequence[tuple[int, Sequence[str]]],
    caller: CallerId,
    admission: Admission | None = None,
) -> Batch:
    """Start the correction of rows, rejected or not, and return it.

    Args:
        batches: accepts the correction.
        batch: as it was when the rows were read: a correction that ended since refuses this one.
        rows: the line of each row in its file, and its cells.
        caller: whose batch it is.
        admission: the limits of the caller.

    Raises:
        CorrectionInProgress: another correction is under way, or has ended since.
        DomainError: as `Batches.correct`.
    """
    # The last column, the reason of a rejection, is not needed.
    header = rejected_header(batch.manifest)[:-1]
    file = RowsFile(header, [(*cells, str(line)) for line, cells in rows])
    return batches.correct(
        batch.manifest.id,
        file,
        caller,
        admission=admission,
        any_row=True,
        revision=batch.progress.revision,
    )
