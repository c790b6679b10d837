"""A mixed load whose accepted work is recorded with its ids."""

import http.client
import itertools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.faults.work import Answer, Kind, Ledger

TIMEOUT_S = 40.0
RETRY_S = 0.25
"""Pause before a refused submission is repeated with the same Idempotency-Key."""
LIST_CARS = 40
EXTRAS_SHARE = 0.2
"""Share of the lists with extras."""
INVALID_EVERY = 50
"""One in so many rows of a batch is invalid."""
JOBS_CC, CARS_CC, HITS = 4_000, 900, 50
"""Cars of jobs have other engines than single cars: a job that was made twice can be found."""
UNCLEAR = {404, 410, 500, 502, 504}
"""Statuses that are never true here; a problem document with a type is required with others."""
_numbers = itertools.count(random.randrange(1_000_000))


def car(number: int, base_cc: int = CARS_CC) -> dict[str, Any]:
    """Return another car for each number."""
    return {
        "company": "Dacia",
        "model": "Logan",
        "year": 2018,
        "fuel": "Diesel",
        "transmission": "Manual",
        "km_driven": number % 1_900_000,
        "engine_cc": base_cc + number // 1_900_000,
    }


def answers_of(cars: Sequence[Mapping[str, Any]], prices_mad: Sequence[float] = ()) -> list[Answer]:
    """What was asked, and answered if that is known."""
    known: Sequence[float | None] = prices_mad or [None] * len(cars)
    return [
        Answer(one["km_driven"], one["engine_cc"], price)
        for one, price in zip(cars, known, strict=True)
    ]


def rows_csv(rows: int) -> tuple[bytes, int]:
    """Return a CSV file with numbered rows, and how many of them are valid.

    The invalid rows are the last ones, so that the ids of the valid ones are known.
    """
    invalid = rows // INVALID_EVERY
    start = next(_numbers)
    lines = [
        f"R{n};Dacia;Logan;{2018 if n <= rows - invalid else 1718};Diesel;{(start + n) % 1_900_000}"
        for n in range(1, rows + 1)
    ]
    return ("ref;Marque;Modèle;Année;Carburant;Kilométrage\n" + "\n".join(lines)).encode(), (
        rows - invalid
    )


class Connection:
    """One connection to the service; it is opened again after an error."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S
        )
        self._headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {key}"} if key else {}
        )

    def request(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send one request and read its answer.

        Raises:
            OSError, HTTPException: the connection broke.
        """
        try:
            self._http.request(method, path, body, self._headers | dict(headers or {}))
            response = self._http.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            raise


def reason_of(status: int, body: bytes) -> str:
    """Describe a refusal: its status and the type of its problem document."""
    try:
        problem = json.loads(body)["type"].rpartition("/")[2].rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        return f"{status} without a reason"
    return f"{status} {problem}"


