"""What comes out of a batch: results, rejected rows, error report."""

import re
from collections.abc import Iterator
from http import HTTPStatus

from flask import Response, request
from flask_smorest import Blueprint
from werkzeug.http import http_date

from api.answers import documents_problems, query_parameters
from api.auth import Scope, needs
from api.byte_ranges import wanted_range
from api.current import caller_id, language, services
from api.problems import NotAcceptable, RangeNotSatisfiable, answer_domain_error
from api.schemas.batches import RejectedQuery, ResultsQuery, RowErrorSchema
from api.schemas.requests import NoQuery, load_query
from api.services.batch_results import StoredFile, is_partial
from api.uploads import CSV, NDJSON
from shared.domain.batch import Batch, ResultForm, ResultTable
from shared.domain.errors import ResultNotReady
from shared.domain.ids import BatchId

blueprint = Blueprint("results", __name__, description="What comes out of a file of cars.")
RESULTS_QUERY = ResultsQuery()
REJECTED_QUERY = RejectedQuery()
NO_QUERY = NoQuery()
PARQUET = "application/vnd.apache.parquet"
RESULTS_HEADER = "Carprice-Results"

MEDIA_TYPES = {
    ResultForm.CSV: CSV,
    ResultForm.EXCEL_FR: CSV,
    ResultForm.NDJSON: NDJSON,
    ResultForm.PARQUET: PARQUET,
}
SUFFIXES = {
    ResultForm.CSV: ".csv",
    ResultForm.EXCEL_FR: "-excel.csv",
    ResultForm.NDJSON: ".ndjson",
    ResultForm.PARQUET: ".parquet",
}
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
PARTIAL_NOTE = (
    f" The header `{RESULTS_HEADER}` says `complete`, or `partial` with the number of `rows`: "
    "the first rows of the file, without a hole, of a batch that is under way, was cancelled or "
    "was aborted."
)
_UNSAFE = re.compile(r"[^\w.\-]+", re.ASCII)


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
@blueprint.response(200, content_type=CSV, schema={"type": "string"})
@blueprint.alt_response(
    206, content_type=CSV, schema={"type": "string"}, description="The part that is asked for"
)
@documents_problems(
    blueprint,
    status_404="No such batch",
    status_406="None of CSV, NDJSON and Parquet is accepted",
    status_409="Under way: see `Retry-After`",
    status_410="Expired",
    status_416="Outside the file",
    status_422="Invalid parameter",
    status_503="The form cannot be made now, or too many downloads",
)
@needs(Scope.BULK)
def results(batch_id: str) -> Response:
    """The results of a batch that has ended; with `partial`, also before."""
    query = load_query(RESULTS_QUERY)
    form = _wanted_form(query["format"], query["dialect"])
    batch = _get(batch_id)
    if query["partial"] and not batch.progress.state.is_terminal:
        response = _first_rows(batch, form)
    else:
        response = _stored(batch, ResultTable.RESULTS, form)
    response.vary.add("Accept")
    return response


@blueprint.get("/batches/<batch_id>/rejected")
@blueprint.doc(
    summary="Download the rejected rows",
    description="Their own columns, line and reasons: ready to be corrected and uploaded again."
    + PARTIAL_NOTE,
    parameters=[query_parameters(RejectedQuery), *RANGE_PARAMETERS],
)
@blueprint.response(200, content_type=CSV, schema={"type": "string"})
@blueprint.alt_response(
    206, content_type=CSV, schema={"type": "string"}, description="The part that is asked for"
)
@documents_problems(
    blueprint,
    status_404="No such batch",
    status_409="Under way: see `Retry-After`",
    status_410="Expired",
    status_416="Outside the file",
    status_422="Invalid parameter",
    status_503="The form cannot be made now, or too many downloads",
)
@needs(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """The rejected rows of a batch that has ended."""
    form = _wanted_form("csv", load_query(REJECTED_QUERY)["dialect"])
    return _stored(_get(batch_id), ResultTable.REJECTED, form)


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
    status_503="Too many downloads",
)
@needs(Scope.BULK)
def row_errors(batch_id: str) -> Response:
    """What is wrong, where, in the language of the caller."""
    load_query(NO_QUERY)
    batch = _get(batch_id)
    report = services().batch_results.errors(batch, language())
    response = _download(batch, report, NDJSON, "errors.ndjson")
    response.headers["Accept-Ranges"] = "none"
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    return response


def _get(batch_id: str) -> Batch:
    return services().batches.get(BatchId(batch_id), caller_id())


def _wanted_form(form: str | None, dialect: str) -> ResultForm:
    """The form by parameter, else by `Accept`."""
    if form is None:
        by_type = {CSV: "csv", NDJSON: "ndjson", PARQUET: "parquet"}
        accepted: str | None = CSV
        if "Accept" in request.headers:
            accepted = request.accept_mimetypes.best_match(by_type)
        if accepted is None:
            raise NotAcceptable(available=", ".join(by_type))
        form = by_type[accepted]
    wanted = ResultForm(form)
    is_excel = wanted is ResultForm.CSV and dialect == ResultForm.EXCEL_FR
    return ResultForm.EXCEL_FR if is_excel else wanted


def _first_rows(batch: Batch, form: ResultForm) -> Response:
    """What is there of a batch that is under way; it grows, so it has no length and no ranges."""
    if form is not ResultForm.CSV:
        raise ResultNotReady(id=batch.manifest.id, state=batch.progress.state)
    rows = services().batch_results.first_rows(batch)
    response = _download(batch, rows, CSV, "priced-partial.csv")
    response.headers[RESULTS_HEADER] = "partial"
    response.headers["Accept-Ranges"] = "none"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _stored(batch: Batch, table: ResultTable, form: ResultForm) -> Response:
    """A stored file, or the range of it that is asked for."""
    file = services().batch_results.file(batch, table, form)
    headers = _headers_of(batch, file)
    if headers["ETag"].strip('"') in request.if_none_match:
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        part = wanted_range(file.size, headers["ETag"], headers.get("Last-Modified"))
    except RangeNotSatisfiable as error:
        response = answer_domain_error(error)
        response.headers["Content-Range"] = f"bytes */{file.size}"
        return response
    start, stop = part or (0, file.size)
    stem = "priced" if table is ResultTable.RESULTS else str(table)
    body = file.blocks(start, stop)
    response = _download(batch, body, MEDIA_TYPES[form], stem + SUFFIXES[form])
    response.headers.update(headers)
    response.headers["Content-Length"] = str(stop - start)
    if part is not None:
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return response


def _headers_of(batch: Batch, file: StoredFile) -> dict[str, str]:
    progress = batch.progress
    headers = {
        "ETag": f'"{batch.manifest.id}-{file.name}"',
        "Accept-Ranges": "bytes",
        RESULTS_HEADER: "complete",
    }
    if is_partial(batch):
        total = "" if progress.total is None else f"; total={progress.total}"
        headers[RESULTS_HEADER] = f"partial; rows={progress.counts.done}{total}"
    if progress.finished_at is not None:
        headers["Last-Modified"] = http_date(progress.finished_at)
    return headers


def _download(batch: Batch, body: Iterator[bytes], media_type: str, suffix: str) -> Response:
    """A body that is sent at the client's pace; only so many are at once."""
    downloads = services().downloads
    downloads.take()
    response = Response(body, mimetype=media_type)
    response.call_on_close(downloads.give_back)
    stem = _UNSAFE.sub("_", batch.manifest.file_name.rpartition(".")[0])[:80] or batch.manifest.id
    response.headers["Content-Disposition"] = f'attachment; filename="{stem}-{suffix}"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response
