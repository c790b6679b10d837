"""Opens the beginning of a stored file: its dialect, its first rows, and what can be chosen."""

import dataclasses
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from shared.blobs.batch_files import SOURCE
from shared.blobs.stores import BlobStore
from shared.domain.errors import UnreadableUpload
from shared.domain.files.draft import Draft
from shared.domain.table import Detection, Dialect, FileKind
from shared.tabular.csv_reader import CsvStyle
from shared.tabular.dialect import HEAD_BYTES, detect_dialect, sample_rows
from shared.tabular.encoding import EncodingDetector
from shared.tabular.tables.dialect import table_dialect
from shared.tabular.tables.process import TableReadRequest, read_table

TABLE_ROWS = 60
"""Rows of a workbook, Parquet or JSON file that are read: more than the columns are found by."""

TIMEOUT_S = 50.0
"""Longest time that a reader of such a file may take."""

LINES_SHOWN = 20
LINE_MAX_CHARS = 80


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The beginning of a file, read with some choices."""

    dialect: Dialect | None
    """None: it cannot be read as cars with these choices."""
    text: BinaryIO
    """The text of which its rows are read."""
    problems: Sequence[Any] = ()
    """Why it cannot be read."""
    sheets: Sequence[str] = ()
    sheet: str = ""
    lines: Sequence[tuple[int, str]] = ()
    """The first lines or rows, cut short, with their numbers."""
    header_row: int | None = None
    """The line or row that is read as the header."""


class _KnownEncoding(EncodingDetector):
    """In place of a detector that was fed with the whole file, when it was uploaded."""

    known: Detection

    @property
    def finding(self) -> Detection:
        return self.known


def open_draft(blobs: BlobStore, draft: Draft, spool: Path, max_bytes: int) -> Opened:
    """Read the beginning of a draft's file with the choices made for it.

    Args:
        blobs: the store of its file.
        draft: the draft.
        spool: folder for a temporary copy of a file of a remote store.
        max_bytes: maximum bytes of a table as text.

    Raises:
        FileNotFoundError: the draft was deleted.
        ReadCancelled: its reader took too long.
    """
    if draft.dialect.kind is FileKind.CSV:
        return _open_text(blobs.read(draft.id, SOURCE), draft)
    with blobs.read(draft.id, SOURCE) as source:
        return _open_table(source, draft, spool, max_bytes)


def _open_text(source: BinaryIO, draft: Draft) -> Opened:
    head = source.read(HEAD_BYTES)
    is_whole = not source.read(1)
    source.seek(0)
    detector = _KnownEncoding()
    detector.known = draft.dialect.findings["encoding"]
    encoding = draft.options.encoding or draft.dialect.encoding
    lines = head.decode(encoding.removesuffix("-sig"), "replace").lstrip("\ufeff").splitlines()
    shown = [
        (number, line.strip()[:LINE_MAX_CHARS])
        for number, line in enumerate(lines[:LINES_SHOWN], start=1)
        if line.strip()
    ]
    try:
        dialect = detect_dialect(head, detector, draft.options, whole=is_whole)
    except UnreadableUpload as error:
        return Opened(dialect=None, text=source, problems=error.problems, lines=shown)
    return Opened(dialect=dialect, text=source, lines=shown, header_row=_header_line(head, dialect))


def _header_line(head: bytes, dialect: Dialect) -> int | None:
    """The line of a text that is its header."""
    if not dialect.has_header:
        return None
    style = CsvStyle(dialect.quoted_lines, dialect.skip_initial_space, dialect.misread_as)
    rows = sample_rows(head, dialect.encoding, dialect.delimiter, style)
    return rows[dialect.titles].line if dialect.titles < len(rows) else None


def _open_table(source: BinaryIO, draft: Draft, spool: Path, max_bytes: int) -> Opened:
    """The first rows of a workbook, Parquet or JSON file, read by a child process."""
    options, target = draft.options, io.BytesIO()
    request = TableReadRequest(
        kind=draft.dialect.kind,
        sheet=options.sheet,
        headers=options.given_headers,
        max_bytes=max_bytes,
        header_row=options.header_row,
        max_rows=TABLE_ROWS,
    )
    until = time.monotonic() + TIMEOUT_S
    found: dict[str, Any] = {}
    try:
        found = read_table(source, target, request, spool, lambda: time.monotonic() < until)
        dialect = table_dialect(target.getvalue()[:HEAD_BYTES], found, options, draft.dialect.kind)
    except UnreadableUpload as error:
        is_lost = not found and (options.sheet is not None or options.header_row is not None)
        if is_lost:
            # A sheet or row that is not there: what there is stands in the file read without it.
            found = _read_without_choices(source, request, spool, until)
        return Opened(dialect=None, text=target, problems=error.problems, **_choices(found))
    target.seek(0)
    return Opened(dialect=dialect, text=target, **_choices(found))


def _read_without_choices(
    source: BinaryIO, request: TableReadRequest, spool: Path, until: float
) -> dict[str, Any]:
    source.seek(0)
    request = request._replace(sheet=None, header_row=None)
    try:
        return read_table(source, io.BytesIO(), request, spool, lambda: time.monotonic() < until)
    except UnreadableUpload:
        return {}


def _choices(found: dict[str, Any]) -> dict[str, Any]:
    """The sheets and rows from which the header may be chosen."""
    lines = [
        (number, " | ".join(cells)[:LINE_MAX_CHARS]) for number, cells in found.get("first", ())
    ]
    sheets = found.get("sheets", ())
    return {
        "sheets": sheets,
        "sheet": found.get("sheet", ""),
        "lines": lines[:LINES_SHOWN],
        "header_row": found.get("header_row"),
    }
