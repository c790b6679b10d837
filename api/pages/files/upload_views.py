"""`/fichiers`: the form that takes a file, and the last batches."""

from http import HTTPStatus

from flask import Response, g, request

from api.batches.views import upload_body
from api.http.context import admission, caller_id, is_visitor, services
from api.http.problems import status_of
from api.middleware.authentication import Scope, require_scope
from api.pages.files.draft_views import draft_path
from api.pages.files.pages import blueprint, form_page, key_page, trouble_of
from api.pages.files.redirects import redirect_to_batch, redirect_to_page
from api.pages.files.upload_form import (
    FORM_FIELDS,
    build_file_form,
    load_options,
)
from api.pages.policy import BASIC_CHALLENGE
from shared.domain.errors import InvalidInput

AT_ONCE, CHECK = "estimer", "verifier"
"""Query parameters of the buttons that start the batch without a draft: valued, or a dry run."""


@blueprint.get("/fichiers")
@require_scope(Scope.BULK)
def form() -> Response:
    """Show the form and the last batches."""
    return form_page()


@blueprint.get("/cle")
def ask_for_key() -> Response:
    """Have the browser of a visitor ask for a key, which it then sends to all pages."""
    if g.caller is not None and not is_visitor():
        return redirect_to_page("/fichiers")
    response = key_page(HTTPStatus.UNAUTHORIZED)
    response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    return response


@blueprint.post("/fichiers")
@require_scope(Scope.BULK)
def hand_in() -> Response:
    """Store a file as a draft, or start its batch; a refusal shows the form with its values."""
    body = upload_body()
    values = body.read_fields(FORM_FIELDS)
    try:
        options = load_options(values, dry_run=CHECK in request.args)
        if AT_ONCE not in request.args and CHECK not in request.args:
            draft = services().drafts.create(body, options, caller_id(), admission())
            return redirect_to_page(draft_path(draft.id))
        batch = services().batches.accept(body, options, caller_id(), admission=admission())
    except InvalidInput as error:
        form = build_file_form(values, error.problems)
        return form_page(trouble_of(error), status=status_of(error), form=form)
    return redirect_to_batch(batch.manifest.id)
