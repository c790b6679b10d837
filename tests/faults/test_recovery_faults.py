"""Dead and hung workers are found by their heartbeat: no lease is short enough to help here."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shared.domain.ids import CallerId
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.dead_letters import DeadKind, DeadLetter, DeadLetters
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.batch_parts import cars_csv
from tests.conftest import ROOT, running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector
from tests.faults.test_interactive_faults import audit_ids, ended, is_ready, new_car

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

LIST_CARS = 400


@pytest.fixture(scope="module")
def faults(models_path: Path) -> Iterator[FaultInjector]:
    """A service whose leases outlast every test."""
    with (
        short_folder() as home,
        running_service(home, models_path, JOB_LEASE_S="3000", BATCH_CHUNK_ROWS="500") as service,
    ):
        yield FaultInjector(service)


@pytest.fixture
def http(faults: FaultInjector) -> Iterator[httpx.Client]:
    with faults.service.client() as client:
        yield client
        for kind in ("interactive", "bulk"):
            faults.resume(kind)
        wait_until(lambda: is_ready(client), 60.0, "the service is healthy again")


def main_of_bulk(faults: FaultInjector) -> psutil.Process:
    return min(faults.processes("bulk"), key=lambda process: process.create_time())


def busy_pool_process(faults: FaultInjector) -> psutil.Process:
    """The process of the pool that works."""
    pool = main_of_bulk(faults).children()
    before = {process: process.cpu_times().user for process in pool}

    def busiest() -> psutil.Process | None:
        worked = {process: process.cpu_times().user - before[process] for process in pool}
        most = max(pool, key=lambda process: worked[process])
        return most if worked[most] >= 0.1 else None

    found: psutil.Process = wait_until(busiest, 60.0, "a busy pool process")
    return found


def submit_list(http: httpx.Client, car: dict[str, Any]) -> str:
    """Submit a list that takes a process seconds, and wait until it runs."""
    cars = [new_car(car) | {"engine_cc": 900 + number} for number in range(LIST_CARS)]
    options = {"include": "contributions,depreciation,comparables"}
    location: str = http.post("/jobs", json=cars, params=options).headers["Location"]
    wait_until(lambda: http.get(location).json()["state"] == "RUNNING", 30.0, "it runs")
    return location


def check_list(http: httpx.Client, faults: FaultInjector, location: str) -> None:
    job = ended(http, location)
    assert job["state"] == "SUCCEEDED"
    counts = audit_ids(faults.service)
    assert [counts[f"{job['id']}-{number + 1}"] for number in range(LIST_CARS)] == [1] * LIST_CARS


def test_accepted_jobs_wait_while_the_audit_log_cannot_be_written(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any]
) -> None:
    """To be the first test: later ones have opened files in the folder."""
    folder = faults.service.home / "audit"
    aside = folder.with_name("aside")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
    folder.write_text("a file where the folder should be")
    try:
        headers = {"Idempotency-Key": "during the outage"}
        location = http.post("/jobs", json=car, headers=headers).headers["Location"]
        broker = connect(faults.service.settings.redis_url)
        job_key = keys.job(location.rsplit("/", 1)[1])
        wait_until(lambda: broker.hget(job_key, "last_failure") == b"audit-unavailable")
        assert http.get(location).json()["state"] in {"QUEUED", "RUNNING"}
    finally:
        folder.unlink()
        if aside.exists():
            aside.rename(folder)
    job = ended(http, location)
    assert job["state"] == "SUCCEEDED"
    assert http.post("/jobs", json=car, headers=headers).headers["Location"] == location
    assert audit_ids(faults.service)[job["id"]] == 1


@pytest.mark.usefixtures("http")
def test_a_car_whose_workers_were_killed_is_answered_while_its_caller_waits(
    faults: FaultInjector, car: dict[str, Any]
) -> None:
    """The message was on its way to a suspended process when that was killed."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        with faults.service.client() as client:
            headers = {"Prefer": "wait=25"}
            answers.append(client.post("/predict", json=new_car(car), headers=headers))

    faults.suspend("interactive")
    broker = connect(faults.service.settings.redis_url)
    caller = threading.Thread(target=ask)
    caller.start()
    wait_until(lambda: any(broker.scan_iter(keys.popped("*"))), 10.0, "the message is taken")
    faults.kill("interactive")
    caller.join()
    assert answers[0].status_code == 200, answers[0].text
    assert audit_ids(faults.service)[answers[0].json()["id"]] == 1


