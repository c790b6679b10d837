"""`/batches/{id}/rows`: pages of the results with the reasons of rejected rows."""

from collections.abc import Sequence
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from api.batches.rows import PAGE_ROWS, ResultRow, RowPage, RowQuery
from api.batches.views import current_batch
from api.http.context import language, services
from api.http.requests import load_query
from api.http.responses import ApiBlueprint, json_response, query_parameters
from api.middleware.authentication import Scope, require_scope
from shared.blobs.row_index import STATUSES, VERDICTS, RowFilter, RowOrder
from shared.domain.batch import NUMBER_COLUMNS
from shared.i18n.languages import Language, stored_language
from shared.messages.row_notes import notes_in
from shared.messages.rules import characters, every_error, one_of, whole_number
from shared.messages.texts import describe_row_error

blueprint = ApiBlueprint("rows", __name__, description="Rows of the results of a batch.")
MAX_PAGE = 1_000_000
SORTS = (*map(str, RowOrder), *(f"-{order}" for order in RowOrder))
"""Values of `sort`; those with a minus begin with the largest value."""
BRAND_MAX_CHARS = TEXT_MAX_CHARS = 100
_PAGE = whole_number(1, MAX_PAGE)


class RowsQuery(Schema):
    """Query parameters of a page of rows."""

    sort = fields.String(
        load_default="line",
        validate=validate.OneOf(SORTS, error=one_of(SORTS)),
        metadata={
            "description": "Order of the rows; with a minus, the largest value first. Rows without "
            "a value come last.",
            "enum": list(SORTS),
        },
    )
    verdict = fields.String(
        validate=validate.OneOf(VERDICTS[1:], error=one_of(VERDICTS[1:])),
        metadata={"description": "Only rows with this verdict.", "enum": list(VERDICTS[1:])},
    )
    status = fields.String(
        validate=validate.OneOf(STATUSES, error=one_of(STATUSES)),
        metadata={"description": "Only rows with this status.", "enum": list(STATUSES)},
    )
    brand = fields.String(
        validate=validate.Length(max=BRAND_MAX_CHARS, error=characters(BRAND_MAX_CHARS, minimum=0)),
        metadata={
            "description": "Only rows of this brand, as `read_as` has it; empty: rows without one.",
            "example": "Dacia",
        },
    )
    q = fields.String(
        load_default="",
        validate=validate.Length(max=TEXT_MAX_CHARS, error=characters(TEXT_MAX_CHARS, minimum=0)),
        metadata={
            "description": "Only rows with this text in one of the file's own cells or in "
            "`read_as`, whatever its case and accents.",
            "example": "casablanca",
        },
    )
    page = fields.Integer(
        load_default=1,
        validate=validate.Range(1, MAX_PAGE, error=_PAGE),
        error_messages=every_error(_PAGE),
        metadata={"description": f"From 1; a page has {PAGE_ROWS} rows."},
    )


class CellErrorSchema(Schema):
    """Why a row is rejected."""

    column = fields.String(required=True, allow_none=True)
    field = fields.String(required=True, allow_none=True)
    code = fields.String(required=True)
    message = fields.String(required=True)


class RowSchema(Schema):
    """A row of the results."""

    number = fields.Integer(required=True, metadata={"description": "In the results, from 1."})
    line = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Line of the file; null if it was not kept."},
    )
    cells = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "The file's own cells by their columns."},
    )
    result = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "The added columns of `/results`; numbers are numbers or null, notes "
            "and reasons in the language of the request."
        },
    )
    errors = fields.List(fields.Nested(CellErrorSchema), required=True)


class ReasonSchema(Schema):
    """How many errors of a kind the rejected rows have."""

    code = fields.String(required=True)
    field = fields.String(required=True, allow_none=True)
    rows = fields.Integer(required=True)


