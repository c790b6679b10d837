"""A full disk: clear refusals meanwhile, and normal service without help afterwards."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import REFERENCE_CAR, Service, running_service, short_folder, wait_until
from tests.small_disk import NO_NAMESPACES, SmallDisk, kept_full, mounting, unshare_command

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(unshare_command() is None, reason=NO_NAMESPACES),
]

HOME_MB = 120
REFUSALS = {
    "broker-unavailable",
    "acceptance-unknown",
    "broker-not-writable",
    "audit-unavailable",
    "storage-unavailable",
}
ROWS = b"Marque;Modele;Annee\n" + b"Dacia;Logan;2018\n" * 500
_mileage = count(10_000, 7)


class DiskFaults:
    """A service whose home is on a small disk."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.disk = SmallDisk(service.process.pid, service.home)

    def new_car(self) -> dict[str, Any]:
        """Return a car that is not in the cache."""
        return {**REFERENCE_CAR, "km_driven": next(_mileage)}

    def answers(self) -> dict[str, httpx.Response]:
        """Return an answer of each kind."""
        with self.service.client() as client:
            return {
                "hit": client.post("/predict", json=REFERENCE_CAR),
                "miss": client.post("/predict", json=self.new_car()),
                "job": client.post("/jobs", json=[self.new_car(), self.new_car()]),
                "batch": client.post("/batches", files={"file": ("cars.csv", ROWS)}),
            }

    def all_answer(self) -> bool:
        """Whether each kind of request is answered as usual."""
        try:
            return all(answer.is_success for answer in self.answers().values())
        except httpx.HTTPError:
            return False

    def ends(self, path: str, state: str) -> None:
        """Wait for the end of a job or batch."""
        with self.service.client() as client:
            wait_until(
                lambda: client.get(path).json().get("state") == state, 60.0, f"{path} is {state}"
            )

    def processes(self) -> list[psutil.Process]:
        """Return the processes that the supervisor restarts."""
        children = psutil.Process(self.service.process.pid).children()
        return [each for each in children if "launcher.watchdog" not in each.cmdline()]


@pytest.fixture(scope="module")
def faults(models_path: Any) -> Iterator[DiskFaults]:
    with (
        short_folder() as home,
        running_service(home, models_path, prefix=mounting(home, HOME_MB)) as service,
    ):
        yield DiskFaults(service)


def test_a_full_disk_gives_clear_refusals_and_stops_no_process(faults: DiskFaults) -> None:
    wait_until(faults.all_answer, what="answers before")
    accepted = [faults.answers() for _ in range(5)]
    before = {each.pid for each in faults.processes()}
    with kept_full(faults.disk):
        wait_until(lambda: faults.answers()["batch"].status_code == 503, what="refusals")
        for _ in range(10):
            for kind, answer in faults.answers().items():
                if answer.is_success:  # what still fitted
                    continue
                assert answer.status_code == 503, (kind, answer.text)
                assert answer.json()["type"].rpartition("#")[2] in REFUSALS, (kind, answer.text)
                assert int(answer.headers["Retry-After"]) > 0
            faults.disk.fill()
        with faults.service.client() as client:
            # Series that did not exist yet: their pages would be new.
            for number in range(100):
                client.request("GET", f"/unknown/{number}")
                client.request("PATCH", "/predict")
            assert client.get("/metrics").is_success
            assert client.get("/livez").is_success
    wait_until(faults.all_answer, what="answers after")
    assert {each.pid for each in faults.processes()} == before
    for answers in accepted:
        faults.ends(f"/jobs/{answers['job'].json()['id']}", "SUCCEEDED")
        faults.ends(f"/batches/{answers['batch'].json()['id']}", "SUCCEEDED")


def test_processes_killed_on_a_full_disk_come_back(faults: DiskFaults) -> None:
    wait_until(faults.all_answer, what="answers before")
    accepted = faults.answers()
    with kept_full(faults.disk):
        killed = faults.processes()
        for process in killed:
            process.kill()
        until = time.monotonic() + 8  # five crashes in a row would take that long
        while time.monotonic() < until:
            faults.disk.fill()
            time.sleep(0.5)
        assert faults.service.process.poll() is None
        with faults.service.client() as client:
            wait_until(lambda: _answers(client, "/livez"), what="the API is back")
            assert client.get("/metrics").is_success
    wait_until(faults.all_answer, what="answers after")
    assert len(faults.processes()) == len(killed)
    faults.ends(f"/jobs/{accepted['job'].json()['id']}", "SUCCEEDED")
    faults.ends(f"/batches/{accepted['batch'].json()['id']}", "SUCCEEDED")
    printed = (faults.service.home / "up.log").read_text()
    assert "while the disk is full (or /dev/shm); it starts again until there is space" in printed
    assert "Traceback" not in printed
    assert "Logging error" not in printed


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.HTTPError:
        return False


def test_full_shared_memory_stops_nothing_for_good(models_path: Any) -> None:
    memory = Path("/dev/shm")
    with short_folder() as home:
        prefix = mounting(home, HOME_MB, (memory, 1))
        with running_service(home, models_path, prefix=prefix) as service:
            faults = DiskFaults(service)
            wait_until(faults.all_answer, what="answers before")
            accepted = faults.answers()["batch"].json()["id"]
            with kept_full(SmallDisk(service.process.pid, memory)):
                (bulk,) = [each for each in faults.processes() if "--queues bulk" in _command(each)]
                bulk.kill()
                log = service.home / "up.log"
                wait_until(lambda: "while the disk is full" in log.read_text(), 60, "it is said")
                time.sleep(8)  # five crashes in a row would take that long
                assert service.process.poll() is None
                assert faults.answers()["miss"].is_success
            wait_until(faults.all_answer, what="answers after")
            faults.ends(f"/batches/{accepted}", "SUCCEEDED")


def _command(process: psutil.Process) -> str:
    return " ".join(process.cmdline())
