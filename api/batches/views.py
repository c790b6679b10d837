"""`/batches`: upload a file, follow it, cancel it."""

import time
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from api.batches.schemas import BatchSchema, BatchWaitQuery, UploadQuery, dump_batch, load_options
from api.batches.service import IncomingFile
from api.http.context import caller_id, language, services
from api.http.requests import NoQuery, load_query
from api.http.responses import documents_problems, json_response, query_parameters
from api.http.uploads import UPLOAD_BODY, UploadBody
from api.jobs.views import idempotency_key
from api.middleware.authentication import Scope, require_scope
from shared.domain.batch import Batch
from shared.domain.ids import BatchId

blueprint = Blueprint("batches", __name__, description="A file of cars, valued row by row.")
UPLOAD_QUERY = UploadQuery()
WAIT_QUERY = BatchWaitQuery()
NO_QUERY = NoQuery()
POLL_S = 1
MULTIPART_OVERHEAD_BYTES = 65_536
"""What a multipart form adds to its file."""


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
    status_415="Neither CSV, Excel (.xlsx) nor Parquet",
    status_422="Empty, binary or truncated file, needed columns missing, invalid parameter",
    status_503="No model, queue down, or disk full",
)
@require_scope(Scope.BULK)
def upload() -> Response:
    """The first bytes are checked before 202; rows are checked in the background."""
    query = load_query(UPLOAD_QUERY)
    key = idempotency_key()
    # The limit of JSON bodies is not for files, which are streamed.
    request.max_content_length = services().settings.upload_max_bytes + MULTIPART_OVERHEAD_BYTES
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
    blueprint,
    status_404="No such batch",
    status_410="Expired",
    status_422="Invalid parameter",
    status_503="Queue or store down",
)
@require_scope(Scope.BULK)
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
    blueprint,
    status_404="No such batch",
    status_409="It has ended",
    status_410="Expired",
    status_503="Queue or store down",
)
@require_scope(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """The batch ends after the chunks that are under way."""
    load_query(NO_QUERY)
    return json_response(_dump(services().batches.cancel(BatchId(batch_id), caller_id())), 202)


def _dump(batch: Batch) -> dict[str, Any]:
    return dump_batch(batch, time.time())
