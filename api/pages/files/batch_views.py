"""`/fichiers/{id}`: the progress, the results and the corrections of a batch."""

import time
from typing import Any

from flask import Response, request
from werkzeug.exceptions import NotFound

from api.batches.detection_schemas import dump_input
from api.batches.result_views import partial_response, stored_response
from api.batches.results import SHEET_MAX_ROWS
from api.batches.schemas import dump_batch
from api.batches.views import accept_correction, current_batch
from api.events.views import batch_event_stream
from api.http.context import caller_id, services
from api.http.problems import status_of
from api.http.responses import json_response
from api.middleware.authentication import Scope, require_scope
from api.pages.files.pages import STATES, blueprint, reasons, redirect_to, render
from api.pages.files.sentences import problem_sentences
from api.pages.files.upload_form import (
    build_file_form,
    option_values,
)
from api.pages.language import gettext as _
from api.pages.language import page_language
from api.pages.typography import format_number
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.errors import (
    CorrectionInProgress,
    InvalidInput,
    NothingToCorrect,
    UnsupportedUpload,
)
from shared.domain.exports import STORED, Export
from shared.domain.ids import BatchId
from shared.fields.car import CAR_FIELDS
from shared.messages.texts import describe_batch_error

REFRESH_S = 2
"""Reload interval of the page of a running batch in browsers without JavaScript."""
EXPORTS = {
    "classeur": Export(format=ExportFormat.XLSX, localized=True),
    "csv": STORED,
    "excel": Export(format=ExportFormat.EXCEL_FR),
    "json": Export(format=ExportFormat.NDJSON),
    "parquet": Export(format=ExportFormat.PARQUET),
}
"""Exports by the last segment of their URL."""

OUTCOMES = {
    "complete": "Toutes les voitures sont estimées",
    "with_errors": "Terminé ; des lignes sont à corriger",
    "partial": "Terminé en partie ; des lignes n'ont pas pu être estimées",
    "aborted": "Arrêté avant la fin",
    "cancelled": "Annulé",
    "dry_run": "Vérifié, sans estimation",
}


@blueprint.get("/fichiers/<batch_id>")
@require_scope(Scope.BULK)
def show(batch_id: str) -> Response:
    """Show the state of a batch, its detected columns and its downloads."""
    batch = current_batch(batch_id)
    return render("file.html", view=_view(batch), refresh=REFRESH_S)


@blueprint.post("/fichiers/<batch_id>/annuler")
@require_scope(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """Cancel a batch and redirect to its page."""
    if not current_batch(batch_id).progress.state.is_terminal:
        services().batches.cancel(BatchId(batch_id), caller_id())
    return redirect_to(batch_id)


@blueprint.post("/fichiers/<batch_id>/corriger")
@require_scope(Scope.BULK)
def correct(batch_id: str) -> Response:
    """Accept corrected rows and redirect to the page of their batch.

    A refusal shows the page of the corrected batch, whose form takes the rows again.
    """
    try:
        correction = accept_correction(batch_id)
    except (InvalidInput, UnsupportedUpload, CorrectionInProgress, NothingToCorrect) as error:
        view = {**_view(current_batch(batch_id)), "refusals": reasons(error)}
        return render("file.html", status_of(error), view=view, refresh=REFRESH_S)
    return redirect_to(correction.manifest.id)


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


def _view(batch: Batch) -> dict[str, Any]:
    """The values that `file.html` shows."""
    progress = batch.progress
    counts = dump_batch(batch, time.time())["counts"]
    found = dump_input(batch, "fr")
    columns = [(CAR_FIELDS[field].label_fr, name) for field, name in found["columns"].items()]
    state = _(STATES[str(progress.state)])
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
        return problem_sentences(batch.refusal)
    code = batch.progress.error
    if code is None:
        return []
    return [describe_batch_error(code, page_language())]
