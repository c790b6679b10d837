"""Server-sent events: the states of a job or batch until its end."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import orjson
from flask import Response, request, stream_with_context

from api.batches.schemas import dump_batch
from api.events.subscriptions import StateSnapshot
from api.http.context import caller_id, services, transferring_caller
from api.http.requests import load_query
from api.http.responses import ApiBlueprint, header_parameter
from api.jobs.schemas import dump_job
from api.middleware.authentication import Scope, require_scope, scope_rechecker
from shared.domain.errors import DomainError
from shared.domain.ids import BatchId, JobId
from shared.domain.job import JobState
from shared.domain.valuation import DEFAULT_COVERAGE

blueprint = ApiBlueprint("events", __name__, description="Follow a job or a file as it gets on.")
EVENT_STREAM = "text/event-stream"
RETRY_MS = 2000
"""Reconnection time that is sent to clients, milliseconds."""

Snapshot: TypeAlias = StateSnapshot[dict[str, Any]]

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
    jobs, caller = services().jobs, caller_id()

    def poll() -> Snapshot:
        job = jobs.get(JobId(job_id), caller)
        body = dump_job(job, jobs.queue_position(job), DEFAULT_COVERAGE)
        return _snapshot(body, job.state, job.done, job.attempts, job.cancel_requested)

    return _stream(job_id, poll, Scope.PREDICT)


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
    batches, caller = services().batches, caller_id()

    def poll() -> Snapshot:
        batch = batches.get(BatchId(batch_id), caller)
        body, progress = dump_batch(batch, time.time()), batch.progress
        return _snapshot(body, progress.state, progress.counts.done, progress.cancel_requested)

    return _stream(batch_id, poll, Scope.BULK)


def _snapshot(body: dict[str, Any], state: JobState, *id_parts: int) -> Snapshot:
    event_id = ".".join([str(state), *(str(int(each)) for each in id_parts)])
    return StateSnapshot(body, event_id, state.is_terminal)


def _stream(job_id: str, read: Callable[[], Snapshot], scope: Scope) -> Response:
    """The streaming response; ends when the caller's key is revoked or loses `scope`."""
    check_scope = scope_rechecker(scope)

    def poll() -> Snapshot:
        check_scope()
        return read()

    last_event_id = request.headers.get("Last-Event-ID")
    first = poll()  # before the response starts, so that an unknown id is answered with 404
    if first.is_last and first.event_id == last_event_id:
        return Response(status=204)
    release = services().state_streams.acquire(transferring_caller())
    response = Response(
        stream_with_context(_events(job_id, poll, last_event_id)), mimetype=EVENT_STREAM
    )
    response.call_on_close(release)
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would buffer the events otherwise
    return response


def _events(
    job_id: str, poll: Callable[[], Snapshot], last_event_id: str | None
) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        for snapshot in services().state_streams.follow(job_id, poll, last_event_id):
            if snapshot is None:
                yield b":\n\n"
                continue
            name = b"end" if snapshot.is_last else b"progress"
            data = orjson.dumps(snapshot.state)
            yield b"id: %s\nevent: %s\ndata: %s\n\n" % (snapshot.event_id.encode(), name, data)
    except DomainError:
        # The status is sent already. The client reconnects and then gets the error's status.
        return
