"""The page at `/`: a form, an estimate, and the error messages of both."""

import dataclasses
import json
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import HTTPException, NotFound

from api.http.assets import AssetFolder
from api.http.context import caller_id, services
from api.http.problems import RETRY_AFTER_S, status_of
from api.http.requests import NoQuery, load_query
from api.middleware.authentication import Scope, accept_basic_auth, require_scope
from api.middleware.problems import answer_error, answer_http_error
from api.middleware.security_headers import CSP
from api.models.service import CARD_DATA_FILE
from api.pages.form import build_form, example_values, form_values
from api.pages.french import format_month, format_name, typographic
from api.pages.result import Result, build_result
from shared.domain.errors import DomainError, FieldProblem, InvalidInput, JobNotFound
from shared.domain.ids import JobId, is_id
from shared.domain.job import Job, JobState
from shared.domain.names import fold
from shared.domain.valuation import Extra
from shared.fields.requests import load_car_request
from shared.logging import get_logger
from shared.messages.texts import describe_problem

ENCODER_FILE = "encoder.json"
NOT_A_MODEL = frozenset({"", "other", "autre", "autres"})

log = get_logger("suggestions")


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestions:
    """Names as people spell them; empty when the model does not say what it has seen."""

    brands: tuple[str, ...] = ()
    models: tuple[tuple[str, str], ...] = ()
    """Brand and model."""


@lru_cache(maxsize=4)
def suggestions(version_folder: Path) -> Suggestions:
    """The vehicles that a model version has seen. A version never changes: read once.

    They are a courtesy: whatever is wrong with the file, the page does without them.
    """
    try:
        encoder = json.loads((version_folder / ENCODER_FILE).read_bytes())
        pairs = [key.split("|") for key in encoder["hedonic"]["vehicle_years"]]
        brands = sorted({format_name(brand) for brand, _ in pairs}, key=fold)
        models = sorted(
            (format_name(brand), format_name(model)) for brand, model in pairs if _is_name(model)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("suggestions_unavailable", folder=str(version_folder), error=str(error))
        return Suggestions()
    return Suggestions(tuple(brands), tuple(models))


def _is_name(model: str) -> bool:
    """Whether `model` is what people call a car, not a place for several, like `(rare)`."""
    return fold(model) == model and model not in NOT_A_MODEL


PAGE_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REFRESH_S = 1
"""The waiting page asks again after this pause."""
POLL_WAIT_S = 2.0
"""How long a look at a running estimate waits for its end."""
REFUSAL_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST}
)
"""Whoever is answered so has no say: nothing of the body is read."""
NO_QUERY = NoQuery()
EXTRAS = (Extra.COMPARABLES, Extra.CONTRIBUTIONS, Extra.DEPRECIATION)
JSON_GREETING = {"message": "CarPricePredictor-MA API", "status": "running"}
"""What the reference API's callers read at `/`."""

STATIC = Path(__file__).parent / "static"
ASSETS = AssetFolder(
    {name: STATIC / name for name in ("page.css", "page.js", "file.js", "icon.svg", "chevron.svg")},
    "/assets/",
)

