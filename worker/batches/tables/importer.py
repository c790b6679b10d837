"""Imports the workbook or Parquet file of a batch: stores its rows as text, detects its dialect."""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.blobs.batch_files import SOURCE, TABLE, BatchFiles
from shared.domain.batch import BatchManifest
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.ids import BatchId
from shared.domain.table import NUMBERED_DELIMITER, NUMBERED_ENCODING, Detection, Dialect, Notice
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.dialect import HEAD_BYTES, SAMPLE_ROWS, sample_rows
from shared.tabular.sample import (
    NOTICE_MAX_CHARS,
    Sample,
    complete_dialect,
)
from worker.batches.steps import SPLIT
from worker.batches.tables.process import PROGRESS_INTERVAL_S, TableReadRequest, read_table
from worker.batches.tables.rows import CUT_ROWS_SHOWN

_COUNTED_NOTICES = {
    "hidden_rows": "hidden-rows",
    "merged_cells": "merged-cells",
    "missing_values": "formulas-without-values",
}
"""Notices with a count, by the reader's name of it."""


class TableImporter:
    """Imports workbooks, Parquet and JSON files.

    Args:
        files: records and blobs of batches.
        ledger: the ledger, for renewals of the lease.
        spool: folder for temporary copies of files of a remote store.
        max_bytes: maximum bytes of a table as text.
    """

    def __init__(
        self, files: BatchFiles, ledger: BatchLedger, *, spool: Path, max_bytes: int
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._spool = spool
        self._max_bytes = max_bytes

    def open(self, manifest: BatchManifest) -> BatchManifest:
        """Store the rows of the file; return the manifest with its columns.

        Raises:
            UnreadableUpload: it is no table of cars; the reason is recorded.
            ReadCancelled: the batch was cancelled.
        """
        try:
            dialect = self._read(manifest)
        except UnreadableUpload as error:
            self._files.write_refusal(manifest.id, error.problems)
            raise
        self._files.write_table(manifest.id, dialect)
        opened = self._files.manifest(manifest.id)
        if opened is None:
            raise FileNotFoundError(f"manifest of {manifest.id}")
        return opened

    def _read(self, manifest: BatchManifest) -> Dialect:
        options, batch_id = manifest.options, manifest.id
        order = TableReadRequest(
            kind=manifest.dialect.kind,
            sheet=options.sheet,
            headers=options.given_headers,
            max_bytes=self._max_bytes,
        )
        with (
            self._files.blobs.read(batch_id, SOURCE) as source,
            self._files.blobs.write(batch_id, TABLE) as table,
        ):
            found = read_table(
                source, table, order, self._spool, _LeaseRenewal(self._ledger, batch_id)
            )
        known = Dialect(kind=manifest.dialect.kind, notices=_notices(found))
        if "sheet" in found:
            basis = "first-with-cars" if options.sheet is None else "given"
            sheet = Detection(value=found["sheet"], confidence=1.0, basis=basis)
            known = Dialect(kind=known.kind, notices=known.notices, findings={"sheet": sheet})
        sample = self._sample(batch_id)._replace(titles=found.get("titles", ()))
        try:
            dialect = complete_dialect(sample, options, known)
        except UnreadableUpload as error:
            raise UnreadableUpload([*error.problems, *_other_sheets(found)]) from None
        if len(sample.rows) + (not dialect.has_header) <= dialect.unit_rows:
            raise UnreadableUpload([FieldProblem("/file", "no-rows")])
        hidden = _hidden_columns(found, dialect)
        return dataclasses.replace(dialect, notices=(*dialect.notices, *hidden))

    def _sample(self, batch_id: BatchId) -> Sample:
        with self._files.blobs.read(batch_id, TABLE) as table:
            head = table.read(HEAD_BYTES)
        rows = sample_rows(head, NUMBERED_ENCODING, NUMBERED_DELIMITER)
        if not rows:
            raise UnreadableUpload([FieldProblem("/file", "empty-file")])
        is_whole = len(rows) < SAMPLE_ROWS and len(head) < HEAD_BYTES
        cells = [row.cells[1:] for row in rows]
        return Sample(cells[0], cells[1:], is_whole)


def _notices(found: Mapping[str, Any]) -> tuple[Notice, ...]:
    notices = []
    if found.get("others"):
        notices.append(Notice(code="other-sheets", values=tuple(found["others"])))
    if found.get("is_hidden"):
        notices.append(Notice(code="hidden-sheet", values=(found["sheet"],)))
    for name, code in _COUNTED_NOTICES.items():
        if found.get(name):
            notices.append(Notice(code=code, values=(str(found[name]),)))
    if found.get("cut_rows"):
        numbers = list(map(str, found["cut_rows"]))
        if len(numbers) > CUT_ROWS_SHOWN:
            numbers[CUT_ROWS_SHOWN] = "…"
        notices.append(Notice(code="cells-beyond-header", values=tuple(numbers)))
    if found.get("has_macros"):
        notices.append(Notice(code="macros-ignored"))
    return tuple(notices)


def _hidden_columns(found: Mapping[str, Any], dialect: Dialect) -> Iterator[Notice]:
    """The notice that values are read from hidden columns."""
    used = {*dialect.column_indexes.values(), dialect.asking_index}
    hidden = [dialect.header[index] for index in found.get("hidden_columns", ()) if index in used]
    if hidden:
        quoted = tuple(name[:NOTICE_MAX_CHARS] for name in hidden)
        yield Notice(code="hidden-columns", values=quoted)


def _other_sheets(found: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """A hint to the other sheets if the sheet that was read has no cars."""
    if found.get("others"):
        others = ", ".join(found["others"])
        yield FieldProblem("?sheet", "other-sheets", sheet=found["sheet"], found=others)


class _LeaseRenewal:
    """Renews the lease of the step at an interval; False once the batch is cancelled."""

    def __init__(self, ledger: BatchLedger, batch_id: BatchId) -> None:
        self._ledger = ledger
        self._batch_id = batch_id
        self._next = time.monotonic() + PROGRESS_INTERVAL_S

    def __call__(self) -> bool:
        if time.monotonic() < self._next:
            return True
        self._next = time.monotonic() + PROGRESS_INTERVAL_S
        self._ledger.renew(self._batch_id, SPLIT)
        progress = self._ledger.progress(self._batch_id)
        return progress is not None and not progress.cancel_requested
