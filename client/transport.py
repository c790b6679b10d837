"""HTTP transport: maps error responses to exceptions and retries idempotent calls."""

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
    """Connection pool of one service.

    Args: as for `CarPriceClient`; an idempotent call is repeated when the service cannot be reached
        or answers 429 or 503.
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
        """Send a request and read the whole response.

        Args:
            method: HTTP method.
            path: below the base URL.
            is_idempotent: whether the call may be repeated.
            options: of `httpx.Client.request`.

        Raises:
            ProblemError: the response is an error.
            ServiceUnreachableError: there is no response.
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
        """Send a GET whose body is streamed inside the context.

        A response 416 raises no exception: it means that there are no more bytes.
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
    """Delay before an attempt is repeated."""
    asked_s: float | None = getattr(error, "retry_after_s", None)
    return min(asked_s or RETRY_DELAY_S * 2**attempt, MAX_RETRY_DELAY_S)
