"""`/jobs`: submit, list, read and cancel jobs."""

import dataclasses
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, request

from api.http.conditional import conditional
from api.http.context import admission, caller_id, language, services
from api.http.requests import (
    WaitQuery,
    load_query,
    preferred_wait_s,
    read_json,
)
from api.http.responses import (
    NOT_MODIFIED,
    PREFER_HEADER,
    ApiBlueprint,
    header_parameter,
    json_response,
    no_content,
    query_parameters,
)
from api.jobs.bodies import IDEMPOTENCY_KEY_MAX, check_idempotency_key, load_submission
from api.jobs.content import (
    JobBody,
    Representation,
    poll_response,
    waited_response,
)
from api.jobs.listing import ListFilter
from api.jobs.reading import JobView
from api.jobs.schemas import (
    JobListQuery,
    JobListSchema,
    JobSchema,
    SubmissionQuery,
    dump_job,
    dump_summary,
    load_filter,
)
from api.jobs.service import Submission
from api.middleware.authentication import Scope, require_scope
from api.valuations.views import accepted
from api.webhooks.callbacks import requested_callback
from api.webhooks.documentation import webhook_documentation
from shared.domain.errors import DomainError, NotPermitted
from shared.domain.ids import JobId
from shared.domain.job import Callback, JobKind
from shared.domain.valuation import Extra

LARGE_BODY_BYTES = 65_536

blueprint = ApiBlueprint("jobs", __name__, description="Submit and poll: one car or up to 1,000.")


def idempotency_parameter(description: str) -> dict[str, Any]:
    """The documentation of the header `Idempotency-Key`."""
    return header_parameter(
        "Idempotency-Key", description, minLength=1, maxLength=IDEMPOTENCY_KEY_MAX
    )


@blueprint.post("/jobs")
@blueprint.doc(
    operationId="submit_job",
    summary="Submit one car or a list",
    parameters=[
        query_parameters(SubmissionQuery),
        idempotency_parameter(
            "Repeating a submission with the same key gives the same job (24 h)."
        ),
        PREFER_HEADER,
    ],
    callbacks=webhook_documentation("job"),
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/CarRequest"},
                        {"type": "array", "items": {"$ref": "#/components/schemas/CarRequest"}},
                    ]
                }
            }
        },
    },
)
@blueprint.response(202, JobSchema, description="Accepted: poll `Location`")
@blueprint.alt_response(200, schema=JobSchema, description="Ended within `Prefer: wait`")
@blueprint.problems(
    (413, 415),
    status_410="The job of the Idempotency-Key was deleted",
    status_422="Invalid car or parameter, or the Idempotency-Key came with another body",
    status_503="No model, queue down, or memory full",
)
@require_scope(Scope.PREDICT)
def submit() -> Response:
    """Store and queue a job; 202 is sent after both."""
    query = load_query(SubmissionQuery)
    callback = requested_callback(query["callback_url"], query["coverage"])
    # The body is read before the lock is taken, so that a slow client does not hold it.
    is_large = len(read_json()) >= LARGE_BODY_BYTES
    read = partial(_read_submission, query["include"], callback)
    submission = services().job_contents.one_at_a_time(read) if is_large else read()
    job, position = services().jobs.submit(submission, caller_id(), admission())
    del submission
    wait_s = preferred_wait_s(request.headers.get("Prefer", ""))
    response = accepted(job, position, query["coverage"])
    if wait_s is None:
        return response
    job_id = job.id
    del job  # frees megabytes of a large list during a long wait
    with suppress(DomainError):  # it is accepted, whatever ends the wait
        return _wait_for(job_id, wait_s, query["coverage"])
    return response


def _read_submission(extras: tuple[Extra, ...], callback: Callback | None) -> Submission:
    return load_submission(
        read_json(),
        request.content_length,
        request.query_string,
        extras,
        request.headers.get("Idempotency-Key"),
        max_cars=services().settings.job_max_cars,
        callback=callback,
    )


