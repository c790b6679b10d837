"""Two callers and real workers: the work of one does not keep that of the other waiting."""

import time

import httpx
import pytest

from shared.redis import keys
from shared.redis.connections import connect
from tests.batch_parts import cars_csv
from tests.conftest import running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector
from tests.integration.test_keys import carprice_key

EXTRAS = "contributions,depreciation,comparables"
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
LISTS, CARS, BATCHES, ROWS = 8, 100, 10, 5_000


@pytest.fixture(scope="module")
def running(models_path):
    """A service with short leases, and the keys of two callers."""
    with short_folder() as home:
        secrets = {
            name: carprice_key(home, name, "--scope", "predict", "--scope", "bulk")
            for name in ("large", "small")
        }
        with running_service(home, models_path, JOB_LEASE_S="3") as service:
            yield FaultInjector(service), secrets


@pytest.fixture
def faults(running):
    """The processes of the service."""
    return running[0]


@pytest.fixture
def callers(running):
    """A client of each caller."""
    faults, secrets = running
    with (
        faults.service.client(headers=_key(secrets["large"])) as large,
        faults.service.client(headers=_key(secrets["small"])) as small,
    ):
        yield large, small


def _key(secret):
    return {"Authorization": f"Bearer {secret}"}


def submit_lists(client: httpx.Client, car):
    """Long jobs; the ids."""
    body = [car | {"km_driven": 1000 + number} for number in range(CARS)]
    answers = [client.post("/jobs", params={"include": EXTRAS}, json=body) for _ in range(LISTS)]
    assert {answer.status_code for answer in answers} == {202}
    return [f"/jobs/{answer.json()['id']}" for answer in answers]


def upload(client: httpx.Client, rows: int) -> str:
    answer = client.post("/batches", files={"file": ("cars.csv", cars_csv(rows), "text/csv")})
    assert answer.status_code == 202, answer.text
    return f"/batches/{answer.json()['id']}"


def wait_for(client: httpx.Client, path: str, timeout_s: float = 90.0):
    def ended():
        answer = client.get(path).json()
        return answer if answer["state"] in ENDED else None

    return wait_until(ended, timeout_s, path)


def open_ones(client: httpx.Client, paths):
    return [path for path in paths if client.get(path).json()["state"] not in ENDED]


def test_a_small_batch_passes_the_lists_and_batches_of_another_caller(callers, faults, car):
    large, small = callers
    wait_for(small, upload(small, 100))
    lists = submit_lists(large, car)
    batches = [upload(large, ROWS) for _ in range(BATCHES)]
    for _ in range(2):
        state = wait_for(small, upload(small, 100))
        assert state["counts"]["valid"] == 100
    assert len(open_ones(large, lists)) >= LISTS // 2
    faults.kill("bulk")
    assert wait_for(small, upload(small, 100))["state"] == "SUCCEEDED"
    assert {wait_for(large, path)["state"] for path in lists + batches} == {"SUCCEEDED"}
    assert {large.get(path).json()["counts"]["valid"] for path in batches} == {ROWS}
    _assert_nothing_is_left(faults)


def test_the_jobs_of_a_caller_who_floods_leave_room_for_those_of_another(callers, faults, car):
    large, small = callers
    flood = [
        f"/jobs/{large.post('/jobs', json=[car | {'km_driven': n}] * 90).json()['id']}"
        for n in range(80)
    ]
    own = small.post("/jobs", json=car).json()["id"]
    wait_for(small, f"/jobs/{own}")
    assert {wait_for(large, path)["state"] for path in flood} == {"SUCCEEDED"}
    _assert_nothing_is_left(faults)


def _assert_nothing_is_left(faults):
    """No item waits or counts as in flight any more."""
    broker = connect(faults.service.settings.redis_url)

    def left():
        names = ("waiting", "members", "flight", "running", "tokens", "items", "counts")
        return [
            (name, queue)
            for queue in ("interactive", "bulk")
            for name in names
            if broker.exists(f"{keys.fair_queue(queue)}{name}")
        ]

    until = time.monotonic() + 20
    while left() and time.monotonic() < until:
        time.sleep(0.1)
    assert left() == []
