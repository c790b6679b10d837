"""CORS: pages of other origins may read prices, but not administer models."""

from flask import Flask, Response, request

from shared.settings import Settings

ALLOWED_HEADERS = (
    "Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Range, Last-Event-ID, "
    "Prefer, Range"
)
EXPOSED_HEADERS = (
    "Cache-Status, Carprice-Results, Content-Range, ETag, Location, Preference-Applied, Retry-After"
)
CORS_EXCLUDED_PREFIX = "/models/"


def allowed_origins(settings: Settings) -> frozenset[str]:
    """The origins that the operator trusts; may contain `*`."""
    return frozenset(
        origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()
    )


def register(app: Flask, settings: Settings) -> None:
    """Answer preflight requests and add CORS headers for `settings.cors_origins`."""
    allowed = allowed_origins(settings)
    if not allowed:
        return

    @app.after_request
    def allow_origin(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is None or request.path.startswith(CORS_EXCLUDED_PREFIX):
            return response
        if "*" not in allowed and origin not in allowed:
            return response
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        response.vary.add("Origin")
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
        return response
