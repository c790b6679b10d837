"""Cross-site requests may read prices but not change state.

A browser lets every page send forms to any address, and adds the credentials it remembers for it.
Requests with a bearer key are exempt: no browser adds one by itself. Without keys the loopback
address is the only protection, and two attacks pass it: a page of another site that posts to
127.0.0.1, and a host name of another site that resolves to it (DNS rebinding).
"""

from flask import Flask, g, request

from api.http.problems import CrossSiteRefused, HostRefused
from api.middleware.authentication import Authenticator
from api.middleware.cors import ADMIN_PREFIXES, allowed_origins, is_named
from shared.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HTTP_1_0 = ("HTTP/1.0", "HTTP/1")
FORM_PATH = "/"
"""The page's form: open to all sites while there are no keys, for which it keeps no estimate. With
keys, a browser would send the password it remembers for the page, and another site could spend the
cars of its key."""
JSON_PATH = "/predict"
"""Open to all sites: for JSON a browser sends a preflight first, and no password counts here."""
KEEP_PARAMETER = "keep"
"""Closes it: the answer would be stored."""


def register(app: Flask, settings: Settings, authenticator: Authenticator) -> None:
    """Refuse such requests before any view runs; to be registered after authentication."""
    trusted = allowed_origins(settings)

    @app.before_request
    def refuse_foreign_hosts() -> None:
        host = request.environ.get("HTTP_HOST")
        # Only HTTP/1.0 may leave it out, which no browser speaks; the server then says "".
        if host == "" and request.environ["SERVER_PROTOCOL"] in HTTP_1_0:
            return
        if host is not None and not authenticator.accepts_host(host):
            raise HostRefused

    @app.before_request
    def refuse_foreign_changes() -> None:
        is_anonymous = g.caller is not None and g.caller.is_anonymous
        is_open = (request.path == JSON_PATH and KEEP_PARAMETER not in request.args) or (
            request.path == FORM_PATH and is_anonymous
        )
        is_exempt = request.method == "POST" and is_open
        # Passwords are read later, for pages only: the caller here has a bearer key.
        has_bearer_key = g.caller is not None and not is_anonymous
        if request.method in SAFE_METHODS or is_exempt or has_bearer_key:
            return
        origin = request.headers.get("Origin")
        is_trusted = is_named(origin, trusted) and not request.path.startswith(ADMIN_PREFIXES)
        if is_cross_site() and not is_trusted:
            raise CrossSiteRefused


def is_cross_site() -> bool:
    """Whether a page of another origin sent this request.

    `Sec-Fetch-Site` is the browser's own comparison and correct behind proxies. Without it the
    origin must be the requested host. Other clients send neither header.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    _, _, host = origin.partition("://")
    return host.casefold() != request.headers.get("Host", "").casefold()
