"""The client for event loops; `sync` has the one for ordinary programs."""

# `timeout` is the total time of a call, with pauses and repetitions.
# ruff: noqa: ASYNC109

import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import anyio.lowlevel
import httpx

from .connections import DEFAULT_TIMEOUT_S, DEFAULT_URL, Settings
from .drivers import items_async, run_async
from .errors import CarPriceError
from .handles import AsyncSubmittedFile, AsyncSubmittedJob
from .protocol.cars import Car, Cars, Extra, Kind, ValuationOptions
from .protocol.downloads import Form
from .protocol.files import FileListener, Files, Progress
from .protocol.frames import value_dataframe
from .protocol.steps import Deadline, Steps
from .protocol.uploads import Submission, UploadOptions
from .valuations import Valuation
from .work import Batch, Job, RowError, WorkSummary

Answer = TypeVar("Answer")
Frame = TypeVar("Frame")


class AsyncCarPriceClient:
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
        self._timeout = timeout
        self._loop: object = None

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

    # Files

    async def value_file(
        self,
        source: Path | str,
        target: Path | str,
        *,
        form: Form | None = None,
        rejected: Path | str | None = None,
        on_progress: FileListener | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> Batch:
        """Upload a file of cars, wait for its end and download the results."""
        submission = Submission(
            file=Path(source), key=idempotency_key, callback_url=callback_url, options=options
        )
        return await self._run(
            self._files.value_file(
                submission,
                Path(target),
                timeout,
                form=form,
                rejected=None if rejected is None else Path(rejected),
                on_progress=on_progress,
            )
        )

    async def value_dataframe(
        self,
        frame: Frame,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> Frame:
        """Value each row of a DataFrame of pandas or polars."""
        made = Submission(file=Path(), options=options)
        return await self._run(value_dataframe(self._files, frame, made, timeout, on_progress))

    async def submit_file(
        self,
        source: Path | str,
        *,
        name: str | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> AsyncSubmittedFile:
        """Upload a file of cars; returns when the service has stored it."""
        submission = Submission(
            file=Path(source), name=name, key=idempotency_key, callback_url=callback_url,
            on_sent=on_sent, options=options,
        )  # fmt: skip
        return await self._submit(submission, timeout)

    async def correct_rows(
        self,
        batch_id: str,
        source: Path | str,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> AsyncSubmittedFile:
        """Send corrected rows of a batch back to it."""
        submission = Submission(
            file=Path(source), key=idempotency_key, corrects=batch_id, callback_url=callback_url
        )
        return await self._submit(submission, timeout)

    async def _submit(self, submission: Submission, timeout: float | None) -> AsyncSubmittedFile:
        batch = await self._run(self._files.submit(submission, Deadline.after(timeout)))
        return AsyncSubmittedFile(self, batch)

    async def find_batch(
        self, idempotency_key: str, *, timeout: float | None = None
    ) -> Batch | None:
        """The batch accepted with a key within the last 24 hours; None if there is none."""
        return await self._run(self._files.find(idempotency_key, self._limit(timeout)))

    async def batch(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """Read a batch."""
        return await self._run(self._files.read(batch_id, Deadline.after(self._limit(timeout))))

    async def wait_batch(
        self,
        batch_id: str,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """Wait for the end of a batch, also through a restart of the service."""
        return await self._run(self._files.wait(batch_id, Deadline.after(timeout), on_progress))

    async def cancel_batch(self, batch_id: str, *, timeout: float | None = None) -> Batch | None:
        """Cancel an open batch and return it; as `cancel_job`."""
        return await self._run(self._files.cancel(batch_id, self._limit(timeout)))

    async def delete_batch(self, batch_id: str, *, timeout: float | None = None) -> None:
        """Delete a batch that has ended, with its file and results."""
        await self._run(self._files.delete(batch_id, self._limit(timeout)))

    async def download_results(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        is_localized: bool = False,
        timeout: float | None = None,
    ) -> Path:
        """Download the results; resumes an interrupted download."""
        download = self._files.download(
            batch_id, "results", Path(target), form, is_localized=is_localized
        )
        return await self._run(download.run(Deadline.after(timeout)))

    async def download_rejected(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        timeout: float | None = None,
    ) -> Path:
        """Download the rejected rows with the reasons, as `csv`, `excel-fr` or `xlsx`."""
        download = self._files.download(batch_id, "rejected", Path(target), form)
        return await self._run(download.run(Deadline.after(timeout)))

    def batch_errors(
        self, batch_id: str, *, timeout: float | None = None
    ) -> AsyncGenerator[RowError, None]:
        """The entries of the error report, in the order of the file."""
        return self._iterate(self._files.errors(batch_id, timeout))

    # Steps of the protocol

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    async def _run(self, steps: Steps[Answer]) -> Answer:
        self._check_loop()
        return await run_async(steps, self._http, self._settings)

    async def _iterate(self, steps: Steps[None]) -> AsyncGenerator[Any, None]:
        self._check_loop()
        async with contextlib.aclosing(items_async(steps, self._http, self._settings)) as items:
            async for item in items:
                yield item

    def _check_loop(self) -> None:
        """Refuse another event loop: the kept connections belong to that of the first call.

        Raises:
            CarPriceError: the first call was in another one, like that of an earlier `asyncio.run`.
        """
        token = anyio.lowlevel.current_token()
        if self._loop is None:
            self._loop = token
        if self._loop != token:
            raise CarPriceError("the client belongs to another event loop: open it inside this one")