class RowsSummarySchema(Schema):
    """What all rows add up to, whatever the filter."""

    total_mad = fields.Float(required=True, metadata={"description": "Sum of `price_mad`."})
    valued = fields.Integer(required=True, metadata={"description": "Rows with a price."})
    verdicts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    statuses = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    brands = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)


class RowsSchema(Schema):
    """A page of rows."""

    rows = fields.List(fields.Nested(RowSchema), required=True)
    total = fields.Integer(required=True, metadata={"description": "Rows that are selected."})
    page = fields.Integer(required=True)
    pages = fields.Integer(required=True)
    summary = fields.Nested(RowsSummarySchema, required=True)


@blueprint.get("/batches/<batch_id>/rows")
@blueprint.doc(
    operationId="get_rows",
    summary="Read a page of the rows",
    description=(
        f"{PAGE_ROWS} rows of an ended batch with their own cells, estimates, verdicts and the "
        "reasons of rejected ones; sorted and filtered. The first request has an index made by a "
        "worker: until it is ready, the answer is 409 `form-not-ready` with `Retry-After`."
    ),
    parameters=[query_parameters(RowsQuery)],
)
@blueprint.response(200, RowsSchema)
@blueprint.problems(
    status_404="No such batch",
    status_409="Under way: see `Retry-After`",
    status_410="Expired",
    status_422="Invalid parameter, or too many rows for an index",
    status_503="The index cannot be made, or the store be read now",
)
@require_scope(Scope.BULK)
def rows(batch_id: str) -> Response:
    """Send a page of the rows of an ended batch."""
    given = load_query(RowsQuery)
    query = row_query(given)
    batch = current_batch(batch_id)
    page = services().batch_rows.page(batch, query)
    written = stored_language(batch.manifest.options.language)
    response = json_response(dump_page(page, query, written, language()))
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    return response


def row_query(given: dict[str, Any]) -> RowQuery:
    """The page that loaded query parameters ask for."""
    sort = given["sort"]
    return RowQuery(
        order=RowOrder(sort.removeprefix("-")),
        descending=sort.startswith("-"),
        wanted=RowFilter(given.get("verdict"), given.get("status"), given.get("brand")),
        page=given["page"],
        text=given["q"].strip(),
    )


def dump_page(page: RowPage, query: RowQuery, written: Language, lang: Language) -> dict[str, Any]:
    """The JSON representation of a page.

    Args:
        page: the rows.
        query: which page it is.
        written: the language of the texts in the results.
        lang: of the reader.
    """
    head = page.head
    return {
        "rows": [_dump_row(row, page.columns, written, lang) for row in page.rows],
        "total": page.total,
        "page": query.page,
        "pages": page.pages,
        "summary": {
            "total_mad": head["total_mad"],
            "valued": head["valued"]["price"],
            "verdicts": {name: count for name, count in head["verdicts"].items() if name},
            "statuses": head["statuses"],
            "brands": dict(zip(head["brands"], head["brand_rows"][1:], strict=False)),
            "reasons": [
                {name: reason[name] for name in ("code", "field", "rows")}
                for reason in head["reasons"]
            ],
        },
    }


def _dump_row(
    row: ResultRow, columns: Sequence[str], written: Language, lang: Language
) -> dict[str, Any]:
    told = dict(row.added)
    told["row_notes"] = notes_in(told["row_notes"], written, lang).text
    if row.errors:
        told["row_error"] = " ".join(describe_row_error(error, lang) for error in row.errors)
    result: dict[str, Any] = {name: text or None for name, text in told.items()}
    for name in NUMBER_COLUMNS & result.keys():
        result[name] = float(row.added[name]) if row.added[name] else None
    return {
        "number": row.number,
        "line": row.line or None,
        "cells": dict(zip(columns, row.cells, strict=True)),
        "result": result,
        "errors": [
            {
                "column": error["column"],
                "field": error["field"],
                "code": error["code"],
                "message": describe_row_error(error, lang),
            }
            for error in row.errors
        ],
    }
