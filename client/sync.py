"""The client for ordinary programs and threads; `aio` has the one for event loops."""

import ssl
from collections.abc import Callable, Generator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx

from .connections import DEFAULT_TIMEOUT_S, DEFAULT_URL, Settings
from .deadlines import limited_transport
from .drivers import items, run
from .handles import SubmittedFile, SubmittedJob
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


class CarPriceClient:
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

    # Files

    def value_file(
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
        """Upload a file of cars, wait for its end and download the results.

        Args:
            source: streamed; never read into memory as a whole.
            target: where the results go; written when they are complete.
            form: format of the results; by the end of the name of `target` if None.
            rejected: where the rejected rows go, to be corrected.
            on_progress: called while the file is sent, valued and downloaded.
            callback_url: where the service reports the end by a webhook.
            idempotency_key: an upload with the same key gives the same batch.
            timeout: total seconds.
            options: how the file is read; what is left out is detected.

        Raises:
            BatchFailedError: not all rows were processed.
        """
        submission = Submission(
            file=Path(source), key=idempotency_key, callback_url=callback_url, options=options
        )
        return self._run(
            self._files.value_file(
                submission,
                Path(target),
                timeout,
                form=form,
                rejected=None if rejected is None else Path(rejected),
                on_progress=on_progress,
            )
        )

    def value_dataframe(
        self,
        frame: Frame,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> Frame:
        """Value each row of a DataFrame of pandas or polars.

        The result is the frame with the columns of the results (`price_mad`, `low_mad`,
        `high_mad`, …, `row_status`, `row_error`), in the same order and with the same index. A
        row that cannot be valued has no price and says why in `row_error`.
        """
        made = Submission(file=Path(), options=options)
        return self._run(value_dataframe(self._files, frame, made, timeout, on_progress))

    def submit_file(
        self,
        source: Path | str,
        *,
        name: str | None = None,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
        timeout: float | None = None,
        **options: Unpack[UploadOptions],
    ) -> SubmittedFile:
        """Upload a file of cars; returns when the service has stored it.

        Args:
            source: as for `value_file`, whose other arguments are the same.
            name: sent instead of the name of `source`.
            callback_url: see there.
            idempotency_key: see there.
            on_sent: called with the size of each sent block, bytes; with 0 at the beginning, also
                of a file that is sent again.
            timeout: see there.
            options: see there.
        """
        submission = Submission(
            file=Path(source), name=name, key=idempotency_key, callback_url=callback_url,
            on_sent=on_sent, options=options,
        )  # fmt: skip
        return self._submit(submission, timeout)

    def correct_rows(
        self,
        batch_id: str,
        source: Path | str,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> SubmittedFile:
        """Send corrected rows of a batch back to it.

        Args:
            batch_id: a batch that has ended.
            source: what `download_rejected` wrote, with corrected cells.
            callback_url: as for `value_file`.
            idempotency_key: as for `value_file`.
            timeout: total seconds.
        """
        submission = Submission(
            file=Path(source), key=idempotency_key, corrects=batch_id, callback_url=callback_url
        )
        return self._submit(submission, timeout)

    def _submit(self, submission: Submission, timeout: float | None) -> SubmittedFile:
        batch = self._run(self._files.submit(submission, Deadline.after(timeout)))
        return SubmittedFile(self, batch)

    def find_batch(self, idempotency_key: str, *, timeout: float | None = None) -> Batch | None:
        """The batch accepted with a key within the last 24 hours; None if there is none."""
        return self._run(self._files.find(idempotency_key, self._limit(timeout)))

    def batch(self, batch_id: str, *, timeout: float | None = None) -> Batch:
        """Read a batch."""
        return self._run(self._files.read(batch_id, Deadline.after(self._limit(timeout))))

    def wait_batch(
        self,
        batch_id: str,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """Wait for the end of a batch, also through a restart of the service.

        Args:
            batch_id: id of the batch.
            on_progress: called with its state each second, and at the end.
            timeout: total seconds.

        Raises:
            WaitTimeoutError: it has not ended in time; it goes on.
        """
        return self._run(self._files.wait(batch_id, Deadline.after(timeout), on_progress))

    def cancel_batch(self, batch_id: str, *, timeout: float | None = None) -> Batch | None:
        """Cancel an open batch and return it; as `cancel_job`."""
        return self._run(self._files.cancel(batch_id, self._limit(timeout)))

    def delete_batch(self, batch_id: str, *, timeout: float | None = None) -> None:
        """Delete a batch that has ended, with its file and results."""
        self._run(self._files.delete(batch_id, self._limit(timeout)))

    def download_results(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        is_localized: bool = False,
        timeout: float | None = None,
    ) -> Path:
        """Download the results; resumes an interrupted download.

        Args:
            batch_id: a batch that has ended.
            target: written when the download is complete.
            form: format of the results.
            is_localized: whether the added columns have names in the language of the batch.
            timeout: total seconds.

        Raises:
            ConflictError: the batch has not ended.
        """
        download = self._files.download(
            batch_id, "results", Path(target), form, is_localized=is_localized
        )
        return self._run(download.run(Deadline.after(timeout)))

    def download_rejected(
        self,
        batch_id: str,
        target: Path | str,
        *,
        form: Form = "csv",
        timeout: float | None = None,
    ) -> Path:
        """Download the rejected rows with the reasons, as `csv`, `excel-fr` or `xlsx`."""
        download = self._files.download(batch_id, "rejected", Path(target), form)
        return self._run(download.run(Deadline.after(timeout)))

    def batch_errors(
        self, batch_id: str, *, timeout: float | None = None
    ) -> Generator[RowError, None, None]:
        """The entries of the error report, in the order of the file."""
        return self._iterate(self._files.errors(batch_id, timeout))

    # Steps of the protocol

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _run(self, steps: Steps[Answer]) -> Answer:
        return run(steps, self._http, self._settings)

    def _iterate(self, steps: Steps[None]) -> Generator[Any, None, None]:
        return items(steps, self._http, self._settings)
