"""The context of Flask's current request: services, caller, language."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from flask import current_app, g, has_request_context, request

from api.http.requests import preferred_language
from api.http.responses import ACCEPT_LANGUAGE
from shared.domain.ids import CallerId
from shared.i18n.languages import Language

if TYPE_CHECKING:
    from api.container import ApiServices
    from api.middleware.key_limits import Admission

EXTENSION = "carprice"
RECEIVE = "carprice.receive"
"""In the WSGI environment: `receive` of the request, to be awaited on the event loop."""


def services() -> "ApiServices":
    """The services of this application."""
    return cast("ApiServices", current_app.extensions[EXTENSION])


def public_address() -> str:
    """The address of the service for its readers, without a slash at the end.

    That of `PUBLIC_URL`; without it the host and the scheme of the current request, which a client
    can forge and a proxy can change.
    """
    return (services().settings.public_url or request.host_url).rstrip("/")


def caller_id() -> CallerId:
    """The caller; set by `api.middleware.authentication` before the view runs."""
    return CallerId(g.caller.id)


def disconnects() -> Callable[[], Awaitable[Mapping[str, Any]]] | None:
    """Returns `http.disconnect` when the client leaves; the body has to be read before.

    None if the server does not tell, or outside of a request.
    """
    return request.environ.get(RECEIVE) if has_request_context() else None


def transferring_caller() -> str:
    """The caller, as `ConcurrencyLimiter` names it: empty while there are no keys.

    Visitors of a demonstration are named apart by address, so that one leaves slots to others.
    """
    if g.caller is None or not g.caller.key_id:
        return ""
    return str(g.caller.bucket or g.caller.id)


def visitor_address() -> str:
    """A digest of the address of a visitor of a demonstration; empty for other callers."""
    caller = g.get("caller")
    return "" if caller is None else str(caller.bucket)


def is_visitor() -> bool:
    """Whether the caller is a visitor of a demonstration, who values single cars only."""
    return bool(visitor_address())


def admission() -> "Admission":
    """The limits that apply to what the caller submits."""
    return services().submission_limits.of(g.caller, partial(setattr, g, "rate_state"))


def language() -> Language:
    """The language of the request, by `Accept-Language`; French if it states no preference."""
    g.depends_on_language = True  # the response says so: see `api.middleware.content_language`
    return preferred_language(request.headers.get(ACCEPT_LANGUAGE))
