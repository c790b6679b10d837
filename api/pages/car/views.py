"""The page at `/`: the form, the estimate and the error messages."""

from http import HTTPStatus
from typing import Any

import orjson
from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound

from api.http.context import caller_id, services
from api.http.problems import RETRY_AFTER_S, retry_after_s, status_of
from api.http.requests import load_query
from api.middleware.authentication import (
    LOCAL_CALLER,
    Scope,
    accept_basic_auth,
    require_scope,
)
from api.middleware.cross_site import is_cross_site
from api.middleware.problems import answer_error, answer_http_error
from api.ops.docs_views import html_response
from api.pages.car.form import build_form, example_values, form_values
from api.pages.car.result import build_result, data_age_warnings
from api.pages.car.suggestions import Suggestions, suggestions
from api.pages.common import ASSETS, BASIC_CHALLENGE, PAGE_CSP, REFUSAL_STATUSES, prefers_html
from api.pages.typography import format_month, typographic
from model_store.registry.manifest import CARD_DATA_FILE
from shared.domain.car import REQUIRED_FIELDS
from shared.domain.clock import current_month
from shared.domain.errors import DomainError, FieldProblem, InvalidInput, JobNotFound, RateLimited
from shared.domain.ids import JobId, is_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import Extra, data_age_months
from shared.fields.car import CAR_FIELDS
from shared.fields.requests import load_car_request
from shared.logging import get_logger
from shared.messages.texts import describe_problem

log = get_logger("pages")

REFRESH_S = 1
"""Reload interval of the waiting page."""
POLL_WAIT_S = 2.0
"""Longest wait of one request for a running estimate."""
REQUIRED = frozenset(REQUIRED_FIELDS)
EXTRAS = (Extra.COMPARABLES, Extra.CONTRIBUTIONS, Extra.DEPRECIATION)
JSON_GREETING = {"message": "CarPricePredictor-MA API", "status": "running"}
"""The answer of the reference API at `/`."""

blueprint = Blueprint("pages", __name__)
blueprint.add_app_template_filter(typographic)
blueprint.before_request(accept_basic_auth)


@blueprint.get("/")
def home() -> Response:
    """Send the page to browsers and a JSON greeting to programs.

    A car in the query is shown in the form, and valued if its required fields are there. With keys
    it is only shown if a page of another site asks: the browser adds the password it remembers.
    """
    if not prefers_html():
        response = _greeting()
    elif "exemple" in request.args:
        response = _page(example_values())
    else:
        values = _given_values()
        is_asked_here = g.caller is LOCAL_CALLER or not is_cross_site()
        is_valued = is_asked_here and values.keys() >= REQUIRED
        response = _estimate(values) if is_valued else _page(values)
    response.vary.add("Accept")
    return response


@blueprint.post("/")
@require_scope(Scope.PREDICT)
def estimate() -> Response:
    """Value the car in the form; errors show the form again with its values."""
    return _estimate(_given_values())


@require_scope(Scope.PREDICT, cars=1)
def _estimate(values: dict[str, str]) -> Response:
    car_request = load_car_request(values, extras=EXTRAS)
    wait_s = services().settings.predict_wait_s
    answer = services().valuations.value_from_thread(car_request, caller_id(), wait_s)
    if isinstance(answer, Job):
        return _waiting(answer, values)
    return _page(
        values,
        result=build_result(car_request, answer.estimate, values),
        model_version=answer.estimate.model_version,
    )


@blueprint.get("/estimations/<job_id>")
@require_scope(Scope.PREDICT)
def estimation(job_id: str) -> Response:
    """Show the result of a job that `estimate` did not wait for, or the waiting page again."""
    if not is_id(job_id):
        raise JobNotFound(id=job_id)
    services().jobs.wait_from_thread(JobId(job_id), caller_id(), POLL_WAIT_S)
    job = services().jobs.get(JobId(job_id), caller_id())
    if job.is_list:
        raise JobNotFound(id=job_id)
    values = form_values(job.requests[0])
    if not job.state.is_terminal:
        return _waiting(job, values)
    if job.state is not JobState.SUCCEEDED:
        return _failed(job, values)
    return _page(
        values,
        result=build_result(job.requests[0], job.estimates[0], values),
        model_version=job.estimates[0].model_version,
    )


