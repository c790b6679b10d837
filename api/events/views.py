"""Server-sent events: state and progress of a job or batch until its end."""

from collections.abc import Callable
from typing import TypeAlias

from flask import Response
from flask_smorest import Blueprint

from api.events.streams import EVENT_STREAM, batch_event_stream, job_event_stream
from api.http.requests import NoQuery, load_query
from api.http.responses import documents_problems
from api.middleware.authentication import Scope, require_scope

blueprint = Blueprint("events", __name__, description="Follow a job or a file as it gets on.")
NO_QUERY = NoQuery()
View: TypeAlias = Callable[..., Response]

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
    {
        "in": "header",
        "name": "Last-Event-ID",
        "schema": {"type": "string", "example": "RUNNING.4000.0"},
        "description": "Sent by browsers when they come back.",
    }
]


def _stream_of(what: str, scope: Scope) -> Callable[[View], View]:
    """Serve a view as the event stream of a job or batch, and document it.

    Args:
        what: `job` or `batch`.
        scope: what a key must allow.
    """
    folder = {"job": "jobs", "batch": "batches"}[what]
    store = {"job": "queue", "batch": "queue or store"}[what]

    def decorate(view: View) -> View:
        view = documents_problems(
            blueprint,
            status_404=f"No such {what}",
            status_410="Expired",
            status_422="A query parameter",
            status_503=f"Too many streams, or {store} down",
        )(require_scope(scope)(view))
        view = blueprint.alt_response(204, description="Nothing more will happen")(view)
        view = blueprint.response(200, content_type=EVENT_STREAM, schema={"type": "string"})(view)
        view = blueprint.doc(
            summary=f"Follow a {what}", description=DESCRIPTION, parameters=PARAMETERS
        )(view)
        served: View = blueprint.get(f"/{folder}/<{what}_id>/events")(view)
        return served

    return decorate


@_stream_of("job", Scope.PREDICT)
def job_events(job_id: str) -> Response:
    """The states of a job."""
    load_query(NO_QUERY)
    return job_event_stream(job_id)


@_stream_of("batch", Scope.BULK)
def batch_events(batch_id: str) -> Response:
    """The states of a batch, with counts, speed and the time that is left."""
    load_query(NO_QUERY)
    return batch_event_stream(batch_id)
