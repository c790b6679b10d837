"""The client for event loops; `sync` has the one for ordinary programs."""

# `timeout` is the total time of a call, with pauses and repetitions.
# ruff: noqa: ASYNC109

import ssl
from collections.abc import AsyncGenerator, Sequence
from datetime import date, datetime
from typing import Self, TypeVar

import httpx

from .calls.files_aio import AsyncFileCalls
from .calls.service_aio import AsyncServiceCalls
from .connections import DEFAULT_TIMEOUT_S, DEFAULT_URL, Settings
from .handles import AsyncSubmittedJob
from .protocol.cars import Car, Cars, Extra, Kind, ValuationOptions
from .protocol.files import Files
from .protocol.rows import Rows
from .protocol.service import Service
from .protocol.steps import Deadline
from .valuations import Valuation
from .work import Job, WorkSummary

Answer = TypeVar("Answer")
Frame = TypeVar("Frame")


class AsyncCarPriceClient(AsyncFileCalls, AsyncServiceCalls):
    """Client of the car price service for one event loop.

    Methods, arguments and exceptions are those of `sync.CarPriceClient`. Callbacks are ordinary
    functions. A cancelled call closes its connection; a job or batch that was accepted goes on.

    Args: as of `sync.CarPriceClient`; `transport` is an asynchronous one.
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = Settings(
            base_url=base_url, api_key=api_key, language=language, timeout=timeout,
            retries=retries, proxy=proxy, ssl_context=ssl_context, transport=transport,
        )  # fmt: skip
        self._http: httpx.AsyncClient = self._settings.open(
            httpx.AsyncClient, httpx.AsyncHTTPTransport
        )
        self._cars = Cars(self._settings.exchange)
        self._files = Files(self._settings.exchange)
        self._rows = Rows(self._settings.exchange)
        self._service = Service(self._settings.exchange)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"AsyncCarPriceClient({self._settings.exchange.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # Cars

    async def value(
        self,
        car: Car,
        *,
        include: Sequence[Extra] = (),
        coverage: float | None = None,
        keep: bool = False,
        timeout: float | None = None,
    ) -> Valuation:
        """Value one car."""
        options = ValuationOptions(include=include, coverage=coverage, keep=keep)
        return await self._run(self._cars.value(car, options, self._limit(timeout)))

    async def valuation(
        self, valuation_id: str, *, coverage: float | None = None, timeout: float | None = None
    ) -> Valuation:
        """Read a valuation that the service keeps, as it was answered."""
        limit = self._limit(timeout)
        return await self._run(self._cars.valuation(valuation_id, coverage, limit))

    async def delete_valuation(self, valuation_id: str, *, timeout: float | None = None) -> None:
        """Delete a kept valuation before its time; its address is unknown then."""
        await self._run(self._cars.delete_valuation(valuation_id, self._limit(timeout)))

    async def value_many(
        self,
        cars: Sequence[Car],
        *,
        include: Sequence[Extra] = (),
        coverage: float | None = None,
        timeout: float | None = None,
    ) -> list[Valuation]:
        """Value a list of cars of any length; the valuations are in the same order."""
        options = ValuationOptions(include=include, coverage=coverage)
        return await self._run(self._cars.value_many(cars, options, timeout))

    async def report_sale(
        self, valuation_id: str, price_mad: float, sold_at: date, *, timeout: float | None = None
    ) -> None:
        """Report the sale of a valued car; another price or date is a correction."""
        limit = self._limit(timeout)
        await self._run(self._cars.report_sale(valuation_id, price_mad, sold_at, limit))

    # Jobs

    async def submit(
        self,
        cars: Car | Sequence[Car],
        *,
        include: Sequence[Extra] = (),
        coverage: float | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> AsyncSubmittedJob:
        """Submit a job with one car or a list of cars; returns when it is accepted."""
        options = ValuationOptions(include=include, coverage=coverage)
        steps = self._cars.submit(
            cars, options, self._limit(timeout), callback_url=callback_url, key=idempotency_key
        )
        return AsyncSubmittedJob(self, await self._run(steps), coverage)

    async def job(
        self, job_id: str, *, coverage: float | None = None, timeout: float | None = None
    ) -> Job:
        """Read a job."""
        deadline = Deadline.after(self._limit(timeout))
        return await self._run(self._cars.read(job_id, deadline, coverage=coverage))

    async def wait_job(
        self, job_id: str, *, coverage: float | None = None, timeout: float | None = None
    ) -> Job:
        """Wait for the end of a job, also through a restart of the service."""
        return await self._run(self._cars.wait(job_id, timeout, coverage))

    async def cancel_job(self, job_id: str, *, timeout: float | None = None) -> Job | None:
        """Cancel an open job and return it; one that has ended stays as it is."""
        return await self._run(self._cars.cancel(job_id, self._limit(timeout)))

    async def delete_job(self, job_id: str, *, timeout: float | None = None) -> None:
        """Delete a job that has ended, with its cars and prices."""
        await self._run(self._cars.delete(job_id, self._limit(timeout)))

    def jobs(
        self,
        *,
        kind: Kind | None = None,
        state: str | None = None,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[WorkSummary, None]:
        """The caller's jobs and batches, the newest first."""
        return self._iterate(
            self._cars.list(timeout, kind=kind, state=state, since=since, until=until)
        )
