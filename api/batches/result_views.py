"""What comes out of a batch: results, rejected rows, error report."""

from collections.abc import Callable
from typing import TypeAlias

from flask import Response, request
from flask_smorest import Blueprint

from api.batches.downloads import RESULTS_HEADER, download, first_rows, stored_response
from api.batches.schemas import RejectedQuery, ResultsQuery, RowErrorSchema
from api.http.context import caller_id, language, services
from api.http.problems import NotAcceptable
from api.http.requests import NoQuery, load_query
from api.http.responses import documents_problems, query_parameters
from api.http.uploads import CSV, NDJSON, PARQUET
from api.middleware.authentication import Scope, require_scope
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.ids import BatchId

blueprint = Blueprint("results", __name__, description="What comes out of a file of cars.")
RESULTS_QUERY = ResultsQuery()
REJECTED_QUERY = RejectedQuery()
NO_QUERY = NoQuery()

RANGE_PARAMETERS = [
    {
        "in": "header",
        "name": name,
        "schema": {"type": "string", "example": example},
        "description": description,
    }
    for name, example, description in (
        ("Range", "bytes=1000-", "A part of the file; other units are ignored."),
        ("If-Range", '"01m8…-results.csv"', "The `ETag`, so that a part fits what is there."),
    )
]
View: TypeAlias = Callable[..., Response]

PARTIAL_NOTE = (
    f" The header `{RESULTS_HEADER}` says `complete`, or `partial` with the number of `rows`: "
    "the first rows of the file, without a hole, of a batch that is under way, was cancelled or "
    "was aborted."
)


def _documents_file(**more: str) -> Callable[[View], View]:
    """Document a view that answers with a result file, or a range of it.

    Args:
        more: further statuses, as for `documents_problems`.
    """
    text = {"content_type": CSV, "schema": {"type": "string"}}
    statuses = {
        "status_404": "No such batch",
        "status_409": "Under way: see `Retry-After`",
        "status_410": "Expired",
        "status_416": "Outside the file",
        "status_422": "Invalid parameter",
        "status_503": "The form cannot be made, or the store be read now, or too many downloads",
    }

    def decorate(view: View) -> View:
        view = documents_problems(blueprint, **statuses | more)(view)
        part = blueprint.alt_response(206, **text, description="The part that is asked for")
        whole = blueprint.response(200, **text)
        documented: View = whole(part(view))
        return documented

    return decorate


@blueprint.get("/batches/<batch_id>/results")
@blueprint.doc(
    summary="Download the results",
    description=(
        "Every row of the file once, in its order: its own columns, then `price_mad`, `low_mad`, "
        "`high_mad`, `row_status` and `row_error`. CSV; NDJSON or Parquet by `format` or `Accept`. "
        "A form that nobody asked for yet is made first: if that takes long, the answer is 409 "
        "`form-not-ready` with `Retry-After`. All forms can be read in ranges." + PARTIAL_NOTE
    ),
    parameters=[query_parameters(ResultsQuery), *RANGE_PARAMETERS],
)
@_documents_file(status_406="None of CSV, NDJSON and Parquet is accepted")
@require_scope(Scope.BULK)
def results(batch_id: str) -> Response:
    """The results of a batch that has ended; with `partial`, also before."""
    query = load_query(RESULTS_QUERY)
    form = _requested_format(query.get("format"), query["dialect"])
    batch = _get(batch_id)
    if query["partial"] and not batch.progress.state.is_terminal:
        response = first_rows(batch, form)
    else:
        response = stored_response(batch, ResultTable.RESULTS, form)
    response.vary.add("Accept")
    return response


@blueprint.get("/batches/<batch_id>/rejected")
@blueprint.doc(
    summary="Download the rejected rows",
    description="Their own columns, line and reasons: ready to be corrected and uploaded again."
    + PARTIAL_NOTE,
    parameters=[query_parameters(RejectedQuery), *RANGE_PARAMETERS],
)
@_documents_file()
@require_scope(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """The rejected rows of a batch that has ended."""
    form = _requested_format("csv", load_query(REJECTED_QUERY)["dialect"])
    return stored_response(_get(batch_id), ResultTable.REJECTED, form)


@blueprint.get("/batches/<batch_id>/errors")
@blueprint.doc(summary="Download the error report")
@blueprint.response(
    200, RowErrorSchema, content_type=NDJSON, description="One object a line, in the file's order"
)
@documents_problems(
    blueprint,
    status_404="No such batch",
    status_409="Under way: see `Retry-After`",
    status_410="Expired",
    status_422="Invalid parameter",
    status_503="Too many downloads, or the store cannot be read",
)
@require_scope(Scope.BULK)
def row_errors(batch_id: str) -> Response:
    """What is wrong, where, in the language of the caller."""
    load_query(NO_QUERY)
    batch = _get(batch_id)
    report = services().batch_results.errors(batch, language())
    response = download(batch, report, NDJSON, "errors.ndjson")
    response.headers["Accept-Ranges"] = "none"
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    return response


def _get(batch_id: str) -> Batch:
    return services().batches.get(BatchId(batch_id), caller_id())


def _requested_format(form: str | None, dialect: str) -> ExportFormat:
    """The form by parameter, else by `Accept`."""
    if form is None:
        by_type = {CSV: "csv", NDJSON: "ndjson", PARQUET: "parquet"}
        accepted: str | None = CSV
        if "Accept" in request.headers:
            accepted = request.accept_mimetypes.best_match(by_type)
        if accepted is None:
            raise NotAcceptable(available=", ".join(by_type))
        form = by_type[accepted]
    wanted = ExportFormat(form)
    is_excel = wanted is ExportFormat.CSV and dialect == ExportFormat.EXCEL_FR
    return ExportFormat.EXCEL_FR if is_excel else wanted
