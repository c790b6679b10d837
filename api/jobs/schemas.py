"""Schemas of `/jobs`: the job resource, the list of jobs and batches, and its query."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson
from marshmallow import Schema, ValidationError, fields, validate

from api.http.context import language, services
from api.http.requests import ValuationQuery
from api.http.responses import JSON, HttpResponse, described
from api.jobs.listing import ListFilter
from api.valuations.schemas import serialize_valuation
from api.webhooks.callbacks import callback_field
from shared.domain.ids import ID_PATTERN, ValuationId, is_id
from shared.domain.job import Job, JobKind, JobState, JobSummary, QueuePosition
from shared.domain.valuation import Valuation
from shared.i18n.languages import Language
from shared.messages.rules import characters, every_error, one_of, whole_number, written_as
from shared.messages.texts import describe_problem

ModelIdentity: TypeAlias = Callable[[str], Mapping[str, str | None]]
"""`ActiveVersionCache.identity`: what an answer says about the model of a version."""


class ProgressSchema(Schema):
    """Progress of a job, in cars."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True)


class JobErrorSchema(Schema):
    """Why the job failed."""

    code = fields.String(required=True)
    title = fields.String(required=True)
    detail = fields.String(required=True)


class JobSchema(Schema):
    """The job resource."""

    id = fields.String(required=True)
    state = fields.Enum(JobState, by_value=True, required=True)
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    queue_position = described(fields.Integer, "Open jobs before this one", allow_none=True)
    eta_s = described(
        fields.Float,
        "Seconds until the end at the rate of the last minute; null while "
        "jobs do not wait for each other, or nothing has ended yet",
        allow_none=True,
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
    """Progress of an entry, in cars or rows."""

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
    next_cursor = described(
        fields.String, "`cursor` of the next page; null: this is the last", allow_none=True
    )
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


def dump_job(job: Job, position: QueuePosition | None, coverage: float) -> dict[str, Any]:
    """The JSON representation of a job, in the language of the current request."""
    return serialize_job(job, position, coverage, services().active_model.identity, language())


def serialize_job(
    job: Job,
    position: QueuePosition | None,
    coverage: float,
    identity: ModelIdentity,
    lang: Language,
    *,
    with_result: bool = True,
) -> dict[str, Any]:
    """The JSON representation of a job, as `JobSchema` documents it.

    Args:
        job: the job.
        position: in the queue, if it is open.
        coverage: of the price intervals.
        identity: `ActiveVersionCache.identity`.
        lang: of the texts.
        with_result: whether a result that there is is shown.
    """
    answer: dict[str, Any] = {
        "id": job.id,
        "state": str(job.state),
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "queue_position": position.position if position else None,
        "eta_s": position.eta_s if position else None,
        "attempts": job.attempts,
        "cancel_requested": job.cancel_requested,
        "progress": {"done": job.done, "total": len(job.requests)},
        "links": {"self": f"/jobs/{job.id}"},
    }
    if job.state is JobState.SUCCEEDED and with_result:
        valuations = [
            serialize_valuation(
                each,
                coverage,
                identity(each.estimate.model_version),
                lang,
                pointer=f"/{index}" if job.is_list else "",
            )
            for index, each in enumerate(valuations_of(job))
        ]
        answer["result"] = valuations if job.is_list else valuations[0]
    if job.error is not None:
        title, detail = describe_problem(job.error, {"id": job.id}, lang)
        answer["error"] = {"code": job.error, "title": title, "detail": detail}
    return answer


def accepted_response(
    job: Job,
    position: QueuePosition | None,
    coverage: float,
    identity: ModelIdentity,
    lang: Language,
) -> HttpResponse:
    """202 with a job and where to poll it; arguments as of `serialize_job`."""
    headers = [("Content-Type", JSON), *accepted_headers(job.id)]
    body = orjson.dumps(serialize_job(job, position, coverage, identity, lang))
    return HttpResponse(int(HTTPStatus.ACCEPTED), headers, body)


def accepted_headers(job_id: str) -> list[tuple[str, str]]:
    """Where and when to poll for a job."""
    return [("Location", f"/jobs/{job_id}"), ("Retry-After", "1")]


def dump_summary(summary: JobSummary) -> dict[str, Any]:
    """The JSON representation of an entry of the list, as `JobHeadSchema` documents it."""
    folder = "jobs" if summary.kind is JobKind.JOB else "batches"
    return {
        "id": summary.id,
        "kind": str(summary.kind),
        "state": str(summary.state),
        "created_at": iso(summary.created_at),
        "started_at": iso(summary.started_at),
        "finished_at": iso(summary.finished_at),
        "progress": {"done": summary.done, "total": summary.total},
        "links": {"self": f"/{folder}/{summary.id}"},
    }


def valuations_of(job: Job) -> list[Valuation]:
    """The valuations of a succeeded job, in the order of the request."""
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
"""An unescaped plus sign of a time zone, which is decoded as a blank."""


_MOMENTS = written_as("2026-11-22", "2026-11-22T08:30:00Z")
_CURSOR = written_as("next_cursor")
_LIMIT = whole_number(1, PAGE_MAX)


class TimeField(fields.String):
    """A date or RFC 3339 time, loaded as Unix time; UTC if no time zone is given."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options) or ""
        try:
            moment = datetime.fromisoformat(_UNESCAPED_PLUS.sub(r"\1+\2", text))
        except ValueError:
            raise ValidationError(_MOMENTS) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class CursorField(fields.String):
    """`next_cursor` of the previous page."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options) or ""
        if not is_id(text):
            raise ValidationError(_CURSOR)
        return text


class SubmissionQuery(ValuationQuery):
    """Query parameters of a submission."""

    callback_url = callback_field("job")


class JobListQuery(Schema):
    """Query parameters of the list of jobs."""

    class Meta:
        include = {  # noqa: RUF012 - marshmallow requires a dict; `from` is a Python keyword
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
        validate=validate.OneOf(tuple(JobState), error=one_of(JobState)),
        metadata={"enum": list(JobState)},
    )
    kind = fields.String(
        validate=validate.OneOf(tuple(JobKind), error=one_of(JobKind)),
        metadata={"enum": list(JobKind)},
    )
    idempotency_key = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=200, error=characters(200)),
        metadata={"description": "What was accepted under this `Idempotency-Key` (24 h)."},
    )
    cursor = CursorField(
        load_default=None,
        metadata={"description": "`next_cursor` of the page before.", "pattern": ID_PATTERN},
    )
    limit = fields.Integer(
        load_default=PAGE_DEFAULT,
        validate=validate.Range(min=1, max=PAGE_MAX, error=_LIMIT),
        error_messages=every_error(_LIMIT),
        metadata={"description": "Most entries of a page."},
    )


def load_filter(query: dict[str, Any]) -> ListFilter:
    """The filter of loaded query parameters."""
    return ListFilter(
        kinds=(JobKind(query["kind"]),) if "kind" in query else tuple(JobKind),
        states=(JobState(query["state"]),) if "state" in query else tuple(JobState),
        created_from=query["from"],
        created_to=query["to"],
        idempotency_key=query["idempotency_key"],
    )
