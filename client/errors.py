"""Exceptions of the client, one for each kind of failure that callers handle differently."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

from .valuations import moved
from .work import Batch, Job

PROBLEM_JSON = "application/problem+json"


class CarPriceError(Exception):
    """Base class of all exceptions of the client."""


class ServiceUnreachableError(CarPriceError):
    """The service does not answer, or the connection was lost.

    Attributes:
        outage: what failed: `refused` (nothing listens at the address), `no-host`, `no-route`,
            `no-answer` (in time), `lost` (the connection), `certificate`, `address` or `other`.
        reason: what is known besides; may be empty.
        url: of the service.
        proxy: the proxy that the connection goes through; None without one.
    """

    def __init__(
        self,
        message: str,
        *,
        outage: str = "other",
        reason: str = "",
        url: str = "",
        proxy: str | None = None,
    ) -> None:
        self.outage = outage
        self.reason = reason
        self.url = url
        self.proxy = proxy
        super().__init__(message)


class UnexpectedAnswerError(CarPriceError):
    """The answer is none of this service: the address is that of another one, or of a proxy.

    Attributes:
        url: that was asked; empty if the answer was only wrong in itself.
    """

    def __init__(self, message: str, *, url: str = "") -> None:
        self.url = url
        super().__init__(message)


class DeadlineError(CarPriceError, TimeoutError):
    """The total time of a call, `timeout`, is over."""


class WaitTimeoutError(DeadlineError):
    """A job or batch did not end in time; it goes on and can be waited for again.

    Attributes:
        work_id: id of the job or batch.
    """

    def __init__(self, message: str, *, work_id: str) -> None:
        self.work_id = work_id
        super().__init__(message)


class JobFailedError(CarPriceError):
    """A job ended without a result: it failed or was cancelled.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        reason = job.error.detail if job.error else "it has no result"
        super().__init__(f"job {job.id} is {job.state}: {reason}")


class BatchFailedError(CarPriceError):
    """A batch ended before all its rows were processed.

    Attributes:
        batch: as it ended; its results, if it has any, are the first rows of the file.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        reason = batch.error or f"{batch.done} of {batch.total} rows are processed"
        super().__init__(f"batch {batch.id} is {batch.state}: {reason}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """An invalid part of a request."""

    code: str
    detail: str
    pointer: str | None = None
    """JSON pointer into the body; in a list of cars it begins with the car's index."""
    parameter: str | None = None
    """Query parameter."""
    header: str | None = None

    @property
    def place(self) -> str:
        """Pointer, parameter or header; empty if it is the request as a whole."""
        return self.pointer or self.parameter or self.header or ""

    @classmethod
    def of(cls, answer: Mapping[str, Any], offset: int = 0) -> Self:
        """From a member of `errors`; see `moved` for `offset`."""
        pointer = answer.get("pointer")
        return cls(
            code=str(answer.get("code", "")),
            detail=str(answer.get("detail", "")),
            pointer=None if pointer is None else moved(str(pointer), offset),
            parameter=answer.get("parameter"),
            header=answer.get("header"),
        )


class ProblemError(CarPriceError):
    """The service answered with a problem document (RFC 9457).

    Attributes:
        status: HTTP status.
        code: name of the problem, like `invalid-input`; `http-502` and the like if the answer is
            no problem document.
        title, detail: texts in the language of the client.
        errors: invalid parts of the request.
        retry_after_s: `Retry-After` in seconds; None if the response has none.
        is_own: whether the service itself answered, and not something before it.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        title: str,
        detail: str,
        errors: tuple[Fault, ...] = (),
        retry_after_s: float | None = None,
        is_own: bool = True,
    ) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.is_own = is_own
        super().__init__(self._text())

    @property
    def pointers(self) -> tuple[str, ...]:
        """The JSON pointers of the invalid parts of the body."""
        return tuple(fault.pointer for fault in self.errors if fault.pointer is not None)

    def _text(self) -> str:
        # If there are `errors`, `detail` repeats the first of them.
        lines = [f"{self.title}:" if self.errors else f"{self.title}: {self.detail}"]
        lines += [f"  {each.place}: {each.detail}".replace("  : ", "  ") for each in self.errors]
        return "\n".join(lines)


class InvalidInputError(ProblemError):
    """The request is invalid; `errors` names the invalid parts (422, 413, 415)."""


class NotAuthorisedError(ProblemError):
    """The API key is missing, invalid or lacks a scope (401, 403)."""


class NotFoundError(ProblemError):
    """No such job, batch or model version (404)."""


class ExpiredError(ProblemError):
    """The job or batch was deleted, or its retention time is over (410)."""


class ConflictError(ProblemError):
    """The state of the job or batch does not allow the call: not ready or ended (409, 412)."""


class TooManyRequestsError(ProblemError):
    """A limit of the API key is reached; retry after `retry_after_s` (429)."""


class UnavailableError(ProblemError):
    """The service is temporarily unavailable; retry after `retry_after_s` (503)."""


class GatewayError(ProblemError):
    """A proxy before the service has no answer of it (502, 504); the call may have had effect."""


_ERROR_BY_STATUS: Mapping[int, type[ProblemError]] = {
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
    502: GatewayError,
    503: UnavailableError,
    504: GatewayError,
}
RETRYABLE = (ServiceUnreachableError, UnavailableError, TooManyRequestsError, GatewayError)
"""Failures after which a call may succeed a little later."""
DETAIL_MAX_CHARS = 200


def problem_from_answer(
    status: int,
    reason: str,
    headers: Mapping[str, str],
    text: str,
    body: Any,
    *,
    offset: int = 0,
) -> ProblemError:
    """The exception for an error response.

    Args:
        status: HTTP status.
        reason: its phrase.
        headers: of the response, found in any case of letters.
        text: the body.
        body: the value of the body as JSON; None if it is none.
        offset: place of the first car of the request in the caller's list.
    """
    document = body if isinstance(body, dict) else {}
    faults = document.get("errors")
    return _ERROR_BY_STATUS.get(status, ProblemError)(
        status=status,
        code=str(document.get("type", "")).rpartition("#")[2] or f"http-{status}",
        title=str(document.get("title") or reason),
        detail=str(document.get("detail") or text[:DETAIL_MAX_CHARS]),
        errors=tuple(
            Fault.of(each, offset)
            for each in (faults if isinstance(faults, list) else ())
            if isinstance(each, dict)
        ),
        retry_after_s=retry_after_s(headers),
        is_own=headers.get("Content-Type", "").startswith(PROBLEM_JSON),
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After`, a number or a date; None without one that can be read.

    A date is compared with the `Date` of the response, so that the clocks need not agree.
    """
    given = headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdigit():
        return float(given)
    moment = _date(given)
    if moment is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max((moment - now).total_seconds(), 0.0)


def _date(text: str) -> datetime | None:
    """The moment of an HTTP date."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
