"""Changes that operators make on `/ops`: each is a POST that redirects back to the page.

They call what the API's own endpoints call, under the name of the operator's key, so that history,
logs and limits are the same. Forms of other sites are refused before (`api.middleware.cross_site`).
"""

from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, ParamSpec

from flask import Response, g, request

from api.dashboard.access import Operator, current_operator
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
SHOWN_CHARS = 20
"""A text that is no percentage is quoted up to this length."""

log = get_logger("operations")


class FormError(ValueError):
    """A form contains what cannot be used; the message is translated."""


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
            except FormError as error:
                trouble = {"title": _("Nothing was changed."), "details": [str(error)]}
                return _refused(operator, trouble, HTTPStatus.UNPROCESSABLE_ENTITY)
            except DomainError as error:
                return _refused(operator, trouble_of(error), status_of(error))
            log.info("operator_changed", by=caller_id(), change=done, of=request.path)
            services().operations.snapshots.latest(is_fresh=True)
            return redirect_to_page("/ops", {"done": done}, anchor)

        return checked

    return decorate


def _refused(operator: Operator, trouble: Mapping[str, Any], status: int) -> Response:
    """The page, with why nothing was changed."""
    page: Response = dashboard(operator, trouble=trouble, status=status)
    return page


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
    share = _whole_percent(request.form.get("percent", "")) / PERCENT
    with store_errors():
        services().operations.shadow.point_to(version, share)


def _whole_percent(text: str) -> int:
    """A percentage from 1 to 100, in digits of any script.

    Raises:
        FormError: the text is something else.
    """
    given = text.strip()
    is_number = given.isdecimal() and len(given) <= len(str(PERCENT))
    if not is_number or not 1 <= int(given) <= PERCENT:
        said = _("“{text}” is not a percentage: write a whole number from 1 to 100.")
        raise FormError(said.format(text=given[:SHOWN_CHARS]))
    return int(given)


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
