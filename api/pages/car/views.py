"""The page at `/`: the form and its errors; an estimate has an address of its own."""

from http import HTTPStatus

import orjson
from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound

from api.events.departures import ClientLeftError
from api.http.context import caller_id, services
from api.http.requests import load_query
from api.middleware.authentication import (
    LOCAL_CALLER,
    Scope,
    accept_basic_auth,
    require_scope,
)
from api.middleware.cross_site import is_cross_site
from api.middleware.problems import answer_error, answer_http_error, answer_nobody
from api.pages.car.form import example_values
from api.pages.car.page import (
    Content,
    given_values,
    problem_notice,
    render,
    show_error,
    show_http_error,
)
from api.pages.car.result import build_result
from api.pages.language import gettext as _
from api.pages.language import page_url
from api.pages.policy import ASSETS, prefers_html
from api.pages.typography import typographic
from api.valuations.views import keep
from shared.domain.car import REQUIRED_FIELDS
from shared.domain.errors import DomainError, InvalidInput, StorageUnavailable
from shared.domain.job import Job
from shared.domain.valuation import Extra, Valuation
from shared.fields.requests import load_car_request
from shared.logging import get_logger

log = get_logger("pages")

REQUIRED = frozenset(REQUIRED_FIELDS)
EXTRAS = (Extra.COMPARABLES, Extra.CONTRIBUTIONS, Extra.DEPRECIATION, Extra.TYPICAL)
JSON_GREETING = {"message": "CarPricePredictor-MA API", "status": "running"}
"""The answer of the reference API at `/`."""
RESULT_ANCHOR = "#resultat"
"""The result takes the focus, so that it is read out."""

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
        response = render(example_values())
    else:
        values = given_values()
        is_asked_here = g.caller is LOCAL_CALLER or not is_cross_site()
        is_valued = is_asked_here and values.keys() >= REQUIRED
        response = _estimate(values) if is_valued else render(values)
    response.vary.add("Accept")
    return response


@blueprint.post("/")
@require_scope(Scope.PREDICT, Scope.ESTIMATE)
def estimate() -> Response:
    """Value the car in the form; errors show the form again with its values."""
    return _estimate(given_values())


@require_scope(Scope.PREDICT, Scope.ESTIMATE, cars=1)
def _estimate(values: dict[str, str]) -> Response:
    """Value a car and send the browser to the address of the estimate.

    Going back, forward or loading again then never sends the form a second time. For a page of
    another site nothing is stored, since it could fill the disk.
    """
    car_request = load_car_request(values, extras=EXTRAS)
    wait_s = services().settings.predict_wait_s
    answer = services().valuations.value_from_thread(car_request, caller_id(), wait_s)
    try:
        kept = None if is_cross_site() else keep(answer)
    except StorageUnavailable as error:
        log.warning("estimate_not_kept", id=answer.id, error=str(error))
        if isinstance(answer, Valuation):
            return _unkept(answer, values)
    else:
        if kept is None and isinstance(answer, Valuation):
            return _unkept(answer, values, is_outage=False)
    path = page_url(f"/estimations/{answer.id}")
    anchor = "" if isinstance(answer, Job) else RESULT_ANCHOR
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path + anchor})


def _unkept(answer: Valuation, values: dict[str, str], *, is_outage: bool = True) -> Response:
    """The estimate without an address: it is shown now, and cannot be read again."""
    notice = {
        "title": _("This estimate has no address"),
        "detail": _("The service cannot store it at the moment. Print or copy what you need."),
    }
    content = Content(
        result=build_result(answer.request, answer.estimate, values),
        model=dict(services().active_model.identity(answer.estimate.model_version)),
        notice=notice if is_outage else None,
    )
    return render(values, content)


@blueprint.get("/assets/<name>")
def asset(name: str) -> Response:
    """Send a style sheet, script or icon."""
    return ASSETS.response(name)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """Show the form with its invalid fields, or with the reason why there is no estimate."""
    return show_error(error)


blueprint.register_error_handler(ClientLeftError, answer_nobody)


@blueprint.errorhandler(HTTPException)
def show_error_of_http(error: HTTPException) -> Response:
    """Show the form with an HTTP error, like a missing asset."""
    return show_http_error(error.code or 500)


@blueprint.app_errorhandler(NotFound)
def show_nothing_here(error: NotFound) -> Response:
    """Answer an unknown URL with the page in browsers, else with a problem document."""
    response = show_http_error(404) if prefers_html() else answer_http_error(error)
    response.vary.add("Accept")
    return response


@blueprint.errorhandler(Exception)
def show_unexpected_error(error: Exception) -> Response:
    """Log an unexpected error and show a message without details."""
    log.error("page_failed", path=request.path, exc_info=error)
    return render({}, Content(notice=problem_notice("internal-error", {})), status=500)


def _greeting() -> Response:
    """The JSON answer at `/`; errors are problem documents."""
    try:
        load_query()
    except InvalidInput as error:
        return answer_error(error)
    return Response(orjson.dumps(JSON_GREETING), mimetype="application/json")
