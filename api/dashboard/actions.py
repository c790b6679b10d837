"""Changes that operators make on `/ops`: each is a POST that redirects back to the page.

They call what the API's own endpoints call, under the name of the operator's key, so that history,
logs and limits are the same. Forms of other sites are refused before (`api.middleware.cross_site`).
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, g, request

from api.dashboard.access import current_operator
from api.dashboard.page import dashboard
from api.dashboard.views import blueprint, sign_in_page
from api.http.context import caller_id, services
from api.http.problems import status_of
from api.models.views import store_errors
from api.pages.files.pages import trouble_of
from api.pages.files.redirects import redirect_to_page
from api.pages.language import gettext as _
from shared.domain.errors import BatchNotFound, DomainError
from shared.domain.ids import BatchId, is_id
from shared.logging import get_logger

P = ParamSpec("P")
PERCENT = 100

log = get_logger("operations")


def change(done: str, anchor: str) -> Callable[[Callable[P, None]], Callable[P, Response]]:
    """A view of an operator who may change something.

    Args:
        done: code of what is said afterwards (`texts.DONE`).
        anchor: place on the page that is shown then.
    """

    def decorate(view: Callable[P, None]) -> Callable[P, Response]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            operator = current_operator()
            if operator is None or not operator.may_change:
                return sign_in_page(_("Changes need an admin key."))
            g.caller = operator.caller
            try:
                view(*args, **kwargs)
            except DomainError as error:
                trouble = trouble_of(error)
                refused: Response = dashboard(operator, trouble=trouble, status=status_of(error))
                return refused
            log.info("operator_changed", by=caller_id(), change=done, of=request.path)
            services().operations.snapshots.latest(is_fresh=True)
            return redirect_to_page("/ops", {"done": done}, anchor)

        return checked

    return decorate


@blueprint.post("/models/<version>/activate")
@change("activated", "#models")
def activate(version: str) -> None:
    """Make a version the active one, after its self-test."""
    with store_errors():
        services().registry.activate(version, by=caller_id())


@blueprint.post("/models/rollback")
@change("rolled-back", "#models")
def rollback() -> None:
    """Activate the version that was active before."""
    with store_errors():
        services().registry.rollback(by=caller_id())


@blueprint.post("/models/<version>/shadow")
@change("shadow", "#models")
def shadow(version: str) -> None:
    """Let a version value a share of the cars besides the active one."""
    percent = request.form.get("percent", "10")
    share = int(percent) / PERCENT if percent.isdecimal() and len(percent) < PERCENT else 0.0
    with store_errors():
        services().operations.shadow.point_to(version, min(max(share, 0.01), 1.0))


@blueprint.post("/models/no-shadow")
@change("no-shadow", "#models")
def no_shadow() -> None:
    """Have no shadow any more."""
    with store_errors():
        services().operations.shadow.clear()


@blueprint.post("/dead-letters/<letter_id>/replay")
@change("replayed", "#letters")
def replay(letter_id: str) -> None:
    """Carry out given up work again, with all failed chunks of its batch."""
    services().dead_letters.replay_of_batch(letter_id)


@blueprint.post("/dead-letters/<letter_id>/drop")
@change("dropped", "#letters")
def drop(letter_id: str) -> None:
    """Forget given up work."""
    services().dead_letters.drop(letter_id)


@blueprint.post("/batches/<batch_id>/retry")
@change("retried", "#work")
def retry(batch_id: str) -> None:
    """Value the rows of a batch again that could not be valued, on behalf of its caller."""
    known = is_id(batch_id)
    manifest = services().batches.files.manifest(BatchId(batch_id)) if known else None
    if manifest is None:
        raise BatchNotFound(id=batch_id[:64])
    services().batch_retries.retry(manifest.id, manifest.caller)
