"""Errors of requests: their HTTP statuses and their problem documents (RFC 9457).

Pure functions: Flask's error handlers (`api.middleware.problems`) and the fast path of `/predict`
answer by them.
"""

import math
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

from api.http.responses import PROBLEM_JSON, HttpResponse
from shared.domain import errors
from shared.domain.errors import DomainError, FieldProblem, InvalidInput
from shared.i18n.languages import Language
from shared.i18n.numbers import COLON
from shared.logging import get_logger
from shared.messages.texts import describe, describe_problem, format_more_count
from shared.tracing.current import current_members

TYPE_PREFIX = "/docs/problems#"
RETRY_AFTER_S = 2


class UnsupportedMediaType(DomainError, code="unsupported-media-type"):
    """The body has another content type than the route reads."""


class UnsupportedEncoding(DomainError, code="unsupported-content-encoding"):
    """The body is compressed in another way than the route reads."""


class NotAcceptable(DomainError, code="not-acceptable"):
    """The route has no representation that the client accepts."""


class CodingNotAcceptable(DomainError, code="coding-not-acceptable"):
    """The client accepts none of the content codings, not even an uncompressed body."""


class PreconditionFailed(DomainError, code="precondition-failed"):
    """`If-Match` or `If-Unmodified-Since` does not hold for what would be sent."""


class RangeNotSatisfiable(DomainError, code="range-not-satisfiable"):
    """The range begins behind the end of the file of `size` bytes."""


class CrossSiteRefused(DomainError, code="cross-site-refused"):
    """A page of another site requests a change."""


class HostRefused(DomainError, code="host-refused"):
    """The call names another host than this machine, and there are no keys."""


class BodyTooLarge(DomainError, code="body-too-large"):
    """The body is larger than the route reads."""


STATUS_BY_ERROR: dict[type[DomainError], int] = {
    errors.InvalidInput: 422,
    errors.ValuationNotFound: 404,
    errors.ValuationExpired: 410,
    errors.EstimateExpired: 410,
    errors.JobNotFound: 404,
    errors.JobExpired: 410,
    errors.JobDeleted: 410,
    errors.JobStorageFull: 503,
    errors.JobAlreadyEnded: 409,
    errors.BatchNotFound: 404,
    errors.BatchExpired: 410,
    errors.BatchDeleted: 410,
    errors.ResultNotReady: 409,
    errors.TooManyRowsForSheet: 422,
    errors.TooManyRowsForTable: 422,
    errors.TooManyRowsForSearch: 422,
    errors.NothingToRetry: 409,
    errors.CorrectionInProgress: 409,
    errors.NothingToCorrect: 409,
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
    errors.ModelNotTried: 503,
    errors.DeadLetterNotFound: 404,
    errors.DeadLetterNotReplayable: 409,
    errors.BrokerUnavailable: 503,
    errors.BrokerFull: 503,
    errors.QueueFull: 503,
    errors.WebhooksUnavailable: 503,
    errors.TooManyTransfers: 503,
    errors.TooManyWaits: 503,
    errors.AuditUnavailable: 503,
    errors.StatisticsPending: 503,
    errors.StorageUnavailable: 503,
    errors.UnreadableRecord: 503,
    errors.NewerRecord: 503,
    errors.ValuationFailed: 500,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 403,
    errors.DemoOnly: 403,
    errors.KeysUnavailable: 503,
    errors.RateLimited: 429,
    UnsupportedMediaType: 415,
    UnsupportedEncoding: 415,
    NotAcceptable: 406,
    CodingNotAcceptable: 406,
    PreconditionFailed: 412,
    RangeNotSatisfiable: 416,
    BodyTooLarge: 413,
    CrossSiteRefused: 403,
    HostRefused: 421,
    errors.ActiveModelChanged: 412,
    errors.ActivationConflict: 409,
    errors.NoEarlierModel: 409,
    errors.ActivePointerLost: 409,
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


def error_response(error: Exception, language: Language, path: str) -> HttpResponse:
    """The problem document of an error; unexpected errors are logged.

    Args:
        error: a domain error, or any other exception.
        language: of the texts.
        path: of the request.
    """
    if not isinstance(error, DomainError):
        log.error("request_failed", path=path, exc_info=error)
        return problem_response(500, "internal-error", {}, language, path)
    params = dict(error.params)
    members: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        members["errors"] = [dump_field_problem(each, language) for each in error.problems]
        params["first"] = _first_sentence(members["errors"][0], language)
        params["more"] = format_more_count(len(error.problems) - 1, language)
    status = status_of(error)
    response = problem_response(status, error.code, params, language, path, **members)
    if is_retryable(error):
        response.headers.append(("Retry-After", str(retry_after_s(error))))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers.append(("WWW-Authenticate", "Bearer"))
    return response


def problem_response(
    status: int, code: str, params: dict[str, Any], language: Language, path: str, **members: Any
) -> HttpResponse:
    """A problem document.

    Args:
        status: HTTP status.
        code: names the problem's type and texts.
        params: fill the gaps of the texts.
        language: of the texts.
        path: of the request.
        members: further members of the document.
    """
    title, detail = describe_problem(code, params, language)
    body = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
        **members,
        **current_members(),
    }
    headers = [
        ("Content-Type", PROBLEM_JSON),
        ("Content-Language", language),
        ("Vary", "Accept-Language"),
    ]
    return HttpResponse(status, headers, orjson.dumps(body))


def _first_sentence(place: dict[str, Any], language: Language) -> str:
    """The sentence of an entry of `errors`, with the parameter or header that it is about."""
    name = place.get("parameter") or place.get("header")
    return f"{name}{COLON[language]}{place['detail']}" if name else str(place["detail"])


def status_of(error: DomainError) -> int:
    """The HTTP status of a domain error, by the nearest class in `STATUS_BY_ERROR`."""
    return _status_of_kind(type(error))


def _status_of_kind(kind: type[DomainError]) -> int:
    return next((STATUS_BY_ERROR[each] for each in kind.__mro__ if each in STATUS_BY_ERROR), 500)


def statuses() -> dict[str, int]:
    """The HTTP status of every code of a problem."""
    codes = {code: status for status, code in HTTP_CODES.items()}
    return codes | {kind.code: _status_of_kind(kind) for kind in _kinds_of(DomainError)}


def _kinds_of(base: type[DomainError]) -> Iterator[type[DomainError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def is_retryable(error: DomainError) -> bool:
    """Whether the same request may be answered a little later."""
    is_outage = status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE
    return is_outage or isinstance(error, errors.ResultNotReady | errors.RateLimited)


def retry_after_s(error: DomainError) -> int:
    """Whole seconds after which a retryable request may be answered."""
    return math.ceil(error.params.get("retry_after_s", RETRY_AFTER_S)) or 1


def dump_field_problem(place: FieldProblem, language: Language) -> dict[str, Any]:
    """One entry of `errors`: where, which rule, and the sentence."""
    kind, name = split_pointer(place.pointer)
    return {kind: name, "code": place.code, "detail": describe(place, language)}


def split_pointer(pointer: str) -> tuple[str, str]:
    """The member that names a place (`pointer`, `parameter` or `header`), and the name.

    >>> split_pointer("/year"), split_pointer("?wait"), split_pointer("@Idempotency-Key")
    (('pointer', '/year'), ('parameter', 'wait'), ('header', 'Idempotency-Key'))
    """
    for prefix, kind in (("?", "parameter"), ("@", "header")):
        if pointer.startswith(prefix):
            return kind, pointer[1:]
    return "pointer", pointer
