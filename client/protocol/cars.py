"""The protocol of cars and jobs: valuations, submissions, waiting, lists, sales."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from ..errors import RETRYABLE, CarPriceError, DeadlineError, JobFailedError, WaitTimeoutError
from ..valuations import Valuation
from ..work import Job, WorkSummary
from .exchange import Exchange, write_json
from .repetition import Patience
from .steps import Deadline, Give, Request, Steps

LONG_POLL_S = 20.0
ANSWER_MARGIN_S = 0.5
"""Time left for the answer of a poll that waits until the deadline."""
CARS_PER_JOB = 1_000
"""Most cars in a job (`JOB_MAX_CARS` of the service)."""
PAGE_ITEMS = 100

Car: TypeAlias = Mapping[str, Any]
"""Fields of a car by name: company, model, year, fuel, transmission, km_driven, …"""
Extra: TypeAlias = Literal["contributions", "depreciation", "comparables", "typical"]
Kind: TypeAlias = Literal["job", "batch"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ValuationOptions:
    """What is wanted besides the price."""

    include: Sequence[str] = ()
    coverage: float | None = None
    keep: bool = False
    """Whether the service keeps the valuation; for `Cars.value` only."""

    @property
    def params(self) -> dict[str, str]:
        """As query parameters."""
        params = {}
        if self.include:
            params["include"] = ",".join(self.include)
        if self.coverage is not None:
            params["coverage"] = f"{self.coverage:g}"
        if self.keep:
            params["keep"] = "true"
        return params


@dataclasses.dataclass(frozen=True, slots=True)
class Cars:
    """The protocol of one service; each method gives the steps of a call."""

    exchange: Exchange

    def value(self, car: Car, options: ValuationOptions, timeout: float | None) -> Steps[Valuation]:
        """Value one car; if the service answers with a job, wait for its end."""
        deadline = Deadline.after(timeout)
        request = Request(
            method="POST",
            path="/predict",
            params=options.params,
            headers=JSON_BODY,
            body=write_json(dict(car)),
        )
        answer = yield from self.exchange.call(request, deadline)
        if answer.status != HTTPStatus.ACCEPTED:
            return answer.read(Valuation.of)
        job = answer.read(Job.of)
        ended = yield from self._wait(job.id, deadline, coverage=options.coverage)
        (valuation,) = result_of(ended, 1)
        if options.keep:
            # The service keeps the answer of a job when it is read under its own address.
            return (yield from self._kept(job.id, options.coverage, deadline))
        return valuation

    def valuation(
        self, valuation_id: str, coverage: float | None, timeout: float | None
    ) -> Steps[Valuation]:
        """Read a valuation that the service keeps; wait for it if a job still makes it."""
        deadline = Deadline.after(timeout)
        return (yield from self._kept(valuation_id, coverage, deadline))

    def _kept(
        self, valuation_id: str, coverage: float | None, deadline: Deadline
    ) -> Steps[Valuation]:
        path = f"/valuations/{path_part(valuation_id)}"
        params = ValuationOptions(coverage=coverage).params
        request = Request(method="GET", path=path, params=params)
        answer = yield from self.exchange.call(request, deadline)
        if answer.status == HTTPStatus.ACCEPTED:
            result_of((yield from self._wait(valuation_id, deadline, coverage=coverage)), 1)
            answer = yield from self.exchange.call(request, deadline)
        return answer.read(Valuation.of)

    def delete_valuation(self, valuation_id: str, timeout: float | None) -> Steps[None]:
        """Delete a kept valuation before its time."""
        request = delete_request(f"/valuations/{path_part(valuation_id)}")
        yield from self.exchange.call(request, Deadline.after(timeout), is_idempotent=False)

    def value_many(
        self,
        cars: Sequence[Car],
        options: ValuationOptions,
        timeout: float | None,
        per_job: int = CARS_PER_JOB,
    ) -> Steps[list[Valuation]]:
        """Value a list of cars of any length, by one job after the other."""
        deadline = Deadline.after(timeout)
        valuations: list[Valuation] = []
        for start in range(0, len(cars), per_job):
            part = cars[start : start + per_job]
            job = yield from self._submit(part, options, deadline, offset=start)
            ended = yield from self._wait(job.id, deadline, coverage=options.coverage, offset=start)
            valuations += result_of(ended, len(part))
        return valuations

    def submit(
        self,
        cars: Car | Sequence[Car],
        options: ValuationOptions,
        timeout: float | None,
        *,
        callback_url: str | None = None,
        key: str | None = None,
    ) -> Steps[Job]:
        """Submit a job with one car or a list of cars."""
        deadline = Deadline.after(timeout)
        return (
            yield from self._submit(cars, options, deadline, callback_url=callback_url, key=key)
        )

    def _submit(
        self,
        cars: Car | Sequence[Car],
        options: ValuationOptions,
        deadline: Deadline,
        *,
        callback_url: str | None = None,
        key: str | None = None,
        offset: int = 0,
    ) -> Steps[Job]:
        body: Any = dict(cars) if isinstance(cars, Mapping) else [dict(car) for car in cars]
        params = options.params
        if callback_url is not None:
            params["callback_url"] = callback_url
        request = Request(
            method="POST",
            path="/jobs",
            params=params,
            # Made once for all repetitions: the service gives the same job for the same key.
            headers={**JSON_BODY, "Idempotency-Key": key or uuid4().hex},
            body=write_json(body),
        )
        answer = yield from self.exchange.call(request, deadline, offset=offset)
        return answer.read(partial(Job.of, offset=offset))

    def read(
        self,
        job_id: str,
        deadline: Deadline,
        *,
        wait_s: float = 0.0,
        coverage: float | None = None,
        offset: int = 0,
    ) -> Steps[Job]:
        """Read a job."""
        params = ValuationOptions(coverage=coverage).params | {"wait": f"{wait_s:.3g}"}
        path = f"/jobs/{path_part(job_id)}"
        request = Request(method="GET", path=path, params=params, wait_s=wait_s)
        answer = yield from self.exchange.call(request, deadline)
        return answer.read(partial(Job.of, offset=offset))

    def wait(self, job_id: str, timeout: float | None, coverage: float | None) -> Steps[Job]:
        """Wait for the end of a job."""
        return (yield from self._wait(job_id, Deadline.after(timeout), coverage=coverage))

    def _wait(
        self, job_id: str, deadline: Deadline, *, coverage: float | None, offset: int = 0
    ) -> Steps[Job]:
        patience = Patience(deadline)
        while True:
            wait_s, is_last = poll_s(deadline, LONG_POLL_S)
            try:
                job = yield from self.read(
                    job_id, deadline, wait_s=wait_s, coverage=coverage, offset=offset
                )
            except DeadlineError as error:
                raise not_ended("job", job_id, deadline) from error
            except RETRYABLE as error:
                yield from patience.failed(error)
                continue
            patience.succeeded()
            if job.has_ended:
                return job
            if is_last:
                raise not_ended("job", job_id, deadline)

    def cancel(self, job_id: str, timeout: float | None) -> Steps[Job | None]:
        """Cancel an open job; one that has ended stays as it is."""
        deadline = Deadline.after(timeout)
        job = yield from self.read(job_id, deadline)
        if job.has_ended:
            return job
        answer = yield from self.exchange.call(
            delete_request(f"/jobs/{job_id}"), deadline, is_idempotent=False
        )
        return None if answer.status == HTTPStatus.NO_CONTENT else answer.read(Job.of)

    def delete(self, job_id: str, timeout: float | None) -> Steps[None]:
        """Delete a job that has ended."""
        deadline = Deadline.after(timeout)
        job = yield from self.read(job_id, deadline)
        if not job.has_ended:
            raise CarPriceError(f"job {job_id} has not ended: it can be deleted then")
        request = delete_request(f"/jobs/{job_id}")
        yield from self.exchange.call(request, deadline, is_idempotent=False)

    def list(
        self,
        timeout: float | None,
        *,
        kind: Kind | None = None,
        state: str | None = None,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
    ) -> Steps[None]:
        """Give the jobs and batches of the caller, the newest first."""
        given = {
            "kind": kind,
            "state": state,
            "from": None if since is None else since.isoformat(),
            "to": None if until is None else until.isoformat(),
            "limit": str(PAGE_ITEMS),
        }
        params = {name: value for name, value in given.items() if value is not None}
        deadline = Deadline.after(timeout)
        while True:
            request = Request(method="GET", path="/jobs", params=params)
            answer = yield from self.exchange.call(request, deadline)
            items, cursor = answer.read(_read_page)
            for item in items:
                yield Give(item)
            if cursor is None:
                return
            params["cursor"] = cursor

    def report_sale(
        self, valuation_id: str, price_mad: float, sold_at: date, timeout: float | None
    ) -> Steps[None]:
        """Report the sale of a valued car."""
        request = Request(
            method="POST",
            path=f"/valuations/{path_part(valuation_id)}/outcome",
            headers=JSON_BODY,
            body=write_json({"sale_price_mad": price_mad, "sold_at": sold_at}),
        )
        yield from self.exchange.call(request, Deadline.after(timeout))


JSON_BODY = {"Content-Type": "application/json"}


def result_of(job: Job, count: int | None = None) -> Sequence[Valuation]:
    """The valuations of a job that has ended.

    Raises:
        JobFailedError: it has none, or another number than `count`.
    """
    if job.state != "SUCCEEDED" or count not in {None, len(job.valuations)}:
        raise JobFailedError(job)
    return job.valuations


def poll_s(deadline: Deadline, longest_s: float) -> tuple[float, bool]:
    """How long a poll may wait, to be answered before the deadline, and whether it is the last."""
    left_s = deadline.remaining_s - ANSWER_MARGIN_S
    return max(min(left_s, longest_s), 0.0), left_s <= longest_s


def not_ended(kind: str, work_id: str, deadline: Deadline) -> WaitTimeoutError:
    """The error of a wait whose time is over."""
    return WaitTimeoutError(
        f"{kind} {work_id} has not ended within {deadline.total_s:g} s; it goes on",
        work_id=work_id,
    )


def delete_request(path: str) -> Request:
    """A request that cancels or deletes; never sent twice after a lost answer.

    The first one may have cancelled; the second one would delete.
    """
    return Request(method="DELETE", path=path)


def path_part(work_id: str) -> str:
    """An id as a part of a path.

    Raises:
        CarPriceError: no id has this form.
    """
    if not work_id or not all(
        char.isascii() and (char.isalnum() or char in "-_") for char in work_id
    ):
        raise CarPriceError(f"{work_id!r} is no id")
    return work_id


def _read_page(page: Mapping[str, Any]) -> tuple[list[WorkSummary], str | None]:
    return [WorkSummary.of(each) for each in page["items"]], page["next_cursor"]


def items_of(page: Mapping[str, Any]) -> Iterator[str]:
    """The ids of a page."""
    return (str(item["id"]) for item in page["items"])
