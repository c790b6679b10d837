"""What a call can fail with: one exception for each kind of failure that a caller acts on."""

from collections.abc import Mapping
from typing import Any

import httpx


class CarPriceError(Exception):
    """Base of every failure of this client."""


class ServiceUnreachableError(CarPriceError):
    """Nothing answers at the service's address, or the connection broke."""


class WaitTimeoutError(CarPriceError):
    """What was waited for did not end in time; it goes on, and can be waited for again."""


class ProblemError(CarPriceError):
    """The service refused the call and said why (RFC 9457).

    Attributes:
        status: HTTP status.
        code: the problem's name, like `invalid-input`.
        title, detail: in the client's language.
        errors: each place that is wrong: `pointer` or `parameter`, `code`, `detail`.
        retry_after_s: how long to wait before the same call may work; None if it never will.
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
        # Where places are named, `detail` repeats the first of them.
        lines = [f"{self.title}:" if self.errors else f"{self.title}: {self.detail}"]
        for error in self.errors:
            place = error.get("pointer") or error.get("parameter") or error.get("header") or ""
            lines.append(f"  {place}: {error.get('detail', '')}".replace("  : ", "  "))
        return "\n".join(lines)


class InvalidInputError(ProblemError):
    """Something in the request breaks a rule; `errors` says what and where (422, 413, 415)."""


class NotAuthorisedError(ProblemError):
    """The API key is missing, wrong, or lacks a scope (401, 403)."""


class NotFoundError(ProblemError):
    """No such job, batch or model version (404)."""


class ExpiredError(ProblemError):
    """It was there, and its retention time is over (410)."""


class ConflictError(ProblemError):
    """It is in a state that does not allow this: not ready, or ended already (409, 412)."""


class TooManyRequestsError(ProblemError):
    """A rate limit; try again after `retry_after_s` (429)."""


class UnavailableError(ProblemError):
    """The service cannot do it now; try again after `retry_after_s` (503)."""


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
    """The exception for an answer that is a failure; its body must have been read."""
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
    try:
        return float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
