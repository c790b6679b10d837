"""`/ops`: the dashboard, its live updates, and signing in."""

import time
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus

import orjson
from flask import Blueprint, Response, g, request, stream_with_context

from api.dashboard.access import Operator, authenticator, current_operator
from api.dashboard.page import dashboard, render_parts
from api.dashboard.sessions import Session
from api.dashboard.texts import format_rate, format_share, format_span
from api.events.snapshots import EVENT_STREAM, STREAM_HEADERS
from api.http.context import services
from api.http.problems import CrossSiteRefused
from api.middleware.authentication import Scope
from api.middleware.cross_site import is_cross_site
from api.middleware.visitors import network_digest
from api.ops.docs_views import html_response
from api.pages.files.redirects import redirect_to_page
from api.pages.language import gettext as _
from api.pages.policy import ASSETS, PAGE_CSP
from shared.logging import get_logger
from shared.operations.live import INTERVAL_S

MAX_STREAM_S = 900.0
"""The browser then connects again."""

MAX_KEY_CHARS = 200
MAX_FORM_BYTES = 4096
"""Of the sign-in: whoever sends it has no key yet."""

blueprint = Blueprint("dashboard", __name__, template_folder="templates", url_prefix="/ops")
blueprint.add_app_template_filter(format_span, "span")
blueprint.add_app_template_filter(format_rate, "rate")
blueprint.add_app_template_filter(format_share, "share")

log = get_logger("operations")


def for_operators(view: Callable[[Operator], Response]) -> Callable[[], Response]:
    """A view for operators; others get the form to sign in."""

    @wraps(view)
    def checked() -> Response:
        operator = current_operator()
        return sign_in_page() if operator is None else view(operator)

    return checked


@blueprint.get("")
@for_operators
def show(operator: Operator) -> Response:
    """Show the service as it is now."""
    response: Response = dashboard(operator)
    if operator.session is not None:
        _set_session(response, operator.session)
    return response


@blueprint.get("/events")
@for_operators
def follow(_operator: Operator) -> Response:
    """Send the parts of the page whenever they have changed, until the operator is one no more."""
    if is_cross_site():  # it could not read them, but would hold all the streams
        raise CrossSiteRefused
    streams = services().operations.streams
    if not streams.acquire(blocking=False):
        return Response(status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "60"})
    response = Response(stream_with_context(_events()), mimetype=EVENT_STREAM)
    response.call_on_close(streams.release)
    response.headers.update(STREAM_HEADERS)
    return response


def _events() -> Iterator[bytes]:
    until, sent = time.monotonic() + MAX_STREAM_S, dict[str, str]()
    while time.monotonic() < until:
        # A key may have been revoked meanwhile, and sessions end.
        if current_operator() is None:
            yield b"event: end\ndata: {}\n\n"
            return
        parts = render_parts(services().operations.snapshots.latest())
        changed = {name: html for name, html in parts.items() if sent.get(name) != html}
        sent = parts
        # Without changes as well: writing notices that the browser has left.
        yield b"data: %b\n\n" % orjson.dumps(changed)
        time.sleep(INTERVAL_S)


@blueprint.post("/sign-in")
def sign_in() -> Response:
    """Begin a session of who sends an admin key, and redirect to the page."""
    request.max_content_length = MAX_FORM_BYTES
    key = request.form.get("key", "").strip()[:MAX_KEY_CHARS]
    caller = authenticator().caller(f"Bearer {key}")
    if caller is None or caller.is_anonymous:
        return _refuse(_("This is not a valid key."))
    if Scope.ADMIN not in caller.scopes:
        return _refuse(_("This key does not have the scope admin."))
    log.info("operator_signed_in", caller=caller.id, key=caller.key_id)
    response = redirect_to_page("/ops")
    _set_session(response, services().operations.sessions.begin(caller.key_id))
    return response


def _refuse(message: str) -> Response:
    """The form again; only these attempts are limited, so that nobody can lock operators out."""
    network = network_digest(request.environ, services().settings.trusted_proxies)
    if not services().operations.sign_ins.admits(network):
        return sign_in_page(_("Too many attempts: wait a minute."), HTTPStatus.TOO_MANY_REQUESTS)
    return sign_in_page(message)


@blueprint.post("/sign-out")
@for_operators
def sign_out(_operator: Operator) -> Response:
    """End the session."""
    response = redirect_to_page("/ops")
    cookie = services().operations.sessions.cookie
    response.delete_cookie(cookie, path="/ops", samesite="Strict", httponly=True)
    return response


def sign_in_page(message: str = "", status: int = HTTPStatus.FORBIDDEN) -> Response:
    """The form for an admin key; not 401, whose challenge browsers answer by a dialogue."""
    g.depends_on_language = True
    response = html_response(
        "dashboard/sign_in.html",
        PAGE_CSP,
        status=status,
        assets=ASSETS,
        cache_control="private, no-store",
        message=message,
    )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = "60"
    return response


def _set_session(response: Response, session: Session) -> None:
    is_secure = request.is_secure or services().settings.public_url.startswith("https://")
    sessions = services().operations.sessions
    value, max_age_s = sessions.issue(session)
    response.set_cookie(
        sessions.cookie,
        value,
        max_age=max_age_s,
        path="/ops",
        secure=is_secure,
        httponly=True,
        samesite="Strict",
    )
