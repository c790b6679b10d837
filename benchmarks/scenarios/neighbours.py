"""What a large batch does to others: callers who wait for one car, and a batch of few rows."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks import inputs
from benchmarks.bench import Bench, Running
from benchmarks.load import measured, wrk
from benchmarks.measurements import Round
from benchmarks.processes import ProgramError, run_to_the_end
from benchmarks.scenarios.bulk_client import FINISHED
from benchmarks.subjects import SERVICE

CONNECTIONS = 16
LARGE_BATCHES = 2
"""So many large files are handed in, so that one is under way as long as is measured."""
SMALL_ROWS = 100
WAIT_S = 60.0

ALONE, BESIDE = "alone", "beside-batch"
"""The same load without and with a large batch under way."""


def neighbours(bench: Bench) -> None:
    """Latency of `/predict`, and the time of a small batch, alone and beside a large one."""
    if not bench.wanted([SERVICE]):
        return
    running = bench.running(SERVICE)
    large, _ = inputs.write_cars(bench.place, bench.options.rows)
    small = _first_rows(large, SMALL_ROWS)
    seconds = bench.options.seconds

    def one_car(name: str, number: int) -> Round:
        command = wrk(running, "predict", seconds, CONNECTIONS, bench.next_cars(), 0)
        with _batches(bench, running, large if name == BESIDE else None):
            found = measured(running, command, scenario="beside", number=number)
        return dataclasses.replace(found, subject=name)

    def small_batch(name: str, number: int) -> Round:
        command = bench.command("benchmarks.scenarios.bulk_client", running.url, small)
        with _batches(bench, running, large if name == BESIDE else None):
            found = measured(running, command, scenario="behind", number=number)
        return dataclasses.replace(found, subject=name)

    run_to_the_end(wrk(running, "predict", 1, CONNECTIONS, bench.next_cars(), 0), WAIT_S)
    bench.alternate([ALONE, BESIDE], one_car)
    bench.alternate([ALONE, BESIDE], small_batch)


@contextlib.contextmanager
def _batches(bench: Bench, running: Running, path: Path | None) -> Iterator[None]:
    """Large batches under way from before the first measurement to after the last; or none.

    Raises:
        ProgramError: they had ended before.
    """
    if path is None:
        yield
        return
    with httpx.Client(base_url=running.url, timeout=WAIT_S) as client:
        ids = [_upload(client, path) for _ in range(LARGE_BATCHES)]
        yield
        was_busy = _state(client, ids[-1]) not in FINISHED
        for batch_id in ids:
            client.delete(f"/batches/{batch_id}")
        until = time.monotonic() + WAIT_S
        while any(_state(client, each) not in FINISHED for each in ids):
            if time.monotonic() > until:
                raise ProgramError("a cancelled batch does not end")
            time.sleep(0.1)
        if not was_busy and not bench.options.smoke:
            raise ProgramError("the large batches were over first: more --rows are needed")


def _upload(client: httpx.Client, path: Path) -> str:
    with path.open("rb") as file:
        answer = client.post("/batches", content=file, headers={"Content-Type": "text/csv"})
    return str(answer.raise_for_status().json()["id"])


def _state(client: httpx.Client, batch_id: str) -> str:
    return str(client.get(f"/batches/{batch_id}").raise_for_status().json()["state"])


def _first_rows(path: Path, rows: int) -> Path:
    small = path.with_name("small.csv")
    with path.open("rb") as source:
        small.write_bytes(b"".join(next(source) for _ in range(rows + 1)))
    return small
