"""One exchange with the service: requests, failures as exceptions, and their repetition."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from ..errors import (
    RETRYABLE,
    CarPriceError,
    DeadlineError,
    ServiceUnreachableError,
    UnexpectedAnswerError,
    problem_from_answer,
)
from .outages import Outage, outage_of, outage_text, reason_of
from .repetition import is_refusal, pause
from .steps import Deadline, Head, Open, Read, Request, Steps

CLOCK_STEP_S = 0.01
"""Timers may end this much early."""
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A whole response."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.head.status

    def read(self, read: Callable[[Any], Value]) -> Value:
        """The value of a JSON answer.

        Raises:
            UnexpectedAnswerError: the answer is not JSON, or lacks members.
        """
        try:
            return read(json.loads(self.body))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise unexpected(self.head) from error


def unexpected(head: Head) -> UnexpectedAnswerError:
    """The error of an answer that is not of the service."""
    kind = head.headers.get("Content-Type", "without a type")
    where = head.headers.get("Location")
    to = f", it leads to {where}" if where and head.status >= HTTPStatus.MULTIPLE_CHOICES else ""
    text = f"{head.url}: this answer ({kind}) is not of the car price service{to}"
    return UnexpectedAnswerError(text, url=head.url)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """Sends requests to one service.

    Args:
        base_url: of the service, without a password: it is part of messages.
        retries: how often an idempotent call is repeated.
        proxy: description of the proxy before the service, without a password; None without one.
    """

    base_url: str
    retries: int
    proxy: str | None = None

    def call(
        self,
        request: Request,
        deadline: Deadline,
        *,
        is_idempotent: bool = True,
        offset: int = 0,
    ) -> Steps[Answer]:
        """Send a request and read the whole response.

        Args:
            request: the request.
            deadline: of the call with all its repetitions.
            is_idempotent: whether it may be repeated after any failure; otherwise it is after
                one by which the service says that it has done nothing.
            offset: see `Fault`.

        Raises:
            ProblemError: the response is an error.
            ServiceUnreachableError: there is no response.
            DeadlineError: there is none in time.
        """

        def attempt() -> Steps[Answer]:
            head = yield from self.open(request, deadline)
            body = yield from self.body(deadline)
            answer = Answer(head=head, body=body)
            if head.status >= HTTPStatus.BAD_REQUEST:
                raise self.problem(answer, offset)
            return answer

        return (yield from self.repeated(attempt, deadline, is_idempotent=is_idempotent))

    def repeated(
        self, attempt: Callable[[], Steps[Value]], deadline: Deadline, *, is_idempotent: bool = True
    ) -> Steps[Value]:
        """The result of `attempt`, which is repeated after failures that may be short."""
        for number in range(self.retries):
            try:
                return (yield from attempt())
            except RETRYABLE as error:
                if not is_idempotent and not is_refusal(error):
                    raise
                yield from pause(error, number, deadline)
        return (yield from attempt())

    def open(self, request: Request, deadline: Deadline) -> Steps[Head]:
        """Send a request; the body of the response is read by `body` or block by block."""
        with self.failures(deadline):
            head: Head = yield Open(request, deadline)
        return head

    def read(self, deadline: Deadline) -> Steps[bytes]:
        """Read a block of the body; empty at its end."""
        with self.failures(deadline):
            block: bytes = yield Read(deadline)
        return block

    def body(self, deadline: Deadline) -> Steps[bytes]:
        """Read the rest of the body."""
        blocks = []
        while block := (yield from self.read(deadline)):
            blocks.append(block)
        return b"".join(blocks)

    def problem(self, answer: Answer, offset: int = 0) -> CarPriceError:
        """The exception for an error response: the service's, or that of a proxy before it."""
        head = answer.head
        text = answer.body.decode(errors="replace")
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            body = None
        problem = problem_from_answer(
            head.status, head.reason, head.headers, text, body, offset=offset
        )
        if self.proxy is None or problem.is_own:
            return problem
        status = f"{head.status} {head.reason}".strip()
        return self.unreachable(f"the answer is {status}, and not the service's")

    def unreachable(self, reason: str, outage: Outage = "other") -> ServiceUnreachableError:
        """The error of a service that does not answer."""
        way = "" if self.proxy is None else f"through the proxy {self.proxy}: "
        return ServiceUnreachableError(
            f"{self.base_url}: {way}{outage_text(outage, reason)}",
            outage=outage,
            reason=reason,
            url=self.base_url,
            proxy=self.proxy,
        )

    @contextmanager
    def failures(self, deadline: Deadline) -> Iterator[None]:
        """Turn failures of the HTTP library into exceptions of the client."""
        try:
            yield
        except (httpx.RequestError, TimeoutError) as error:
            if deadline.remaining_s < CLOCK_STEP_S:
                raise DeadlineError(
                    f"{self.base_url}: no answer within {deadline.total_s:g} s"
                ) from error
            outage = outage_of(error)
            raise self.unreachable(reason_of(outage, error), outage) from error
        except (httpx.InvalidURL, UnicodeError) as error:  # also of the resolver of names
            raise CarPriceError(f"{self.base_url}: {error}") from error


def write_json(value: Any) -> bytes:
    """A value as JSON; scalars of numpy, dates and decimals are written as their values.

    Raises:
        CarPriceError: JSON has no form for it, like NaN.
    """
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise CarPriceError(f"the request cannot be written: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
