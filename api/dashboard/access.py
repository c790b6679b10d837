"""Who may see `/ops` and change something there: this machine, or who has an admin key.

A request counts as one of this machine only if nothing says that a proxy has sent it: behind one,
every client of the world has a loopback address.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

from flask import current_app, g, request
from werkzeug.datastructures import Headers

from api.dashboard.sessions import Session
from api.http.context import services
from api.middleware.authentication import (
    EXTENSION,
    Authenticator,
    Scope,
    has_public_address,
    is_loopback,
)
from api.middleware.cross_site import HTTP_1_0
from api.middleware.key_directory import Caller
from shared.domain.ids import CallerId
from shared.settings import Settings

PROXY_HEADERS = (
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Forwarded",
    "Via",
)
LOCAL = CallerId("local")


class Operator(NamedTuple):
    """Who looks at the dashboard."""

    caller: Caller
    may_change: bool
    """Whether models may be activated and work be repeated."""
    session: Session | None = None
    """None if there is none that could be ended."""


def current_operator() -> Operator | None:
    """Who makes the current request; None: nobody who may see the dashboard.

    With API keys, this machine may look, and changes need a key: other users of the machine reach
    its loopback address as well.
    """
    sessions = services().operations.sessions
    caller = authenticator().caller(g.authorization)  # not `g.caller`: streams ask again and again
    if caller is not None and not caller.is_anonymous and Scope.ADMIN in caller.scopes:
        return Operator(caller, may_change=True)
    session = sessions.read(request.cookies.get(sessions.cookie, ""))
    holder = authenticator().holder(session.key_id) if session is not None else None
    if holder is not None and Scope.ADMIN in holder.scopes:
        return Operator(holder, may_change=True, session=session)
    if not is_of_this_machine(request.environ, request.headers, services().settings):
        return None
    local = Caller(id=LOCAL, scopes=frozenset({Scope.ADMIN}), is_anonymous=True)
    return Operator(local, may_change=authenticator().allows_anonymous)


def is_of_this_machine(environ: Mapping[str, Any], headers: Headers, settings: Settings) -> bool:
    """Whether a request comes from this machine, and from no proxy on it.

    Args:
        environ: of WSGI.
        headers: of the request.
        settings: a demonstration, or a service behind proxies, has no such requests.
    """
    # A public address leads through a proxy, which may add no header and name this machine.
    if settings.is_demo or settings.trusted_proxies or has_public_address(settings):
        return False
    # No browser speaks HTTP/1.0; some proxies do, and add no header by themselves.
    is_direct = environ.get("SERVER_PROTOCOL") not in HTTP_1_0 and not any(
        name in headers for name in PROXY_HEADERS
    )
    # A page of another site could have a name that leads to this machine (DNS rebinding).
    return is_direct and is_loopback(headers.get("Host", "")) and _is_loopback(environ)


def authenticator() -> Authenticator:
    """That of this application."""
    found: Authenticator = current_app.extensions[EXTENSION]
    return found


def _is_loopback(environ: Mapping[str, Any]) -> bool:
    try:
        address = ip_address(str(environ.get("REMOTE_ADDR", "")))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
