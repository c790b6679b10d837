"""`/batches`: upload a file, follow it, download what came out."""

import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint
from werkzeug.http import http_date

from api.answers import documents_problems, json_response, query_parameters
from api.auth import Scope, needs
from api.current import caller_id, language, services
from api.problems import NotAcceptable, problem
from api.schemas.batches import (
    BatchSchema,
    BatchWaitQuery,
    ResultsQuery,
    RowErrorSchema,
    UploadQuery,
    dump_batch,
    load_options,
)
from api.schemas.requests import NoQuery, load_query
from api.services.batch_results import TableName
from api.services.batches import IncomingFile
from api.uploads import CSV, NDJSON, UPLOAD_BODY, UploadBody
from api.views.jobs import idempotency_key
from shared.domain.batch import Batch
from shared.domain.ids import BatchId
from shared.schemas.columns import match_header

blueprint = Blueprint("batches", __name__, description="A file of cars, valued row by row.")
UPLOAD_QUERY = UploadQuery()
WAIT_QUERY = BatchWaitQuery()
RESULTS_QUERY = ResultsQuery()
NO_QUERY = NoQuery()
POLL_S = 1
FORM_ALLOWANCE_BYTES = 65_536
"""What a multipart form adds to its file."""

_UNSAFE = re.compile(r"[^\w.\-]+", re.ASCII)


@blueprint.post("/batches")
@blueprint.doc(
    summary="Upload a file of cars",
    parameters=[
        query_parameters(UploadQuery),
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "maxLength": 200},
            "description": "Repeating an upload with the same key gives the same batch (24 h).",
        },
    ],
    requestBody=UPLOAD_BODY,
)
@blueprint.response(202, BatchSchema, description="Accepted and durable: poll `Location`")
@documents_problems(
    blueprint,
    status_413="The file, or what it decompresses to, is too large",
    status_415="Not a CSV",
    status_422="Empty, binary or truncated file, needed columns missing, invalid parameter",
    status_503="No model, queue down, or disk full",
)
@needs(Scope.BULK)
def upload() -> Response:
    """The first bytes are checked before 202; rows are checked in the background."""
    query = load_query(UPLOAD_QUERY)
    key = idempotency_key()
    # The limit of JSON bodies is not for files, which are streamed.
    request.max_content_length = services().settings.upload_max_bytes + FORM_ALLOWANCE_BYTES
    incoming = IncomingFile(
        file=UploadBody(request),
        options=load_options(query, language()),
        idempotency_key=key,
    )
    batch = services().batches.accept(incoming, caller_id())
    response = json_response(_dump(batch), 202)
    response.headers["Location"] = f"/batches/{batch.manifest.id}"
    response.headers["Retry-After"] = str(POLL_S)
    return response


@blueprint.get("/batches/<batch_id>")
@blueprint.doc(summary="Read a batch", parameters=[query_parameters(BatchWaitQuery)])
@blueprint.response(200, BatchSchema)
@documents_problems(
    blueprint, status_404="No such batch", status_410="Expired", status_422="Invalid parameter"
)
@needs(Scope.BULK)
def read(batch_id: str) -> Response:
    """State, counts, speed, and what was found out about the file; `wait` long-polls."""
    query = load_query(WAIT_QUERY)
    batch = services().batches.wait(BatchId(batch_id), caller_id(), query["wait"])
    response = json_response(_dump(batch))
    if not batch.progress.state.is_terminal:
        response.headers["Retry-After"] = str(POLL_S)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@blueprint.delete("/batches/<batch_id>")
