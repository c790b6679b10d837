"""What the page of a batch shows."""

import time
from typing import Any

from flask import request

from api.batches.retries import may_be_retried
from api.batches.row_views import row_query
from api.batches.schemas import serialize_batch
from api.http.context import services
from api.pages.files.cell_views import DONE, describe_correction
from api.pages.files.result_table import TableView, table_parameters
from api.pages.files.sentences import problem_sentences
from api.pages.files.summary import build_summary
from api.pages.files.upload_form import build_file_form, option_values
from api.pages.language import gettext as _
from api.pages.language import page_language, page_url
from api.pages.typography import format_datetime, format_number
from shared.domain.batch import Batch
from shared.domain.errors import (
    BrokerUnavailable,
    DomainError,
    ExportNotReady,
    ResultNotReady,
    StorageUnavailable,
    TooManyRowsForSearch,
    TooManyRowsForTable,
)
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark
from shared.messages.texts import describe_batch_error, describe_problem
from shared.queue.names import QueueName

INDEX_WAIT_S = 3.0
"""Longest wait of the first look at the rows, for which a worker makes an index."""
OUTCOME_TITLES = {
    "complete": mark("All cars are valued"),
    "with_errors": mark("Finished; rows have to be corrected"),
    "partial": mark("Finished in part; rows could not be valued"),
    "aborted": mark("Stopped before the end"),
    "cancelled": mark("Cancelled"),
    "dry_run": mark("Checked, without valuation"),
}
STATE_TITLES = {
    "QUEUED": mark("Waiting"),
    "RUNNING": mark("Being valued"),
    "SUCCEEDED": mark("Finished"),
    "FAILED": mark("Failed"),
    "CANCELLED": mark("Cancelled"),
}


def build_page(batch: Batch) -> dict[str, Any]:
    """The values that `file.html` shows."""
    manifest, progress = batch.manifest, batch.progress
    state = serialize_batch(batch, time.time(), page_language())
    found = state["input"]
    has_ended = progress.state.is_terminal
    title = OUTCOME_TITLES[str(progress.outcome)] if progress.outcome else None
    view = {
        "id": manifest.id,
        "name": manifest.file_name or _("Your file"),
        "title": _(title or STATE_TITLES[str(progress.state)]),
        "has_ended": has_ended,
        "is_stopping": progress.cancel_requested and not has_ended,
        "corrects": manifest.corrects,
        "is_checked_only": manifest.options.dry_run,
        "counts": state["counts"],
        "shown": {name: format_number(count or 0) for name, count in state["counts"].items()},
        "columns": [(_label(field), name) for field, name in found["columns"].items()],
        "unused": found["unused"],
        "notices": [notice["detail"] for notice in found["notices"]],
        "errors": _errors(batch),
        "form": _form_of_refused(batch),
        "expires": _expiry(batch),
        "has_results": has_ended and bool(found["columns"]),
    }
    if has_ended:
        view["can_retry"] = may_be_retried(batch) and services().batch_retries.has_file(manifest.id)
        return view | _result(batch)
    return view | _wait(state)


def _label(field: str) -> str:
    return CAR_FIELDS[field].label(page_language())


def _wait(state: dict[str, Any]) -> dict[str, Any]:
    """What is known of the end of a running batch, in words."""
    speed, eta_s, position = (
        state[name] for name in ("rows_per_second", "eta_s", "queue_position")
    )
    words = []
    if position is not None and position > 1:
        words.append(_("Place in the queue: {place}").format(place=format_number(position)))
    if speed:
        words.append(_("{rate} rows per second").format(rate=format_number(speed)))
    if eta_s is not None:
        words.append(_remaining(eta_s))
    return {"wait": words, "idle": _idle_notice()}


def _remaining(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return _("about {n} s left").format(n=max(round(seconds), 1))
    return _("about {n} min left").format(n=format_number(round(seconds / 60)))


def _idle_notice() -> str:
    """That no worker runs; empty if one does."""
    try:
        workers = services().health.workers.live_counts()
    except BrokerUnavailable:
        return ""
    if all(workers.get(queue, 0) for queue in (QueueName.BULK, QueueName.CONTROL)):
        return ""
    return _("No worker is running at the moment. The file keeps its place, and goes on by itself.")


def _result(batch: Batch) -> dict[str, Any]:
    """The sums and the rows of an ended batch, or why they are not there."""
    if batch.manifest.corrects is not None or not batch.progress.counts.done:
        return {}
    parameters = table_parameters(request.args)
    try:
        page = services().batch_rows.page(batch, row_query(parameters), INDEX_WAIT_S)
        if page.total and not page.rows:  # an address behind the last page
            parameters["page"] = page.pages
            page = services().batch_rows.page(batch, row_query(parameters), INDEX_WAIT_S)
    except (ExportNotReady, ResultNotReady):
        idle = _idle_notice()
        text = idle or _("The table of the rows is being made. This page loads again by itself.")
        return {"table_notice": text, "is_table_coming": True}
    except (BrokerUnavailable, TooManyRowsForTable, TooManyRowsForSearch) as error:
        _title, text = describe_problem(error.code, error.params, page_language())
        is_outage = isinstance(error, BrokerUnavailable)
        return {"table_notice": text, "is_table_coming": is_outage}
    done = request.args.get(DONE, "")
    said = describe_correction(done) if done in batch.progress.corrections else ""
    return {
        "table": TableView(batch, parameters, page).dump(),
        "summary": build_summary(batch, page.head),
        "said": said,
    }


def _expiry(batch: Batch) -> str:
    """Until when the results are kept; empty while the batch runs."""
    progress = batch.progress
    ended_at = max(progress.finished_at or 0, progress.corrected_at or 0)
    if not progress.state.is_terminal or not ended_at:
        return ""
    return format_datetime(ended_at + services().settings.batch_retention_s)


def _form_of_refused(batch: Batch) -> dict[str, Any] | None:
    """The form that asks for the columns of a file that a worker refused."""
    form = build_file_form(option_values(batch.manifest.options), batch.refusal)
    return form if form["mapping"] else None


def _errors(batch: Batch) -> list[str]:
    """Why a batch ended early; empty if it did not."""
    if batch.refusal:
        return list(problem_sentences(batch.refusal))
    code = batch.progress.error
    return [] if code is None else [describe_batch_error(code, page_language())]


def describe_outage(error: DomainError) -> dict[str, str]:
    """What the page of a batch says while the broker or the store does not answer."""
    if isinstance(error, StorageUnavailable):
        title = _("The storage of the files does not answer")
        kept = _("The file and its results are kept there. This page tries again by itself.")
    else:
        title = _("The message queue does not answer")
        kept = _("The file is stored, and nothing is lost. This page tries again by itself.")
    return {"title": title, "detail": kept, "address": page_url(request.path)}
