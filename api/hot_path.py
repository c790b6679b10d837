"""`POST /predict` as programs send it, answered in front of Flask.

Flask's context, routing, hooks and response object cost more than a cached valuation itself. So the
plain case is answered here, by the functions that Flask's view calls too: JSON of known length, no
query, no browser, a caller who may. Everything else goes on to Flask, and what has no plain end
here (a job, an error) is finished there: there is one place for each of these answers.
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson

from api.auth import Authenticator, Caller, Scope
from api.container import ApiServices
from api.cross_site import is_loopback
from api.current import BEGUN, Begun, preferred_language
from api.schemas.requests import parse_json, wait_s
from api.schemas.valuations import CACHE_STATUS, cache_status, write_valuation
from api.security_headers import DATA_HEADERS
from shared.domain.ids import CallerId
from shared.domain.job import Job, Valuation
from shared.domain.valuation import DEFAULT_COVERAGE
from shared.metrics import observe_http
from shared.schemas.car_requests import load_car_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

PATH = "/predict"
JSON = "application/json"


class HotPath:
    """WSGI middleware around Flask.

    Args:
        application: Flask, with what stands around it.
        services: what values cars.
        authenticator: finds callers.
    """

    def __init__(
        self, application: "WSGIApplication", services: ApiServices, authenticator: Authenticator
    ) -> None:
        self._application = application
        self._services = services
        self._authenticator = authenticator
        self._body_max_bytes = services.settings.body_max_bytes

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        started = time.perf_counter()
        caller = self._caller(environ) if self._is_plain(environ) else None
        if caller is None:
            return self._application(environ, start_response)
        try:
            outcome = self._value(environ, caller)
            if isinstance(outcome, Job):
                return self._hand_over(environ, start_response, Begun(started, outcome))
            body = self._write(outcome, environ.get("HTTP_ACCEPT_LANGUAGE"))
        except Exception as error:  # noqa: BLE001 - answered by Flask's error handlers
            return self._hand_over(environ, start_response, Begun(started, error))
        start_response("200 OK", _headers(outcome, body))
        observe_http("POST", PATH, 200, time.perf_counter() - started)
        return [body]

    def _hand_over(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", begun: Begun
    ) -> Iterable[bytes]:
        """Have Flask's view finish what has no plain end."""
        environ[BEGUN] = begun
        return self._application(environ, start_response)

    def _is_plain(self, environ: "WSGIEnvironment") -> bool:
        """Whether nothing but the body, the key, the language and the wait is to be looked at."""
        length = environ.get("CONTENT_LENGTH") or ""
        return (
            environ["PATH_INFO"] == PATH
            and environ["REQUEST_METHOD"] == "POST"
            and not environ.get("QUERY_STRING")
            and environ.get("CONTENT_TYPE") == JSON
            and length.isdecimal()
            and int(length) <= self._body_max_bytes
            and "HTTP_ORIGIN" not in environ
            and "HTTP_TRANSFER_ENCODING" not in environ
        )

    def _caller(self, environ: "WSGIEnvironment") -> Caller | None:
        """Who calls; None for whoever must be refused before his body is read."""
        host = environ.get("HTTP_HOST")
        if host is not None and self._authenticator.is_open and not is_loopback(host):
            return None
        caller = self._authenticator.caller(environ.get("HTTP_AUTHORIZATION", ""))
        return caller if caller is not None and Scope.PREDICT in caller.scopes else None

    def _value(self, environ: "WSGIEnvironment", caller: Caller) -> Valuation | Job:
        length = int(environ["CONTENT_LENGTH"])
        request = load_car_request(parse_json(_read(environ, length), length))
        wait = wait_s(environ.get("HTTP_PREFER", ""), self._services.settings)
        return self._services.valuations.value(request, CallerId(caller.id), wait)

    def _write(self, valuation: Valuation, accept_language: str | None) -> bytes:
        card = self._services.model_card(valuation.estimate.model_version)
        language = preferred_language(accept_language)
        return orjson.dumps(write_valuation(valuation, DEFAULT_COVERAGE, card, language))


def register(app: "Flask", services: ApiServices, authenticator: Authenticator) -> None:
    """Put the hot path in front of `app`."""
    app.wsgi_app = HotPath(app.wsgi_app, services, authenticator)  # type: ignore[method-assign]


def _read(environ: "WSGIEnvironment", length: int) -> bytes:
    """The body; shorter than announced if the client left."""
    body = environ["wsgi.input"]
    data: bytes = body.read(length)
    while len(data) < length and (more := body.read(length - len(data))):
        data += more
    return data


def _headers(valuation: Valuation, body: bytes) -> list[tuple[str, str]]:
    return [
        ("Content-Type", JSON),
        ("Content-Length", str(len(body))),
        (CACHE_STATUS, cache_status(valuation)),
        *DATA_HEADERS,
    ]
