"""The result files of a batch, and the forms that are made from them while they are sent."""

import csv
import io
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, BinaryIO

import orjson

from shared.adapters.batch_files import ERRORS, REJECTED, RESULTS, BatchFiles
from shared.domain.batch import RESULT_COLUMNS, Batch
from shared.domain.errors import ResultNotReady
from shared.schemas.messages import Language, describe_row_error

BLOCK_BYTES = 1 << 18
ROWS_PER_BLOCK = 500
PRICE_COLUMNS = slice(-len(RESULT_COLUMNS), -2)
"""Our columns are a row's last, prices first; status and error follow."""


class TableName(StrEnum):
    """A result file that is a table."""

    RESULTS = RESULTS
    REJECTED = REJECTED


class BatchResults:
    """Reads the result files of batches that have ended.

    Args:
        files: records and blobs of batches.
    """

    def __init__(self, files: BatchFiles) -> None:
        self._files = files

    def size(self, batch: Batch, name: TableName) -> int:
        """Bytes of a stored file.

        Raises:
            ResultNotReady: the batch is under way.
        """
        return self._size(batch, name)

    def blocks(self, batch: Batch, name: TableName, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of a stored file from `start` up to, not including, `stop`."""
        self._size(batch, name)
        return _blocks(self._files.blobs.read(batch.manifest.id, name), start, stop)

    def excel_fr(self, batch: Batch, name: TableName) -> Iterator[bytes]:
        """The file as a French Excel opens it: byte order mark, semicolons, decimal commas."""
        self._size(batch, name)
        prices = PRICE_COLUMNS if name is TableName.RESULTS else slice(0, 0)
        return _excel_fr(self._files.blobs.read(batch.manifest.id, name), prices)

    def ndjson(self, batch: Batch) -> Iterator[bytes]:
        """The results as one JSON object a row; prices are numbers or null."""
        self._size(batch, TableName.RESULTS)
        return _ndjson(self._files.blobs.read(batch.manifest.id, RESULTS))

    def errors(self, batch: Batch, language: Language) -> Iterator[bytes]:
        """The error report: one JSON object for every broken rule."""
        self._size(batch, ERRORS)
        return _with_messages(self._files.blobs.read(batch.manifest.id, ERRORS), language)

    def _size(self, batch: Batch, name: str) -> int:
        size = None
        if batch.progress.state.is_terminal:
            size = self._files.blobs.size(batch.manifest.id, name)
        if size is None:
            raise ResultNotReady(id=batch.manifest.id, state=batch.progress.state)
        return size


def _blocks(blob: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with blob:
        blob.seek(start)
        while start < stop and (block := blob.read(min(BLOCK_BYTES, stop - start))):
            start += len(block)
            yield block


def _rows(blob: BinaryIO) -> Iterator[list[str]]:
    with io.TextIOWrapper(blob, "utf-8", newline="") as text:
        yield from csv.reader(text)


def _excel_fr(blob: BinaryIO, prices: slice) -> Iterator[bytes]:
    with blob:
        text = io.StringIO("\ufeff")
        text.seek(0, io.SEEK_END)
        lines = csv.writer(text, delimiter=";", lineterminator="\r\n")
        for number, row in enumerate(_rows(blob), start=1):
            row[prices] = [price.replace(".", ",") for price in row[prices]]
            lines.writerow(row)
            if number % ROWS_PER_BLOCK == 0:
                yield text.getvalue().encode()
                text.seek(0)
                text.truncate()
        yield text.getvalue().encode()


def _ndjson(blob: BinaryIO) -> Iterator[bytes]:
    with blob:
        rows = _rows(blob)
        header = next(rows)
        lines: list[bytes] = []
        for row in rows:
            cells: list[Any] = list(row)
            cells[PRICE_COLUMNS] = [float(price) if price else None for price in row[PRICE_COLUMNS]]
            cells[-1] = cells[-1] or None
            lines.append(orjson.dumps(dict(zip(header, cells, strict=True))))
            if len(lines) >= ROWS_PER_BLOCK:
                yield b"\n".join(lines) + b"\n"
                lines.clear()
        if lines:
            yield b"\n".join(lines) + b"\n"


def _with_messages(blob: BinaryIO, language: Language) -> Iterator[bytes]:
    with blob:
        for line in blob:
            error = orjson.loads(line)
            error["message"] = describe_row_error(error, language)
            yield orjson.dumps(error) + b"\n"
