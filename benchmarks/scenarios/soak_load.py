"""The mixed load of a soak: valid and invalid requests, jobs, batches, clients that disconnect."""

import collections
import http.client
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 40.0
"""Longer than any wait that the service allows: a request that takes longer hangs."""
PAUSE_S = 0.02
SOME_CARS = 50
BATCH_ROWS = 40
HEADERS = {"Content-Type": "application/json"}
BAD_BODIES = (b"", b"{", b"[]", b'{"year": "soon"}', b'"\xff"', b'{"company": null}')
_numbers = itertools.count(1)


def car(number: int) -> dict[str, Any]:
    """Return a different car for each number."""
    return {
        "company": "Dacia",
        "model": "Logan",
        "year": 2018,
        "fuel": "Diesel",
        "transmission": "Manual",
        "km_driven": number % 1_900_000,
        "engine_cc": 900 + number // 1_900_000,
    }


class Tally:
    """Counts the results of the requests of all callers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: collections.Counter[str] = collections.Counter()
        self.recorded: list[str] = []
        """Ids that must be in the audit log exactly once."""
        self.reported: list[str] = []
        """Ids of the jobs and batches whose ends must be reported by webhooks."""
        self.slowest_s = 0.0

    def add(self, kind: str, started_at: float, wrong: str = "", answered_id: str = "") -> None:
        """Count one request.

        Args:
            kind: kind of the request.
            started_at: its start, monotonic seconds.
            wrong: the error, if there was one.
            answered_id: the id of its answer, which must be in the audit log.
        """
        with self._lock:
            self.answers[kind] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - started_at)
            if wrong:
                self.failures[f"{kind}: {wrong}"] += 1
            elif answered_id:
                self.recorded.append(answered_id)


class Caller:
    """One connection to the service; each method sends requests of one kind."""

    def __init__(self, url: str, tally: Tally, callback_url: str = "") -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._callback = f"?{urlencode({'callback_url': callback_url})}" if callback_url else ""
        self._connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S)
        self._tally = tally

    def hit(self) -> None:
        """Request one of a few cars, which the cache mostly answers."""
        self._predict("hit", car(random.randrange(SOME_CARS)))

    def miss(self) -> None:
        """Request a new car."""
        self._predict("miss", car(next(_numbers) + SOME_CARS))

    def impatient(self) -> None:
        """Request a new car without waiting: the request becomes a job."""
        headers = {"Prefer": "wait=0"}
        self._predict("impatient", car(next(_numbers) + SOME_CARS), headers)

    def job(self) -> None:
        """Submit two cars and wait for the job."""
        cars = [car(next(_numbers) + SOME_CARS) for _ in range(2)]
        started_at = time.monotonic()
        status, body = self._request("POST", "/jobs", json.dumps(cars))
        job = json.loads(body)
        if status != http.client.ACCEPTED:
            self._tally.add("job", started_at, f"status {status}")
        else:
            self._follow("job", job["links"]["self"], started_at, f"{job['id']}-1")

    def webhook(self) -> None:
        """Submit a car whose end is reported by a webhook, and wait for the job."""
        started_at = time.monotonic()
        path = f"/jobs{self._callback}"
        body = json.dumps(car(next(_numbers) + SOME_CARS))
        status, answer = self._request("POST", path, body)
        if status != http.client.ACCEPTED:
            self._tally.add("webhook", started_at, f"status {status}")
            return
        job = json.loads(answer)
        self._tally.reported.append(job["id"])
        self._follow("webhook", job["links"]["self"], started_at, job["id"])

    def batch(self) -> None:
        """Upload a small file with a broken row, wait for its results, and have it reported."""
        rows = "".join(f"Dacia;Logan;2018;Diesel;Manuelle;{n}\n" for n in range(BATCH_ROWS))
        text = f"Marque;Modèle;Année;Carburant;Boîte;Kilométrage\n{rows}Dacia;;;;;\n"
        started_at = time.monotonic()
        headers = {"Content-Type": "text/csv"}
        path = f"/batches{self._callback}"
        status, body = self._request("POST", path, text.encode(), headers)
        if status != http.client.ACCEPTED:
            self._tally.add("batch", started_at, f"status {status}")
            return
        batch_id = json.loads(body)["id"]
        if self._callback:
            self._tally.reported.append(batch_id)
        path = f"/batches/{batch_id}"
        self._follow("batch", path, started_at)
        status, body = self._request("GET", f"{path}/results")
        lines = body.count(b"\n")
        self._tally.add("batch", started_at, "" if lines == BATCH_ROWS + 2 else f"{lines} lines")

    def bad(self) -> None:
        """Send an invalid body."""
        started_at = time.monotonic()
        status, _ = self._request("POST", "/predict", random.choice(BAD_BODIES))
        refused = http.client.BAD_REQUEST <= status < http.client.INTERNAL_SERVER_ERROR
        self._tally.add("bad", started_at, "" if refused else f"status {status}")

    def hang_up(self) -> None:
        """Disconnect in the middle of a request, or before its answer."""
        started_at = time.monotonic()
        body = json.dumps(car(next(_numbers) + SOME_CARS)).encode()
        head = (
            "POST /predict HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        sent = head.encode() + body
        with socket.create_connection(self._address, timeout=TIMEOUT_S) as connection:
            connection.sendall(sent[: random.choice((len(sent), len(sent) - 10, 20))])
        self._tally.add("hang-up", started_at)

    def look(self) -> None:
        """Request the pages that dashboards and operators read."""
        started_at = time.monotonic()
        for path in ("/predictions/stats", "/metrics", "/cache/stats", "/readyz", "/"):
            status, _ = self._request("GET", path)
            self._tally.add("look", started_at, "" if status == http.client.OK else f"{status}")

    def _predict(
        self, kind: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        started_at = time.monotonic()
        status, answer = self._request("POST", "/predict", json.dumps(body), headers or {})
        found = json.loads(answer)
        if status == http.client.OK:
            self._tally.add(kind, started_at, answered_id=found["id"])
        elif status == http.client.ACCEPTED:
            self._follow(kind, found["links"]["self"], started_at, found["id"])
        else:
            self._tally.add(kind, started_at, f"status {status}")

    def _follow(self, kind: str, path: str, started_at: float, answered_id: str = "") -> None:
        """Poll until a job or batch has succeeded."""
        state = "unknown"
        while time.monotonic() - started_at < TIMEOUT_S:
            status, body = self._request("GET", f"{path}?wait=10")
            state = json.loads(body).get("state", f"status {status}")
            if state == "SUCCEEDED":
                self._tally.add(kind, started_at, answered_id=answered_id)
                return
        self._tally.add(kind, started_at, f"still {state}")

    def _request(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, body, HEADERS | dict(headers or {}))
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


WEBHOOK = "webhook"
"""Runs only with a receiver."""

MIX = ("hit", "hit", "miss", "miss", "miss", "impatient", "job", "batch", "bad", "hang_up", "look")
"""The method that each caller repeats; there is one caller per entry."""


class Load:
    """Runs callers, each in a thread.

    Args:
        url: address of the service.
        mix: the method of `Caller` that each caller repeats.
        callback_url: of a receiver of webhooks; empty: there is none.
    """

    def __init__(self, url: str, mix: Sequence[str] = MIX, callback_url: str = "") -> None:
        self.tally = Tally()
        self._stopping = threading.Event()
        kinds = [*mix, WEBHOOK] if callback_url else mix
        self._threads = [
            threading.Thread(target=self._run, args=(kind, Caller(url, self.tally, callback_url)))
            for kind in kinds
        ]

    def start(self) -> None:
        """Start all callers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop all callers after their current request."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, kind: str, caller: Caller) -> None:
        call: Callable[[], None] = getattr(caller, kind)
        while not self._stopping.wait(PAUSE_S):
            started_at = time.monotonic()
            try:
                call()
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.tally.add(kind, started_at, f"{type(error).__name__}: {error}")
