"""`/batches/{id}/results`, `/rejected`, `/errors`: result files with byte ranges (RFC 9110)."""

from collections.abc import Iterator, Mapping
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any

from flask import Response, request
from werkzeug.http import http_date, parse_range_header

from api.batches.results import StoredFile, is_partial
from api.batches.schemas import (
    CSV_OPTIONS,
    DocumentedResultsQuery,
    RejectedQuery,
    ResultsQuery,
    RowErrorSchema,
)
from api.batches.views import current_batch
from api.http.compression import accepted_by_request
from api.http.conditional import is_known
from api.http.context import language, services, transferring_caller
from api.http.file_names import attachment_header
from api.http.problems import NotAcceptable, RangeNotSatisfiable
from api.http.requests import load_query
from api.http.responses import NOT_MODIFIED, ApiBlueprint, header_parameter, query_parameters
from api.http.uploads import CSV, NDJSON, PARQUET, XLSX
from api.middleware.authentication import Scope, require_scope
from api.middleware.problems import answer_error
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.errors import FieldProblem, InvalidInput, PartialResultIsCsv
from shared.domain.files.exports import STORED, Export

blueprint = ApiBlueprint("results", __name__, description="Results of batches.")
PLAIN_TEXT = "text/plain"
RESULTS_HEADER = "Carprice-Results"
"""Response header: `complete`, or `partial` if rows are missing at the end of the file."""
CACHE_CONTROL = "private, no-cache"

FILE_TYPES = {
    ExportFormat.CSV: (CSV, ".csv"),
    ExportFormat.EXCEL_FR: (CSV, "-excel.csv"),
    ExportFormat.NDJSON: (NDJSON, ".ndjson"),
    ExportFormat.PARQUET: (PARQUET, ".parquet"),
    ExportFormat.XLSX: (XLSX, ".xlsx"),
}
"""Media type and end of the file name by export format."""

BUFFERED_MAX_BYTES = 262_144
"""A body up to this size is passed to the server whole, so no thread is held while it is sent."""

RANGE_PARAMETERS = [
    header_parameter(
        "Range", "A range of the file; other units are ignored.", example="bytes=1000-"
    ),
    header_parameter(
        "If-Range",
        "The `ETag`, so that the range is of the same file.",
        example='"01m8fqj4f7z0kj5s71amqzvc4r-19ad4c1f2e0-results.csv"',
    ),
]
PARTIAL_NOTE = (
    f" The header `{RESULTS_HEADER}` says `complete`, or `partial` with the number of `rows`: "
    "a gap-free prefix of the rows, of a batch that is under way, was cancelled or "
    "was aborted."
)
FILE_PROBLEMS = {
    "status_404": "No such batch",
    "status_409": "Under way: see `Retry-After`",
    "status_410": "Expired",
}
TABLE_PROBLEMS = FILE_PROBLEMS | {
    "status_416": "Range outside the file",
    "status_422": "Invalid parameter",
    "status_503": "The export cannot be made, or the store be read now, or too many downloads",
}
TABLE = {"content_type": CSV, "schema": {"type": "string"}}
REDIRECTED = "With `redirect=true`: the address of the file in the object store"
RANGE = TABLE | {"description": "The requested range"}


@blueprint.get("/batches/<batch_id>/results")
@blueprint.doc(
    operationId="get_results",
    summary="Download the results",
    description=(
        "Every row of the file once, in its order: its own columns, then `price_mad`, `low_mad`, "
        "`high_mad`, what was understood, `row_status` and `row_error`. CSV; NDJSON, Parquet or an "
        "Excel workbook by `format` or `Accept`. With the query parameter `headers=localized` the "
        "added columns have words in the language of the batch as headers. "
        "A format that nobody asked for yet is made first: if that takes long, the answer is 409 "
        "`form-not-ready` with `Retry-After`. All formats can be read in ranges." + PARTIAL_NOTE
    ),
    parameters=[query_parameters(DocumentedResultsQuery), *RANGE_PARAMETERS],
)
@blueprint.response(200, **TABLE)
@blueprint.alt_response(206, **RANGE)
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.alt_response(307, description=REDIRECTED)
@blueprint.problems(**TABLE_PROBLEMS, status_406="No format of results is accepted")
@require_scope(Scope.BULK)
def results(batch_id: str) -> Response:
    """Send the results of an ended batch; with `partial`, also those of a running batch."""
    query = load_query(ResultsQuery)
    export = _requested_export(query)
    batch = current_batch(batch_id)
    if query["partial"] and not batch.progress.state.is_terminal:
        response = partial_response(batch, export)
    else:
        redirects = query["redirect"]
        response = stored_response(batch, ResultTable.RESULTS, export, redirects=redirects)
    response.vary.add("Accept")
    return response


