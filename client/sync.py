"""The client for ordinary programs and threads; `aio` has the one for event loops."""

import ssl
from collections.abc import Generator, Sequence
from datetime import date, datetime
from typing import Self, TypeVar

import httpx

from .calls.files import FileCalls
from .calls.service import ServiceCalls
from .connections import DEFAULT_TIMEOUT_S, DEFAULT_URL, Settings
from .deadlines import limited_transport
from .handles import SubmittedJob
from .protocol.cars import Car, Cars, Extra, Kind, ValuationOptions
from .protocol.files import Files
from .protocol.rows import Rows
from .protocol.service import Service
from .protocol.steps import Deadline
from .valuations import Valuation
from .work import Job, WorkSummary

Answer = TypeVar("Answer")
Frame = TypeVar("Frame")


class CarPriceClient(FileCalls, ServiceCalls):
    """Client of the car price service. It may be shared by threads.

    `timeout` of a method is the total time of the call with all its repetitions, in seconds; None
    is no limit. A call that is refused for now (429, 503), and an idempotent one without an answer,
    is repeated after the pause that the service asks for; if that is more than a minute, or longer
    than the time that is left, it fails at once.

    Args:
        base_url: of the service.
        api_key: sent as bearer token, if given.
        language: `fr`, `ar` or `en`: language of problems, warnings and error reports.
        timeout: total time of calls that do not wait for a job or batch; for others, the longest
            silence of the service.
        retries: how often a call is repeated.
        proxy: address of a proxy; if None, that of the environment (`HTTPS_PROXY`, `NO_PROXY`).
        ssl_context: certificates; if None, those of httpx, or of `SSL_CERT_FILE`.
        transport: of `httpx`, to use instead of the network.

    Example:
        >>> with CarPriceClient("http://127.0.0.1:8000") as client:  # doctest: +SKIP
        ...     client.value({"company": "Toyota", "model": "Corolla", "year": 2020})
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        language: str = "en",
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: int = 3,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._settings = Settings(
            base_url=base_url, api_key=api_key, language=language, timeout=timeout,
            retries=retries, proxy=proxy, ssl_context=ssl_context, transport=transport,
        )  # fmt: skip
        self._http: httpx.Client = self._settings.open(httpx.Client, limited_transport)
        self._cars = Cars(self._settings.exchange)
        self._files = Files(self._settings.exchange)
        self._rows = Rows(self._settings.exchange)
        self._service = Service(self._settings.exchange)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"CarPriceClient({self._settings.exchange.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Cars

    def value(
        self,
        car: Car,
        *,
        include: Sequence[Extra] = (),
        coverage: float | None = None,
        keep: bool = False,
        timeout: float | None = None,
    ) -> Valuation:
        """Value one car.

        Args:
            car: fields of the car; with `asking_price_mad` the valuation has a verdict.
            include: parts of the valuation that are computed on request.
            coverage: of the interval: 0.5, 0.8, 0.9 or 0.95.
            keep: whether the service keeps the valuation, to be read again by `valuation`.
            timeout: total seconds; that of the client if None.

        Raises:
            InvalidInputError: a field is missing or invalid.
            CarPriceError: any other failure.
        """
        options = ValuationOptions(include=include, coverage=coverage, keep=keep)
        return self._run(self._cars.value(car, options, self._limit(timeout)))

    def valuation(
        self, valuation_id: str, *, coverage: float | None = None, timeout: float | None = None
    ) -> Valuation:
        """Read a valuation that the service keeps, as it was answered.

        Raises:
            NotFoundError: none is kept under this id, or another caller has it.
            ExpiredError: it is not kept any more.
            CarPriceError: any other failure.
        """
        limit = self._limit(timeout)
        return self._run(self._cars.valuation(valuation_id, coverage, limit))

    def delete_valuation(self, valuation_id: str, *, timeout: float | None = None) -> None:
        """Delete a kept valuation before its time; its address is unknown then."""
        self._run(self._cars.delete_valuation(valuation_id, self._limit(timeout)))

    def value_many(
        self,
        cars: Sequence[Car],
        *,
        include: Sequence[Extra] = (),
        coverage: float | None = None,
        timeout: float | None = None,
    ) -> list[Valuation]:
        """Value a list of cars of any length; the valuations are in the same order.

        Raises:
            InvalidInputError: a car is invalid; `pointers` begin with its index in `cars`.
            JobFailedError: the service has given up.
        """
        options = ValuationOptions(include=include, coverage=coverage)
        return self._run(self._cars.value_many(cars, options, timeout))

    def report_sale(
        self, valuation_id: str, price_mad: float, sold_at: date, *, timeout: float | None = None
    ) -> None:
        """Report the sale of a valued car; another price or date is a correction."""
        limit = self._limit(timeout)
        self._run(self._cars.report_sale(valuation_id, price_mad, sold_at, limit))

    # Jobs

    def submit(
        self,
        cars: Car | Sequence[Car],
        *,
        include: Sequence[Extra] = (),
        coverage: float | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> SubmittedJob:
        """Submit a job with one car or a list of cars; returns when it is accepted.

        Args:
            cars: one car, or up to 1,000.
            include: as for `value`.
            coverage: as for `value`; also of the webhook.
            callback_url: where the service reports the end by a webhook.
            idempotency_key: a submission with the same key gives the same job; one is made for
                each call.
            timeout: total seconds; that of the client if None.
        """
        options = ValuationOptions(include=include, coverage=coverage)
        steps = self._cars.submit(
            cars, options, self._limit(timeout), callback_url=callback_url, key=idempotency_key
        )
        return SubmittedJob(self, self._run(steps), coverage)

    def job(
        self, job_id: str, *, coverage: float | None = None, timeout: float | None = None
    ) -> Job:
        """Read a job."""
        deadline = Deadline.after(self._limit(timeout))
        return self._run(self._cars.read(job_id, deadline, coverage=coverage))

    def wait_job(
        self, job_id: str, *, coverage: float | None = None, timeout: float | None = None
    ) -> Job:
        """Wait for the end of a job, also through a restart of the service.

        Raises:
            WaitTimeoutError: it has not ended in time; it goes on.
        """
        return self._run(self._cars.wait(job_id, timeout, coverage))

    def cancel_job(self, job_id: str, *, timeout: float | None = None) -> Job | None:
        """Cancel an open job and return it; one that has ended stays as it is.

        The result is None if the job ended just then: the service has deleted it.
        """
        return self._run(self._cars.cancel(job_id, self._limit(timeout)))

    def delete_job(self, job_id: str, *, timeout: float | None = None) -> None:
        """Delete a job that has ended, with its cars and prices."""
        self._run(self._cars.delete(job_id, self._limit(timeout)))

    def jobs(
        self,
        *,
        kind: Kind | None = None,
        state: str | None = None,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
        timeout: float | None = None,
    ) -> Generator[WorkSummary, None, None]:
        """The caller's jobs and batches, the newest first."""
        return self._iterate(
            self._cars.list(timeout, kind=kind, state=state, since=since, until=until)
        )
