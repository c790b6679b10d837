"""Makes the preview of a draft: what its columns and first rows are read as.

The rows are validated and their names read by the code of a batch (`worker.batches.rows`), so that
the preview shows what the run will do; only prices are missing.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.blobs.draft_files import DraftFiles, choices_digest
from shared.domain.batch import BatchManifest
from shared.domain.errors import BrokerUnavailable, FieldProblem
from shared.domain.files.draft import Draft
from shared.domain.ids import BatchId
from shared.domain.table import Dialect
from shared.fields.columns import ColumnValidator
from shared.logging import get_logger
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.tabular.columns.missing_columns import list_columns
from shared.tabular.columns.units import price_columns
from shared.tabular.csv_reader import START
from shared.tabular.rows.chunk import CellChunk, cut
from shared.tabular.rows.inner_headers import InnerHeaders, InnerState
from shared.tabular.rows.text import open_rows
from shared.tabular.tables.process import ReadCancelled
from worker.batches.drafts.opening import Opened, open_draft
from worker.batches.rows.part import NO_PRICES, ChunkNames
from worker.batches.rows.reading import ReadRows, read_rows

PREVIEW_ROWS = 20
PREVIEW_CLAIM = "preview"
"""Name of the claim of a preview in the ledger: one is made at a time per draft."""

CELL_MAX_CHARS = 60

log = get_logger("batch.preview")


class DraftPreviewer:
    """Makes previews.

    Args:
        files: records and blobs of drafts.
        ledger: the ledger, which holds the claim of a preview.
        spool: folder for temporary copies of files of a remote store.
        max_bytes: maximum bytes of a table as text.
    """

    def __init__(
        self, files: DraftFiles, ledger: BatchLedger, *, spool: Path, max_bytes: int
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._spool = spool
        self._max_bytes = max_bytes

    def run(self, draft_id: BatchId) -> None:
        """Make the preview for the choices that the draft has now, unless it exists."""
        try:
            draft = self._files.draft(draft_id)
            if draft is not None and draft.batch_id is None:
                self._make(draft)
        except FileNotFoundError:
            log.info("draft_deleted", draft_id=draft_id)
        finally:
            self._finish(draft_id)

    def _finish(self, draft_id: BatchId) -> None:
        try:
            self._ledger.finish_export(draft_id, PREVIEW_CLAIM)
        except BrokerUnavailable as error:  # the claim expires by itself
            log.warning("preview_claim_kept", draft_id=draft_id, error=str(error))

    def _make(self, draft: Draft) -> None:
        digest = choices_digest(draft.options)
        before = self._files.preview(draft.id)
        if before is not None and before["digest"] == digest:
            return
        try:
            opened = open_draft(self._files.blobs, draft, self._spool, self._max_bytes)
        except ReadCancelled:
            slow = [FieldProblem("/file", "preview-too-slow")]
            opened = Opened(dialect=None, text=io.BytesIO(), problems=slow)
        with opened.text:
            preview = make_preview(draft, opened)
        self._files.write_preview(draft.id, {"digest": digest, **preview})
        log.info("preview_made", draft_id=draft.id, rows=len(preview["rows"]))


def make_preview(draft: Draft, opened: Opened) -> dict[str, Any]:
    """The preview of a file that was opened, JSON-ready.

    Args:
        draft: the draft.
        opened: the beginning of its file.
    """
    preview: dict[str, Any] = {
        "problems": [[each.pointer, each.code, each.params] for each in opened.problems],
        "sheets": list(opened.sheets),
        "sheet": opened.sheet,
        "lines": list(map(list, opened.lines)),
        "header_row": opened.header_row,
        "dialect": None,
        "rows": [],
        "samples": [],
        "price_column": None,
        "is_whole": False,
    }
    dialect = opened.dialect
    if dialect is None:
        return preview
    chunk = _first_rows(opened, dialect)
    if chunk is not None:
        read = _Preview(draft, dialect, chunk)
        preview |= {"rows": read.rows(), "samples": read.samples}
        preview["is_whole"] = len(chunk) < PREVIEW_ROWS
    taken = dialect.column_indexes.values()
    preview["price_column"] = next(iter(price_columns(dialect.header, list(taken))), None)
    preview["dialect"] = dialect.to_json()
    return preview


def _first_rows(opened: Opened, dialect: Dialect) -> CellChunk | None:
    rows = iter(open_rows(opened.text, dialect, START))
    inner = InnerHeaders(dialect, InnerState())
    return cut(rows, dialect, first_row=1, max_rows=PREVIEW_ROWS, inner=inner)


class _Preview:
    """The rows of a chunk as the page of a draft shows them."""

    def __init__(self, draft: Draft, dialect: Dialect, marked: CellChunk) -> None:
        manifest = _manifest_of(draft, dialect)
        self._chunk = marked.without_marks(dialect)
        validator = ColumnValidator(dialect.decimal, dialect.units)
        self._read = read_rows(manifest, self._chunk, marked, validator)
        self._names = ChunkNames.of(manifest, self._read, NO_PRICES)
        columns = self._chunk.columns
        listed = list_columns(dialect.header, {}, lambda index: columns[index])
        self.samples: Sequence[Sequence[str]] = listed["samples"]
        """The first filled cells of each column."""

    def rows(self) -> list[dict[str, Any]]:
        """Each row with its cells, how its names were read, its errors and its notes."""
        return [self._row(index) for index in range(len(self._chunk))]

    def _row(self, index: int) -> dict[str, Any]:
        read_as, match, suggestions = self._names.rows[index].cells
        return {
            "line": self._chunk.lines[index],
            "cells": [column[index][:CELL_MAX_CHARS] for column in self._chunk.columns],
            "read_as": read_as,
            "match": match,
            "suggestions": suggestions,
            "errors": self._read.errors.get(index, []),
            "notes": _notes(self._read, index),
        }


def _notes(read: ReadRows, index: int) -> list[Mapping[str, str]]:
    """What was ignored or converted in a row."""
    return [
        {"field": note.field, "code": note.code, "cell": note.cell[:CELL_MAX_CHARS]}
        for note in read.notes.get(index, ())
    ]


def _manifest_of(draft: Draft, dialect: Dialect) -> BatchManifest:
    """The manifest that a batch of the draft would have."""
    return BatchManifest(
        id=draft.id,
        caller=draft.caller,
        accepted_at=draft.created_at,
        model_version="",
        options=draft.options,
        dialect=dialect,
        sha256="",
        size_bytes=draft.size_bytes,
    )