def test_the_message_of_a_suspended_worker_is_carried_out_by_another_one_once(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any]
) -> None:
    process = faults.processes("interactive")[0]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        locations = [http.post("/jobs", json=new_car(car)).headers["Location"] for _ in range(6)]
        jobs = [ended(http, location) for location in locations]
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert {job["state"] for job in jobs} == {"SUCCEEDED"}
    wait_until(lambda: is_ready(http))
    assert {http.post("/predict", json=new_car(car)).status_code for _ in range(5)} == {200}
    counts = audit_ids(faults.service)
    assert [counts[job["id"]] for job in jobs] == [1] * len(jobs)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_list_whose_pool_process_dies_or_hangs_ends(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any], how: signal.Signals
) -> None:
    location = submit_list(http, car)
    process = busy_pool_process(faults)
    process.send_signal(how)
    check_list(http, faults, location)
    wait_until(lambda: not process.is_running(), what="a hung process is replaced")


def test_a_list_whose_bulk_worker_is_killed_ends(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any]
) -> None:
    location = submit_list(http, car)
    main_of_bulk(faults).kill()
    check_list(http, faults, location)


@pytest.mark.parametrize("how", ["main killed", "main suspended, then killed", "child suspended"])
def test_a_batch_whose_worker_dies_or_hangs_ends(
    faults: FaultInjector, http: httpx.Client, how: str
) -> None:
    rows = 30_000
    answer = http.post(
        "/batches", content=cars_csv(rows, seed=len(how)), headers={"Content-Type": "text/csv"}
    )
    location = answer.headers["Location"]
    wait_until(lambda: http.get(location).json()["counts"]["done"] > 0, 180.0, "a start")
    if how == "child suspended":
        process = main_of_bulk(faults).children()[0]
        process.suspend()
        wait_until(lambda: not process.is_running(), what="a hung process is replaced")
    elif how == "main killed":
        main_of_bulk(faults).kill()
    else:
        main = main_of_bulk(faults)
        main.suspend()
        threading.Event().wait(1.0)
        main.kill()
    batch = ended(http, location)
    assert (batch["outcome"], batch["counts"]["valid"]) == ("complete", rows)


def test_an_operator_lists_replays_and_drops_what_was_given_up(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any]
) -> None:
    location = http.post("/jobs", json=car).headers["Location"]
    job = ended(http, location)
    settings = faults.service.settings
    broker = connect(settings.redis_url)
    broker.hset(keys.job(job["id"]), mapping={"state": "FAILED", "error": "attempts-exhausted"})
    letter = DeadLetter(
        kind=DeadKind.JOB,
        work_id=job["id"],
        caller=CallerId("anonymous"),
        reason="worker-lost",
        attempts=5,
        failed_at=1_790_000_000.0,
    )
    letters = DeadLetters(broker, lambda: 1_790_000_000.0)
    letters.add(letter)
    assert [each["id"] for each in http.get("/dead-letters").json()["dead_letters"]] == [job["id"]]
    assert http.post(f"/dead-letters/{job['id']}/replay").json()["reason"] == "worker-lost"
    assert ended(http, location)["state"] == "SUCCEEDED"
    assert http.post(f"/dead-letters/{job['id']}/replay").status_code == 404
    letters.add(letter)
    assert http.post(f"/dead-letters/{job['id']}/replay").status_code == 409, "it has succeeded"
    assert job["id"] in dead(faults, "list").stdout
    assert dead(faults, "replay", job["id"]).returncode == 1
    assert dead(faults, "drop", "--all").returncode == 0
    assert http.get("/dead-letters").json() == {"dead_letters": []}
    assert http.delete(f"/dead-letters/{job['id']}").status_code == 404


def dead(faults: FaultInjector, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `carprice dead`."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "dead", *arguments],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(faults.service.home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def take_next_bulk_message(faults: FaultInjector) -> "threading.Thread":
    """Take the next message of the bulk workers, as a connection that breaks loses it."""
    broker = connect(with_server_urls(Settings(home=faults.service.home)).redis_url)
    broker.connection_pool.connection_kwargs["socket_timeout"] = 60.0

    def take() -> None:
        assert broker.brpop(["bulk"], timeout=50), "there was no message"

    thread = threading.Thread(target=take)
    thread.start()
    # The broker serves who has waited longest, and a worker asks anew every second.
    time.sleep(2.5)
    return thread


@pytest.mark.parametrize("kind", ["batch", "list"])
def test_work_whose_message_was_lost_on_the_way_is_sent_again(
    faults: FaultInjector, http: httpx.Client, car: dict[str, Any], kind: str
) -> None:
    thread = take_next_bulk_message(faults)
    if kind == "batch":
        accepted = http.post(
            "/batches", content=cars_csv(800), headers={"Content-Type": "text/csv"}
        )
    else:
        cars = [new_car(car) | {"engine_cc": 900 + number} for number in range(LIST_CARS)]
        accepted = http.post("/jobs", json=cars, params={"include": "contributions,depreciation"})
    assert accepted.status_code == 202
    thread.join()
    assert ended(http, accepted.headers["Location"])["state"] == "SUCCEEDED"