@blueprint.get("/assets/<name>")
def asset(name: str) -> Response:
    """Send a style sheet, script or icon."""
    return ASSETS.response(name)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """Show the form with its invalid fields, or with the reason why there is no estimate.

    Refused callers get an empty form: reading a slowly sent body would hold a thread.
    """
    status = status_of(error)
    is_refused_form = request.method == "POST" and status in REFUSAL_STATUSES
    values = {} if is_refused_form else _given_values()
    if isinstance(error, InvalidInput):
        return _page(values, problems=error.problems, status=status)
    is_outage = status == HTTPStatus.SERVICE_UNAVAILABLE
    notice = _outage_notice(error.code) if is_outage else _notice(error.code, error.params)
    response = _page(values, notice=notice, status=status)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(retry_after_s(error))
    return response


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """Show the form with an HTTP error, like a missing asset."""
    code = {404: "not-found", 413: "body-too-large"}.get(error.code or 500, "bad-request")
    maximum = services().settings.body_max_bytes
    return _page({}, notice=_notice(code, {"maximum": maximum}), status=error.code or 500)


@blueprint.app_errorhandler(NotFound)
def show_nothing_here(error: NotFound) -> Response:
    """Answer an unknown URL with the page in browsers, else with a problem document."""
    response = show_http_error(error) if prefers_html() else answer_http_error(error)
    response.vary.add("Accept")
    return response


@blueprint.errorhandler(Exception)
def show_unexpected_error(error: Exception) -> Response:
    """Log an unexpected error and show a message without details."""
    log.error("page_failed", path=request.path, exc_info=error)
    return _page({}, notice=_notice("internal-error", {}), status=500)


def _greeting() -> Response:
    """The JSON answer at `/`; errors are problem documents."""
    try:
        load_query()
    except InvalidInput as error:
        return answer_error(error)
    return Response(orjson.dumps(JSON_GREETING), mimetype="application/json")


def _given_values() -> dict[str, str]:
    """The values that are not blank, of the form or of the fields in the query."""
    given = request.form.to_dict()
    if request.method != "POST":
        given = {name: request.args.get(name, "") for name in CAR_FIELDS}
    return {name: value.strip() for name, value in given.items() if value.strip()}


def _notice(code: str, params: dict[str, Any]) -> dict[str, str]:
    title, detail = describe_problem(code, params, "fr")
    return {"title": title, "detail": detail}


def _outage_notice(code: str) -> dict[str, str]:
    """The message of an outage: asks the visitor to retry and names the cause for the operator."""
    cause, _ = describe_problem(code, {}, "fr")
    return {
        "title": "Estimation momentanément indisponible",
        "detail": f"Vos réponses sont conservées : réessayez dans un instant. Cause : {cause}.",
    }


def _waiting(job: Job, values: dict[str, str]) -> Response:
    address = f"/estimations/{job.id}"
    response = _page(values, refresh=f"{REFRESH_S}; url={address}", status=202)
    response.headers["Location"] = address
    return response


def _failed(job: Job, values: dict[str, str]) -> Response:
    if job.state is JobState.CANCELLED:
        notice = {"title": "Estimation annulée", "detail": "Relancez-la quand vous voulez."}
        return _page(values, notice=notice)
    return _page(values, notice=_notice(job.error or "valuation-failed", {}), status=500)


def _page(
    values: dict[str, str],
    *,
    problems: list[FieldProblem] | None = None,
    result: dict[str, Any] | None = None,
    notice: dict[str, str] | None = None,
    refresh: str = "",
    model_version: str | None = None,
    status: int = 200,
) -> Response:
    """The page, with the given form values, errors, result or notice."""
    active = services().active_model.version_id()
    version = model_version or active
    card = services().active_model.manifest(version) if version else None
    month = current_month() if result is None else result["month"]
    data_age = data_age_months(card.data_as_of, month) if card else None
    if result is not None and card is not None:
        result["warnings"] += data_age_warnings(card.data_as_of, result["estimate"])
    response = html_response(
        "estimate.html",
        PAGE_CSP,
        status=status,
        assets=ASSETS,
        form=build_form(values, problems or ()),
        result=result,
        notice=notice,
        refresh=refresh,
        suggestions=_suggestions(active),
        data_as_of=format_month(card.data_as_of) if card else "",
        data_age_months=data_age,
        model_version=version,
        has_card=card is not None and CARD_DATA_FILE in card.files,
        address=request.host_url,
    )
    if status in {HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE}:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _suggestions(active: str | None) -> Suggestions:
    if active is None:
        return Suggestions()
    return suggestions(services().settings.versions_path / active)
