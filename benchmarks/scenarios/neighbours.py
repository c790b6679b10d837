"""Scenario `neighbours`: single cars and a small batch, alone and beside large batches."""

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.load import measured, wrk
from benchmarks.measurements import Round
from benchmarks.processes import ProgramError, run_to_completion
from benchmarks.scenarios.bulk_client import FINISHED
from benchmarks.servers import SERVICE

CONNECTIONS = 16
LARGE_BATCHES = 2
"""Number of large batches at a time, so that one is in progress while the next one is uploaded."""
MIN_LARGE_ROWS = 250_000
"""A batch of fewer rows may end before the next one has been uploaded."""
POLL_S = 0.1
SMALL_ROWS = 100
WAIT_S = 60.0

ALONE, BESIDE = "alone", "beside-batch"
"""The same load without and with a large batch in progress."""


def neighbours(bench: Bench) -> None:
    """Measure the latency of `/predict` and the duration of a small batch, both ways."""
    if not bench.available_subjects([SERVICE]):
        return
    running = bench.running(SERVICE)
    cars, _ = inputs.write_cars(bench.workspace, bench.options.rows)
    large = _repeated(cars, bench.options.rows)
    small = _first_rows(cars, SMALL_ROWS)
    seconds = bench.options.seconds

    def one_car(name: str, number: int) -> Round:
        command = wrk(running, "predict", seconds, CONNECTIONS, bench.next_car_number(), 0)
        with _batches(bench, large if name == BESIDE else None):
            found = measured(running, command, scenario="beside", number=number, waits=False)
        running.wait_until_idle()
        return dataclasses.replace(found, subject=name)

    def small_batch(name: str, number: int) -> Round:
        command = bench.command("benchmarks.scenarios.bulk_client", running.url, small)
        with _batches(bench, large if name == BESIDE else None):
            found = measured(running, command, scenario="behind", number=number, waits=False)
        running.wait_until_idle()
        return dataclasses.replace(found, subject=name)

    run_to_completion(wrk(running, "predict", 1, CONNECTIONS, bench.next_car_number(), 0), WAIT_S)
    bench.run_interleaved([ALONE, BESIDE], one_car)
    bench.run_interleaved([ALONE, BESIDE], small_batch)


@contextlib.contextmanager
def _batches(bench: Bench, path: Path | None) -> Iterator[None]:
    """Keep large batches of a file in progress within the context; None: no batch.

    Raises:
        ProgramError: there was a moment without a batch.
    """
    if path is None:
        yield
        return
    large = _LargeBatches(bench.running(SERVICE).url, path)
    with large.in_progress():
        yield
    if large.was_idle:
        raise ProgramError("the large batches ended faster than new ones came: use more --rows")


class _LargeBatches:
    """Uploads a large file again whenever a batch has ended.

    Args:
        url: address of the service.
        path: the file.
    """

    def __init__(self, url: str, path: Path) -> None:
        self._client = httpx.Client(base_url=url, timeout=WAIT_S)
        self._path = path
        self._unfinished: list[str] = []
        self._stop = threading.Event()
        self.was_idle = False
        """Whether there was a moment when all had ended."""

    @contextlib.contextmanager
    def in_progress(self) -> Iterator[None]:
        """Keep batches in progress within the context; cancel them at its end."""
        with self._client, ThreadPoolExecutor(1) as pool:
            self._unfinished = [self._upload() for _ in range(LARGE_BATCHES)]
            uploads = pool.submit(self._replace_ended)
            try:
                yield
            finally:
                self._stop.set()
                uploads.result()
                self._cancel()

    def _replace_ended(self) -> None:
        """Replace ended batches until the stop event; check once more after it."""
        is_stopping = False
        while not is_stopping:
            is_stopping = self._stop.wait(POLL_S)
            self._check_idle()
            while len(self._unfinished) < LARGE_BATCHES and not is_stopping:
                uploaded = self._upload()
                self._check_idle()  # the others may have ended during the upload
                self._unfinished.append(uploaded)

    def _check_idle(self) -> None:
        self._remove_ended()
        self.was_idle = self.was_idle or not self._unfinished

    def _remove_ended(self) -> None:
        states = {each: self._state(each) for each in self._unfinished}
        self._unfinished = [each for each, state in states.items() if state not in FINISHED]

    def _cancel(self) -> None:
        for batch_id in self._unfinished:
            self._client.delete(f"/batches/{batch_id}")
        until = time.monotonic() + WAIT_S
        while self._unfinished:
            if time.monotonic() > until:
                raise ProgramError("a cancelled batch does not end")
            time.sleep(POLL_S)
            self._remove_ended()

    def _upload(self) -> str:
        with self._path.open("rb") as file:
            answer = self._client.post(
                "/batches", content=file, headers={"Content-Type": "text/csv"}
            )
        return str(answer.raise_for_status().json()["id"])

    def _state(self, batch_id: str) -> str:
        return str(self._client.get(f"/batches/{batch_id}").raise_for_status().json()["state"])


def _repeated(path: Path, rows: int) -> Path:
    """Repeat the rows of a file to at least `MIN_LARGE_ROWS`; return the file if it has as many."""
    if rows >= MIN_LARGE_ROWS:
        return path
    header, _, body = path.read_bytes().partition(b"\n")
    large = path.with_name("large.csv")
    large.write_bytes(header + b"\n" + body * math.ceil(MIN_LARGE_ROWS / rows))
    return large


def _first_rows(path: Path, rows: int) -> Path:
    small = path.with_name("small.csv")
    with path.open("rb") as source:
        small.write_bytes(b"".join(next(source) for _ in range(rows + 1)))
    return small
