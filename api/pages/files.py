"""The pages at `/fichiers`: upload a file of cars, follow its progress, download its results."""

import dataclasses
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.exceptions import HTTPException, NotFound

from api.batches.detection_schemas import dump_input
from api.batches.downloads import first_rows, stored_response
from api.batches.schemas import dump_batch
from api.batches.service import IncomingFile
from api.events.streams import batch_event_stream
from api.http.context import caller_id, services
from api.http.problems import RETRY_AFTER_S, dump_field_problem, is_retryable, status_of
from api.http.responses import json_response
from api.http.uploads import UploadBody
from api.jobs.listing import ListFilter
from api.middleware.authentication import Scope, accept_basic_auth, require_scope
from api.middleware.security_headers import CSP
from api.pages.french import format_number
from api.pages.home import ASSETS, REFUSAL_STATUSES
from shared.domain.batch import Batch, BatchOptions, ExportFormat, ResultTable
from shared.domain.errors import (
    BrokerUnavailable,
    DomainError,
    FieldProblem,
    InvalidInput,
    StorageUnavailable,
)
from shared.domain.ids import BatchId
from shared.domain.job import JobKind, JobSummary
from shared.fields.car import CAR_FIELDS
from shared.messages.texts import describe_problem
from shared.messages.uploads import BATCH_ERROR_MESSAGES

FILES_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REFRESH_S = 2
"""Without a script, the page of a file that is being valued asks again after this pause."""
MAX_RECENT = 10
MULTIPART_OVERHEAD_BYTES = 65_536
EXPORT_FORMATS = {
    "csv": ExportFormat.CSV,
    "excel": ExportFormat.EXCEL_FR,
    "json": ExportFormat.NDJSON,
    "parquet": ExportFormat.PARQUET,
}
"""The forms by the last part of their address."""

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
    """A Unix time as people write it, in the clock of this machine.

    >>> format_datetime(0.0)[2:6]
    '/01/'
    """
    return time.strftime("%d/%m/%Y à %H:%M", time.localtime(at))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ErrorNotice:
    """Why a file is not taken."""

    title: str
    details: list[str]


@blueprint.get("/fichiers")
@require_scope(Scope.BULK)
def form() -> Response:
    """The form, and what was handed in last."""
    return _form_page()


@blueprint.post("/fichiers")
@require_scope(Scope.BULK)
def hand_in() -> Response:
    """Take a file; its page comes next."""
    request.max_content_length = services().settings.upload_max_bytes + MULTIPART_OVERHEAD_BYTES
    options = BatchOptions(dry_run="verifier" in request.args, language="fr")
    incoming = IncomingFile(file=UploadBody(request), options=options)
    batch = services().batches.accept(incoming, caller_id())
    address = url_for("files.show", batch_id=batch.manifest.id)
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": address})


@blueprint.get("/fichiers/<batch_id>")
@require_scope(Scope.BULK)
def show(batch_id: str) -> Response:
    """Where a file stands, what was found out about it, and its downloads."""
    batch = _get(batch_id)
    return _html("file.html", view=_view(batch), refresh=REFRESH_S)


