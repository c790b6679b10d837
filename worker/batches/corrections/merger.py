"""Puts the rows of an ended correction into the result files of the batch that it corrects."""

import bisect
import dataclasses
import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING

import orjson

from shared.blobs.batch_files import (
    CORRECTED,
    RESULT_PREFIXES,
    BatchFiles,
    errors_name,
    table_name,
)
from shared.blobs.row_index import RowIndex
from shared.blobs.row_lines import lines_of
from shared.domain.batch import (
    BatchManifest,
    BatchOutcome,
    BatchProgress,
    ResultTable,
    RowCounts,
    RowStatus,
)
from shared.domain.files.notes import NoteCounter
from shared.domain.ids import ID_LENGTH, BatchId
from shared.domain.job import JobState
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.csv_reader import START
from shared.tabular.rows.text import open_rows
from worker.batches.corrections.importer import read_rejected_lines
from worker.batches.corrections.replacement import (
    MergedRow,
    Replacement,
    row_status,
    rows_of_correction,
)
from worker.batches.corrections.splice import ROW_INDEX, ResultSplice, csv_records
from worker.batches.steps import ASSEMBLE

if TYPE_CHECKING:
    from array import array

RENEW_EVERY_ROWS = 100_000
"""Rows between two renewals of the lease."""


UNKNOWN_LINE = 0
"""Stands for the line of a row that is not known."""

SPLICE_MAX_ROWS = 1000
"""Rows of the largest correction that is spliced into the result files."""

_WHOLE = (BatchOutcome.COMPLETE, BatchOutcome.WITH_ERRORS)


class CorrectionOutdated(Exception):
    """The batch has changed so that the rows cannot be put into it any more."""


class CorrectionMerger:
    """Puts the rows of ended corrections into the results of the batches that they correct.

    Args:
        files: records and blobs of batches.
        ledger: the ledger, for renewals of the lease.
    """

    def __init__(self, files: BatchFiles, ledger: BatchLedger) -> None:
        self._files = files
        self._ledger = ledger

    def merge(self, manifest: BatchManifest, parent_id: BatchId, end: BatchProgress) -> None:
        """Replace rows of a batch by their corrections, unless that is done.

        The new result files have other names than the old ones. They become current when the final
        record of the batch is replaced, which names them: readers see all old or all new files.

        Args:
            manifest: of the correction, whose result files are written.
            parent_id: the batch.
            end: how the correction ends.

        Raises:
            CorrectionOutdated: the batch is gone, or has not the corrected row.
        """
        parent, final = self._files.manifest(parent_id), self._files.final(parent_id)
        if parent is None or final is None:
            raise CorrectionOutdated(parent_id)
        if manifest.id in final.corrections:
            return
        change = self._splice(manifest, parent, final, end.counts.done)
        if change is None:
            change = self._write_tables(manifest, parent, final)
        # Another worker may have done the same meanwhile, and another correction have followed.
        current = self._files.final(parent_id)
        if current is not None and manifest.id in current.corrections:
            return
        if current is None or current.revision != final.revision:
            raise CorrectionOutdated(parent_id)
        self._files.write_final(parent_id, corrected_progress(final, manifest.id, change, end))
        self._remove_older(parent_id, final)

    def _write_tables(
        self, manifest: BatchManifest, parent: BatchManifest, final: BatchProgress
    ) -> RowCounts:
        """Write the three result files with the corrections; return how the counts change."""
        blobs = self._files.blobs
        with ExitStack() as files:
            results, rejected = (
                files.enter_context(blobs.write(parent.id, table_name(table, revision=manifest.id)))
                for table in ResultTable
            )
            old, old_rejected = self._records(parent, final.revision, files)
            new, new_rejected = self._records(manifest, "", files)
            text = files.enter_context(blobs.read(manifest.id, CORRECTED))
            heads = next(old), next(old_rejected)
            if heads != (next(new), next(new_rejected)):
                raise CorrectionOutdated(f"{parent.id} has other columns")
            results.write(heads[0])
            rejected.write(heads[1])
            corrected = rows_of_correction(
                open_rows(text, manifest.dialect, START),
                new,
                new_rejected,
                manifest.result_delimiter,
            )
            replacement = Replacement(corrected)
            for number, row in enumerate(self._old_rows(parent, final, old, old_rejected)):
                if number % RENEW_EVERY_ROWS == 0:
                    self._ledger.renew(manifest.id, ASSEMBLE)
                current = replacement.of(row)
                results.write(current.result)
                rejected.write(current.rejected)
            if replacement.next is not None:
                raise CorrectionOutdated(f"{parent.id} has no line {replacement.next.line}")
            self._write_errors(manifest, parent, final, replacement.lines)
        return replacement.change

    def _old_rows(
        self,
        parent: BatchManifest,
        final: BatchProgress,
        results: Iterator[bytes],
        rejected: Iterator[bytes],
    ) -> Iterator[MergedRow]:
        """The rows of the batch before the correction.

        Args:
            parent: the batch.
            final: its end.
            results: records of its results.
            rejected: records of its rejected rows.
        """
        runs = self._files.line_runs(parent.id)
        rejected_lines = iter(read_rejected_lines(self._files, parent, final))
        # An older version kept the lines of rejected rows only.
        lines = lines_of(runs) if runs else repeat(UNKNOWN_LINE)
        for record, line in zip(results, lines, strict=bool(runs)):
            status = row_status(record, parent.result_delimiter)
            if status is RowStatus.REJECTED:
                yield MergedRow(next(rejected_lines), record, next(rejected), status)
            else:
                yield MergedRow(line, record, b"", status)

    def _splice(
        self, manifest: BatchManifest, parent: BatchManifest, final: BatchProgress, rows: int
    ) -> RowCounts | None:
        """As `_write_tables`, for few rows of results with an index: nothing else is parsed.

        Returns:
            None if there is no index, or the correction has many rows.
        """
        name = table_name(ResultTable.RESULTS, ROW_INDEX, final.revision)
        if rows > SPLICE_MAX_ROWS or self._files.blobs.size(parent.id, name) is None:
            return None
        with ExitStack() as files:
            blobs = self._files.blobs
            index = files.enter_context(RowIndex(blobs.read(parent.id, name)))
            new, new_rejected = self._records(manifest, "", files)
            header, _ = next(new), next(new_rejected)
            text = files.enter_context(blobs.read(manifest.id, CORRECTED))
            source = open_rows(text, manifest.dialect, START)
            corrected = list(
                rows_of_correction(source, new, new_rejected, manifest.result_delimiter)
            )
            splice = ResultSplice(self._files, parent, final.revision, manifest.id, index)
            old = splice.old_records([row.line for row in corrected])
            if old is None or header != splice.header:
                return None
            before = [
                MergedRow(row.line, record, b"", row_status(record, parent.result_delimiter))
                for row, record in zip(corrected, old, strict=True)
            ]
            replacement = Replacement(iter(corrected))
            after = [replacement.of(row) for row in before]
            splice.write_results([row.result for row in after])
            lines = replacement.lines
            splice.write_rejected(
                lines, [(row.line, row.rejected) for row in after if row.line in lines]
            )
            self._write_errors(manifest, parent, final, lines)
            splice.write_index()
        return replacement.change

    def _records(
        self, manifest: BatchManifest, revision: str, files: ExitStack
    ) -> Iterator[Iterator[bytes]]:
        """The records of the results and of the rejected rows of a batch."""
        for table in ResultTable:
            name = table_name(table, revision=revision)
            yield csv_records(files.enter_context(self._files.blobs.read(manifest.id, name)))

    def _write_errors(
        self,
        manifest: BatchManifest,
        parent: BatchManifest,
        final: BatchProgress,
        replaced: "array[int]",
    ) -> None:
        """Write the error report: the entries of replaced rows are those of their corrections."""
        blobs = self._files.blobs
        with (
            blobs.read(parent.id, errors_name(final.revision)) as old,
            blobs.read(manifest.id, errors_name()) as new,
            blobs.write(parent.id, errors_name(manifest.id)) as target,
        ):
            kept = (entry for entry in _entries(old) if not _is_in(entry[0], replaced))
            added = (entry for entry in _entries(new) if _is_in(entry[0], replaced))
            for _, text in heapq.merge(kept, added, key=itemgetter(0)):
                target.write(text)

    def _remove_older(self, batch_id: BatchId, former: BatchProgress) -> None:
        """Delete the files of all revisions but the current and the former one.

        The former one is kept for readers that have just learnt of it.
        """
        older = ("", *former.corrections)[:-1]
        names = self._files.blobs.names(batch_id, "")
        outdated = [
            name
            for name in names
            if name.startswith(RESULT_PREFIXES) and _revision_of(name) in older
        ]
        self._files.blobs.remove(batch_id, outdated)


