"""Server-sent events: the states of a job or batch until its end, when Flask sends them."""

import time
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import orjson
from flask import Flask, Response, current_app, g, request

from api.batches.schemas import serialize_batch
from api.events.snapshots import (
    EVENT_STREAM,
    STREAM_HEADERS,
    EventSource,
    batch_source,
    events,
    is_over,
    job_source,
)
from api.events.waits import Client
from api.http.context import EXTENSION, caller_id, language, services, transferring_caller
from api.http.requests import load_query
from api.http.responses import ApiBlueprint, header_parameter, no_content
from api.middleware.authentication import Scope, require_scope, scope_rechecker
from shared.domain.batch import Batch
from shared.domain.ids import BatchId, JobId
from shared.i18n.languages import Language

if TYPE_CHECKING:
    from api.container import ApiServices

blueprint = ApiBlueprint("events", __name__, description="Follow a job or a file as it gets on.")

DESCRIPTION = (
    "Server-sent events: `progress` whenever the state has changed, at most four times a second, "
    "then one `end`; their `data` is what a read of the same address would answer. A comment "
    "every few seconds says that the stream is alive. Every event holds the whole state and its "
    "`id` names it: with `Last-Event-ID` the state that is known already is not told again, and "
    "after the last one the answer is 204. Only so many streams are open at once: beyond, 503 with "
    "`Retry-After`, and polling goes on. A "
    "stream ends within seconds when the key it was opened with is revoked."
)
PARAMETERS = [
    header_parameter(
        "Last-Event-ID", "Sent by browsers when they come back.", example="RUNNING.4000.0"
    )
]
STREAM = {"content_type": EVENT_STREAM, "schema": {"type": "string"}}


@blueprint.get("/jobs/<job_id>/events")
@blueprint.doc(
    operationId="follow_job", summary="Follow a job", description=DESCRIPTION, parameters=PARAMETERS
)
@blueprint.response(200, **STREAM)
@blueprint.alt_response(204, description="Nothing more will happen")
@blueprint.problems(
    (410, 422), status_404="No such job", status_503="Too many streams, or queue down"
)
@require_scope(Scope.PREDICT)
def job_events(job_id: str) -> Response:
    """Stream the states of a job."""
    load_query()
    source = job_source(services().job_contents, JobId(job_id), caller_id(), language())
    return _stream(source, Scope.PREDICT)


@blueprint.get("/batches/<batch_id>/events")
@blueprint.doc(
    operationId="follow_batch",
    summary="Follow a batch",
    description=DESCRIPTION,
    parameters=PARAMETERS,
)
@blueprint.response(200, **STREAM)
@blueprint.alt_response(204, description="Nothing more will happen")
@blueprint.problems(
    (410, 422), status_404="No such batch", status_503="Too many streams, or queue or store down"
)
@require_scope(Scope.BULK)
def batch_events(batch_id: str) -> Response:
    """Stream the states of a batch, with counts, speed and remaining time."""
    load_query()
    return batch_event_stream(batch_id)


def batch_event_stream(batch_id: str) -> Response:
    """The response that streams the states of a batch of the current caller."""
    application = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001
    dump = partial(dump_batch_event, application, lang=language())
    source = batch_source(services().batch_polls, BatchId(batch_id), caller_id(), dump)
    return _stream(source, Scope.BULK)


def dump_batch_event(application: Flask, batch: Batch, lang: Language) -> bytes:
    """The data of an event of a batch, which all streams of the batch share."""
    shared: ApiServices = application.extensions[EXTENSION]

    def dump(batch: Batch) -> bytes:
        with application.app_context():
            return orjson.dumps(serialize_batch(batch, time.time(), lang))

    return shared.batch_bodies.body(batch, lang, dump)


def _stream(source: EventSource, scope: Scope) -> Response:
    """The streaming response; ends when the caller's key is revoked or loses `scope`."""
    threads, last_event_id = services().thread_waits, request.headers.get("Last-Event-ID")
    # Before the response starts, so that an unknown id is answered with 404.
    if is_over(threads.run(source.read(), 0.0), last_event_id):
        return no_content()
    release = threads.acquire_stream(transferring_caller())
    client = Client(key=g.authorization, check_key=scope_rechecker(scope))
    parts = threads.iterate(events(services().waits, source, last_event_id, client))
    try:
        first = next(parts)
    except BaseException:
        release()
        raise
    response = Response(chain([first], parts), mimetype=EVENT_STREAM)
    response.call_on_close(parts.close)
    response.call_on_close(release)
    response.headers.update(STREAM_HEADERS)
    return response
