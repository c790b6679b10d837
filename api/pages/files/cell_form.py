"""The form of a row's cells: what it shows, and what was changed in it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from api.batches.rows import ResultRow, own_columns
from api.pages.files.result_table import STATUS_NAMES, cell_reasons, shown_columns
from api.pages.language import gettext as _
from api.pages.language import page_language
from api.pages.typography import format_number
from shared.domain.batch import Batch
from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import stored_language
from shared.messages.row_notes import notes_in
from shared.messages.texts import describe_row_error

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

ROW = "ligne"
"""The parameter that names a row of the form by its number."""
MAX_FORM_ROWS = 50
LONG_CHARS = 60
"""A longer cell has an entry of several lines."""
MAX_FORM_COLUMNS = 60
"""Columns of a row that the form shows; those of fields come first."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowChange:
    """What a form says of a row.

    A cell counts as changed against what the form showed, so that a form that was opened before
    another correction does not undo it.
    """

    row: ResultRow
    """As it is now."""
    changed: Mapping[int, str]
    """The changed cells by the indexes of their columns."""
    is_outdated: bool
    """Whether the row was corrected after the form showed it."""

    @property
    def cells(self) -> list[str]:
        """The cells with the changes."""
        return [self.changed.get(at, cell) for at, cell in enumerate(self.row.cells)]

    @property
    def is_new(self) -> bool:
        """Whether a cell differs from what it is now: not so if a form is sent twice."""
        return any(self.row.cells[at] != text for at, text in self.changed.items())


def form_rows(values: "MultiDict[str, str]") -> list[int]:
    """The numbers of the rows that a form or an address names."""
    numbers = [text for text in values.getlist(ROW) if text.isascii() and text.isdigit()]
    return list(dict.fromkeys(int(text[:9]) for text in numbers))[:MAX_FORM_ROWS]


def read_changes(values: "MultiDict[str, str]", rows: Sequence[ResultRow]) -> list[RowChange]:
    """What a form says of rows.

    Args:
        values: of the fields of the form.
        rows: as they are now.
    """
    return [_read_change(values, row) for row in rows]


def _read_change(values: "MultiDict[str, str]", row: ResultRow) -> RowChange:
    changed, is_outdated = {}, False
    for at, cell in enumerate(row.cells):
        shown, entered = (values.get(name(row, at)) for name in (shown_name, cell_name))
        if shown is None or entered is None:
            continue
        before = _lines(shown)
        if _lines(entered) != before:
            changed[at] = _lines(entered)
        is_outdated = is_outdated or before != _lines(cell)
    return RowChange(row=row, changed=changed, is_outdated=is_outdated)


def _lines(text: str) -> str:
    """A text as the batch has it: browsers end lines in their own way."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cell_name(row: ResultRow, at: int) -> str:
    """Name of the field of a cell."""
    return f"cellule-{row.number}-{at}"


def shown_name(row: ResultRow, at: int) -> str:
    """Name of the hidden field with the cell as the form showed it."""
    return f"avant-{row.number}-{at}"


def build_cell_form(
    batch: Batch,
    rows: Sequence[ResultRow],
    changes: Mapping[int, RowChange] | None = None,
) -> list[dict[str, Any]]:
    """The rows of the form.

    Args:
        batch: the batch.
        rows: as they are now.
        changes: entries to keep, by the numbers of their rows.
    """
    return [_build_row(batch, row, (changes or {}).get(row.number)) for row in rows]


def _build_row(batch: Batch, row: ResultRow, change: RowChange | None) -> dict[str, Any]:
    language = page_language()
    told = [describe_row_error(one, language) for one in row.errors if one["column"] is None]
    if row.is_rejected and not row.errors:
        told.append(row.added["row_error"])
    price = row.added["price_mad"]
    written = stored_language(batch.manifest.options.language)
    return {
        "number": row.number,
        "line": row.line,
        "name": row.added["read_as"],
        "price": format_number(round(float(price))) if price else "",
        "status": row.added["row_status"],
        "status_name": _(STATUS_NAMES.get(row.added["row_status"], row.added["row_status"])),
        "reasons": told,
        "notes": notes_in(row.added["row_notes"], written, language),
        "is_outdated": change is not None and change.is_outdated and bool(change.changed),
        "cells": list(_build_cells(batch, row, change)),
    }


def _build_cells(
    batch: Batch, row: ResultRow, change: RowChange | None
) -> Iterator[dict[str, Any]]:
    columns = own_columns(batch)
    fields = field_labels(batch)
    reasons = cell_reasons(columns, row)
    changed = {} if change is None else change.changed
    for at in shown_columns(batch, columns, MAX_FORM_COLUMNS):
        text = row.cells[at]
        value = changed.get(at, text)
        yield {
            "id": f"c{row.number}-{at}",
            "name": cell_name(row, at),
            "shown_name": shown_name(row, at),
            "column": columns[at],
            "field": fields.get(columns[at], ""),
            "value": value,
            "shown": text,
            # The entry was made in a cell that another correction has changed since.
            "is_outdated": change is not None and change.is_outdated and value != text,
            "is_long": len(value) > LONG_CHARS or "\n" in value,
            "reasons": reasons.get(at, ()),
        }


def field_labels(batch: Batch) -> dict[str, str]:
    """What the columns of a batch mean, by their names."""
    dialect, language = batch.manifest.dialect, page_language()
    labels = {
        dialect.header[match.index]: CAR_FIELDS[field].label(language)
        for field, match in dialect.columns.items()
    }
    if dialect.asking_index is not None:
        labels.setdefault(dialect.header[dialect.asking_index], _("Asking price"))
    return labels
