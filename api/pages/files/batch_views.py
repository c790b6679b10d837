"""`/fichiers/{id}`: the progress, the results and the corrections of a batch."""

import dataclasses
import time

from flask import Response, request
from werkzeug.exceptions import NotFound

from api.batches.result_views import partial_response, stored_response
from api.batches.results import SHEET_MAX_ROWS
from api.batches.schemas import serialize_batch
from api.batches.views import accept_correction, current_batch
from api.events.views import batch_event_stream
from api.http.context import admission, caller_id, services
from api.http.problems import retry_after_s, status_of
from api.http.responses import json_response
from api.middleware.authentication import Scope, require_scope
from api.pages.files.batch_page import build_page, describe_outage
from api.pages.files.pages import blueprint, reasons, render
from api.pages.files.redirects import redirect_to_page
from api.pages.language import page_language
from shared.domain.batch import ExportFormat, ResultTable
from shared.domain.errors import (
    BrokerUnavailable,
    CorrectionInProgress,
    DomainError,
    InvalidInput,
    NothingToCorrect,
    NothingToRetry,
    RateLimited,
    ResultNotReady,
    StorageUnavailable,
    UnsupportedUpload,
)
from shared.domain.files.exports import STORED, Export
from shared.domain.ids import BatchId

REFRESH_S = 2
"""Reload interval of the page of a running batch in browsers without JavaScript."""
OUTAGE_REFRESH_S = 5
EXPORTS = {
    "classeur": Export(format=ExportFormat.XLSX, localized=True),
    "csv": Export(localized=True),
    "excel": Export(format=ExportFormat.EXCEL_FR, localized=True),
    "json": Export(format=ExportFormat.NDJSON),
    "parquet": Export(format=ExportFormat.PARQUET, localized=True),
}
"""Exports by the last segment of their URL. Headers are words for readers; the members of JSON are
for programs, and have the names that the API documents."""


@blueprint.get("/fichiers/<batch_id>")
@require_scope(Scope.BULK)
def show(batch_id: str) -> Response:
    """Show the state of a batch; of an ended one its value, its rows and its downloads."""
    try:
        return _page(batch_id)
    except (BrokerUnavailable, StorageUnavailable) as error:
        return _outage_page(batch_id, error)


@blueprint.post("/fichiers/<batch_id>/annuler")
@require_scope(Scope.BULK)
def cancel(batch_id: str) -> Response:
    """Cancel a batch and redirect to its page."""
    try:
        if not current_batch(batch_id).progress.state.is_terminal:
            services().batches.cancel(BatchId(batch_id), caller_id())
    except (BrokerUnavailable, StorageUnavailable) as error:
        return _outage_page(batch_id, error)
    return redirect_to_page(f"/fichiers/{batch_id}")


@blueprint.post("/fichiers/<batch_id>/relancer")
@require_scope(Scope.BULK)
def retry(batch_id: str) -> Response:
    """Retry a batch that was cancelled or has failed, and redirect to its page."""
    try:
        services().batch_retries.retry(BatchId(batch_id), caller_id(), admission())
    except (NothingToRetry, CorrectionInProgress, RateLimited) as error:
        return _page(batch_id, error)
    except (BrokerUnavailable, StorageUnavailable) as error:
        return _outage_page(batch_id, error)
    return redirect_to_page(f"/fichiers/{batch_id}")


@blueprint.post("/fichiers/<batch_id>/supprimer")
@require_scope(Scope.BULK)
def delete(batch_id: str) -> Response:
    """Delete an ended batch with its results, and redirect to the form."""
    try:
        services().batches.delete(BatchId(batch_id), caller_id())
    except (ResultNotReady, CorrectionInProgress) as error:
        return _page(batch_id, error)
    except (BrokerUnavailable, StorageUnavailable) as error:
        return _outage_page(batch_id, error)
    return redirect_to_page("/fichiers")


@blueprint.post("/fichiers/<batch_id>/corriger")
@require_scope(Scope.BULK)
def correct(batch_id: str) -> Response:
    """Accept a file of corrected rows and redirect to the page of their batch.

    A refusal shows the page of the corrected batch, whose form takes the rows again.
    """
    try:
        correction = accept_correction(batch_id)
    except (InvalidInput, UnsupportedUpload, CorrectionInProgress, NothingToCorrect) as error:
        return _page(batch_id, error)
    return redirect_to_page(f"/fichiers/{correction.manifest.id}")


@blueprint.get("/fichiers/<batch_id>/suivi")
@require_scope(Scope.BULK)
def follow(batch_id: str) -> Response:
    """Send the progress as server-sent events, or as JSON for clients without them."""
    if "etat" in request.args:
        batch = current_batch(batch_id)
        response = json_response(serialize_batch(batch, time.time(), page_language()))
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
    export = EXPORTS[form]
    if export.localized:
        export = dataclasses.replace(export, language=page_language())
    return stored_response(batch, ResultTable.RESULTS, export)


@blueprint.get("/fichiers/<batch_id>/refusees")
@require_scope(Scope.BULK)
def rejected(batch_id: str) -> Response:
    """Send the rejected rows as an Excel workbook, or as CSV if a sheet cannot hold them."""
    batch = current_batch(batch_id)
    is_small = batch.progress.counts.invalid < SHEET_MAX_ROWS
    export = Export(format=ExportFormat.XLSX if is_small else ExportFormat.EXCEL_FR)
    return stored_response(batch, ResultTable.REJECTED, export)


def _page(batch_id: str, refusal: DomainError | None = None) -> Response:
    """The page of a batch, with the reasons of a refused request."""
    view = build_page(current_batch(batch_id))
    refusals = [] if refusal is None else list(reasons(refusal))
    status = 200 if refusal is None else status_of(refusal)
    return render("file.html", status, view=view, refusals=refusals, refresh=REFRESH_S)


def _outage_page(batch_id: str, error: DomainError) -> Response:
    """A page that says what does not answer, and loads the page of the batch until it does."""
    view = {"id": batch_id[:64], **describe_outage(error)}
    status = status_of(error)
    response = render("batch/outage.html", status, view=view, refresh=OUTAGE_REFRESH_S)
    response.headers["Retry-After"] = str(retry_after_s(error))
    return response
