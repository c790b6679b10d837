"""The dialect of a workbook, Parquet or JSON file, from its rows as numbered CSV."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.batch import BatchOptions
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.table import (
    NUMBERED_DELIMITER,
    NUMBERED_ENCODING,
    Detection,
    Dialect,
    FileKind,
    Notice,
)
from shared.tabular.dialect import HEAD_BYTES, SAMPLE_ROWS, sample_rows
from shared.tabular.sample import NOTICE_MAX_CHARS, Sample, complete_dialect
from shared.tabular.tables.rows import CUT_ROWS_SHOWN

_COUNTED_NOTICES = {
    "hidden_rows": "hidden-rows",
    "merged_cells": "merged-cells",
    "missing_values": "formulas-without-values",
}
"""Notices with a count, by the reader's name of it."""


def table_dialect(
    head: bytes, found: Mapping[str, Any], options: BatchOptions, kind: FileKind
) -> Dialect:
    """The dialect of a file from the rows that its reader wrote.

    Args:
        head: the first `HEAD_BYTES` bytes of the numbered CSV, or all of it.
        found: what the reader reported besides (`shared.tabular.tables.process.read_table`).
        options: of the caller.
        kind: of the file.

    Raises:
        UnreadableUpload: it is no table of cars.
    """
    known = Dialect(kind=kind, notices=_notices(found))
    if "sheet" in found:
        basis = "first-with-cars" if options.sheet is None else "given"
        sheet = Detection(value=found["sheet"], confidence=1.0, basis=basis)
        known = Dialect(kind=known.kind, notices=known.notices, findings={"sheet": sheet})
    sample = _sample(head)._replace(titles=found.get("titles", ()))
    try:
        dialect = complete_dialect(sample, options, known)
    except UnreadableUpload as error:
        raise UnreadableUpload([*error.problems, *_other_sheets(found)]) from None
    if len(sample.rows) + (not dialect.has_header) <= dialect.unit_rows:
        raise UnreadableUpload([FieldProblem("/file", "no-rows")])
    hidden = _hidden_columns(found, dialect)
    return dataclasses.replace(dialect, notices=(*dialect.notices, *hidden))


def _sample(head: bytes) -> Sample:
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
