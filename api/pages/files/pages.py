"""What the pages of files share: the blueprint, the answers to errors, rendering."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, g
from werkzeug.exceptions import HTTPException

from api.http.context import caller_id, public_address, services
from api.http.problems import is_retryable, retry_after_s, status_of
from api.jobs.listing import ListFilter
from api.middleware.authentication import accept_basic_auth
from api.ops.docs_views import html_response
from api.pages.files.sentences import problem_sentences
from api.pages.files.upload_form import build_file_form
from api.pages.language import gettext as _
from api.pages.language import page_language
from api.pages.policy import ASSETS, BASIC_CHALLENGE, PAGE_CSP, REFUSAL_STATUSES
from api.pages.typography import format_datetime, format_number
from shared.domain.errors import (
    BrokerUnavailable,
    DemoOnly,
    DomainError,
    InvalidInput,
    StorageUnavailable,
)
from shared.domain.job import JobKind, JobSummary
from shared.i18n.catalogue import mark
from shared.messages.texts import describe_problem

FILES_CSP = PAGE_CSP
MAX_RECENT = 10

STATES = {
    "QUEUED": mark("Waiting"),
    "RUNNING": mark("Being valued"),
    "SUCCEEDED": mark("Finished"),
    "FAILED": mark("Failed"),
    "CANCELLED": mark("Cancelled"),
}
"""English texts of the states of a batch, for `gettext`."""

blueprint = Blueprint("files", __name__)
blueprint.add_app_template_filter(format_number, "whole")
blueprint.add_app_template_filter(format_datetime, "day")
blueprint.before_request(accept_basic_auth)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """Show the form with the reasons of the refusal; a visitor gets no form, which is refused."""
    if isinstance(error, DemoOnly):
        return key_page(status_of(error))
    return with_error_headers(form_page(trouble_of(error), status=status_of(error)), error)


def with_error_headers(response: Response, error: DomainError) -> Response:
    """A page about an error, with the headers that the error needs."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    if is_retryable(error):
        response.headers["Retry-After"] = str(retry_after_s(error))
    return response


def key_page(status: int) -> Response:
    """The page that says that files need a key, and how a browser is given one."""
    return render("files/key.html", status)


def trouble_of(error: DomainError) -> dict[str, Any]:
    """Title and sentences of an error, as the pages show them."""
    title, _detail = describe_problem(error.code, error.params, page_language())
    return {"title": title, "details": reasons(error)}


def reasons(error: DomainError) -> Sequence[str]:
    """The sentences that say why a request was refused."""
    if isinstance(error, InvalidInput):
        return problem_sentences(error.problems)
    return [describe_problem(error.code, error.params, page_language())[1]]


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """Show the form with the HTTP error."""
    code = "not-found" if error.code == HTTPStatus.NOT_FOUND else "bad-request"
    title, detail = describe_problem(code, {}, page_language())
    return form_page({"title": title, "details": [detail]}, status=error.code or 500)


def form_page(
    trouble: dict[str, Any] | None = None, status: int = 200, form: dict[str, Any] | None = None
) -> Response:
    """The page with the upload form and the last batches."""
    recent = [] if status in REFUSAL_STATUSES or g.caller is None else _recent()
    return render(
        "files.html",
        status,
        trouble=trouble,
        form=form or build_file_form({}),
        recent=recent,
        states={state: _(text) for state, text in STATES.items()},
    )


def _recent() -> list[JobSummary]:
    """The last batches; empty while they cannot be read, so that the form still works."""
    wanted = ListFilter(kinds=(JobKind.BATCH,))
    try:
        return services().listing.page(caller_id(), wanted, None, MAX_RECENT).summaries
    except (BrokerUnavailable, StorageUnavailable):
        return []


def render(template: str, status: int = 200, **values: Any) -> Response:
    """A page of files from its template."""
    return html_response(
        template,
        FILES_CSP,
        status=status,
        assets=ASSETS,
        address=f"{public_address()}/",
        **values,
    )
