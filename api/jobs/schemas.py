"""The job as the client sees it, and the query of the list of jobs."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from api.http.context import language, services
from api.http.responses import JSON, HttpResponse
from api.jobs.listing import ListFilter
from api.valuations.schemas import ValuationSchema, serialize_valuation
from shared.domain.ids import ValuationId, is_id
from shared.domain.job import Job, JobKind, JobState, JobSummary, QueuePosition
from shared.domain.valuation import Valuation
from shared.messages.texts import Language, describe_problem

ModelIdentity: TypeAlias = Callable[[str], Mapping[str, str | None]]
"""`ActiveVersionCache.identity`: what an answer says about the model of a version."""


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
    """The answer for one job, in the language of this request's caller."""
    return serialize_job(job, place, coverage, services().active_model.identity, language())


def serialize_job(
    job: Job,
    place: QueuePosition | None,
    coverage: float,
    identity: ModelIdentity,
    lang: Language,
) -> dict[str, Any]:
    """The answer for one job.

    Args:
        job: the job.
        place: where it stands in the queue, if it is open.
        coverage: of the price intervals.
        identity: `ActiveVersionCache.identity`.
        lang: of the texts.
    """
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
        valuations = [
            serialize_valuation(each, coverage, identity(each.estimate.model_version), lang)
            for each in valuations_of(job)
        ]
        answer["result"] = valuations if job.is_list else valuations[0]
    if job.error is not None:
        title, detail = describe_problem(job.error, {"id": job.id}, lang)
        answer["error"] = {"code": job.error, "title": title, "detail": detail}
    return answer


def accepted_response(
    job: Job,
    place: QueuePosition | None,
    coverage: float,
    identity: ModelIdentity,
    lang: Language,
) -> HttpResponse:
    """202 with a job and where to poll it; arguments as of `serialize_job`."""
    headers = [("Content-Type", JSON), *accepted_headers(job.id)]
    body = orjson.dumps(serialize_job(job, place, coverage, identity, lang))
    return HttpResponse(int(HTTPStatus.ACCEPTED), headers, body)


def accepted_headers(job_id: str) -> list[tuple[str, str]]:
    """Where and when to poll for a job."""
    return [("Location", f"/jobs/{job_id}"), ("Retry-After", "1")]


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


PAGE_DEFAULT, PAGE_MAX = 20, 100
_UNESCAPED_PLUS = re.compile(r"(T.*) (\d\d:?\d\d)$")
"""The plus of a time zone, which is a blank where nobody escaped it."""


class TimeField(fields.String):
    """A day or a moment, as Unix time; UTC where no time zone is given."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options) or ""
        try:
            moment = datetime.fromisoformat(_UNESCAPED_PLUS.sub(r"\1+\2", text))
        except ValueError:
            raise ValidationError("2026-11-22, 2026-11-22T08:30:00Z") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class CursorField(fields.String):
    """Where a page begins, as the page before has said it."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options) or ""
        if not is_id(text):
            raise ValidationError("next_cursor")
        return text


class JobListQuery(Schema):
    """Query parameters of the list."""

    class Meta:
        unknown = RAISE
        include = {  # noqa: RUF012 - marshmallow declares it so; `from` is no name in Python
            "from": TimeField(
                load_default=0.0,
                metadata={
                    "description": "Handed in then or later; a day, or a moment (RFC 3339).",
                    "example": "2026-11-22",
                    "default": "",
                },
            ),
            "to": TimeField(
                load_default=float("inf"),
                metadata={
                    "description": "Handed in before; as `from`.",
                    "example": "2026-11-23T08:30:00Z",
                    "default": "",
                },
            ),
        }

    state = fields.String(
        validate=validate.OneOf(tuple(JobState), error=", ".join(JobState)),
        metadata={"enum": list(JobState)},
    )
    kind = fields.String(
        validate=validate.OneOf(tuple(JobKind), error=", ".join(JobKind)),
        metadata={"enum": list(JobKind)},
    )
    idempotency_key = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=200, error="1-200 characters"),
        metadata={"description": "What was accepted under this `Idempotency-Key` (24 h)."},
    )
    cursor = CursorField(
        load_default=None, metadata={"description": "`next_cursor` of the page before."}
    )
    limit = fields.Integer(
        load_default=PAGE_DEFAULT,
        validate=validate.Range(min=1, max=PAGE_MAX, error=f"1-{PAGE_MAX}"),
        error_messages={"invalid": f"1-{PAGE_MAX}"},
        metadata={"description": "Most entries of a page."},
    )


def load_filter(query: dict[str, Any]) -> ListFilter:
    """Which entries a query asks for."""
    return ListFilter(
        kinds=(JobKind(query["kind"]),) if "kind" in query else tuple(JobKind),
        states=(JobState(query["state"]),) if "state" in query else tuple(JobState),
        created_from=query["from"],
        created_to=query["to"],
        idempotency_key=query["idempotency_key"],
    )
