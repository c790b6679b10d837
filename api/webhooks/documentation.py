"""The webhooks in the OpenAPI document: `callbacks` of the operations that accept work."""

from typing import Any

from marshmallow import Schema, fields

from api.jobs.schemas import JobErrorSchema, JobHeadSchema
from shared.domain.batch import BatchOutcome


class WebhookCountsSchema(Schema):
    """Rows of an ended batch by result."""

    valid = fields.Integer(required=True)
    invalid = fields.Integer(required=True)
    failed = fields.Integer(required=True)


class WebhookDataSchema(JobHeadSchema):
    """The ended job or batch."""

    result = fields.Raw(
        metadata={
            "description": "Of a job, as `GET /jobs/{id}` gives it, if it is small and was not "
            "deleted meanwhile; otherwise read it at `links.self`.",
        }
    )
    error = fields.Nested(JobErrorSchema)
    outcome = fields.Enum(BatchOutcome, by_value=True)
    counts = fields.Nested(WebhookCountsSchema)


class WebhookSchema(Schema):
    """The body of a webhook."""

    type = fields.String(
        required=True,
        metadata={
            "enum": [
                f"{kind}.{state}"
                for kind in ("job", "batch")
                for state in ("succeeded", "failed", "cancelled")
            ]
        },
    )
    timestamp = fields.DateTime(required=True, metadata={"description": "When it ended"})
    data = fields.Nested(WebhookDataSchema, required=True)


HEADERS = {
    "webhook-id": "The same in every attempt: process each id once",
    "webhook-timestamp": "Of the attempt, Unix seconds; refuse one that is minutes away",
    "webhook-signature": "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base 64; several "
    "are separated by blanks while a secret is replaced",
}


def webhook_documentation(what: str) -> dict[str, Any]:
    """`callbacks` of an operation that accepts a job or batch.

    Args:
        what: `job` or `batch`.
    """
    operation = {
        "operationId": f"receive_{what}_end",
        "summary": f"The {what} has ended",
        "description": "Standard Webhooks. Any answer but 2xx and 410 is tried again for a day.",
        "security": [],
        "parameters": [
            {
                "in": "header",
                "name": name,
                "required": True,
                "schema": {"type": "string"},
                "description": description,
            }
            for name, description in HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": WebhookSchema}},
        },
        "responses": {
            "200": {"description": "Received; any 2xx will do"},
            "410": {"description": "Not wanted: it is not sent again"},
        },
    }
    return {"ended": {"{$request.query.callback_url}": {"post": operation}}}
