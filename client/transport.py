"""Calls over HTTP: failures become exceptions, and what may be repeated is repeated."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httpx

from client.errors import (
    CarPriceError,
    ServiceUnreachableError,
    TooManyRequestsError,
    UnavailableError,
    problem_from_response,
)

CONNECT_TIMEOUT_S = 5.0
RETRY_DELAY_S = 0.5
MAX_RETRY_DELAY_S = 10.0


class Transport:
    """One connection pool to one service.

    Args:
        base_url: where the service is.
        api_key: sent as bearer token, if given.
        language: `fr` or `en`, of problems and warnings.
        timeout_s: how long one answer may take.
        retries: how often a call that can be repeated without harm is repeated when the service
            cannot be reached or says that it cannot answer now.
        http: an `httpx` transport in place of the network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        language: str,
        timeout_s: float,
        retries: int,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Accept-Language": language, "User-Agent": "carprice-client"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._base_url = base_url
        self._retries = retries
        self._client = httpx.Client(
            base_url=base_url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=http,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self, method: str, path: str, *, is_idempotent: bool = True, **options: Any
    ) -> httpx.Response:
        """One call and its whole answer.

        Args:
            method: HTTP method.
            path: below the base URL.
            is_idempotent: whether doing it twice is the same as doing it once.
            options: of `httpx.Client.request`.

        Raises:
            ProblemError: the service refused.
            ServiceUnreachableError: no answer.
        """
        attempts = self._retries if is_idempotent else 0
        for attempt in range(attempts + 1):
            try:
                return self._call(method, path, options)
            except (ServiceUnreachableError, UnavailableError, TooManyRequestsError) as error:
                if attempt == attempts:
                    raise
                time.sleep(retry_delay_s(error, attempt))
        raise AssertionError("not reached")

    @contextmanager
    def stream(
        self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """A GET whose body is read piece by piece inside the context.

        416 is given back like a success: it tells that there is nothing more to read.
        """
        with (
            self._wrap_transport_errors(),
            self._client.stream("GET", path, params=params, headers=headers) as response,
        ):
            if (
                response.is_error
                and response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            ):
                response.read()
                raise problem_from_response(response)
            yield response

    def _call(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        with self._wrap_transport_errors():
            response = self._client.request(method, path, **options)
        if response.is_error:
            raise problem_from_response(response)
        return response

    @contextmanager
    def _wrap_transport_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise ServiceUnreachableError(f"{self._base_url}: {reason}") from error
        except httpx.InvalidURL as error:
            raise CarPriceError(f"{self._base_url}: {error}") from error


def retry_delay_s(error: CarPriceError, attempt: int) -> float:
    """How long to wait before a call is repeated."""
    asked_s: float | None = getattr(error, "retry_after_s", None)
    return min(asked_s or RETRY_DELAY_S * 2**attempt, MAX_RETRY_DELAY_S)