@blueprint.post("/fichiers/<batch_id>/annuler")
@require_scope(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """Stop; what is done stays."""
    if not _get(batch_id).progress.state.is_terminal:
        services().batches.cancel(BatchId(batch_id), caller_id())
    return Response(
        status=HTTPStatus.SEE_OTHER, headers={"Location": url_for("files.show", batch_id=batch_id)}
    )


@blueprint.get("/fichiers/<batch_id>/suivi")
@require_scope(Scope.BULK)
def follow(batch_id: str) -> Response:
    """The progress, as events; as JSON for a script that cannot have them."""
    if "etat" in request.args:
        response = json_response(dump_batch(_get(batch_id), time.time()))
    else:
        response = batch_event_stream(batch_id)
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.get("/fichiers/<batch_id>/resultats/<form>")
@require_scope(Scope.BULK)
def results(batch_id: str, form: str) -> Response:
    """The results in one form; before the end, the first rows as CSV."""
    batch = _get(batch_id)
    if form not in EXPORT_FORMATS:
        raise NotFound
    if not batch.progress.state.is_terminal:
        return first_rows(batch, ExportFormat.CSV)
    return stored_response(batch, ResultTable.RESULTS, EXPORT_FORMATS[form])


@blueprint.get("/fichiers/<batch_id>/refusees")
@require_scope(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """The rejected rows, as a French Excel opens them."""
    return stored_response(_get(batch_id), ResultTable.REJECTED, ExportFormat.EXCEL_FR)


@blueprint.errorhandler(DomainError)
def show_domain_error(error: DomainError) -> Response:
    """The form again, with what is wrong with the file."""
    title, detail = describe_problem(error.code, error.params, "fr")
    details = [detail]
    if isinstance(error, InvalidInput):
        details = sentences(error.problems)
    response = _form_page(ErrorNotice(title=title, details=details), status=status_of(error))
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="CarPricePredictor-MA"'
    if is_retryable(error):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """A request that no page answers."""
    code = "not-found" if error.code == HTTPStatus.NOT_FOUND else "bad-request"
    title, detail = describe_problem(code, {}, "fr")
    return _form_page(ErrorNotice(title=title, details=[detail]), status=error.code or 500)


def _get(batch_id: str) -> Batch:
    return services().batches.get(BatchId(batch_id), caller_id())


def _form_page(trouble: ErrorNotice | None = None, status: int = 200) -> Response:
    recent = [] if status in REFUSAL_STATUSES else _recent()
    return _html("files.html", status, trouble=trouble, recent=recent, states=STATES)


def _recent() -> list[JobSummary]:
    """What was handed in last; nothing while it cannot be read: the form is there all the same."""
    wanted = ListFilter(kinds=(JobKind.BATCH,))
    try:
        return services().listing.page(caller_id(), wanted, None, MAX_RECENT).summaries
    except (BrokerUnavailable, StorageUnavailable):
        return []


def _view(batch: Batch) -> dict[str, Any]:
    """What the page of a file shows."""
    progress = batch.progress
    counts = dump_batch(batch, time.time())["counts"]
    found = dump_input(batch.manifest, "fr")
    columns = [(CAR_FIELDS[field].label_fr, name) for field, name in found["columns"].items()]
    state = STATES[str(progress.state)]
    return {
        "id": batch.manifest.id,
        "name": batch.manifest.file_name or "Votre fichier",
        "title": OUTCOMES[str(progress.outcome)] if progress.outcome else state,
        "has_ended": progress.state.is_terminal,
        "is_checked_only": batch.manifest.options.dry_run,
        "counts": counts,
        "shown": {name: format_number(count or 0) for name, count in counts.items()},
        "columns": columns,
        "unused": found["unused"],
        "notices": [notice["detail"] for notice in found["notices"]],
        "errors": _errors(batch),
    }


def _errors(batch: Batch) -> list[str]:
    """Why a batch ended early, if it did."""
    if batch.refusal:
        return sentences(batch.refusal)
    code = batch.progress.error
    if code is None:
        return []
    return [BATCH_ERROR_MESSAGES.get(code, BATCH_ERROR_MESSAGES["attempts-exhausted"])["fr"]]


def _html(template: str, status: int = 200, **values: Any) -> Response:
    html = render_template(template, asset_url=ASSETS.url, address=request.host_url, **values)
    response = Response(html, status, mimetype="text/html")
    response.headers[CSP] = FILES_CSP
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Language"] = "fr"
    return response


MISSING = "missing-column"


def sentences(problems: Sequence[FieldProblem]) -> list[str]:
    """One sentence for each problem."""
    return [
        _missing_columns(one)
        if one.code == MISSING
        else str(dump_field_problem(one, "fr")["detail"])
        for one in problems
    ]


def _missing_columns(problem: FieldProblem) -> str:
    missing = problem.params["fields"]
    names = ", ".join(CAR_FIELDS[name].label_fr for name in missing)
    found = problem.params["found"]
    columns, advice = (
        ("les colonnes", "Renommez celles qui conviennent.")
        if len(missing) > 1
        else ("la colonne", "Renommez celle qui convient.")
    )
    return f"Il manque {columns} : {names}. Titres trouvés : {found}. {advice}"
