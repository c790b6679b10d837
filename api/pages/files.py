"""The pages at `/fichiers`: upload a file of cars, follow its progress, download its results."""

import time
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, g, request, url_for
from werkzeug.exceptions import HTTPException, NotFound

from api.batches.detection_schemas import dump_input
from api.batches.result_views import partial_response, stored_response
from api.batches.results import SHEET_MAX_ROWS
from api.batches.schemas import dump_batch
from api.batches.views import accept_correction, current_batch, upload_body
from api.events.views import batch_event_stream
from api.http.context import admission, caller_id, services
from api.http.problems import dump_field_problem, is_retryable, retry_after_s, status_of
from api.http.responses import json_response
from api.jobs.listing import ListFilter
from api.middleware.authentication import Scope, accept_basic_auth, require_scope
from api.ops.docs_views import html_response
from api.pages.file_form import (
    FORM_FIELDS,
    build_file_form,
    load_options,
    option_values,
)
from api.pages.home import ASSETS, BASIC_CHALLENGE, PAGE_CSP, REFUSAL_STATUSES
from api.pages.typography import format_number
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.errors import (
    BrokerUnavailable,
    CorrectionInProgress,
    DomainError,
    FieldProblem,
    InvalidInput,
    NothingToCorrect,
    StorageUnavailable,
    UnsupportedUpload,
)
from shared.domain.exports import STORED, Export
from shared.domain.ids import BatchId
from shared.domain.job import JobKind, JobSummary
from shared.fields.car import CAR_FIELDS
from shared.messages.texts import describe_problem
from shared.messages.uploads import BATCH_ERROR_MESSAGES

FILES_CSP = PAGE_CSP.replace("form-action", "connect-src 'self'; form-action")
REFRESH_S = 2
"""Reload interval of the page of a running batch in browsers without JavaScript."""
MAX_RECENT = 10
EXPORTS = {
    "classeur": Export(format=ExportFormat.XLSX, localized=True),
    "csv": STORED,
    "excel": Export(format=ExportFormat.EXCEL_FR),
    "json": Export(format=ExportFormat.NDJSON),
    "parquet": Export(format=ExportFormat.PARQUET),
}
"""Exports by the last segment of their URL."""

STATES = {
    "QUEUED": "En attente",
    "RUNNING": "Estimation en cours",
    "SUCCEEDED": "Terminé",
    "FAILED": "Échec",
    "CANCELLED": "Annulé",
}
OUTCOMES = {
    "complete": "Toutes les voitures sont estimées",
    "with_errors": "Terminé ; des lignes sont à corriger",
    "partial": "Terminé en partie ; des lignes n'ont pas pu être estimées",
    "aborted": "Arrêté avant la fin",
    "cancelled": "Annulé",
    "dry_run": "Vérifié, sans estimation",
}

blueprint = Blueprint("files", __name__)
blueprint.add_app_template_filter(format_number, "whole")
blueprint.before_request(accept_basic_auth)


@blueprint.app_template_filter("day")
def format_datetime(at: float) -> str:
    """A Unix time as date and time of day, in the time zone of this machine.

    >>> format_datetime(0.0)[2:6]
    '/01/'
    """
    return time.strftime("%d/%m/%Y à %H:%M", time.localtime(at))


@blueprint.get("/fichiers")
@require_scope(Scope.BULK)
def form() -> Response:
    """Show the form and the last batches."""
    return _form_page()


@blueprint.post("/fichiers")
@require_scope(Scope.BULK)
def hand_in() -> Response:
    """Accept a file and redirect to its page; a refusal shows the form with its values."""
    body = upload_body()
    values = body.read_fields(FORM_FIELDS)
    try:
        options = load_options(values, dry_run="verifier" in request.args)
        batch = services().batches.accept(body, options, caller_id(), admission=admission())
    except InvalidInput as error:
        trouble = {
            "title": describe_problem(error.code, error.params, "fr")[0],
            "details": sentences(error.problems),
        }
        form = build_file_form(values, error.problems)
        return _form_page(trouble, status=status_of(error), form=form)
    return _redirect(batch.manifest.id)


@blueprint.get("/fichiers/<batch_id>")
@require_scope(Scope.BULK)
def show(batch_id: str) -> Response:
    """Show the state of a batch, its detected columns and its downloads."""
    batch = current_batch(batch_id)
    return _html("file.html", view=_view(batch), refresh=REFRESH_S)


