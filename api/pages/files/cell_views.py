"""`/fichiers/{id}/lignes`: cells are corrected in a form, and valued again in their batch."""

from http import HTTPStatus
from typing import Any

from flask import Response, request

from api.batches.cell_corrections import correct_rows
from api.batches.rows.reading import ResultRow, RowQuery
from api.batches.views import current_batch
from api.http.context import admission, caller_id, services
from api.http.problems import status_of
from api.middleware.authentication import Scope, require_scope
from api.pages.files.cell_form import (
    ROW,
    RowChange,
    build_cell_form,
    form_rows,
    read_changes,
)
from api.pages.files.pages import blueprint, reasons, render
from api.pages.files.redirects import redirect_to_page
from api.pages.files.result_table import ANCHOR, kept_query, table_parameters
from api.pages.language import gettext as _
from shared.blobs.row_index import RowFilter
from shared.domain.batch import Batch
from shared.domain.errors import DomainError
from shared.domain.ids import BatchId

FORM_MAX_BYTES = 4_000_000
CORRECTION_WAIT_S = 10.0
"""Longest wait for the correction of a few rows; after it its own page is shown."""
REJECTED = "refusees"
"""The parameter that asks for the form of the first rejected rows."""
DONE = "corrige"
"""The parameter that names the correction whose rows are shown."""


@blueprint.get("/fichiers/<batch_id>/lignes")
@require_scope(Scope.BULK)
def edit(batch_id: str) -> Response:
    """Show the form of rows."""
    batch = current_batch(batch_id)
    rows = _rows_of_address(batch)
    if not rows:
        return redirect_to_page(f"/fichiers/{batch_id}", _back(), ANCHOR)
    said = _said_of_correction(batch)
    return _form_page(batch, rows, said=said)


def _rows_of_address(batch: Batch) -> list[ResultRow]:
    """The rows that the address names, or the first rejected ones."""
    if REJECTED in request.args:
        wanted = RowFilter(status="rejected")
        return list(services().batch_rows.page(batch, RowQuery(wanted=wanted)).rows)
    return services().batch_rows.rows(batch, form_rows(request.args))


@blueprint.post("/fichiers/<batch_id>/lignes")
@require_scope(Scope.BULK)
def correct_cells(batch_id: str) -> Response:
    """Value the changed rows of the form again, and show them in their place.

    If a row was corrected after the form showed it, nothing is sent: the form is shown again with
    the cells as they are now, the entries, and a notice.
    """
    request.max_content_length = FORM_MAX_BYTES
    request.max_form_memory_size = FORM_MAX_BYTES
    request.max_form_parts = None
    batch = current_batch(batch_id)
    rows = services().batch_rows.rows(batch, form_rows(request.form))
    changes = [one for one in read_changes(request.form, rows) if one.is_new]
    if not changes:
        return _form_page(batch, rows, said=[_("No cell was changed.")])
    kept = {one.row.number: one for one in changes}
    if any(one.is_outdated for one in changes):
        trouble = [
            _("Rows were corrected since this form was opened. Check the marked cells, then send "
              "your entries again.")
        ]  # fmt: skip
        return _form_page(batch, rows, kept, trouble=trouble, status=HTTPStatus.CONFLICT)
    try:
        correction = correct_rows(
            services().batches,
            batch,
            [(one.row.line, one.cells) for one in changes],
            caller_id(),
            admission(),
        )
    except DomainError as error:  # whatever the reason, the entries are kept
        said = list(reasons(error))
        return _form_page(batch, rows, kept, trouble=said, status=status_of(error))
    return _after(batch, correction, list(kept))


def _after(batch: Batch, correction: Batch, numbers: list[int]) -> Response:
    """Send the browser to the corrected rows; to their progress if they take longer."""
    correction_id = correction.manifest.id
    ended = services().batches.wait(correction_id, caller_id(), CORRECTION_WAIT_S)
    if not ended.progress.state.is_terminal or not ended.progress.counts.done:
        return redirect_to_page(f"/fichiers/{correction_id}")
    address = f"/fichiers/{batch.manifest.id}"
    if ended.progress.counts.invalid:
        rows = services().batch_rows.rows(current_batch(batch.manifest.id), numbers)
        wrong = [str(row.number) for row in rows if row.is_rejected]
        if wrong:
            query = {**_back(), DONE: correction_id, ROW: wrong}
            return redirect_to_page(f"{address}/lignes", query)
    return redirect_to_page(address, {**_back(), DONE: correction_id}, f"#l{numbers[0]}")


def _back() -> dict[str, str]:
    """The parameters of the table from which the form was opened."""
    return kept_query(table_parameters(request.args))


def _said_of_correction(batch: Batch) -> list[str]:
    """What became of the rows that were sent before."""
    done = request.args.get(DONE, "")
    if done not in batch.progress.corrections:
        return []
    return [describe_correction(done)]


def describe_correction(correction_id: str) -> str:
    """How many rows of an ended correction are valued now; empty if it is gone."""
    try:
        counts = services().batches.get(BatchId(correction_id), caller_id()).progress.counts
    except DomainError:
        return ""
    text = _("Rows valued again: {valid}. Still rejected: {invalid}.")
    return text.format(valid=counts.valid, invalid=counts.invalid)


def _form_page(
    batch: Batch,
    rows: list[ResultRow],
    changes: dict[int, RowChange] | None = None,
    *,
    said: list[str] | None = None,
    trouble: list[str] | None = None,
    status: int = 200,
) -> Response:
    view: dict[str, Any] = {
        "id": batch.manifest.id,
        "name": batch.manifest.file_name or _("Your file"),
        "rows": build_cell_form(batch, rows, changes),
        "back": _back(),
        "said": said or [],
        "trouble": trouble or [],
    }
    return render("batch/cells.html", status, view=view)