blueprint = Blueprint("pages", __name__)
blueprint.add_app_template_filter(typographic)
blueprint.before_request(accept_basic_auth)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Why there is no estimate."""

    title: str
    detail: str


@blueprint.get("/")
def home() -> Response:
    """The page for people, a greeting for programs."""
    if prefers_html():
        response = _page(example_values() if "exemple" in request.args else {})
    else:
        response = _greeting()
    response.vary.add("Accept")
    return response


@blueprint.post("/")
@require_scope(Scope.PREDICT)
def estimate() -> Response:
    """Value the car of the form. A failure shows the form again, as it was filled in."""
    values = _submitted_values()
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
    """An estimate that was not ready in time: the result, or the waiting page again."""
    if not is_id(job_id):
        raise JobNotFound(id=job_id)
    services().jobs.wait(JobId(job_id), caller_id(), POLL_WAIT_S)
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
    """Style, script and icon of the page."""
    return ASSETS.response(name)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """The form again, with what is wrong with it or why there is no answer.

    A caller who is refused gets an empty form: a body that takes its time would hold a thread.
    """
    status = status_of(error)
    is_readable = request.method == "POST" and status not in REFUSAL_STATUSES
    values = _submitted_values() if is_readable else {}
    if isinstance(error, InvalidInput):
        return _page(values, problems=error.problems, status=status)
    is_outage = status == HTTPStatus.SERVICE_UNAVAILABLE
    notice = _outage_notice(error.code) if is_outage else _notice(error.code, error.params)
    response = _page(values, notice=notice, status=status)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        # The browser asks for the key, and sends it as the password.
        response.headers["WWW-Authenticate"] = 'Basic realm="CarPricePredictor-MA"'
    return response


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """A refused request, an asset that does not exist."""
    code = {404: "not-found", 413: "body-too-large"}.get(error.code or 500, "bad-request")
    maximum = services().settings.body_max_bytes
    return _page({}, notice=_notice(code, {"maximum": maximum}), status=error.code or 500)


@blueprint.app_errorhandler(NotFound)
def show_nothing_here(error: NotFound) -> Response:
    """An address that nothing answers: the page again in a browser, a problem for programs."""
    response = show_http_error(error) if prefers_html() else answer_http_error(error)
    response.vary.add("Accept")
    return response


@blueprint.errorhandler(Exception)
def show_unexpected_error(error: Exception) -> Response:
    """What nobody thought of: on record, and told without details."""
    log.error("page_failed", path=request.path, exc_info=error)
    return _page({}, notice=_notice("internal-error", {}), status=500)


def _greeting() -> Response:
    """The answer for programs; their errors are JSON too."""
    try:
        load_query(NO_QUERY)
    except InvalidInput as error:
        return answer_error(error)
    return Response(orjson.dumps(JSON_GREETING), mimetype="application/json")


def prefers_html() -> bool:
    """Whether the client would rather have a page than JSON; `*/*` is no such wish."""
    accept = request.accept_mimetypes
    return accept.quality("text/html") > accept.quality("application/json")


def _submitted_values() -> dict[str, str]:
    """What stands in the fields that are not blank."""
    return {name: value.strip() for name, value in request.form.items() if value.strip()}


def _notice(code: str, params: dict[str, Any]) -> Notice:
    title, detail = describe_problem(code, params, "fr")
    return Notice(title=title, detail=detail)


def _outage_notice(code: str) -> Notice:
    """What a visitor can do about an outage: nothing but wait; its name is for the operator."""
    cause, _ = describe_problem(code, {}, "fr")
    return Notice(
        title="Estimation momentanément indisponible",
        detail=f"Vos réponses sont conservées : réessayez dans un instant. Cause : {cause}.",
    )


def _waiting(job: Job, values: dict[str, str]) -> Response:
    address = f"/estimations/{job.id}"
    response = _page(values, refresh=f"{REFRESH_S}; url={address}", status=202)
    response.headers["Location"] = address
    return response


def _failed(job: Job, values: dict[str, str]) -> Response:
    if job.state is JobState.CANCELLED:
        notice = Notice(title="Estimation annulée", detail="Relancez-la quand vous voulez.")
        return _page(values, notice=notice)
    return _page(values, notice=_notice(job.error or "valuation-failed", {}), status=500)


def _page(
    values: dict[str, str],
    *,
    problems: list[FieldProblem] | None = None,
    result: Result | None = None,
    notice: Notice | None = None,
    refresh: str = "",
    model_version: str | None = None,
    status: int = 200,
) -> Response:
    """The one page, in the state that the arguments describe."""
    active = services().models.active_id()
    version = model_version or active
    card = services().active_model.manifest(version) if version else None
    html = render_template(
        "estimate.html",
        form=build_form(values, problems or ()),
        result=result,
        notice=notice,
        refresh=refresh,
        suggestions=_suggestions(active),
        data_as_of=format_month(card.data_as_of) if card else "",
        model_version=version,
        has_card=card is not None and CARD_DATA_FILE in card.files,
        asset_url=ASSETS.url,
        address=request.host_url,
    )
    response = Response(html, status, mimetype="text/html")
    response.headers[CSP] = PAGE_CSP
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Language"] = "fr"
    if status in {HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE}:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _suggestions(active: str | None) -> Suggestions:
    if active is None:
        return Suggestions()
    return suggestions(services().settings.versions_path / active)
