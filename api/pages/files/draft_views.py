"""`/fichiers/brouillons/{id}`: look at a stored file, choose how it is read, start its batch."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request

from api.http.context import admission, caller_id, services
from api.http.problems import status_of
from api.middleware.authentication import Scope, require_scope
from api.pages.files.draft_form import build_draft_form
from api.pages.files.draft_preview import preview_view
from api.pages.files.pages import blueprint, form_page, render, trouble_of, with_error_headers
from api.pages.files.redirects import redirect_to_batch, redirect_to_page
from api.pages.files.upload_form import chosen_values, is_outdated, load_options
from api.pages.language import gettext as _
from api.pages.language import page_language
from shared.domain.batch import BatchOptions
from shared.domain.errors import (
    BatchExpired,
    BatchNotFound,
    BrokerUnavailable,
    DomainError,
)
from shared.domain.files.draft import DRAFT_TTL_S, Draft
from shared.i18n.catalogue import mark
from shared.queue.names import QueueName

REFRESH_S = 3
"""Reload interval while the preview is not there, in browsers without JavaScript."""
FORM_MAX_BYTES = 200_000
SENT = "sent"
"""Field of the form of choices; the buttons of a page without the form send none."""
NOTICE, NOTICE_ANCHOR = "avis", "#avis"
"""Parameter of the page with a key of `NOTICES`, and where the notice stands."""
MOVED, OUTDATED = "tableau", "choix"
NOTICES = {
    MOVED: (
        mark("The file is not valued yet: its columns were recognised anew"),
        mark(
            "The sheet or the row of headers has changed. Check the columns below, then value the "
            "file. Units and common values that you have chosen are kept."
        ),
    ),
    OUTDATED: (
        mark("The choices had changed since this form was opened"),
        mark(
            "Perhaps in another window. The file is not valued yet, and the form that was just "
            "sent was not used: here are the current choices."
        ),
    ),
}
"""Title and text of why a form did not do what its button says."""


def draft_path(draft_id: str) -> str:
    """The path of the page of a draft."""
    return f"/fichiers/brouillons/{draft_id}"


@blueprint.get("/fichiers/brouillons/<draft_id>")
@require_scope(Scope.BULK)
def show_draft(draft_id: str) -> Response:
    """Show what a stored file is read as, and the choices."""
    try:
        draft = services().drafts.get(draft_id, caller_id())
    except (BatchExpired, BatchNotFound) as error:
        return _gone(error)
    if draft.batch_id is not None:
        return redirect_to_batch(draft.batch_id)
    return _page(draft)


@blueprint.post("/fichiers/brouillons/<draft_id>")
@require_scope(Scope.BULK)
def choose(draft_id: str) -> Response:
    """Record choices, and show the preview that they give."""
    return _with_choices(draft_id, _show_again)


@blueprint.post("/fichiers/brouillons/<draft_id>/estimer")
@require_scope(Scope.BULK)
def start(draft_id: str) -> Response:
    """Start the batch of a draft with the choices of the form."""
    return _with_choices(draft_id, _start)


@blueprint.post("/fichiers/brouillons/<draft_id>/supprimer")
@require_scope(Scope.BULK)
def delete_draft(draft_id: str) -> Response:
    """Delete a draft and its file."""
    with contextlib.suppress(BatchExpired, BatchNotFound):  # it is deleted already
        services().drafts.delete(services().drafts.get(draft_id, caller_id()))
    return redirect_to_page("/fichiers")


def _with_choices(draft_id: str, act: Callable[[Draft, BatchOptions], Response]) -> Response:
    """Do something with a draft and the choices that a form states; a refusal keeps them."""
    request.max_form_memory_size = request.max_content_length = FORM_MAX_BYTES
    values = request.form.to_dict()
    try:
        draft = services().drafts.get(draft_id, caller_id())
    except (BatchExpired, BatchNotFound) as error:
        return _gone(error)
    if draft.batch_id is not None:
        return redirect_to_batch(draft.batch_id)
    try:
        options = dataclasses.replace(draft.options, language=page_language())
        if SENT in values:
            if is_outdated(values, draft):
                return _show_notice(draft, OUTDATED)
            options = load_options(chosen_values(values, draft.options), dry_run=False)
        return act(draft, options)
    except DomainError as error:
        return _page(draft, error, values)


def _show_again(draft: Draft, options: BatchOptions) -> Response:
    services().drafts.choose(draft, options)
    return redirect_to_page(draft_path(draft.id), anchor="#apercu")


def _start(draft: Draft, options: BatchOptions) -> Response:
    if _table_of(options) != _table_of(draft.options):
        # Nobody has seen what the columns of the other sheet or header are read as.
        services().drafts.choose(draft, options)
        return _show_notice(draft, MOVED)
    options = dataclasses.replace(options, dry_run="verifier" in request.args)
    return redirect_to_batch(services().drafts.start(draft, options, admission()))


def _table_of(options: BatchOptions) -> tuple[str | None, bool | None, int | None]:
    """Which table of a file is read."""
    return options.sheet, options.header, options.header_row


def _show_notice(draft: Draft, notice: str) -> Response:
    return redirect_to_page(draft_path(draft.id), {NOTICE: notice}, NOTICE_ANCHOR)


def _notice() -> dict[str, str] | None:
    """The notice that the address of the page names."""
    texts = NOTICES.get(request.args.get(NOTICE, ""))
    return None if texts is None else {"title": _(texts[0]), "text": _(texts[1])}


def _page(
    draft: Draft, error: DomainError | None = None, values: Mapping[str, str] | None = None
) -> Response:
    """The page of a draft.

    Args:
        draft: the draft.
        error: why choices, or the start of the batch, were refused.
        values: of the form, which are kept then.
    """
    preview, obstacle = _preview(draft)
    response = render(
        "files/draft.html",
        200 if error is None else status_of(error),
        draft=draft,
        path=draft_path(draft.id),
        name=draft.file_name or _("Your file"),
        hours=DRAFT_TTL_S // 3600,
        trouble=None if error is None else trouble_of(error),
        obstacle=obstacle,
        notice=_notice(),
        form=None if preview is None else build_draft_form(draft, preview, values),
        view=None if preview is None else preview_view(draft, preview),
        refresh=REFRESH_S,
    )
    return response if error is None else with_error_headers(response, error)


def _preview(draft: Draft) -> tuple[Mapping[str, Any] | None, str]:
    """The preview if it is there, and otherwise why it may not come soon."""
    try:
        preview = services().drafts.preview(draft, 0.0)
        if preview is None and not services().health.workers.live_counts()[QueueName.CONTROL]:
            return None, _(
                "No worker is running, so the file cannot be read now. It is kept, and read as "
                "soon as one is."
            )
        return preview or services().drafts.preview(draft), ""
    except BrokerUnavailable:
        return None, _(
            "The queue does not answer, so the file cannot be read now. It is kept, and read as "
            "soon as the queue is back."
        )


def _gone(error: DomainError) -> Response:
    """The upload form, with the reason why a draft is not there."""
    if isinstance(error, BatchExpired):
        title = _("This draft has expired")
        text = _("Uploaded files are kept for {hours} hours until they are valued. Send it again.")
    else:
        title = _("There is no such draft")
        text = _("It was deleted, or it belongs to another key. Send the file again.")
    detail = text.format(hours=DRAFT_TTL_S // 3600)
    status = HTTPStatus.GONE if isinstance(error, BatchExpired) else HTTPStatus.NOT_FOUND
    return form_page({"title": title, "details": [detail]}, status=status)