@blueprint.post("/fichiers/<batch_id>/annuler")
@require_scope(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """Cancel a batch and redirect to its page."""
    if not current_batch(batch_id).progress.state.is_terminal:
        services().batches.cancel(BatchId(batch_id), caller_id())
    return _redirect(batch_id)


@blueprint.post("/fichiers/<batch_id>/corriger")
@require_scope(Scope.BULK)
def correct(batch_id: str) -> Response:
    """Accept corrected rows and redirect to the page of their batch.

    A refusal shows the page of the corrected batch, whose form takes the rows again.
    """
    try:
        correction = accept_correction(batch_id)
    except (InvalidInput, UnsupportedUpload, CorrectionInProgress, NothingToCorrect) as error:
        view = {**_view(current_batch(batch_id)), "refusals": _reasons(error)}
        return _html("file.html", status_of(error), view=view, refresh=REFRESH_S)
    return _redirect(correction.manifest.id)


@blueprint.get("/fichiers/<batch_id>/suivi")
@require_scope(Scope.BULK)
def follow(batch_id: str) -> Response:
    """Send the progress as server-sent events, or as JSON for clients without them."""
    if "etat" in request.args:
        response = json_response(dump_batch(current_batch(batch_id), time.time()))
    else:
        response = batch_event_stream(batch_id)
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.get("/fichiers/<batch_id>/resultats/<form>")
@require_scope(Scope.BULK)
def results(batch_id: str, form: str) -> Response:
    """Send the results in one format; of a running batch the rows valued so far, as CSV."""
    batch = current_batch(batch_id)
    if form not in EXPORTS:
        raise NotFound
    if not batch.progress.state.is_terminal:
        return partial_response(batch, STORED)
    return stored_response(batch, ResultTable.RESULTS, EXPORTS[form])


@blueprint.get("/fichiers/<batch_id>/refusees")
@require_scope(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """Send the rejected rows as an Excel workbook, or as CSV if a sheet cannot hold them."""
    batch = current_batch(batch_id)
    is_small = batch.progress.counts.invalid < SHEET_MAX_ROWS
    export = Export(format=ExportFormat.XLSX if is_small else ExportFormat.EXCEL_FR)
    return stored_response(batch, ResultTable.REJECTED, export)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """Show the form with the reasons of the refusal."""
    title, _ = describe_problem(error.code, error.params, "fr")
    response = _form_page({"title": title, "details": _reasons(error)}, status=status_of(error))
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    if is_retryable(error):
        response.headers["Retry-After"] = str(retry_after_s(error))
    return response


def _reasons(error: DomainError) -> Sequence[str]:
    """The sentences that say why a request was refused."""
    if isinstance(error, InvalidInput):
        return sentences(error.problems)
    return [describe_problem(error.code, error.params, "fr")[1]]


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """Show the form with the HTTP error."""
    code = "not-found" if error.code == HTTPStatus.NOT_FOUND else "bad-request"
    title, detail = describe_problem(code, {}, "fr")
    return _form_page({"title": title, "details": [detail]}, status=error.code or 500)


def _redirect(batch_id: str) -> Response:
    address = url_for("files.show", batch_id=batch_id)
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": address})


def _form_page(
    trouble: dict[str, Any] | None = None, status: int = 200, form: dict[str, Any] | None = None
) -> Response:
    recent = [] if status in REFUSAL_STATUSES or g.caller is None else _recent()
    return _html(
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


def _view(batch: Batch) -> dict[str, Any]:
    """The values that `file.html` shows."""
    progress = batch.progress
    counts = dump_batch(batch, time.time())["counts"]
    found = dump_input(batch, "fr")
    columns = [(CAR_FIELDS[field].label_fr, name) for field, name in found["columns"].items()]
    state = STATES[str(progress.state)]
    return {
        "id": batch.manifest.id,
        "name": batch.manifest.file_name or "Votre fichier",
        "title": OUTCOMES[str(progress.outcome)] if progress.outcome else state,
        "has_ended": progress.state.is_terminal,
        "corrects": batch.manifest.corrects,
        "is_checked_only": batch.manifest.options.dry_run,
        "counts": counts,
        "shown": {name: format_number(count or 0) for name, count in counts.items()},
        "columns": columns,
        "unused": found["unused"],
        "notices": [notice["detail"] for notice in found["notices"]],
        "errors": _errors(batch),
        "form": _form_of_refused(batch),
    }


def _form_of_refused(batch: Batch) -> dict[str, Any] | None:
    """The form that asks for the columns of a file that a worker refused."""
    form = build_file_form(option_values(batch.manifest.options), batch.refusal)
    return form if form["mapping"] else None


def _errors(batch: Batch) -> list[str]:
    """Why a batch ended early; empty if it did not."""
    if batch.refusal:
        return sentences(batch.refusal)
    code = batch.progress.error
    if code is None:
        return []
    return [BATCH_ERROR_MESSAGES.get(code, BATCH_ERROR_MESSAGES["attempts-exhausted"])["fr"]]


def _html(template: str, status: int = 200, **values: Any) -> Response:
    return html_response(
        template,
        FILES_CSP,
        status=status,
        assets=ASSETS,
        language="fr",
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
