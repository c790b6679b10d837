"""CORS: which responses pages of other origins may read.

Prices, health and documentation are public. Everything else belongs to callers or to the operator,
and only the origins that `CORS_ORIGINS` names may read it: without API keys any page in a browser
on this machine could otherwise read jobs and results.
"""

from urllib.parse import urlsplit

from flask import Flask, Response, request

from shared.settings import Settings

ALLOWED_HEADERS = (
    "Accept-Language, Authorization, Content-Disposition, Content-Type, Idempotency-Key, "
    "If-Modified-Since, If-None-Match, If-Range, Last-Event-ID, Prefer, Range"
)
EXPOSED_HEADERS = (
    "Cache-Status, Carprice-Results, Content-Disposition, Content-Range, ETag, Location, "
    "Preference-Applied, RateLimit, RateLimit-Policy, Retry-After"
)
PUBLIC_PATHS = frozenset(
    {"/predict", "/health", "/docs", "/redoc", "/openapi.json", "/docs/problems"}
)
PUBLIC_PREFIX = "/docs/static/"
ADMIN_PREFIXES = ("/models/", "/dead-letters", "/ops")
"""Named origins may read below these paths, but change nothing."""

ANY_ORIGIN = "*"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def allowed_origins(settings: Settings) -> frozenset[str]:
    """The origins in `settings.cors_origins` as browsers write them; may contain `*`.

    `*` opens the public paths only. It names no origin.
    """
    given = (origin.strip() for origin in settings.cors_origins.split(","))
    return frozenset(_normal_origin(origin) for origin in given if origin)


def _normal_origin(origin: str) -> str:
    """An origin in lower case, without default port and final slash."""
    origin = origin.casefold().removesuffix("/")
    return origin.removesuffix(DEFAULT_PORTS.get(urlsplit(origin).scheme, ""))


def is_named(origin: str | None, allowed: frozenset[str]) -> bool:
    """Whether the operator named an origin."""
    return origin is not None and origin != ANY_ORIGIN and origin in allowed


def is_public(path: str) -> bool:
    """Whether pages of any origin may read the responses of a path."""
    return (path.rstrip("/") or path) in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


def response_headers(
    origin: str | None, path: str, allowed: frozenset[str]
) -> list[tuple[str, str]]:
    """The headers, besides `Vary`, that let a page read a response; none if it must not.

    Args:
        origin: `Origin` header of the request, if it has one.
        path: of the request.
        allowed: what `allowed_origins` returned.
    """
    is_for_all = ANY_ORIGIN in allowed and is_public(path)
    if origin is None or not (is_for_all or is_named(origin, allowed)):
        return []
    return [
        ("Access-Control-Allow-Origin", ANY_ORIGIN if is_for_all else origin),
        ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
    ]


def register(app: Flask, settings: Settings) -> None:
    """Answer preflight requests and add CORS headers for `settings.cors_origins`."""
    allowed = allowed_origins(settings)

    @app.after_request
    def allow_origin(response: Response) -> Response:
        headers = response_headers(request.headers.get("Origin"), request.path, allowed)
        if not headers:
            return response
        response.headers.update(headers)
        response.vary.add("Origin")
        if request.method == "OPTIONS":
            is_admin = request.path.startswith(ADMIN_PREFIXES)
            methods = "GET" if is_admin else "GET, POST, DELETE"
            response.headers["Access-Control-Allow-Methods"] = methods
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
        return response