def _revision_of(name: str) -> str:
    """The revision of a result file.

    >>> _revision_of("results.01m8fqj4f7z0kj5s71amqzvc4r.xlsx"), _revision_of("results.csv")
    ('01m8fqj4f7z0kj5s71amqzvc4r', '')
    """
    mark = name.split(".")[1]
    return mark if len(mark) == ID_LENGTH else ""


def corrected_progress(
    final: BatchProgress, correction: BatchId, change: RowCounts, end: BatchProgress
) -> BatchProgress:
    """How a batch has ended, after a correction.

    Args:
        final: the end before.
        correction: id of the correction.
        change: what it adds to the counts.
        end: the end of the correction.
    """
    counts = final.counts + change
    state, outcome = final.state, final.outcome
    if outcome in _WHOLE or (outcome is BatchOutcome.PARTIAL and not counts.failed):
        outcome = BatchOutcome.WITH_ERRORS if counts.invalid else BatchOutcome.COMPLETE
    if final.outcome is BatchOutcome.PARTIAL and counts.valid:
        state = JobState.SUCCEEDED
    return dataclasses.replace(
        final,
        state=state,
        outcome=outcome,
        counts=counts,
        error=None if state is JobState.SUCCEEDED else final.error,
        notes=NoteCounter().merge(final.notes).merge(end.notes).result(),
        asking_sides=final.asking_sides + end.asking_sides,
        corrections=(*final.corrections, correction),
        corrected_at=end.finished_at,
    )


def _is_in(line: int, lines: "array[int]") -> bool:
    index = bisect.bisect_left(lines, line)
    return index < len(lines) and lines[index] == line


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The entries of an error report with their lines."""
    for text in lines:
        yield orjson.loads(text)["line"], text
