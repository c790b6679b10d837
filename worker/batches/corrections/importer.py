"""Writes corrected rows in the form and the order of the batch that they correct."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from shared.blobs.batch_files import CORRECTED, SOURCE, TABLE, BatchFiles, table_name
from shared.blobs.row_lines import all_lines
from shared.blobs.stores import BlobWriter
from shared.domain.batch import (
    BatchManifest,
    BatchProgress,
    ResultTable,
)
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId
from shared.domain.table import FileKind
from shared.fields.units import UNSTATED
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.cells import csv_lines
from shared.tabular.corrections import (
    CorrectedRow,
    check_corrections,
    corrected_rows,
    rejected_lines,
)
from shared.tabular.csv_reader import START
from shared.tabular.rows.text import NUMBER_COLUMN, open_rows
from shared.tabular.rows.units import CHANGED_UNITS
from worker.batches.steps import SPLIT

if TYPE_CHECKING:
    from array import array

BLOCK_ROWS = 500
UNORDERED_MAX_BYTES = 64_000_000
"""Size of a file up to which its rows may be in another order than in the batch."""


class CorrectionImporter:
    """Writes the rows of corrections in the form and the order of the batches that they correct.

    Args:
        files: records and blobs of batches.
        ledger: the ledger, for renewals of the lease.
    """

    def __init__(self, files: BatchFiles, ledger: BatchLedger) -> None:
        self._files = files
        self._ledger = ledger

    def open(self, manifest: BatchManifest, parent_id: BatchId) -> BatchManifest:
        """Store the rows of a correction; return its manifest with the columns of the batch.

        Raises:
            UnreadableUpload: rows are no corrections of the batch; the reason is recorded.
        """
        try:
            self._store(manifest, parent_id)
        except UnreadableUpload as error:
            self._files.write_refusal(manifest.id, error.problems)
            raise
        return self._files.existing_manifest(manifest.id)

    def _store(self, manifest: BatchManifest, parent_id: BatchId) -> None:
        parent, final = self._files.manifest(parent_id), self._files.final(parent_id)
        if parent is None or final is None:
            raise UnreadableUpload.of("corrected-batch-gone", batch=parent_id)
        header = manifest.dialect.header
        lines = self._correctable_lines(manifest, parent, final)
        with self._open(manifest) as source:
            rows = open_rows(source, manifest.dialect, START)
            is_ordered = check_corrections(rows, header, parent, lines)
        size = self._files.blobs.size(manifest.id, self._text_name(manifest)) or 0
        if not is_ordered and size > UNORDERED_MAX_BYTES:
            raise UnreadableUpload.of("unordered-corrections")
        self._ledger.renew(manifest.id, SPLIT)
        with (
            self._open(manifest) as source,
            self._files.blobs.write(manifest.id, CORRECTED) as target,
        ):
            found = corrected_rows(open_rows(source, manifest.dialect, START), header, parent)
            _write_numbered(found if is_ordered else sorted(found), parent, target)
        # A corrected row may be from any part of the file.
        changed = {each.field for each in final.notes if each.code in CHANGED_UNITS}
        dialect = dataclasses.replace(
            manifest.dialect,
            header=parent.dialect.header,
            columns=parent.dialect.columns,
            asking=parent.dialect.asking,
            decimal=parent.dialect.decimal,
            units={**parent.dialect.units, **dict.fromkeys(changed, UNSTATED)},
            unit_columns=parent.dialect.unit_columns,
            other_columns=parent.dialect.other_columns,
            constants=parent.dialect.constants,
            currency=parent.dialect.currency,
            is_corrected=True,
        )
        self._files.write_corrected(manifest.id, dialect)

    def _correctable_lines(
        self, manifest: BatchManifest, parent: BatchManifest, final: BatchProgress
    ) -> "array[int]":
        """Lines of the rows that the correction may replace, in order."""
        runs = self._files.line_runs(parent.id) if manifest.options.any_row else []
        return all_lines(runs) if runs else read_rejected_lines(self._files, parent, final)

    def _open(self, manifest: BatchManifest) -> BinaryIO:
        return self._files.blobs.read(manifest.id, self._text_name(manifest))

    @staticmethod
    def _text_name(manifest: BatchManifest) -> str:
        return SOURCE if manifest.dialect.kind is FileKind.CSV else TABLE


def read_rejected_lines(
    files: BatchFiles, manifest: BatchManifest, final: BatchProgress
) -> "array[int]":
    """`row_line` of the rejected rows of an ended batch, in order."""
    name = table_name(ResultTable.REJECTED, revision=final.revision)
    with files.blobs.read(manifest.id, name) as blob:
        return rejected_lines((line.decode() for line in blob), manifest)


def _write_numbered(
    rows: Iterable[CorrectedRow], parent: BatchManifest, target: BlobWriter
) -> None:
    """Write rows as numbered CSV; see `shared.tabular.rows.text`."""
    target.write(csv_lines([[name] for name in (NUMBER_COLUMN, *parent.dialect.header)]))
    block: list[Sequence[object]] = []
    for row in rows:
        block.append((row.line, *row.cells))
        if len(block) == BLOCK_ROWS:
            target.write(csv_lines(list(zip(*block, strict=True))))
            block.clear()
    if block:
        target.write(csv_lines(list(zip(*block, strict=True))))
