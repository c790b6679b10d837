"""Renders the page of one car: its form, and an estimate, a notice or the wait for it."""

import dataclasses
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, request

from api.http.context import public_address, services
from api.http.problems import RETRY_AFTER_S, retry_after_s, status_of
from api.ops.docs_views import html_response
from api.pages.car.form import build_form
from api.pages.car.result import data_age_warnings
from api.pages.language import gettext as _
from api.pages.language import page_language, page_url
from api.pages.policy import ASSETS, BASIC_CHALLENGE, PAGE_CSP, REFUSAL_STATUSES
from api.pages.typography import format_month
from model_store.registry.manifest import CARD_DATA_FILE
from shared.domain.clock import current_month
from shared.domain.errors import DomainError, FieldProblem, InvalidInput, RateLimited
from shared.domain.valuation import data_age_months
from shared.fields.car import CAR_FIELDS
from shared.messages.texts import describe_problem

RETRY_PARAMETER = "essai"
"""How often a page that reports an outage has asked again by itself."""
RETRIES_S = (3, 5, 5, 10, 10, 20, 20, 30, 30, 60, 60)
"""Pauses before the retries of such a page, seconds; after the last one the visitor decides."""
MAX_LINK_CHARS = 2000
"""Longer entries are not put into an address."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refresh:
    """When and from where a page loads itself again."""

    after_s: int
    address: str

    def __str__(self) -> str:
        """Content of `<meta http-equiv="refresh">`."""
        return f"{self.after_s}; url={self.address}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a page shows beside the form."""

    result: dict[str, Any] | None = None
    """Of `build_result`."""
    model: dict[str, str | None] | None = None
    """Identity of the model that answered; None: that of the active one."""
    notice: dict[str, str] | None = None
    waiting: dict[str, Any] | None = None
    """What is known of the wait for the estimate."""
    refresh: Refresh | None = None
    kept: dict[str, Any] | None = None
    """Address, date and reference of the estimate."""


def given_values() -> dict[str, str]:
    """The values that are not blank, of the form or of the fields in the query.

    On the page of an estimate they are those of its car (`keep_entries`).
    """
    if "entries" in g:
        kept: dict[str, str] = g.entries
        return kept
    given = request.form.to_dict()
    if request.method != "POST":
        given = {name: request.args.get(name, "") for name in CAR_FIELDS}
    return {name: value.strip() for name, value in given.items() if value.strip()}


def keep_entries(values: dict[str, str]) -> None:
    """Show these values in the form of the current request, whatever happens from now on."""
    g.entries = values


def problem_notice(code: str, params: dict[str, Any]) -> dict[str, str]:
    """Title and sentence of a problem in the language of the page."""
    title, detail = describe_problem(code, params, page_language())
    return {"title": title, "detail": detail}


def show_error(error: DomainError) -> Response:
    """The form with its invalid fields, or with the reason why there is no estimate.

    Refused callers get an empty form: reading a slowly sent body would hold a thread.
    """
    status = status_of(error)
    is_refused_form = request.method == "POST" and status in REFUSAL_STATUSES
    values = {} if is_refused_form else given_values()
    if isinstance(error, InvalidInput):
        return render(values, problems=error.problems, status=status)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response = _outage(error.code, values, status)
    else:
        content = Content(notice=problem_notice(error.code, error.params))
        response = render(values, content, status=status)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(retry_after_s(error))
    return response


def show_http_error(code: int) -> Response:
    """The empty form with an HTTP error, like a missing page."""
    name = {404: "not-found", 413: "body-too-large"}.get(code, "bad-request")
    maximum = services().settings.body_max_bytes
    notice = problem_notice(name, {"maximum": maximum})
    return render({}, Content(notice=notice), status=code)


def render(
    values: dict[str, str],
    content: Content | None = None,
    *,
    problems: list[FieldProblem] | None = None,
    status: int = 200,
) -> Response:
    """The page.

    Args:
        values: of the form, as they were entered.
        content: what it shows beside the form.
        problems: errors of the form.
        status: HTTP status.
    """
    content = content or Content()
    active = services().active_model.version_id()
    version = (content.model or {}).get("version") or active
    manifest = services().active_model.manifest(version) if version else None
    data_as_of = (content.model or {}).get("data_as_of") or (manifest and manifest.data_as_of)
    result = content.result
    month = current_month() if result is None else result["month"]
    if result is not None and data_as_of:
        result["warnings"] += data_age_warnings(data_as_of, result["estimate"])
    response = html_response(
        "estimate.html",
        PAGE_CSP,
        status=status,
        assets=ASSETS,
        form=build_form(values, problems or ()),
        result=result,
        notice=content.notice,
        waiting=content.waiting,
        refresh=content.refresh,
        kept=content.kept,
        data_as_of=format_month(data_as_of) if data_as_of else "",
        data_age_months=data_age_months(data_as_of, month) if data_as_of else None,
        model_version=version,
        has_card=manifest is not None and CARD_DATA_FILE in manifest.files,
        address=f"{public_address()}/",
    )
    if status in {HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE}:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _outage(code: str, values: dict[str, str], status: int) -> Response:
    """The message of an outage: it names the cause, keeps the entries and asks again by itself."""
    cause, _detail = describe_problem(code, {}, page_language())
    refresh = _retry(values)
    detail = _("Your entries are kept: try again in a moment. Cause: {cause}.")
    if refresh is not None:
        detail = _("Your entries are kept. This page tries again in {seconds} s. Cause: {cause}.")
    seconds = refresh.after_s if refresh else 0
    notice = {
        "title": _("No estimate at the moment"),
        "detail": detail.format(cause=cause, seconds=seconds),
    }
    return render(values, Content(notice=notice, refresh=refresh), status=status)


def _retry(values: dict[str, str]) -> Refresh | None:
    """The next attempt of a page that reports an outage; None after the last one."""
    tried = request.args.get(RETRY_PARAMETER, "0")
    number = int(tried) if tried.isascii() and tried.isdigit() and len(tried) < len("100") else 0
    if number >= len(RETRIES_S):
        return None
    query = {RETRY_PARAMETER: str(number + 1)}
    if request.method == "POST":
        fields = {name: value for name, value in values.items() if name in CAR_FIELDS}
        if len(urlencode(fields)) > MAX_LINK_CHARS:
            return None
        return Refresh(RETRIES_S[number], page_url("/", **fields, **query))
    query = {**request.args.to_dict(), **query}
    query.pop("lang", None)
    return Refresh(RETRIES_S[number], page_url(request.path, **query))