@blueprint.get("/batches/<batch_id>/rejected")
@blueprint.doc(
    operationId="get_rejected_rows",
    summary="Download the rejected rows",
    description="Their own columns, line and reasons: ready to be corrected and uploaded again."
    + PARTIAL_NOTE,
    parameters=[query_parameters(RejectedQuery), *RANGE_PARAMETERS],
)
@blueprint.response(200, **TABLE)
@blueprint.alt_response(206, **RANGE)
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.alt_response(307, description=REDIRECTED)
@blueprint.problems(**TABLE_PROBLEMS)
@require_scope(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """Send the rejected rows of an ended batch."""
    query = load_query(RejectedQuery)
    export, redirects = _requested_export(query), query["redirect"]
    batch = current_batch(batch_id)
    return stored_response(batch, ResultTable.REJECTED, export, redirects=redirects)


@blueprint.get("/batches/<batch_id>/errors")
@blueprint.doc(
    operationId="get_error_report",
    summary="Download the error report",
    # Generators of clients do not know NDJSON, and read it as a text.
    responses={
        "200": {
            "description": "One object a line, in the file's order",
            "content": {
                PLAIN_TEXT: {"schema": {"type": "string"}},
                NDJSON: {"schema": RowErrorSchema},
            },
        }
    },
)
@blueprint.problems(
    **FILE_PROBLEMS,
    status_422="Invalid parameter",
    status_503="Too many downloads, or the store cannot be read",
)
@require_scope(Scope.BULK)
def row_errors(batch_id: str) -> Response:
    """Send the error report, with messages in the caller's language."""
    load_query()
    batch = current_batch(batch_id)
    report = services().batch_results.errors(batch, language())
    media_type = request.accept_mimetypes.best_match((NDJSON, PLAIN_TEXT)) or NDJSON
    response = _attachment(batch, report, media_type, "errors.ndjson")
    response.headers["Accept-Ranges"] = "none"
    response.headers["Content-Language"] = language()
    response.vary.update(("Accept", "Accept-Language"))
    return response


def _requested_export(query: Mapping[str, Any]) -> Export:
    """The export that the query parameters name; the format may be negotiated by `Accept`.

    Raises:
        NotAcceptable: `Accept` names none of the formats.
        InvalidInput: a parameter of CSV comes with another format.
    """
    name = query.get("format") or _accepted_format()
    file_format = ExportFormat(name)
    if file_format is not ExportFormat.CSV:
        problems = [
            FieldProblem(
                f"?{option}", "invalid-parameter", expected="format=csv", value=query[option]
            )
            for option in CSV_OPTIONS
            if option in query
        ]
        if problems:
            raise InvalidInput(problems)
    elif query["dialect"] == ExportFormat.EXCEL_FR:
        file_format = ExportFormat.EXCEL_FR
    return Export(
        format=file_format,
        delimiter=query.get("delimiter"),
        decimal=query.get("decimal", "."),
        localized=query.get("headers") == "localized",
    )


def _accepted_format() -> str:
    """The format that `Accept` prefers; CSV without that header."""
    by_type = {CSV: "csv", NDJSON: "ndjson", PARQUET: "parquet", XLSX: "xlsx"}
    if "Accept" not in request.headers:
        return by_type[CSV]
    accepted = request.accept_mimetypes.best_match(by_type)
    if accepted is None:
        raise NotAcceptable(available=", ".join(by_type))
    return by_type[accepted]


def partial_response(batch: Batch, export: Export) -> Response:
    """The rows valued so far of a running batch; the file grows, so no length and no ranges.

    Raises:
        PartialResultIsCsv: another form than the stored one is asked for.
    """
    if export.of(batch.manifest) != STORED:
        raise PartialResultIsCsv(id=batch.manifest.id)
    rows = services().batch_results.first_rows(batch)
    response = _attachment(batch, rows, CSV, "priced-partial.csv")
    response.headers[RESULTS_HEADER] = "partial"
    response.headers["Accept-Ranges"] = "none"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def stored_response(
    batch: Batch, table: ResultTable, export: Export, *, redirects: bool = False
) -> Response:
    """A result file, or the requested range of it: 200, 206, 304 or 416.

    With `redirects` it is 307 to an address of the object store, if the file lies in one.
    """
    file = services().batch_results.file(batch, table, export)
    headers = _file_headers(batch, file)
    media_type, suffix = FILE_TYPES[export.format]
    validators = (headers["ETag"], headers.get("Last-Modified"))
    if is_known(*validators):
        response = Response(status=HTTPStatus.NOT_MODIFIED, headers=headers, mimetype=media_type)
        response.content_length = file.size  # it is not sent, but decides about compression
        response.headers["Cache-Control"] = CACHE_CONTROL
        return response
    stem = "priced" if table is ResultTable.RESULTS else str(table)
    if redirects and request.method == "GET":
        disposition = _disposition(batch, stem + suffix)
        address = file.download_url(media_type, disposition)
        if address is not None:
            return _redirect(address, headers[RESULTS_HEADER])
    try:
        byte_range = _requested_range(file.size, validators)
    except RangeNotSatisfiable as error:
        response = answer_error(error)
        response.content_range.set(None, None, file.size)
        return response
    start, stop = byte_range or (0, file.size)
    response = _attachment(batch, file.blocks(start, stop), media_type, stem + suffix)
    response.headers.update(headers)
    response.headers["Content-Length"] = str(stop - start)
    if byte_range is not None:
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response.content_range.set(start, stop, file.size)
    return response


def _redirect(address: str, completeness: str) -> Response:
    """A redirect to an address that holds for some minutes, and must not be kept longer."""
    response = Response(status=HTTPStatus.TEMPORARY_REDIRECT)
    del response.headers["Content-Type"]
    response.autocorrect_location_header = False
    response.headers["Location"] = address
    response.headers[RESULTS_HEADER] = completeness
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _requested_range(size: int, validators: tuple[str, str | None]) -> tuple[int, int] | None:
    """Start and stop offset of the requested bytes; None: the whole file.

    As RFC 9110 asks, unreadable headers, several ranges and other units are ignored, and so is a
    range whose `If-Range` is none of the file's `validators`. `Response.make_conditional` is not
    used: it reads and drops all bytes before the range.

    Raises:
        RangeNotSatisfiable: the range begins behind the end of the file.
    """
    condition = request.headers.get("If-Range")
    if request.method != "GET" or condition not in (None, *validators):
        return None
    if not accepted_by_request().identity:  # ranges are those of the identity form
        return None
    header = request.headers.get("Range", "")
    if header.strip() == "bytes=-0":  # valid in the RFC, but not for werkzeug's parser
        raise RangeNotSatisfiable(size=size)
    wanted = parse_range_header(header)
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    start, stop = wanted.ranges[0]
    if start < 0:  # the last bytes
        start = max(size + start, 0)
    stop = size if stop is None else min(stop, size)
    if start >= stop:
        raise RangeNotSatisfiable(size=size)
    return start, stop


def _file_headers(batch: Batch, file: StoredFile) -> dict[str, str]:
    progress = batch.progress
    headers = {
        # A batch that was retried has other content under the same names.
        "ETag": f'"{batch.manifest.id}-{round((progress.finished_at or 0) * 1000):x}-{file.name}"',
        "Accept-Ranges": "bytes",
        RESULTS_HEADER: "complete",
    }
    if is_partial(batch):
        total = "" if progress.total is None else f"; total={progress.total}"
        headers[RESULTS_HEADER] = f"partial; rows={progress.counts.done}{total}"
    changed_at = progress.corrected_at or progress.finished_at
    if changed_at is not None:
        headers["Last-Modified"] = http_date(changed_at)
    return headers


def _attachment(batch: Batch, body: Iterator[bytes], media_type: str, suffix: str) -> Response:
    """A download response; a large body is streamed and takes a slot of the download limiter."""
    first, size = [], 0
    for block in body:
        first.append(block)
        size += len(block)
        if size > BUFFERED_MAX_BYTES:
            break
    after = next(body, None)
    if after is None:
        response = Response(b"".join(first), mimetype=media_type)
    else:
        downloads, caller = services().downloads, transferring_caller()
        downloads.acquire(caller)
        response = Response(chain(first, [after], body), mimetype=media_type)
        response.call_on_close(partial(downloads.release, caller))
    response.headers["Content-Disposition"] = _disposition(batch, suffix)
    response.headers["Cache-Control"] = CACHE_CONTROL
    return response


def _disposition(batch: Batch, suffix: str) -> str:
    return attachment_header(batch.manifest.file_name, suffix, batch.manifest.id)
