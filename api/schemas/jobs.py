"""The job as the client sees it."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields

from api.current import language
from api.schemas.valuations import ValuationSchema, dump_valuation
from shared.domain.ids import ValuationId
from shared.domain.job import Job, JobKind, JobState, JobSummary, QueuePosition, Valuation
from shared.schemas.messages import describe_problem


class ProgressSchema(Schema):
    """How far the job is."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True)


class JobErrorSchema(Schema):
    """Why the job failed."""

    code = fields.String(required=True)
    title = fields.String(required=True)
    detail = fields.String(required=True)


class JobSchema(Schema):
    """One accepted request for a valuation, or for a list of them."""

    id = fields.String(required=True)
    state = fields.Enum(JobState, by_value=True, required=True)
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    queue_position = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Open jobs before this one"}
    )
    eta_s = fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Seconds until the end at the rate of the last minute; null while "
            "jobs do not wait for each other, or nothing has ended yet"
        },
    )
    attempts = fields.Integer(required=True)
    cancel_requested = fields.Boolean(required=True)
    progress = fields.Nested(ProgressSchema, required=True)
    result = fields.Raw(
        metadata={
            "description": "A valuation, or a list of them in the order of the request",
            "oneOf": [
                {"$ref": "#/components/schemas/Valuation"},
                {"type": "array", "items": {"$ref": "#/components/schemas/Valuation"}},
            ],
        }
    )
    error = fields.Nested(JobErrorSchema)
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class ListProgressSchema(Schema):
    """How far an entry is: cars or rows."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True, allow_none=True)


class JobHeadSchema(Schema):
    """A job or batch in a list."""

    id = fields.String(required=True)
    kind = fields.Enum(JobKind, by_value=True, required=True)
    state = fields.Enum(JobState, by_value=True, required=True)
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    progress = fields.Nested(ListProgressSchema, required=True)
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class JobListSchema(Schema):
    """A page of the caller's jobs and batches, the newest first."""

    items = fields.List(fields.Nested(JobHeadSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`cursor` of the next page; null: this is the last"},
    )
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


JOB_RESULT_SCHEMAS = (ValuationSchema,)
"""Schemas that `JobSchema` refers to by name."""


def dump_job(job: Job, place: QueuePosition | None, coverage: float) -> dict[str, Any]:
    """The answer for one job."""
    answer: dict[str, Any] = {
        "id": job.id,
        "state": str(job.state),
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "queue_position": place.position if place else None,
        "eta_s": place.eta_s if place else None,
        "attempts": job.attempts,
        "cancel_requested": job.cancel_requested,
        "progress": {"done": job.done, "total": len(job.requests)},
        "links": {"self": f"/jobs/{job.id}"},
    }
    if job.state is JobState.SUCCEEDED:
        valuations = [dump_valuation(valuation, coverage) for valuation in valuations_of(job)]
        answer["result"] = valuations if job.is_list else valuations[0]
    if job.error is not None:
        title, detail = describe_problem(job.error, {"id": job.id}, language())
        answer["error"] = {"code": job.error, "title": title, "detail": detail}
    return answer


def dump_head(head: JobSummary) -> dict[str, Any]:
    """An entry of a list."""
    folder = "jobs" if head.kind is JobKind.JOB else "batches"
    return {
        "id": head.id,
        "kind": str(head.kind),
        "state": str(head.state),
        "created_at": iso(head.created_at),
        "started_at": iso(head.started_at),
        "finished_at": iso(head.finished_at),
        "progress": {"done": head.done, "total": head.total},
        "links": {"self": f"/{folder}/{head.id}"},
    }


def valuations_of(job: Job) -> list[Valuation]:
    """The valuations of a job that has succeeded."""
    return [
        Valuation(
            id=ValuationId(f"{job.id}-{number}" if job.is_list else job.id),
            request=request,
            estimate=estimate,
            cached=False,
        )
        for number, (request, estimate) in enumerate(
            zip(job.requests, job.estimates, strict=True), start=1
        )
    ]


def iso(at: float | None) -> str | None:
    """A Unix time as RFC 3339 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
