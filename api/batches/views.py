"""`/batches`: upload a file of cars, read its state, cancel or delete it."""

import time
from typing import Any

import orjson
from flask import Response, request

from api.batches.schemas import (
    BatchSchema,
    BatchSubmissionQuery,
    BatchWaitQuery,
    CorrectionQuery,
    dump_batch,
    serialize_batch,
)
from api.http.context import admission, caller_id, language, services
from api.http.requests import load_query
from api.http.responses import (
    JSON,
    ApiBlueprint,
    HttpResponse,
    json_response,
    no_content,
    query_parameters,
)
from api.http.uploads import UPLOAD_BODY, UploadBody
from api.jobs.views import idempotency_key, idempotency_parameter
from api.limits import limit_reading
from api.middleware.authentication import Scope, require_scope
from api.webhooks.callbacks import requested_callback
from api.webhooks.documentation import webhook_documentation
from shared.blobs.input_objects import InputObject
from shared.domain.batch import Batch, BatchOptions
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.ids import BatchId
from shared.domain.job import Callback
from shared.i18n.catalogue import mark
from shared.i18n.languages import Language
from shared.messages.rules import Rule

blueprint = ApiBlueprint("batches", __name__, description="A file of cars, valued row by row.")
POLL_S = 1
MULTIPART_OVERHEAD_BYTES = 65_536
"""What a multipart form adds to the size of its file."""


def accept_upload(
    options: BatchOptions,
    idempotency_key: str | None = None,
    callback: Callback | None = None,
    *,
    input_uri: str = "",
) -> Batch:
    """Read the file in the current request and start its batch; the body is streamed.

    With `input_uri` the file is an object of a bucket.
    """
    file = named_file(input_uri) if input_uri else upload_body()
    return services().batches.accept(
        file, options, caller_id(), idempotency_key, admission(), callback=callback
    )


def named_file(input_uri: str) -> InputObject:
    """The object that the current request names instead of a body.

    Raises:
        InvalidInput: it may not be named or cannot be read, or there is a body as well.
        StorageUnavailable: the store does not answer.
        TooManyTransfers: too many files are being read already.
    """
    if request.content_length or "Transfer-Encoding" in request.headers:
        expected = Rule(mark("no body beside it"))
        raise InvalidInput(
            [FieldProblem("?input_uri", "invalid-parameter", expected=expected, value=input_uri)]
        )
    limit_reading(request.environ)
    return services().inputs.open(input_uri)


def upload_body() -> UploadBody:
    """The file in the current request, of which nothing is read yet."""
    request.max_content_length = services().settings.upload_max_bytes + MULTIPART_OVERHEAD_BYTES
    return UploadBody(request)


def accept_correction(
    batch_id: str, idempotency_key: str | None = None, callback: Callback | None = None
) -> Batch:
    """Read the corrected rows in the current request and start their batch."""
    request.max_content_length = services().settings.upload_max_bytes + MULTIPART_OVERHEAD_BYTES
    body = UploadBody(request)
    return services().batches.correct(
        BatchId(batch_id), body, caller_id(), idempotency_key, admission(), callback=callback
    )


def current_batch(batch_id: str) -> Batch:
    """A batch of the current caller.

    Raises:
        BatchNotFound, BatchExpired, BatchDeleted: this caller has no such batch (any more).
    """
    return services().batches.get(BatchId(batch_id), caller_id())


@blueprint.post("/batches")
@blueprint.doc(
    operationId="upload_batch",
    summary="Upload a file of cars",
    parameters=[
        query_parameters(BatchSubmissionQuery),
        idempotency_parameter("Repeating an upload with the same key gives the same batch (24 h)."),
    ],
    callbacks=webhook_documentation("batch"),
    requestBody=UPLOAD_BODY | {"required": False},  # with `input_uri` there is none
)
@blueprint.response(202, BatchSchema, description="Accepted and durable: poll `Location`")
@blueprint.problems(
    status_410="The batch of the Idempotency-Key was deleted, or has expired",
    status_413="The file, or what it decompresses to, is too large",
    status_415="Neither CSV, Excel (.xlsx), Parquet nor JSON",
    status_422="Empty, binary or truncated file, needed columns missing, invalid parameter",
    status_503="No model, queue down, or disk full",
)
@require_scope(Scope.BULK)
def upload() -> Response:
    """Check the first bytes of a file and store it; its rows are checked after the 202."""
    query = load_query(BatchSubmissionQuery)
    callback, input_uri = requested_callback(query.pop("callback_url")), query.pop("input_uri")
    options = BatchOptions(**query, language=language())
    batch = accept_upload(options, idempotency_key(), callback, input_uri=input_uri)
    return _accepted(batch)


