"""Puts few rows into large result files: all other bytes are copied as they are."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import BinaryIO

from shared.blobs.batch_files import BatchFiles, errors_name, table_name
from shared.blobs.parts import BLOCK_BYTES
from shared.blobs.row_index import RowIndex, RowPlace
from shared.blobs.stores import BlobWriter
from shared.domain.batch import BatchManifest, ExportFormat, ResultTable
from shared.domain.files.exports import Export
from shared.domain.ids import BatchId
from shared.tabular.corrections import rejected_lines

ROW_INDEX = Export(format=ExportFormat.ROW_INDEX)


class ResultSplice:
    """Writes the result files of a batch with other rows in the place of some.

    Args:
        files: records and blobs of batches.
        batch: whose rows are replaced.
        revision: of the files that are read.
        new_revision: of those that are written.
        index: of the results that are read.
    """

    def __init__(
        self,
        files: BatchFiles,
        batch: BatchManifest,
        revision: str,
        new_revision: BatchId,
        index: RowIndex,
    ) -> None:
        self._files = files
        self._batch = batch
        self._revision = revision
        self._new_revision = new_revision
        self._index = index
        self._places: list[RowPlace] = []
        self._records: Sequence[bytes] = ()

    @property
    def header(self) -> bytes:
        """The header line of the results that are read."""
        with self._read(ResultTable.RESULTS) as results:
            return next(csv_records(results))

    def old_records(self, lines: Iterable[int]) -> list[bytes] | None:
        """The records of rows by their lines, ascending; None if one is not in the index."""
        with self._read(ResultTable.RESULTS) as results:
            records = []
            for line in lines:
                row = self._index.row_of_line(line)
                if row is None:
                    return None
                place = self._index.place(row)
                results.seek(place.start)
                records.append(results.read(place.stop - place.start))
                self._places.append(place)
        return records

    def write_results(self, records: Sequence[bytes]) -> None:
        """Write the results with these records in the place of the old ones."""
        self._records = records
        with self._read(ResultTable.RESULTS) as old, self._write(ResultTable.RESULTS) as target:
            for place, record in zip(self._places, records, strict=True):
                _copy(old, target, place.start - old.tell())
                target.write(record)
                old.seek(place.stop)
            while block := old.read(BLOCK_BYTES):
                target.write(block)

    def write_rejected(self, lines: Iterable[int], rows: Sequence[tuple[int, bytes]]) -> None:
        """Write the rejected rows.

        Args:
            lines: of the replaced rows.
            rows: lines and records of the replaced rows; empty records of those not rejected.
        """
        replaced = set(lines)
        with self._read(ResultTable.REJECTED) as text:
            old_lines = rejected_lines((line.decode() for line in text), self._batch)
        with self._read(ResultTable.REJECTED) as old, self._write(ResultTable.REJECTED) as target:
            records = csv_records(old)
            target.write(next(records))
            numbered = zip(old_lines, records, strict=True)
            kept = (each for each in numbered if each[0] not in replaced)
            for _, record in heapq.merge(kept, rows, key=itemgetter(0)):
                target.write(record)

    def write_index(self) -> None:
        """Write the index of the new results, whose error report is written."""
        # Imported here: memory that other workers do not need.
        from worker.batches.row_index import RowIndexWriter  # noqa: PLC0415

        blobs, batch_id = self._files.blobs, self._batch.id
        writer = RowIndexWriter(self._batch, self._files.line_runs(batch_id))
        rows = [
            (place.row, record) for place, record in zip(self._places, self._records, strict=True)
        ]
        name = table_name(ResultTable.RESULTS, ROW_INDEX, self._new_revision)
        with (
            blobs.read(batch_id, errors_name(self._new_revision)) as errors,
            blobs.write(batch_id, name) as target,
        ):
            for block in writer.changed(self._index, rows, errors):
                target.write(block)

    def _read(self, table: ResultTable) -> BinaryIO:
        name = table_name(table, revision=self._revision)
        return self._files.blobs.read(self._batch.id, name)

    def _write(self, table: ResultTable) -> AbstractContextManager[BlobWriter]:
        name = table_name(table, revision=self._new_revision)
        return self._files.blobs.write(self._batch.id, name)


def _copy(source: BinaryIO, target: BlobWriter, size: int) -> None:
    while size > 0:
        block = source.read(min(size, BLOCK_BYTES))
        if not block:
            raise EOFError("the results end before a row of their index")
        target.write(block)
        size -= len(block)


def csv_records(lines: Iterable[bytes]) -> Iterator[bytes]:
    r"""The records of a stored table as bytes: a record ends at a line feed outside of quotes.

    >>> list(csv_records([b"a,b\n", b'1,"x\n', b'y"\n']))
    [b'a,b\n', b'1,"x\ny"\n']
    """
    record = b""
    for line in lines:
        record = record + line if record else line
        if record.count(b'"') % 2 == 0:
            yield record
            record = b""
