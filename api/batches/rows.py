"""Pages of the rows of an ended batch, found by the row index that a worker makes once."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import orjson

from api.batches.results import EXPORT_WAIT_S, BatchResults, storage_errors
from api.batches.row_search import SEARCH_MAX_ROWS, KeptSearches, search_rows
from shared.blobs.batch_files import errors_name, table_name
from shared.blobs.row_index import INDEX_MAX_ROWS, RowFilter, RowIndex, RowOrder, RowPlace
from shared.domain.batch import Batch, ExportFormat, ResultTable, result_header, source_columns
from shared.domain.errors import TooManyRowsForSearch, TooManyRowsForTable
from shared.domain.files.exports import Export
from shared.domain.text_search import TextQuery
from shared.tabular.cells import restore_formula

PAGE_ROWS = 50
"""Rows of a page."""
ROW_INDEX = Export(format=ExportFormat.ROW_INDEX)


class RowQuery(NamedTuple):
    """Which page of the rows is wanted."""

    order: RowOrder = RowOrder.LINE
    descending: bool = False
    wanted: RowFilter = RowFilter()
    page: int = 1
    """From 1; one behind the last is empty."""
    text: str = ""
    """In one of the file's own cells, or in `read_as`; empty: any."""


class ResultRow(NamedTuple):
    """A row of the results."""

    number: int
    """In the results, from 1."""
    line: int
    """Line of the file on which it begins; 0: an older version valued it, which kept no lines."""
    cells: Sequence[str]
    """The file's own cells."""
    added: Mapping[str, str]
    """The added cells by the names of their columns; empty texts where there is no value."""
    errors: Sequence[Mapping[str, Any]]
    """Entries of the error report: `column`, `field`, `value`, `code`."""

    @property
    def is_rejected(self) -> bool:
        """Whether it has no price because of its content."""
        return self.added["row_status"] == "rejected"


class RowPage(NamedTuple):
    """A page of rows, and what the whole file adds up to."""

    rows: Sequence[ResultRow]
    total: int
    """Number of rows that the filter selects."""
    columns: Sequence[str]
    """Names of the file's own columns."""
    head: Mapping[str, Any]
    """Of the index: sums and counts of all rows."""

    @property
    def pages(self) -> int:
        """Number of pages; 1 if no row is selected."""
        return max(-(-self.total // PAGE_ROWS), 1)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BatchRows:
    """Reads rows of ended batches."""

    results: BatchResults
    searches: KeptSearches = dataclasses.field(default_factory=KeptSearches)

    @storage_errors()
    def page(self, batch: Batch, query: RowQuery, wait_s: float = EXPORT_WAIT_S) -> RowPage:
        """A page of the rows; the first look waits for the index, `wait_s` seconds at most.

        Raises:
            TooManyRowsForTable: the results have too many rows for an index.
            TooManyRowsForSearch: a text is searched in too many rows.
            ResultNotReady, ExportNotReady, BrokerUnavailable: as `BatchResults.file`.
            StorageUnavailable: the store does not answer.
        """
        first = (query.page - 1) * PAGE_ROWS
        with self._index(batch, wait_s) as index:
            total, places = index.find(
                query.order,
                query.wanted,
                first,
                PAGE_ROWS,
                descending=query.descending,
                matching=self._search(batch, index, query.text) if query.text else None,
            )
            rows = list(self._read(batch, places))
            return RowPage(rows, total, own_columns(batch), index.head)

    @storage_errors()
    def rows(self, batch: Batch, numbers: Sequence[int]) -> list[ResultRow]:
        """Rows by their numbers from 1; those that do not exist are left out. Raises as `page`."""
        with self._index(batch) as index:
            places = [index.place(each - 1) for each in numbers if 0 < each <= index.rows]
            return list(self._read(batch, places))

    def _search(self, batch: Batch, index: RowIndex, text: str) -> bytes:
        """A byte for each row of the file: 1 if it has a text."""
        if index.rows > SEARCH_MAX_ROWS:
            raise TooManyRowsForSearch(rows=index.rows, maximum=SEARCH_MAX_ROWS)
        revision = batch.progress.revision
        key = batch.manifest.id, str(revision), str(batch.progress.finished_at), text
        found = self.searches.get(key)
        if found is None:
            own = len(source_columns(batch.manifest.dialect.header))
            cells = {*range(own), own + _added_names(batch).index("read_as")}
            query = TextQuery(text, batch.manifest.result_delimiter, cells)
            name = table_name(ResultTable.RESULTS, revision=revision)
            with self.results.files.blobs.read(batch.manifest.id, name) as results:
                found = search_rows(results, index, query)
            self.searches.put(key, found)
        return found

    def _index(self, batch: Batch, wait_s: float = EXPORT_WAIT_S) -> RowIndex:
        rows = batch.progress.counts.done
        if rows > INDEX_MAX_ROWS:
            raise TooManyRowsForTable(rows=rows, maximum=INDEX_MAX_ROWS)
        name = self.results.file(batch, ResultTable.RESULTS, ROW_INDEX, wait_s).name
        return RowIndex(self.results.files.blobs.read(batch.manifest.id, name))

    def _read(self, batch: Batch, places: Sequence[RowPlace]) -> Iterator[ResultRow]:
        """The rows at these places."""
        blobs, revision = self.results.files.blobs, batch.progress.revision
        batch_id = batch.manifest.id
        header = batch.manifest.dialect.header
        own = len(source_columns(header))
        names = _added_names(batch)
        with (
            blobs.read(batch_id, table_name(ResultTable.RESULTS, revision=revision)) as results,
            blobs.read(batch_id, errors_name(revision)) as report,
        ):
            for place in places:
                results.seek(place.start)
                record = results.read(place.stop - place.start).decode()
                lines = io.StringIO(record, newline="")
                cells = next(csv.reader(lines, delimiter=batch.manifest.result_delimiter))
                yield ResultRow(
                    number=place.row + 1,
                    line=place.line,
                    cells=[restore_formula(cell) for cell in cells[:own]],
                    added=dict(zip(names, cells[own:], strict=True)),
                    errors=list(_entries(report, place)),
                )


def own_columns(batch: Batch) -> list[str]:
    """Names of the file's own columns, as the results repeat them."""
    header = batch.manifest.dialect.header
    return [header[index] for index in source_columns(header)]


def _added_names(batch: Batch) -> list[str]:
    """The added columns under the names that they have if the file has no column of that name."""
    dialect = batch.manifest.dialect
    names = result_header(dialect.header, verdicts=dialect.asking_index is not None)
    own = len(source_columns(dialect.header))
    return [name.split("carprice_")[-1] for name in names[own:]]


def _entries(report: BinaryIO, place: RowPlace) -> Iterator[Mapping[str, Any]]:
    """The entries of the error report on a row."""
    if place.errors_at is None:
        return
    report.seek(place.errors_at)
    for line in report:
        entry = orjson.loads(line)
        if entry["line"] != place.line:
            return
        yield entry
