"""HTTP transport: maps error responses to exceptions and retries idempotent calls."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from client.errors import (
    CarPriceError,
    ServiceUnreachableError,
    TooManyRequestsError,
    UnavailableError,
    UnexpectedAnswerError,
    problem_from_response,
)
from client.proxies import proxy_of

CONNECT_TIMEOUT_S = 5.0
Answer = TypeVar("Answer")
PROBLEM_JSON = "application/problem+json"
# httpx needs another package for them, which this project does not require.
SOCKS_HINT = "a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'"
RETRY_DELAY_S = 0.5
MAX_RETRY_DELAY_S = 10.0
"""Longest delay before a repetition if the service asks for none."""
MAX_RETRY_AFTER_S = 60.0
"""A service that asks for a longer pause is not called again: the caller gets its answer."""
RETRYABLE = (ServiceUnreachableError, UnavailableError, TooManyRequestsError)
"""Failures after which a call may succeed a little later."""
REFUSALS = (UnavailableError, TooManyRequestsError)
"""Those of them by which the service says that it has done nothing."""


class Transport:
    """Connection pool of one service.

    Args: as for `CarPriceClient`; an idempotent call is repeated when the service cannot be reached
        or answers 429 or 503, after the pause that it asks for.
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
            if not (api_key.isascii() and api_key.isprintable()):
                raise CarPriceError("the API key has characters that no key has")
            headers["Authorization"] = f"Bearer {api_key}"
        self._base_url = base_url
        self._proxy = proxy_of(base_url) if http is None else None
        self._retries = retries
        try:
            self._client = httpx.Client(
                base_url=base_url,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
                transport=http,
                proxy=None if self._proxy is None else self._proxy.url,
                # httpx would read the proxies of the environment itself, for this machine too.
                trust_env=False,
                verify=httpx.create_ssl_context(),
            )
        except ImportError as error:
            raise self._unreachable(SOCKS_HINT) from error
        except (ValueError, httpx.InvalidURL) as error:
            raise self._unreachable(str(error)) from error

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
        if not is_idempotent:
            return self._call(method, path, options)
        return self.repeat(lambda: self._call(method, path, options))

    def repeat(
        self,
        send: Callable[[], Answer],
        failures: tuple[type[CarPriceError], ...] = RETRYABLE,
    ) -> Answer:
        """Call `send`, and again after each of these failures, as often as the client repeats."""
        for attempt in range(self._retries):
            try:
                return send()
            except failures as error:
                pause(error, attempt)
        return send()

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        is_repeated: bool = False,
    ) -> Iterator[httpx.Response]:
        """Send a GET whose body is streamed inside the context.

        A response 416 raises no exception: it means that there are no more bytes.

        Args:
            path: below the base URL.
            params: query parameters.
            headers: of the request.
            is_repeated: whether a refused call is repeated; a body that broke off is not.
        """
        with ExitStack() as stack:

            def begin() -> httpx.Response:
                return stack.enter_context(self._stream(path, params, headers))

            yield self.repeat(begin) if is_repeated else begin()

    @contextmanager
    def _stream(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        with (
            self._wrap_transport_errors(),
            self._client.stream("GET", path, params=params, headers=headers) as response,
        ):
            if (
                response.is_error
                and response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            ):
                response.read()
                raise self._problem(response)
            yield response

    def _call(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        try:
            with self._wrap_transport_errors():
                response = self._client.request(method, path, **options)
        except ValueError as error:  # a lone surrogate or NaN, which JSON does not have
            raise CarPriceError(f"the request cannot be written: {error}") from error
        if response.is_error:
            raise self._problem(response)
        return response

    def _problem(self, response: httpx.Response) -> CarPriceError:
        """The exception for an error response: the service's, or that of a proxy before it."""
        is_own = response.headers.get("Content-Type", "").startswith(PROBLEM_JSON)
        if self._proxy is None or is_own:
            return problem_from_response(response)
        answer = f"{response.status_code} {response.reason_phrase}".strip()
        return self._unreachable(f"the answer is {answer}, and not the service's")

    def _unreachable(self, reason: str) -> ServiceUnreachableError:
        way = "" if self._proxy is None else f"through the proxy {self._proxy}: "
        return ServiceUnreachableError(
            f"{self._base_url}: {way}{reason}", is_proxied=self._proxy is not None
        )

    @contextmanager
    def _wrap_transport_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.RequestError as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        except httpx.InvalidURL as error:
            raise CarPriceError(f"{self._base_url}: {error}") from error


def read_answer(read: Callable[[Any], Answer], response: httpx.Response) -> Answer:
    """The value of a JSON answer.

    Raises:
        UnexpectedAnswerError: the answer is not JSON, or lacks members.
    """
    try:
        return read(response.json())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        kind = response.headers.get("Content-Type", "without a type")
        raise UnexpectedAnswerError(
            f"{response.url}: this answer ({kind}) is not of the car price service"
        ) from error


def retry_delay_s(error: CarPriceError, attempt: int) -> float:
    """Delay before an attempt is repeated: what the service asks for, else growing."""
    asked_s: float | None = getattr(error, "retry_after_s", None)
    return asked_s or min(RETRY_DELAY_S * 2**attempt, MAX_RETRY_DELAY_S)


def pause(error: CarPriceError, attempt: int, *, until: float = float("inf")) -> None:
    """Wait before a call is repeated.

    Args:
        error: why it is repeated.
        attempt: how often it was repeated before.
        until: time (`time.monotonic`) at which it is given up.

    Raises:
        CarPriceError: `error`, if the call may not be repeated so soon.
    """
    delay_s = retry_delay_s(error, attempt)
    if delay_s > MAX_RETRY_AFTER_S or time.monotonic() + delay_s > until:
        raise error
    time.sleep(delay_s)
