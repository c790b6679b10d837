"""Errors as the client sees them: application/problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from api.http.context import language
from shared.domain import errors
from shared.domain.errors import DomainError, FieldProblem, InvalidInput
from shared.logging import get_logger
from shared.messages.texts import Language, describe, describe_problem, format_more_count

TYPE_PREFIX = "/docs/problems#"
RETRY_AFTER_S = 2


class UnsupportedMediaType(DomainError):
    """The body has another content type than the route reads."""

    code = "unsupported-media-type"


class UnsupportedEncoding(DomainError):
    """The body is compressed in another way than the route reads."""

    code = "unsupported-content-encoding"


class NotAcceptable(DomainError):
    """The route has no representation that the client accepts."""

    code = "not-acceptable"


class RangeNotSatisfiable(DomainError):
    """The range begins behind the end of the file of `size` bytes."""

    code = "range-not-satisfiable"


class CrossSiteRefused(DomainError):
    """A page of another site asks for a change."""

    code = "cross-site-refused"


class HostRefused(DomainError):
    """The call names another host than this machine, and there are no keys."""

    code = "host-refused"


class BodyTooLarge(DomainError):
    """The body is larger than the route reads."""

    code = "body-too-large"


STATUS_BY_ERROR: dict[type[DomainError], int] = {
    errors.InvalidInput: 422,
    errors.ValuationNotFound: 404,
    errors.ValuationExpired: 410,
    errors.JobNotFound: 404,
    errors.JobExpired: 410,
    errors.JobAlreadyEnded: 409,
    errors.BatchNotFound: 404,
    errors.BatchExpired: 410,
    errors.ResultNotReady: 409,
    errors.UnreadableUpload: 422,
    errors.UploadTooLarge: 413,
    errors.DecompressionBomb: 413,
    errors.UnsupportedUpload: 415,
    errors.BatchAlreadyEnded: 409,
    errors.IdempotencyConflict: 422,
    errors.ModelNotLoaded: 503,
    errors.ModelVersionNotFound: 404,
    errors.ModelCardNotFound: 404,
    errors.ModelRefused: 409,
    errors.BrokerUnavailable: 503,
    errors.QueueFull: 503,
    errors.TooManyTransfers: 503,
    errors.AuditUnavailable: 503,
    errors.StorageUnavailable: 503,
    errors.ValuationFailed: 500,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 403,
    UnsupportedMediaType: 415,
    UnsupportedEncoding: 415,
    NotAcceptable: 406,
    RangeNotSatisfiable: 416,
    BodyTooLarge: 413,
    CrossSiteRefused: 403,
    HostRefused: 421,
    errors.ActiveModelChanged: 412,
    errors.NoEarlierModel: 409,
}
"""The HTTP status of every domain error; an error that is missing here is a 500."""

HTTP_CODES = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}

log = get_logger("problems")


def register(app: Flask) -> None:
    """Answer every failure of `app` as a problem document."""
    app.register_error_handler(DomainError, answer_domain_error)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, _answer_unexpected)


def answer_domain_error(error: DomainError) -> Response:
    """The problem document of a domain error."""
    params = dict(error.params)
    extra: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        extra["errors"] = [dump_field_problem(problem, language()) for problem in error.problems]
        params["first"] = _first_sentence(extra["errors"][0])
        params["more"] = format_more_count(len(error.problems) - 1, language())
    status = status_of(error)
    response = problem(status, error.code, params, **extra)
    if is_retryable(error):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _first_sentence(place: dict[str, Any]) -> str:
    """The sentence of an entry of `errors`, with the parameter or header that it is about."""
    name = place.get("parameter") or place.get("header")
    colon = " : " if language() == "fr" else ": "
    return f"{name}{colon}{place['detail']}" if name else str(place["detail"])


def status_of(error: DomainError) -> int:
    """The HTTP status of a domain error, by the nearest class in `STATUS_BY_ERROR`."""
    return next(
        (STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR), 500
    )


def is_retryable(error: DomainError) -> bool:
    """Whether the same request may be answered a little later."""
    is_outage = status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE
    return is_outage or isinstance(error, errors.ResultNotReady)


def dump_field_problem(place: FieldProblem, lang: Language) -> dict[str, Any]:
    """One entry of `errors`: where, which rule, and the sentence."""
    kind, name = split_pointer(place.pointer)
    return {kind: name, "code": place.code, "detail": describe(place, lang)}


def split_pointer(pointer: str) -> tuple[str, str]:
    """Where a problem stands: in the body, the query, a header, or the uploaded file."""
    for prefix, kind in (("?", "parameter"), ("@", "header")):
        if pointer.startswith(prefix):
            return kind, pointer[1:]
    return "pointer", pointer


def problem(status: int, code: str, params: dict[str, Any], **extra: Any) -> Response:
    """A problem document in the caller's language."""
    title, detail = describe_problem(code, params, language())
    body = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path,
        **extra,
    }
    response = Response(orjson.dumps(body), status, mimetype="application/problem+json")
    response.headers["Content-Language"] = language()
    response.vary.add("Accept-Language")
    return response


def answer_http_error(error: HTTPException) -> Response:
    """The problem document of a request that no route answers."""
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:  # a redirect is not a failure
        return Response(headers=dict(error.get_headers()), status=status)
    params: dict[str, Any] = {}
    if isinstance(error, MethodNotAllowed):
        params["allowed"] = ", ".join(sorted(error.valid_methods or ()))
    response = problem(status, HTTP_CODES.get(status, "bad-request"), params)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = params["allowed"]
    return response


def _answer_unexpected(error: Exception) -> Response:
    log.error("request_failed", path=request.path, exc_info=error)
    return problem(500, "internal-error", {})
