"""States the language of responses that depend on it: `Content-Language` and `Vary`."""

from http import HTTPStatus

from flask import Flask, Response, g

from api.http.context import language
from api.http.responses import ACCEPT_LANGUAGE, JSON

WITH_TEXTS = frozenset({JSON, "text/event-stream"})
"""Media types whose texts are in the language of the request; pages and cards state theirs."""


def register(app: Flask) -> None:
    """Add the headers to the responses of all views that asked for the language."""
    app.after_request(_state_language)


def _state_language(response: Response) -> Response:
    if g.get("depends_on_language") and response.status_code != HTTPStatus.NO_CONTENT:
        response.vary.add(ACCEPT_LANGUAGE)
        if response.mimetype in WITH_TEXTS:
            response.headers.setdefault("Content-Language", language())
    return response
