"""What all pages share: security policy, static files, answers to refused callers."""

from http import HTTPStatus
from pathlib import Path

from flask import request

from api.http.assets import AssetFolder

PAGE_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REFUSAL_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST}
)
"""With these statuses the body of the request is not read."""
BASIC_CHALLENGE = 'Basic realm="CarPricePredictor-MA"'
"""Makes browsers ask for the key, which they send as the password."""

STATIC = Path(__file__).parent / "static"
ASSETS = AssetFolder(
    {
        name: STATIC / name
        for name in (
            "page.css",
            "car.css",
            "batch.css",
            "page.js",
            "file.js",
            "files.css",
            "draft.js",
            "service.js",
            "upload.js",
            "icon.svg",
            "chevron.svg",
            "estimates.css",
            "estimates.js",
            "history.js",
            "reload.js",
            "ops.css",
            "ops.js",
        )
    },
    "/assets/",
)


def prefers_html() -> bool:
    """Whether the client prefers HTML to JSON; `*/*` does not count."""
    accept = request.accept_mimetypes
    return accept.quality("text/html") > accept.quality("application/json")
