"""HTTP client: values a car, a list of cars or a file of cars."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from client.downloads import download
from client.errors import WaitTimeoutError
from client.models import Batch, Job, RowError, Valuation
from client.transport import REFUSALS, Transport, read_answer

LONG_POLL_S = 20.0
UPLOAD_BLOCK_BYTES = 1 << 18

Car = Mapping[str, Any]
"""Fields of a car by name: company, model, year, fuel, transmission, km_driven, …"""

Progress = Callable[[Batch], None]
"""Callback that receives each state of a batch."""


class CarPriceClient:
    """Client of the car price service.

    Args:
        base_url: of the service.
        api_key: sent as bearer token, if given.
        language: `fr` or `en`: language of problems, warnings and error reports.
        timeout_s: time limit of a response.
        retries: how often a call is repeated that was refused for now (429, 503), and an
            idempotent one without an answer, after the pause that the service asks for. If it
            asks for more than a minute, the call fails at once.
        http: `httpx` transport to use instead of the network.

    Example:
        >>> with CarPriceClient("http://127.0.0.1:8000") as client:  # doctest: +SKIP
        ...     client.predict({"company": "Toyota", "model": "Corolla", "year": 2020,
        ...                     "fuel": "Petrol", "transmission": "Manual", "km_driven": 25000})
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        language: str = "en",
        timeout_s: float = 60.0,
        retries: int = 3,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(
            base_url, api_key=api_key, language=language, timeout_s=timeout_s, retries=retries,
            http=http,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # Cars

    def predict(
        self, car: Car, *, include: Sequence[str] = (), coverage: float | None = None
    ) -> Valuation:
        """Value one car.

        Args:
            car: fields of the car; with `asking_price_mad` the valuation has a verdict.
            include: `contributions`, `depreciation`, `comparables`.
            coverage: of the interval: 0.5, 0.8, 0.9 or 0.95.

        Raises:
            InvalidInputError: a field is missing or invalid.
            CarPriceError: any other failure.
        """
        params = _valuation_params(include, coverage)
        response = self._transport.call("POST", "/predict", json=dict(car), params=params)
        if response.status_code == HTTPStatus.ACCEPTED:
            job = read_answer(Job.of, response)
            return self.wait_job(job.id, coverage=coverage).valuations[0]
        return read_answer(Valuation.of, response)

    def report_sale(self, valuation_id: str, price_mad: float, sold_at: date) -> None:
        """Report the sale of a valued car; another price or date is a correction."""
        sale = {"sale_price_mad": price_mad, "sold_at": sold_at.isoformat()}
        self._transport.call("POST", f"/valuations/{valuation_id}/outcome", json=sale)

    def submit(
        self,
        cars: Car | Sequence[Car],
        *,
        include: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job with one car or a list of cars; returns when it is accepted.

        Args:
            cars: one car, or up to 1,000.
            include: as for `predict`.
            idempotency_key: a submission with the same key returns the same job.
        """
        body: Any = dict(cars) if isinstance(cars, Mapping) else [dict(car) for car in cars]
        response = self._transport.call(
            "POST",
            "/jobs",
            json=body,
            params=_valuation_params(include, None),
            headers={"Idempotency-Key": idempotency_key or uuid4().hex},
        )
        return read_answer(Job.of, response)

    def job(self, job_id: str, *, wait_s: float = 0.0, coverage: float | None = None) -> Job:
        """Read a job; waits up to `wait_s` (at most 30 s) for its end."""
        params = {"wait": f"{wait_s:g}"} | _valuation_params((), coverage)
        response = self._transport.call("GET", f"/jobs/{job_id}", params=params)
        return read_answer(Job.of, response)

    def wait_job(
        self, job_id: str, *, timeout_s: float = 300.0, coverage: float | None = None
    ) -> Job:
        """Wait for the end of a job.

        Raises:
            WaitTimeoutError: the job has not ended in time.
        """
        until = time.monotonic() + timeout_s
        while True:
            remaining_s = max(until - time.monotonic(), 0.0)
            job = self.job(job_id, wait_s=min(remaining_s, LONG_POLL_S), coverage=coverage)
            if job.has_ended:
                return job
            if remaining_s == 0:
                raise WaitTimeoutError(f"job {job_id} is {job.state} after {timeout_s:g} s")

    def cancel_job(self, job_id: str) -> Job | None:
        """Cancel an open job and return it; delete one that has ended and return None.

        The call is not repeated: a repetition could delete the job that the first call cancelled.

        Raises:
            ConflictError: the job has ended during the call.
        """
        response = self._transport.call("DELETE", f"/jobs/{job_id}", is_idempotent=False)
        if response.status_code == HTTPStatus.NO_CONTENT:
            return None
        return read_answer(Job.of, response)

    # Files

    def upload_batch(
        self,
        file: Path,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] | None = None,
        corrects: str | None = None,
        **options: Any,
    ) -> Batch:
        """Upload a file of cars; returns when the service has stored it.

        Args:
            file: streamed; never read into memory as a whole.
            name: sent instead of the name of `file`.
            idempotency_key: an upload with the same key returns the same batch.
            on_sent: called with the size of each sent block, bytes; with 0 at the beginning, also
                of a file that was refused for now and is sent again.
            corrects: the batch whose rejected rows `file` holds, corrected; without options.
            options: `dry_run`, `on_error`, `key_column`, `encoding`, `delimiter`, `decimal`, …
        """
        path = "/batches" if corrects is None else f"/batches/{corrects}/corrections"
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(file.stat().st_size),
            "Content-Disposition": _disposition(name or file.name),
            "Idempotency-Key": idempotency_key or uuid4().hex,
        }

        def send() -> httpx.Response:
            with file.open("rb") as source:
                return self._transport.call(
                    "POST",
                    path,
                    # Repeated by `repeat`, which reads the file from its beginning.
                    is_idempotent=False,
                    content=_blocks(source, on_sent),
                    params=_option_params(options),
                    headers=headers,
                )

        response = self._transport.repeat(send, REFUSALS)
        return read_answer(Batch.of, response)

    def find_batch(self, idempotency_key: str) -> Batch | None:
        """The batch accepted with a key within the last 24 hours; None if there is none."""
        params = {"kind": "batch", "idempotency_key": idempotency_key}
        response = self._transport.call("GET", "/jobs", params=params)
        ids = read_answer(lambda page: [item["id"] for item in page["items"]], response)
        return self.batch(ids[0]) if ids else None

    def batch(self, batch_id: str, *, wait_s: float = 0.0) -> Batch:
        """Read a batch; waits up to `wait_s` (at most 30 s) for its end."""
        params = {"wait": f"{wait_s:g}"}
        response = self._transport.call("GET", f"/batches/{batch_id}", params=params)
        return read_answer(Batch.of, response)

    def wait_batch(
        self,
        batch_id: str,
        *,
        timeout_s: float = float("inf"),
        poll_s: float = 1.0,
        on_progress: Progress | None = None,
    ) -> Batch:
        """Wait for the end of a batch.

        Args:
            batch_id: id of the batch.
            timeout_s: longest wait.
            poll_s: interval of the calls of `on_progress`.
            on_progress: called with each state that is read.

        Raises:
            WaitTimeoutError: the batch has not ended in time.
        """
        until = time.monotonic() + timeout_s
        while True:
            remaining_s = max(until - time.monotonic(), 0.0)
            batch = self.batch(batch_id, wait_s=min(remaining_s, poll_s))
            if on_progress is not None:
                on_progress(batch)
            if batch.has_ended:
                return batch
            if remaining_s == 0:
                raise WaitTimeoutError(f"batch {batch_id} is {batch.state} after {timeout_s:g} s")

    def cancel_batch(self, batch_id: str) -> Batch | None:
        """Cancel an open batch and return it; delete one that has ended and return None.

        The call is not repeated: a repetition could delete the batch that the first call cancelled.

        Raises:
            ConflictError: the batch has ended during the call, or rows of it are being corrected.
        """
        path = f"/batches/{batch_id}"
        response = self._transport.call("DELETE", path, is_idempotent=False)
        if response.status_code == HTTPStatus.NO_CONTENT:
            return None
        return read_answer(Batch.of, response)

    def download_results(self, batch_id: str, path: Path, *, form: str = "csv") -> Path:
        """Download the results to `path`; resumes an interrupted download.

        Args:
            batch_id: a batch that has ended.
            path: written when the download is complete.
            form: `csv`, `excel-fr`, `ndjson`, `parquet` or `xlsx`.

        Raises:
            ConflictError: the batch has not ended.
        """
        return download(self._transport, batch_id, "results", path, form=form)

    def download_rejected(self, batch_id: str, path: Path, *, form: str = "csv") -> Path:
        """Download the rejected rows with the reasons.

        Args:
            batch_id: a batch that has ended.
            path: written when the download is complete.
            form: `csv`, `excel-fr` or `xlsx`.
        """
        return download(self._transport, batch_id, "rejected", path, form=form)

    def batch_errors(self, batch_id: str) -> Iterator[RowError]:
        """The entries of the error report, in the order of the file."""
        with self._transport.stream(
            f"/batches/{batch_id}/errors", params={}, headers={}, is_repeated=True
        ) as response:
            for line in response.iter_lines():
                yield RowError.of(json.loads(line))


def _valuation_params(include: Sequence[str], coverage: float | None) -> dict[str, str]:
    params = {}
    if include:
        params["include"] = ",".join(include)
    if coverage is not None:
        params["coverage"] = f"{coverage:g}"
    return params


def _option_params(options: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in options.items()
        if value is not None
    }


def _blocks(source: BinaryIO, on_sent: Callable[[int], None] | None) -> Iterator[bytes]:
    if on_sent is not None:
        on_sent(0)
    while block := source.read(UPLOAD_BLOCK_BYTES):
        yield block
        if on_sent is not None:
            on_sent(len(block))


def _disposition(name: str) -> str:
    """`Content-Disposition` with a name in ASCII and, where it differs, in UTF-8 (RFC 6266)."""
    ascii_name = "".join(char if char.isascii() and char not in '"\\' else "_" for char in name)
    value = f'attachment; filename="{ascii_name}"'
    if ascii_name != name:
        value += f"; filename*=UTF-8''{quote(name.encode(errors='replace'), safe='')}"
    return value