def is_unclear(reason: str) -> bool:
    """Whether a refusal hides its true reason; no answer at all within `TIMEOUT_S` is one."""
    return any(
        mark in reason
        for mark in ("without a reason", "TimeoutError", *(f": {code} " for code in UNCLEAR))
    )


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How much load of which kind.

    Args:
        callers: number of callers by the method of `Caller` that they repeat.
        pauses_s: pause between two requests of a caller.
        rows: rows of a batch.
    """

    callers: Mapping[str, int]
    pauses_s: Mapping[str, float]
    rows: int = 2_000


KIND_OF = {
    "single": Kind.CAR,
    "hit": Kind.CAR,
    "job": Kind.JOB,
    "list": Kind.LIST,
    "batch": Kind.BATCH,
    "sale": Kind.SALE,
}
"""What the methods of `Caller` submit."""

MIXED = Mix(
    callers={"single": 3, "hit": 1, "job": 2, "list": 1, "batch": 1, "sale": 1},
    pauses_s={"single": 0.02, "hit": 0.02, "job": 0.03, "list": 0.3, "batch": 0.8, "sale": 0.1},
)
ONLY_BATCHES = Mix(callers={"batch": 1}, pauses_s={"batch": 1.0})


class Caller:
    """One connection; each method submits work of one kind once, until it is accepted."""

    def __init__(
        self, url: str, key: str, ledger: Ledger, stopping: threading.Event, rows: int
    ) -> None:
        self._connection = Connection(url, key)
        self._ledger = ledger
        self._stopping = stopping
        self._rows = rows

    def single(self) -> None:
        """Value a new car."""
        self._predict(car(next(_numbers)))

    def hit(self) -> None:
        """Value one of a few cars, which are mostly cached."""
        self._predict(car(random.randrange(HITS)))

    def job(self) -> None:
        """Submit one car."""
        one = car(next(_numbers), JOBS_CC)
        self._submit(Kind.JOB, "/jobs", json.dumps(one), 1, cars=[one])

    def list(self) -> None:
        """Submit a list, sometimes with extras, which take much longer."""
        cars = [car(next(_numbers), JOBS_CC) for _ in range(LIST_CARS)]
        path = "/jobs" + (
            "?include=contributions,depreciation" if random.random() < EXTRAS_SHARE else ""
        )
        self._submit(Kind.LIST, path, json.dumps(cars), LIST_CARS, cars=cars)

    def batch(self) -> None:
        """Upload a file."""
        text, valid = rows_csv(self._rows)
        self._submit(Kind.BATCH, "/batches", text, self._rows, valid, media_type="text/csv")

    def sale(self) -> None:
        """Report the sale of a car that was answered, until that is accepted."""
        works = self._ledger.works
        cars = [work for work in works[-200:] if work.kind is Kind.CAR]
        if not cars:
            return
        work = random.choice(cars)
        if work.remark == "sold":
            return
        work.remark = "sold"
        sold_at = datetime.now(UTC).date().isoformat()
        sale = json.dumps({"sale_price_mad": 90_000, "sold_at": sold_at})
        if self._repeat(Kind.SALE, f"/valuations/{work.id}/outcome", sale, {}, {200, 201}):
            self._ledger.report_sale(work.id)

    def _predict(self, body: Mapping[str, Any]) -> None:
        started_at = time.time()
        status, answer = self._connection.request("POST", "/predict", json.dumps(body))
        if status == http.client.OK:
            found = json.loads(answer)
            work = self._ledger.answer(found["id"], started_at, is_cached=found["cached"])
            work.answers = answers_of([body], [found["price_mad"]])
        elif status == http.client.ACCEPTED:
            work = self._ledger.accept(Kind.JOB, json.loads(answer)["id"], 1)
            work.answers = answers_of([body])
        else:
            self._ledger.refuse(Kind.CAR, reason_of(status, answer))

    def _submit(
        self,
        kind: Kind,
        path: str,
        body: str | bytes,
        items: int,
        valid: int | None = None,
        *,
        cars: Sequence[Mapping[str, Any]] = (),
        media_type: str = "application/json",
    ) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": media_type}
        if answer := self._repeat(kind, path, body, headers, {http.client.ACCEPTED, 200}):
            work = self._ledger.accept(kind, json.loads(answer)["id"], items, valid)
            work.answers = answers_of(cars)

    def _repeat(
        self,
        kind: Kind,
        path: str,
        body: str | bytes,
        headers: Mapping[str, str],
        expected: set[int],
    ) -> bytes | None:
        """Send a request until it is accepted; None if the load is stopped before."""
        while True:
            try:
                status, answer = self._connection.request("POST", path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                self._ledger.refuse(kind, f"connection: {type(error).__name__}")
            else:
                if status in expected:
                    return answer
                self._ledger.refuse(kind, reason_of(status, answer))
            if self._stopping.wait(RETRY_S):
                return None


class Load:
    """Runs callers, each in a thread.

    Args:
        url: address of the service.
        key: API key of the callers; empty: none.
        ledger: records accepted work.
        mix: how much of what.
    """

    def __init__(self, url: str, key: str, ledger: Ledger, mix: Mix = MIXED) -> None:
        self._stopping = threading.Event()
        self._ledger = ledger
        self._mix = mix
        self._threads = [
            threading.Thread(
                target=self._run, args=(kind, Caller(url, key, ledger, self._stopping, mix.rows))
            )
            for kind, count in mix.callers.items()
            for _ in range(count)
        ]

    def __enter__(self) -> Self:
        """Start all callers."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all callers after their current request."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, kind: str, caller: Caller) -> None:
        call: Callable[[], None] = getattr(caller, kind)
        while not self._stopping.wait(self._mix.pauses_s[kind]):
            try:
                call()
            except (OSError, http.client.HTTPException) as error:
                self._ledger.refuse(KIND_OF[kind], f"connection: {type(error).__name__}")
                self._stopping.wait(RETRY_S)