@blueprint.doc(summary="Cancel a batch")
@blueprint.response(202, BatchSchema, description="Asked to end; what is done stays readable")
@documents_problems(
    blueprint, status_404="No such batch", status_409="It has ended", status_410="Expired"
)
@needs(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """The batch ends after the chunks that are under way."""
    load_query(NO_QUERY)
    return json_response(_dump(services().batches.cancel(BatchId(batch_id), caller_id())), 202)


@blueprint.get("/batches/<batch_id>/results")
@blueprint.doc(
    summary="Download the results",
    description=(
        "Every row of the file once, in its order: its own columns, then `price_mad`, `low_mad`, "
        "`high_mad`, `row_status` and `row_error`. CSV, or NDJSON by `Accept`. The plain CSV can "
        "be read in ranges."
    ),
    parameters=[query_parameters(ResultsQuery)],
)
@blueprint.response(200, content_type=CSV, schema={"type": "string"})
@documents_problems(
    blueprint,
    status_404="No such batch",
    status_406="Neither CSV nor NDJSON is accepted",
    status_409="Under way",
    status_410="Expired",
    status_416="Outside the file",
)
@needs(Scope.BULK)
def results(batch_id: str) -> Response:
    """The results of a batch that has ended."""
    query = load_query(RESULTS_QUERY)
    batch = _get(batch_id)
    accepted = request.accept_mimetypes.best_match((CSV, NDJSON), None if _has_accept() else CSV)
    if accepted is None:
        raise NotAcceptable(available=f"{CSV}, {NDJSON}")
    if accepted == NDJSON:
        return _stream(batch, services().batch_results.ndjson(batch), NDJSON, "priced.ndjson")
    return _table(batch, TableName.RESULTS, query["dialect"], "priced")


@blueprint.get("/batches/<batch_id>/rejected")
@blueprint.doc(
    summary="Download the rejected rows",
    description="Their own columns, line and reasons: ready to be corrected and uploaded again.",
    parameters=[query_parameters(ResultsQuery)],
)
@blueprint.response(200, content_type=CSV, schema={"type": "string"})
@documents_problems(
    blueprint,
    status_404="No such batch", status_409="Under way", status_410="Expired",
    status_416="Outside the file",
)  # fmt: skip
@needs(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """The rejected rows of a batch that has ended."""
    query = load_query(RESULTS_QUERY)
    return _table(_get(batch_id), TableName.REJECTED, query["dialect"], "rejected")


@blueprint.get("/batches/<batch_id>/errors")
@blueprint.doc(summary="Download the error report")
@blueprint.response(
    200, RowErrorSchema, content_type=NDJSON, description="One object a line, in the file's order"
)
@documents_problems(
    blueprint, status_404="No such batch", status_409="Under way", status_410="Expired"
)
@needs(Scope.BULK)
def row_errors(batch_id: str) -> Response:
    """What is wrong, where, in the language of the caller."""
    load_query(NO_QUERY)
    batch = _get(batch_id)
    report = services().batch_results.errors(batch, language())
    response = _stream(batch, report, NDJSON, "errors.ndjson")
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    return response


def _get(batch_id: str) -> Batch:
    return services().batches.get(BatchId(batch_id), caller_id())


def _dump(batch: Batch) -> dict[str, Any]:
    header = batch.manifest.dialect.header
    columns = {field: header[index] for field, index in match_header(header).items()}
    return dump_batch(batch, columns, time.time())


def _has_accept() -> bool:
    return "Accept" in request.headers


def _table(batch: Batch, name: TableName, dialect: str, suffix: str) -> Response:
    if dialect == "excel-fr":
        body = services().batch_results.excel_fr(batch, name)
        return _stream(batch, body, CSV, f"{suffix}-excel.csv")
    return _stored(batch, name, f"{suffix}.csv")


def _stored(batch: Batch, name: TableName, suffix: str) -> Response:
    """A stored file, or the range of it that is asked for."""
    size = services().batch_results.size(batch, name)
    etag = f'"{batch.manifest.id}-{name}"'
    if etag.strip('"') in request.if_none_match:
        return Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
    start, stop, status = 0, size, HTTPStatus.OK
    wanted = request.range if _range_holds(etag) else None
    if wanted is not None and len(wanted.ranges) == 1:
        found = wanted.range_for_length(size)
        if found is None:
            response = problem(416, "range-not-satisfiable", {"size": size})
            response.headers["Content-Range"] = f"bytes */{size}"
            return response
        (start, stop), status = found, HTTPStatus.PARTIAL_CONTENT
    response = _stream(
        batch, services().batch_results.blocks(batch, name, start, stop), CSV, suffix
    )
    response.status_code = status
    response.headers["Content-Length"] = str(stop - start)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = etag
    if status is HTTPStatus.PARTIAL_CONTENT:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response


def _range_holds(etag: str) -> bool:
    """Whether a range may be given: the caller's part is of this very file."""
    condition = request.headers.get("If-Range")
    return condition is None or condition == etag


def _stream(batch: Batch, body: Iterator[bytes], mimetype: str, suffix: str) -> Response:
    downloads = services().downloads
    downloads.take()
    response = Response(body, mimetype=mimetype)
    response.call_on_close(downloads.give_back)
    stem = _UNSAFE.sub("_", batch.manifest.file_name.rpartition(".")[0])[:80] or batch.manifest.id
    response.headers["Content-Disposition"] = f'attachment; filename="{stem}-{suffix}"'
    response.headers["Cache-Control"] = "private, no-cache"
    if batch.progress.finished_at is not None:
        response.headers["Last-Modified"] = http_date(batch.progress.finished_at)
    return response
