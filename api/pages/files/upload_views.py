"""`/fichiers`: the form that takes a file, and the last batches."""

from flask import Response, request

from api.batches.views import upload_body
from api.http.context import admission, caller_id, services
from api.http.problems import status_of
from api.middleware.authentication import Scope, require_scope
from api.pages.files.pages import blueprint, form_page, redirect_to, sentences
from api.pages.files.upload_form import (
    FORM_FIELDS,
    build_file_form,
    load_options,
)
from shared.domain.errors import (
    InvalidInput,
)
from shared.messages.texts import describe_problem


@blueprint.get("/fichiers")
@require_scope(Scope.BULK)
def form() -> Response:
    """Show the form and the last batches."""
    return form_page()


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
        return form_page(trouble, status=status_of(error), form=form)
    return redirect_to(batch.manifest.id)
