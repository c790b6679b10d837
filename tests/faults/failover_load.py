"""Clients that post jobs all the time, and what they saw."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from tests.conftest import REFERENCE_CAR

CLIENTS = 4
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}


class Api(Protocol):
    """An API that is asked."""

    def client(self) -> httpx.Client:
        """A client of it."""


@dataclass
class Seen:
    """What the clients saw."""

    accepted: list[str] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    """Monotonic times of the answers 503."""
    without_retry_after: int = 0
    others: list[str] = field(default_factory=list)
    """Answers that are neither 202 nor 503, and errors."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def refusing_s(self) -> float:
        """Seconds from the first answer 503 to the last."""
        return max(self.refused_at) - min(self.refused_at) if self.refused_at else 0.0


def post_jobs(api: Api, seen: Seen, number: int) -> None:
    """Post jobs of one car each, one after the other, until told to stop."""
    with api.client() as client:
        sent = 0
        while not seen.stop.is_set():
            sent += 1
            car = REFERENCE_CAR | {"km_driven": 1000 * number + sent}
            try:
                answer = client.post("/jobs", json=car)
            except httpx.HTTPError as error:
                seen.others.append(repr(error))
                continue
            if answer.status_code == 202:
                seen.accepted.append(answer.json()["id"])
            elif answer.status_code == 503:
                seen.refused_at.append(time.monotonic())
                seen.without_retry_after += "Retry-After" not in answer.headers
                time.sleep(0.05)
            else:
                seen.others.append(f"{answer.status_code} {answer.text[:200]}")


@contextlib.contextmanager
def posting(*apis: Api) -> Iterator[Seen]:
    """Post jobs by several clients, to the APIs in turn, while the block runs."""
    seen = Seen()
    with ThreadPoolExecutor(CLIENTS) as pool:
        posts = [
            pool.submit(post_jobs, apis[number % len(apis)], seen, number)
            for number in range(CLIENTS)
        ]
        try:
            yield seen
        finally:
            seen.stop.set()
        for post in posts:
            post.result()


def unfinished(client: httpx.Client, job_ids: list[str]) -> dict[str, str]:
    """Return the jobs that have not succeeded, with what their GET says."""
    found = {}
    for job_id in job_ids:
        answer = client.get(f"/jobs/{job_id}")
        state = answer.json().get("state") if answer.status_code == 200 else answer.status_code
        if state != "SUCCEEDED":
            found[job_id] = str(state)
    return found
