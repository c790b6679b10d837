"""The table of a batch's rows: sorted and filtered, with reasons beside the cells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, ValidationError

from api.batches.row_search import SEARCH_MAX_ROWS
from api.batches.row_views import TEXT_MAX_CHARS, RowsQuery, row_query
from api.batches.rows import PAGE_ROWS, ResultRow, RowPage, RowQuery
from api.pages.language import chosen_language, page_language, page_url
from api.pages.language import gettext as _
from api.pages.typography import MINUS, format_number
from shared.blobs.row_index import RowOrder
from shared.domain.batch import Batch
from shared.domain.names import fold_name
from shared.i18n.catalogue import mark
from shared.i18n.languages import stored_language
from shared.messages.row_notes import notes_in
from shared.messages.texts import describe_row_error, quote

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

VERDICT_NAMES = {
    "below_market": mark("Below the market"),
    "fair": mark("In line with the market"),
    "above_market": mark("Above the market"),
    "uncertain": mark("Uncertain"),
}
STATUS_NAMES = {
    "valued": mark("Valued"),
    "valid": mark("Valid"),
    "rejected": mark("Rejected"),
    "failed": mark("Failed"),
}
SORT_NAMES = {
    "line": mark("Line of the file"),
    "-price": mark("Estimate, highest first"),
    "price": mark("Estimate, lowest first"),
    "brand": mark("Brand"),
    "-difference": mark("Difference, asked too much first"),
    "difference": mark("Difference, asked too little first"),
}
MAX_COLUMNS = 30
"""Own columns that the table shows; the others are in the downloads."""
CELL_MAX_CHARS = 120
FILTERS = ("q", "verdict", "status", "brand")
ANCHOR = "#lignes"


def table_parameters(args: "MultiDict[str, str]") -> dict[str, Any]:
    """The parameters of a page of rows; what is wrong in the address is left out."""
    given = {name: args[name] for name in ("sort", "page", *FILTERS) if args.get(name)}
    try:
        loaded: dict[str, Any] = RowsQuery(unknown=EXCLUDE).load(given)
    except ValidationError as error:
        wrong: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        kept = {name: text for name, text in given.items() if name not in wrong}
        loaded = RowsQuery(unknown=EXCLUDE).load(kept)
    return loaded


def kept_query(parameters: Mapping[str, Any], **changes: Any) -> dict[str, str]:
    """The query of an address of the table; values that are usual are left out.

    >>> kept_query({"sort": "price", "page": 3, "brand": "Dacia"}, page=1)
    {'sort': 'price', 'brand': 'Dacia'}
    """
    values = {**parameters, **changes}
    usual = {"sort": "line", "page": 1}
    return {
        name: str(values[name])
        for name in ("sort", *FILTERS, "page")
        if values.get(name) not in (None, "", usual.get(name))
    }


class TableView:
    """What the templates show of a page of rows.

    Args:
        batch: the batch.
        parameters: of `table_parameters`.
        page: the rows.
    """

    def __init__(self, batch: Batch, parameters: Mapping[str, Any], page: RowPage) -> None:
        self._batch = batch
        self._parameters = parameters
        self._page = page
        self._query: RowQuery = row_query(dict(parameters))
        self._columns = self._with_reasons_first(shown_columns(batch, page.columns))
        self._notes_language = stored_language(batch.manifest.options.language)

    def dump(self) -> dict[str, Any]:
        """The values of `batch/table.html`."""
        page, number = self._page, self._parameters["page"]
        first = (number - 1) * PAGE_ROWS
        return {
            "columns": [page.columns[at] for at in self._columns],
            "hidden_columns": len(page.columns) - len(self._columns),
            "has_verdicts": self._has_verdicts,
            "rows": [self._row(row) for row in page.rows],
            "total": page.total,
            "first": first + 1,
            "last": first + len(page.rows),
            "page": number,
            "pages": page.pages,
            "links": self._links(number),
            "sorts": self._choices(SORT_NAMES, "sort", {}),
            "verdicts": self._choices(VERDICT_NAMES, "verdict", page.head["verdicts"]),
            "statuses": self._choices(STATUS_NAMES, "status", page.head["statuses"]),
            "brands": self._brands(),
            "headers": {str(order): self._header(order) for order in RowOrder},
            "address": page_url(f"/fichiers/{self._batch.manifest.id}"),
            "is_filtered": any(self._parameters.get(name) for name in FILTERS),
            "whole": self._url(**dict.fromkeys(FILTERS), page=1),
            "text": self._parameters["q"],
            "text_max_chars": TEXT_MAX_CHARS,
            "is_searched": self._batch.progress.counts.done <= SEARCH_MAX_ROWS,
            "back": kept_query(self._parameters),
            "chosen_language": chosen_language(),
        }

    def _with_reasons_first(self, columns: Sequence[int]) -> list[int]:
        """Columns of rejected cells first, so that their reasons are seen without scrolling."""
        names = {error["column"] for row in self._page.rows for error in row.errors}
        return sorted(columns, key=lambda at: self._page.columns[at] not in names)

    @property
    def _has_verdicts(self) -> bool:
        return self._batch.manifest.dialect.asking_index is not None

    def _url(self, **changes: Any) -> str:
        query = kept_query(self._parameters, **changes)
        return page_url(f"/fichiers/{self._batch.manifest.id}", **query) + ANCHOR

    def _links(self, number: int) -> dict[str, str]:
        """Addresses of other pages, by their role."""
        pages = self._page.pages
        before = {"first": 1, "previous": min(number - 1, pages)} if number > 1 else {}
        after = {"next": number + 1, "last": pages} if number < pages else {}
        return {name: self._url(page=at) for name, at in (before | after).items()}

    def _header(self, order: RowOrder) -> dict[str, str]:
        """The link of a column's header, and how the column is sorted."""
        is_sorted = self._query.order is order
        ascending = "descending" if self._query.descending else "ascending"
        sort = f"-{order}" if is_sorted and not self._query.descending else str(order)
        return {"url": self._url(sort=sort, page=1), "sorted": ascending if is_sorted else ""}

    def _choices(
        self, names: Mapping[str, str], parameter: str, counts: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """The options of a select; those that no row has are left out."""
        chosen = self._parameters.get(parameter)
        return [
            {
                "value": value,
                "label": _(name),
                "count": counts.get(value),
                "selected": value == chosen,
            }
            for value, name in names.items()
            if not counts or counts.get(value) or value == chosen
        ]

    def _brands(self) -> list[dict[str, Any]]:
        head, chosen = self._page.head, fold_name(self._parameters.get("brand") or "")
        counts = zip(head["brands"], head["brand_rows"][1:], strict=False)
        return [
            {"value": name, "label": name, "count": count, "selected": fold_name(name) == chosen}
            for name, count in counts
        ]

    def _row(self, row: ResultRow) -> dict[str, Any]:
        added = row.added
        language, told = page_language(), [each for each in row.errors if each["column"] is None]
        reasons = [describe_row_error(error, language) for error in told]
        # An older version kept no entries that can be found by the row.
        if row.is_rejected and not row.errors:
            reasons.append(added["row_error"])
        return {
            "number": row.number,
            "line": row.line,
            "name": added["read_as"],
            "price": _amount(added["price_mad"]),
            "low": _amount(added["low_mad"]),
            "high": _amount(added["high_mad"]),
            "difference": _signed(added.get("difference_mad", "")),
            "verdict": added.get("verdict", ""),
            "verdict_name": _(VERDICT_NAMES[added["verdict"]]) if added.get("verdict") else "",
            "status": added["row_status"],
            "status_name": _(STATUS_NAMES.get(added["row_status"], added["row_status"])),
            "reasons": reasons,
            "wrong_columns": list(dict.fromkeys(filter(None, (e["column"] for e in row.errors)))),
            "notes": notes_in(added["row_notes"], self._notes_language, language),
            "cells": list(self._cells(row)),
            "is_correctable": bool(row.line) or row.is_rejected,
        }

    def _cells(self, row: ResultRow) -> Iterator[dict[str, Any]]:
        reasons, notes = cell_reasons(self._page.columns, row), row.added["row_notes"]
        for at in self._columns:
            text = row.cells[at]
            is_long = len(text) > CELL_MAX_CHARS
            yield {
                "text": text[:CELL_MAX_CHARS] + "…" if is_long else text,
                "reasons": reasons.get(at, ()),
                "is_noted": bool(text) and quote(text, self._notes_language) in notes,
            }


def cell_reasons(columns: Sequence[str], row: ResultRow) -> dict[int, list[str]]:
    """The reasons of a rejected row by the index of the column that they are about."""
    found: dict[int, list[str]] = {}
    for error in row.errors:
        if error["column"] in columns:
            reason = describe_row_error(error, page_language())
            found.setdefault(columns.index(error["column"]), []).append(reason)
    return found


def shown_columns(batch: Batch, columns: Sequence[str], most: int = MAX_COLUMNS) -> list[int]:
    """Indexes of the own columns that are shown, `most` at most: those of fields rather."""
    dialect = batch.manifest.dialect
    names = [dialect.header[each.index] for each in dialect.columns.values()]
    if dialect.asking_index is not None:
        names.append(dialect.header[dialect.asking_index])
    of_fields = [at for at, name in enumerate(columns) if name in names]
    others = [at for at in range(len(columns)) if at not in of_fields]
    return sorted([*of_fields, *others][:most])


def _amount(text: str) -> str:
    return format_number(round(float(text))) if text else ""


def _signed(text: str) -> str:
    if not text:
        return ""
    number = round(float(text))
    sign = MINUS if number < 0 else "+"
    return f"{sign}{format_number(abs(number))}"
