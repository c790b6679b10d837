"""`/dead-letters`: work that was given up, for the operator."""

from typing import Any

from flask import Response
from marshmallow import Schema, fields

from api.http.context import services
from api.http.responses import ApiBlueprint, described, json_response
from api.middleware.authentication import Scope, require_scope
from shared.redis.dead_letters import DeadLetter

blueprint = ApiBlueprint(
    "dead-letters", __name__, description="Work that failed the maximum number of times."
)


class DeadLetterSchema(Schema):
    """A job, or a step of a batch, that was given up."""

    id = described(fields.String, "Of the dead letter")
    kind = fields.String(required=True, metadata={"enum": ["job", "step"]})
    work_id = described(fields.String, "Id of the job or batch")
    step = described(fields.String, "A chunk's number, `split` or `assemble`; empty for a job")
    caller = fields.String(required=True)
    reason = described(
        fields.String,
        "Kind of the last failure; `worker-lost` if its worker was killed each time",
    )
    attempts = fields.Integer(required=True)
    failed_at = fields.DateTime(required=True)


class DeadLetterListSchema(Schema):
    """The dead letters, newest first."""

    dead_letters = fields.List(fields.Nested(DeadLetterSchema), required=True)


@blueprint.get("/dead-letters")
@blueprint.doc(operationId="list_dead_letters", summary="List the work that was given up")
@blueprint.response(200, DeadLetterListSchema)
@blueprint.problems(status_503="The broker is down")
@require_scope(Scope.ADMIN)
def list_dead_letters() -> Response:
    """The newest thousand."""
    letters = [letter.to_json() for letter in services().dead_letters.list()]
    return json_response({"dead_letters": letters})


@blueprint.post("/dead-letters/<letter_id>/replay")
@blueprint.doc(operationId="replay_dead_letter", summary="Carry the work out again")
@blueprint.response(200, DeadLetterSchema)
@blueprint.problems(
    status_404="There is none with this id",
    status_409="Its data are gone, or its batch runs or was corrected since",
    status_503="The broker or the storage is down",
)
@require_scope(Scope.ADMIN)
def replay(letter_id: str) -> Response:
    """Queue a job again, or have an ended batch value the chunk again."""
    return _answer(services().dead_letters.replay(letter_id))


@blueprint.delete("/dead-letters/<letter_id>")
@blueprint.doc(operationId="drop_dead_letter", summary="Forget the work")
@blueprint.response(200, DeadLetterSchema)
@blueprint.problems(
    status_404="There is none with this id", status_503="The broker or the storage is down"
)
@require_scope(Scope.ADMIN)
def drop(letter_id: str) -> Response:
    """Remove a dead letter; the job stays failed, the rows stay without a price."""
    return _answer(services().dead_letters.drop(letter_id))


def _answer(letter: DeadLetter) -> Response:
    members: dict[str, Any] = letter.to_json()
    return json_response(members)
