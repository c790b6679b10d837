"""Server-sent events: state and progress of a job or batch until its end."""

from flask import Response
from flask_smorest import Blueprint

from api.answers import documents_problems
from api.auth import Scope, needs
from api.event_streams import EVENT_STREAM, batch_event_stream, job_event_stream
from api.schemas.requests import NoQuery, load_query

blueprint = Blueprint("events", __name__, description="Follow a job or a file as it gets on.")
NO_QUERY = NoQuery()

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
    return job_event_stream(job_id)


@blueprint.get("/batches/<batch_id>/events")
@blueprint.doc(summary="Follow a batch", description=DESCRIPTION, parameters=PARAMETERS)
@blueprint.response(200, content_type=EVENT_STREAM, schema={"type": "string"})
@blueprint.alt_response(204, description="Nothing more will happen")
@documents_problems(
    blueprint,
    status_404="No such batch",
    status_410="Expired",
    status_422="A query parameter",
    status_503="Too many streams, or queue or store down",
)
@needs(Scope.BULK)
def batch_events(batch_id: str) -> Response:
    """The states of a batch, with counts, speed and the time that is left."""
    load_query(NO_QUERY)
    return batch_event_stream(batch_id)
