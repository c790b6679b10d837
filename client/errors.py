"""Exceptions of the client, one for each kind of failure that callers handle differently."""

from collections.abc import Mapping
from typing import Any

import httpx


class CarPriceError(Exception):
    """Base class of all exceptions of the client."""


class ServiceUnreachableError(CarPriceError):
    """The service does not answer, or the connection was lost.

    Attributes:
        is_proxied: whether the connection goes through a proxy, which the message names.
    """

    def __init__(self, message: str, *, is_proxied: bool = False) -> None:
        self.is_proxied = is_proxied
        super().__init__(message)


class UnexpectedAnswerError(CarPriceError):
    """The answer is none of this service: the address is that of another one."""


class WaitTimeoutError(CarPriceError):
    """A job or batch did not end in time; it goes on and can be waited for again."""


class ProblemError(CarPriceError):
    """The service answered with a problem document (RFC 9457).

    Attributes:
        status: HTTP status.
        code: name of the problem, like `invalid-input`.
        title, detail: texts in the language of the client.
        errors: invalid parts of the request: `pointer` or `parameter`, `code`, `detail`.
        retry_after_s: `Retry-After` in seconds; None if the response has none.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        title: str,
        detail: str,
        errors: tuple[Mapping[str, Any], ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        super().__init__(self._text())

    def _text(self) -> str:
        # If there are `errors`, `detail` repeats the first of them.
        lines = [f"{self.title}:" if self.errors else f"{self.title}: {self.detail}"]
        for error in self.errors:
            place = error.get("pointer") or error.get("parameter") or error.get("header") or ""
            lines.append(f"  {place}: {error.get('detail', '')}".replace("  : ", "  "))
        return "\n".join(lines)


class InvalidInputError(ProblemError):
    """The request is invalid; `errors` names the invalid parts (422, 413, 415)."""


class NotAuthorisedError(ProblemError):
    """The API key is missing, invalid or lacks a scope (401, 403)."""


class NotFoundError(ProblemError):
    """No such job, batch or model version (404)."""


class ExpiredError(ProblemError):
    """The retention time of the job or batch is over (410)."""


class ConflictError(ProblemError):
    """The state of the job or batch does not allow the call: not ready or ended (409, 412)."""


class TooManyRequestsError(ProblemError):
    """A limit of the API key is reached; retry after `retry_after_s` (429)."""


class UnavailableError(ProblemError):
    """The service is temporarily unavailable; retry after `retry_after_s` (503)."""


_ERROR_BY_STATUS: dict[int, type[ProblemError]] = {
    401: NotAuthorisedError,
    403: NotAuthorisedError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    412: ConflictError,
    413: InvalidInputError,
    415: InvalidInputError,
    422: InvalidInputError,
    429: TooManyRequestsError,
    503: UnavailableError,
}


def problem_from_response(response: httpx.Response) -> ProblemError:
    """The exception for an error response, whose body must have been read."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    kind = _ERROR_BY_STATUS.get(response.status_code, ProblemError)
    return kind(
        status=response.status_code,
        code=str(body.get("type", "")).rpartition("#")[2] or f"http-{response.status_code}",
        title=str(body.get("title") or response.reason_phrase),
        detail=str(body.get("detail") or response.text[:200]),
        errors=tuple(body.get("errors") or ()),
        retry_after_s=_retry_after_s(response),
    )


def _retry_after_s(response: httpx.Response) -> float | None:
    """The seconds of `Retry-After`; a date, which this service does not send, is left out."""
    given = response.headers.get("Retry-After", "").strip()
    return float(given) if given.isascii() and given.isdigit() else None
