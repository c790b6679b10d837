"""Server-sent events: state and progress of a job or batch until its end."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
from flask import Response, request, stream_with_context
from flask_smorest import Blueprint

from api.answers import documents_problems
from api.auth import Scope, needs
from api.current import caller_id, services
from api.schemas.jobs import dump_job
from api.schemas.requests import NoQuery, load_query
from api.services.watching import Sight
from api.views.batches import dump_one
from shared.domain.errors import DomainError
from shared.domain.ids import BatchId, JobId
from shared.domain.job import JobState
from shared.domain.valuation import DEFAULT_COVERAGE

blueprint = Blueprint("events", __name__, description="Follow a job or a file as it gets on.")
NO_QUERY = NoQuery()
EVENT_STREAM = "text/event-stream"
RETRY_MS = 2000
"""After a break, clients come back that soon."""

DESCRIPTION = (
    "Server-sent events: `progress` whenever the state has changed, at most four times a second, "
    "then one `end`; their `data` is what a read of the same address would answer. A comment "
    "every few seconds says that the stream is alive. Every event holds the whole state and its "
    "`id` names it: with `Last-Event-ID` the state that is known already is not told again, and "
    "after the last one the answer is 204. Only so many streams are open at once: beyond, 503 with "
    "`Retry-After`, and polling goes on."
)
PARAMETERS = [
    {
        "in": "header",
        "name": "Last-Event-ID",
        "schema": {"type": "string", "example": "RUNNING.4000.0"},
        "description": "Sent by browsers when they come back.",
    }
]


@blueprint.get("/jobs/<job_id>/events")
@blueprint.doc(summary="Follow a job", description=DESCRIPTION, parameters=PARAMETERS)
@blueprint.response(200, content_type=EVENT_STREAM, schema={"type": "string"})
@blueprint.alt_response(204, description="Nothing more will happen")
@documents_problems(
    blueprint,
    status_404="No such job",
    status_410="Expired",
    status_422="A query parameter",
    status_503="Too many streams, or queue down",
)
@needs(Scope.PREDICT)
def job_events(job_id: str) -> Response:
    """The states of a job."""
    load_query(NO_QUERY)
    jobs, caller = services().jobs, caller_id()

    def look() -> Sight[dict[str, Any]]:
        job = jobs.get(JobId(job_id), caller)
        body = dump_job(job, jobs.place(job), DEFAULT_COVERAGE)
        return _sight(body, job.state, job.done, job.attempts, job.cancel_requested)

    return _stream(job_id, look)


@blueprint.get("/batches/<batch_id>/events")
@blueprint.doc(summary="Follow a batch", description=DESCRIPTION, parameters=PARAMETERS)
@blueprint.response(200, content_type=EVENT_STREAM, schema={"type": "string"})
@blueprint.alt_response(204, description="Nothing more will happen")
@documents_problems(
    blueprint,
    status_404="No such batch",
    status_410="Expired",
    status_422="A query parameter",
    status_503="Too many streams, or queue down",
)
@needs(Scope.BULK)
def batch_events(batch_id: str) -> Response:
    """The states of a batch, with counts, speed and the time that is left."""
    load_query(NO_QUERY)
    batches, caller = services().batches, caller_id()

    def look() -> Sight[dict[str, Any]]:
        batch = batches.get(BatchId(batch_id), caller)
        progress = batch.progress
        return _sight(
            dump_one(batch), progress.state, progress.counts.done, progress.cancel_requested
        )

    return _stream(batch_id, look)


def _sight(body: dict[str, Any], state: JobState, *marks: int) -> Sight[dict[str, Any]]:
    mark = ".".join([str(state), *(str(int(each)) for each in marks)])
    return Sight(body, mark, state.is_terminal)


def _stream(job_id: str, look: Callable[[], Sight[dict[str, Any]]]) -> Response:
    known = request.headers.get("Last-Event-ID")
    first = look()  # a job that is not there is told by a status
    if first.is_last and first.mark == known:
        return Response(status=204)
    give_back = services().watching.take()
    response = Response(stream_with_context(_events(job_id, look, known)), mimetype=EVENT_STREAM)
    response.call_on_close(give_back)
    response.headers["Cache-Control"] = "private, no-store"
    # Proxies that collect answers would hold back every event.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(
    job_id: str, look: Callable[[], Sight[dict[str, Any]]], known: str | None
) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        for sight in services().watching.follow(job_id, look, known):
            yield b":\n\n" if sight is None else _event(sight)
    except DomainError:
        # The client comes back by itself, and is told then what is wrong, if it still is.
        return


def _event(sight: Sight[dict[str, Any]]) -> bytes:
    name = b"end" if sight.is_last else b"progress"
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        sight.mark.encode(),
        name,
        orjson.dumps(sight.state),
    )
