"""What the pages of files share: the blueprint, the answers to errors, the texts of problems."""

from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, g, request, url_for
from werkzeug.exceptions import HTTPException

from api.http.context import caller_id, services
from api.http.problems import dump_field_problem, is_retryable, retry_after_s, status_of
from api.jobs.listing import ListFilter
from api.middleware.authentication import accept_basic_auth
from api.ops.docs_views import html_response
from api.pages.common import ASSETS, BASIC_CHALLENGE, PAGE_CSP, REFUSAL_STATUSES
from api.pages.files.upload_form import (
    build_file_form,
)
from api.pages.typography import format_datetime, format_number
from shared.domain.errors import (
    BrokerUnavailable,
    DomainError,
    FieldProblem,
    InvalidInput,
    StorageUnavailable,
)
from shared.domain.job import JobKind, JobSummary
from shared.fields.car import CAR_FIELDS
from shared.messages.texts import describe_problem

FILES_CSP = PAGE_CSP
MAX_RECENT = 10

STATES = {
    "QUEUED": "En attente",
    "RUNNING": "Estimation en cours",
    "SUCCEEDED": "Terminé",
    "FAILED": "Échec",
    "CANCELLED": "Annulé",
}

blueprint = Blueprint("files", __name__)
blueprint.add_app_template_filter(format_number, "whole")
blueprint.add_app_template_filter(format_datetime, "day")
blueprint.before_request(accept_basic_auth)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """Show the form with the reasons of the refusal."""
    title, _ = describe_problem(error.code, error.params, "fr")
    response = form_page({"title": title, "details": reasons(error)}, status=status_of(error))
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    if is_retryable(error):
        response.headers["Retry-After"] = str(retry_after_s(error))
    return response


def reasons(error: DomainError) -> Sequence[str]:
    """The sentences that say why a request was refused."""
    if isinstance(error, InvalidInput):
        return sentences(error.problems)
    return [describe_problem(error.code, error.params, "fr")[1]]


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """Show the form with the HTTP error."""
    code = "not-found" if error.code == HTTPStatus.NOT_FOUND else "bad-request"
    title, detail = describe_problem(code, {}, "fr")
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
        states=STATES,
    )


def _recent() -> list[JobSummary]:
    """The last batches; empty while they cannot be read, so that the form still works."""
    wanted = ListFilter(kinds=(JobKind.BATCH,))
    try:
        return services().listing.page(caller_id(), wanted, None, MAX_RECENT).summaries
    except (BrokerUnavailable, StorageUnavailable):
        return []


def redirect_to(batch_id: str) -> Response:
    """Send the browser to the page of a batch."""
    address = url_for("files.show", batch_id=batch_id)
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": address})


def render(template: str, status: int = 200, **values: Any) -> Response:
    """A page of files from its template."""
    return html_response(
        template,
        FILES_CSP,
        status=status,
        assets=ASSETS,
        address=request.host_url,
        **values,
    )


def sentences(problems: Sequence[FieldProblem]) -> list[str]:
    """One sentence in French for each problem."""
    ambiguous = {one.params["meaning"] for one in problems if one.code == "ambiguous-column"}
    return [sentence for one in problems if (sentence := _sentence(one, ambiguous)) is not None]


def _sentence(problem: FieldProblem, ambiguous: Collection[str]) -> str | None:
    """The sentence of a problem; None if another problem says it.

    Args:
        problem: of the file or of an option.
        ambiguous: fields for which there are several columns.
    """
    if problem.code == "missing-column":
        missing = [name for name in problem.params["fields"] if name not in ambiguous]
        return _missing_columns(missing, problem.params["found"]) if missing else None
    if problem.code == "ambiguous-column":
        label = CAR_FIELDS[problem.params["meaning"]].label_fr
        return (
            f"Les colonnes « {problem.params['other']} » et « {problem.params['column']} » peuvent "
            f"toutes deux être « {label} » et ne disent pas la même chose. Choisissez la bonne "
            "ci-dessous."
        )
    if problem.code == "duplicate-column":
        name, first, other = (problem.params[each] for each in ("column", "first", "position"))
        return (
            f"Les colonnes {first} et {other} s'appellent toutes deux « {name} ». Choisissez la "
            "bonne ci-dessous."
        )
    return str(dump_field_problem(problem, "fr")["detail"])


def _missing_columns(missing: Sequence[str], found: str) -> str:
    names = ", ".join(CAR_FIELDS[name].label_fr for name in missing)
    columns, advice = (
        ("les colonnes", "Indiquez ci-dessous celles qui conviennent.")
        if len(missing) > 1
        else ("la colonne", "Indiquez ci-dessous celle qui convient.")
    )
    return f"Il manque {columns} : {names}. Titres trouvés : {found}. {advice}"
