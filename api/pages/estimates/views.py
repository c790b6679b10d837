"""`/estimations/{id}`: the page of an estimate, what waits for it, its PDF and preview image."""

from http import HTTPStatus

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from api.estimates.views import readable
from api.http.context import caller_id, services
from api.middleware.authentication import Scope, accept_basic_auth, require_scope
from api.pages.car.form import form_values
from api.pages.car.page import (
    Content,
    Refresh,
    given_values,
    keep_entries,
    problem_notice,
    render,
    show_error,
    show_http_error,
)
from api.pages.car.result import build_result
from api.pages.car.views import RESULT_ANCHOR, show_unexpected_error
from api.pages.estimates.documents import pdf_of, preview_of
from api.pages.estimates.labels import describe_kept, is_owner, path_of
from api.pages.estimates.waiting import describe_wait
from api.pages.language import gettext as _
from api.pages.language import page_language, page_url
from shared.blobs.estimate_files import KeptEstimate
from shared.domain.errors import (
    DomainError,
    JobDeleted,
    JobExpired,
    JobNotFound,
    NotPermitted,
    ValuationNotFound,
)
from shared.domain.ids import CallerId, JobId, is_id
from shared.domain.job import Job, JobState

POLL_WAIT_S = 2.0
"""Longest wait of one request for a running estimate."""
WAITED = "attente"
"""Parameter of a page that loads itself again: the finished estimate then takes the focus."""

blueprint = Blueprint("estimate_pages", __name__)
blueprint.before_request(accept_basic_auth)
blueprint.register_error_handler(DomainError, show_error)
blueprint.register_error_handler(Exception, show_unexpected_error)


@blueprint.errorhandler(HTTPException)
def show_http(error: HTTPException) -> Response:
    """Show the form with an HTTP error."""
    return show_http_error(error.code or 500)


@blueprint.after_request
def keep_out_of_search(response: Response) -> Response:
    """Addresses of estimates are for those who are given them."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@blueprint.get("/estimations/<estimate_id>")
def estimation(estimate_id: str) -> Response:
    """Show a kept estimate, or the wait for it."""
    found = find(estimate_id)
    if isinstance(found, KeptEstimate):
        keep_entries(form_values(found.request))
        found = complete(found)
    if isinstance(found, Job):
        return _job_page(found)
    if WAITED in request.args:
        location = page_url(path_of(found.id)) + RESULT_ANCHOR
        return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})
    return _estimate_page(found)


@blueprint.get("/estimations/<estimate_id>.pdf")
def pdf(estimate_id: str) -> Response:
    """Send a kept estimate as a document of one page; one that is not made yet is shown instead."""
    kept = readable(estimate_id)
    found = complete(kept)
    if isinstance(found, Job):
        location = page_url(path_of(kept.id))
        return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})
    response = Response(pdf_of(found, page_language()), mimetype="application/pdf")
    name = f"estimation-{found.id}.pdf"
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@blueprint.get("/estimations/<estimate_id>.png")
def preview(estimate_id: str) -> Response:
    """Send the image that messengers show beside the address."""
    found = finished(estimate_id)
    response = Response(preview_of(found, page_language()), mimetype="image/png")
    response.headers["Cache-Control"] = "private, max-age=86400"
    return response


@blueprint.post("/estimations/<estimate_id>/partage")
@require_scope(Scope.PREDICT)
def share(estimate_id: str) -> Response:
    """Let everybody who has the address read the estimate, or its caller only again."""
    kept = finished(estimate_id)
    if not is_owner(kept):
        raise NotPermitted(scope=str(Scope.PREDICT))
    services().estimates.share(kept, is_shared=request.form.get("partage") == "oui")
    location = page_url(path_of(kept.id)) + "#partager"
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})


def find(estimate_id: str) -> KeptEstimate | Job:
    """The kept estimate, else the job of one car with this id.

    Raises:
        NotAuthenticated, ValuationNotFound, EstimateExpired: see `readable`.
    """
    try:
        return readable(estimate_id)
    except ValuationNotFound:
        if not is_id(estimate_id):
            raise
        return _own_job(estimate_id)


def finished(estimate_id: str) -> KeptEstimate:
    """The kept estimate; raises `ValuationNotFound` also while it is not made yet."""
    kept = readable(estimate_id)
    found = complete(kept) if kept.estimate is None else kept
    if isinstance(found, Job):
        raise ValuationNotFound(id=kept.id)
    return found


def complete(kept: KeptEstimate) -> KeptEstimate | Job:
    """The estimate, waiting for it a little, or its job.

    Raises:
        BrokerUnavailable: nobody knows how far it is.
        JobExpired: it was never made, or not kept in time.
    """
    if kept.estimate is not None:
        return kept
    _wait(JobId(kept.id), kept.caller)
    return services().estimates.completed(kept)


@require_scope(Scope.PREDICT, Scope.ESTIMATE)
def _own_job(estimate_id: str) -> Job:
    _wait(JobId(estimate_id), caller_id())
    job = services().jobs.get(JobId(estimate_id), caller_id())
    if job.is_list:
        raise JobNotFound(id=estimate_id)
    return job


def _wait(job_id: JobId, caller: CallerId) -> None:
    """Wait a little for a job, unless the form has just waited for it."""
    if WAITED in request.args or request.path.endswith(".pdf"):
        services().jobs.wait_from_thread(job_id, caller, POLL_WAIT_S)


def _estimate_page(kept: KeptEstimate) -> Response:
    valuation = kept.valuation()
    values = form_values(kept.request)
    result = build_result(kept.request, valuation.estimate, values)
    content = Content(
        result=result,
        model=dict(kept.model),
        kept=describe_kept(kept),
    )
    return render(values, content)


def _job_page(job: Job) -> Response:
    """The page of a job: the wait, its failure, or an estimate that is not kept."""
    values = form_values(job.requests[0])
    if not job.state.is_terminal:
        wait = describe_wait(job)
        refresh = Refresh(wait["refresh_s"], page_url(path_of(job.id), **{WAITED: "1"}))
        return render(values, Content(waiting=wait, refresh=refresh), status=202)
    if job.state is JobState.CANCELLED:
        notice = {
            "title": _("Estimate cancelled"),
            "detail": _("Ask for it again whenever you like."),
        }
        return render(values, Content(notice=notice))
    if job.state is not JobState.SUCCEEDED:
        notice = problem_notice(job.error or "valuation-failed", {})
        return render(values, Content(notice=notice), status=500)
    estimate = job.estimates[0]
    content = Content(
        result=build_result(job.requests[0], estimate, values),
        model=dict(services().active_model.identity(estimate.model_version)),
    )
    return render(values, content)


@blueprint.errorhandler(JobExpired)
@blueprint.errorhandler(JobDeleted)
@blueprint.errorhandler(JobNotFound)
def show_lost_job(error: DomainError) -> Response:
    """Tell that an estimate was not made, or not kept in time; its car stands in the form."""
    values = given_values()
    if not values:
        return show_error(ValuationNotFound(**error.params))
    notice = {
        "title": _("This estimate was not made"),
        "detail": _("Its car stands in the form: ask for the price again."),
    }
    return render(values, Content(notice=notice), status=HTTPStatus.GONE)