@blueprint.post("/batches/<batch_id>/corrections")
@blueprint.doc(
    operationId="correct_batch",
    summary="Send corrected rows back to their batch",
    description=(
        "The file of `/batches/{id}/rejected` with corrected cells, in any format that is read; "
        "its column `row_line` says which row each one replaces. The correction is a batch of its "
        "own, to be polled like any other. When it ends, its rows are in the results of the "
        "batch, in their original place; those that are still wrong stay rejected."
    ),
    callbacks=webhook_documentation("batch"),
    parameters=[
        query_parameters(CorrectionQuery),
        idempotency_parameter("Repeating a correction with the same key gives the same batch."),
    ],
    requestBody=UPLOAD_BODY,
)
@blueprint.response(202, BatchSchema, description="Accepted and durable: poll `Location`")
@blueprint.problems(
    (410,),
    status_404="No such batch",
    status_409="Under way, nothing to correct, or another correction is under way",
    status_413="The file, or what it decompresses to, is too large",
    status_415="Not a file that is read",
    status_422="Not corrections of rejected rows of this batch, invalid parameter",
    status_503="Queue or store down, or disk full",
)
@require_scope(Scope.BULK)
def correct(batch_id: str) -> Response:
    """Value corrected rows and put them in the place of the rejected ones."""
    callback = requested_callback(load_query(CorrectionQuery)["callback_url"])
    return _accepted(accept_correction(batch_id, idempotency_key(), callback))


@blueprint.get("/batches/<batch_id>")
@blueprint.doc(
    operationId="get_batch", summary="Read a batch", parameters=[query_parameters(BatchWaitQuery)]
)
@blueprint.response(200, BatchSchema)
@blueprint.problems(
    (410,),
    status_404="No such batch",
    status_422="Invalid parameter",
    status_503="Queue or store down",
)
@require_scope(Scope.BULK)
def read(batch_id: str) -> Response:
    """Return state, counts, speed and the detected file format; `wait` long-polls."""
    query = load_query(BatchWaitQuery)
    batch = services().batches.wait(BatchId(batch_id), caller_id(), query["wait"])
    return state_response(batch, language()).to_flask()


def state_response(batch: Batch, lang: Language) -> HttpResponse:
    """The response to a poll of a batch; it needs the context of the application only."""
    headers = [("Content-Type", JSON), ("Cache-Control", "private, no-cache")]
    if not batch.progress.state.is_terminal:
        headers.append(("Retry-After", str(POLL_S)))
    return HttpResponse(200, headers, orjson.dumps(serialize_batch(batch, time.time(), lang)))


@blueprint.delete("/batches/<batch_id>")
@blueprint.doc(
    operationId="cancel_batch",
    summary="Cancel a batch, or delete one that has ended",
    description=(
        "A batch that has ended is deleted with its file and results; its id answers 410 from "
        "then on. Its corrections are batches of their own. The audit log keeps its records."
    ),
)
@blueprint.response(202, BatchSchema, description="Asked to end; what is done stays readable")
@blueprint.alt_response(204, description="Deleted")
@blueprint.problems(
    (410, 422),
    status_404="No such batch",
    status_409="It has ended during the call, or rows of it are being corrected: repeat it later",
    status_503="Queue or store down",
)
@require_scope(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """Cancel an open batch (chunks in progress are finished first), or delete an ended one."""
    load_query()
    batch = services().batches.cancel_or_delete(BatchId(batch_id), caller_id())
    return no_content() if batch is None else json_response(_dump(batch), 202)


@blueprint.post("/batches/<batch_id>/retry")
@blueprint.doc(
    operationId="retry_batch",
    summary="Retry a batch that was cancelled or has failed",
    description=(
        "The batch runs on under its id: rows that are done keep their results, the others are "
        "valued. Rows that could not be valued (`failed`) are tried again. Repeating the request "
        "changes nothing: a batch that runs, or in which every row was handled, is returned as it "
        "is."
    ),
)
@blueprint.response(202, BatchSchema, description="It runs, or is complete: poll `Location`")
@blueprint.problems(
    (410, 422),
    status_404="No such batch",
    status_409="Its file is refused, or is not kept any more; or it is being corrected or retried",
    status_503="Queue or store down",
)
@require_scope(Scope.BULK)
def retry(batch_id: str) -> Response:
    """Have the rows of an ended batch valued that were not."""
    load_query()
    return _accepted(services().batch_retries.retry(BatchId(batch_id), caller_id(), admission()))


def _accepted(batch: Batch) -> Response:
    response = json_response(_dump(batch), 202)
    response.headers["Location"] = f"/batches/{batch.manifest.id}"
    response.headers["Retry-After"] = str(POLL_S)
    return response


def _dump(batch: Batch) -> dict[str, Any]:
    return dump_batch(batch, time.time())