@blueprint.get("/jobs")
@blueprint.doc(
    operationId="list_jobs",
    summary="List jobs and batches",
    description=(
        "What the caller handed in and can still be read, the newest first. Follow `next_cursor` "
        "until it is null; with a filter that hardly anything passes, pages may be short or empty "
        "before that."
    ),
    parameters=[query_parameters(JobListQuery)],
)
@blueprint.response(200, JobListSchema)
@blueprint.problems(
    status_422="Invalid parameter", status_503="Queue down, or the store of batches"
)
@require_scope(Scope.PREDICT, Scope.BULK)
def list_all() -> Response:
    """List the jobs and batches of the caller, page by page.

    A key with the scope `bulk` alone sees batches only.
    """
    query = load_query(JobListQuery)
    wanted = _readable(load_filter(query))
    page = services().listing.page(caller_id(), wanted, query["cursor"], query["limit"])
    links = {}
    if page.cursor is not None:
        links["next"] = "/jobs?" + urlencode(dict(request.args) | {"cursor": page.cursor})
    items = [dump_summary(summary) for summary in page.summaries]
    response = json_response({"items": items, "next_cursor": page.cursor, "links": links})
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _readable(wanted: ListFilter) -> ListFilter:
    """The part of a filter that the caller's key may read.

    Raises:
        NotPermitted: it may read nothing of it.
    """
    if Scope.PREDICT in g.caller.scopes:
        return wanted
    kinds = [kind for kind in wanted.kinds if kind is not JobKind.JOB]
    if not kinds:
        raise NotPermitted(scope=str(Scope.PREDICT))
    return dataclasses.replace(wanted, kinds=kinds)


@blueprint.get("/jobs/<job_id>")
@blueprint.doc(
    operationId="get_job", summary="Read a job", parameters=[query_parameters(WaitQuery)]
)
@blueprint.response(200, JobSchema)
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.problems(
    (410,), status_404="No such job", status_422="Invalid parameter", status_503="Queue down"
)
@require_scope(Scope.PREDICT, Scope.ESTIMATE)
def read(job_id: str) -> Response:
    """Return the state, the queue position and the result if there is one; `wait` long-polls."""
    query = load_query(WaitQuery)
    view = services().jobs.wait_from_thread(JobId(job_id), caller_id(), query["wait"])
    body = _body(view, Representation(query["coverage"], language()))
    if_none_match = request.headers.get("If-None-Match", "")
    return conditional(poll_response(body, if_none_match).to_flask())


def _body(view: JobView, form: Representation) -> JobBody:
    return services().job_contents.of_from_thread(view, caller_id(), form)


@blueprint.delete("/jobs/<job_id>")
@blueprint.doc(
    operationId="cancel_job",
    summary="Cancel a job, or delete one that has ended",
    description=(
        "A job that has ended is deleted with its cars and prices; its id answers 410 from then "
        "on. The audit log keeps its records."
    ),
)
@blueprint.response(202, JobSchema, description="Cancelled, or asked to end")
@blueprint.alt_response(204, description="Deleted")
@blueprint.problems(
    (410, 422),
    status_404="No such job",
    status_409="It has ended during the call: repeat it to delete the job",
    status_503="Queue down",
)
@require_scope(Scope.PREDICT)
def cancel(job_id: str) -> Response:
    """Cancel an open job (a running one ends at its next step), or delete an ended one."""
    load_query()
    job = services().jobs.cancel_or_delete(JobId(job_id), caller_id())
    if job is None:
        return no_content()
    return json_response(dump_job(job, services().jobs.queue_position(job), 0.9), 202)


def idempotency_key() -> str | None:
    """The value of the `Idempotency-Key` header, if it was sent."""
    return check_idempotency_key(request.headers.get("Idempotency-Key"))


def _wait_for(job_id: JobId, wait_s: float, coverage: float) -> Response:
    waited_s = min(wait_s, services().settings.max_wait_s)
    view = services().jobs.wait_from_thread(job_id, caller_id(), waited_s)
    body = _body(view, Representation(coverage, language()))
    return waited_response(view, body, waited_s).to_flask()
