"""The service with API keys: authentication, scopes, jobs of other callers, streams."""

import contextlib
import datetime as dt
import json
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.middleware.key_directory import UPKEEP_INTERVAL_S
from shared.keys.entries import Scope, new_key
from shared.keys.store import FileKeyStore
from shared.redis import keys as redis_keys
from shared.redis.connections import connect
from tests.batch_parts import cars_csv
from tests.conftest import ROOT, running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector
from tests.webhook_receiver import running_receiver

THREADS = 8


def carprice_key(home, *arguments, command="key"):
    """Run `carprice key` and return its output."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", command, *arguments],
        cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(home)},
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def listed_keys(home):
    """The keys of a home, without their hashes."""
    return json.loads(carprice_key(home, "list", "--json"))


@pytest.fixture(scope="module")
def home():
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def secrets(home):
    """The keys by caller."""
    return {
        name: carprice_key(home, name, *scopes)
        for name, scopes in {
            "shop": ("--scope", "predict"),
            "garage": ("--scope", "predict", "--scope", "bulk"),
            "boss": ("--scope", "admin"),
            "leaver": ("--scope", "predict", "--scope", "bulk"),
            "hasty": ("--requests-per-second", "0.01", "--burst", "3"),
            "frugal": ("--cars-per-day", "20"),
            "busy": ("--open-jobs", "2", "--open-batches", "1", "--weight", "3"),
            "hoarder": ("--stored-bytes", "20000"),
            "files": ("--scope", "bulk"),
        }.items()
    }


@pytest.fixture(scope="module")
def faults(home, secrets, models_path):  # noqa: ARG001 - the keys exist before the start
    """A service with these keys."""
    env = {"API_THREADS": str(THREADS), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32"}
    with running_service(home, models_path, **env) as service:
        yield FaultInjector(service)


@pytest.fixture(scope="module")
def keyed(faults, secrets):
    """A client for each key, and one without a key."""
    with contextlib.ExitStack() as stack:

        def client(**headers):
            return stack.enter_context(faults.service.client(headers=headers))

        clients = {
            name: client(Authorization=f"Bearer {secret}") for name, secret in secrets.items()
        }
        clients["nobody"] = client()
        yield clients


def test_without_a_key_only_health_and_metrics_answer(keyed, car):
    nobody = keyed["nobody"]
    refused = nobody.post("/predict", json=car)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    for path in ("/jobs/x", "/models", "/predictions/stats"):
        assert nobody.get(path).status_code == 401
    for path in ("/health", "/livez", "/readyz", "/metrics", "/openapi.json"):
        assert nobody.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/predict", "/jobs", "/batches"])
def test_unauthenticated_slow_bodies_are_refused_and_block_nobody(keyed, car, path):
    nobody = keyed["nobody"]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\ncompany="
    )
    with contextlib.ExitStack() as stack:
        strangers = [
            stack.enter_context(
                socket.create_connection((nobody.base_url.host, nobody.base_url.port), timeout=30)
            )
            for _ in range(2 * THREADS)
        ]
        for stranger in strangers:
            stranger.sendall(head.encode())
        assert nobody.get("/livez").status_code == 200
        assert keyed["shop"].post("/predict", json=car).status_code == 200
        for stranger in strangers:
            assert stranger.recv(100).startswith(b"HTTP/1.1 401")


def test_a_key_opens_the_routes_of_its_scopes_only(keyed, car):
    assert keyed["shop"].post("/predict", json=car).status_code == 200
    upload = {"file": ("cars.csv", b"x")}
    assert keyed["shop"].post("/batches", files=upload).status_code == 403
    assert keyed["shop"].post("/models/rollback").status_code == 403
    assert keyed["boss"].post("/predict", json=car).status_code == 403
    assert keyed["boss"].get("/models/active").status_code == 200
    assert keyed["files"].get("/models").status_code == 403


def test_a_key_for_files_lists_its_batches_and_no_jobs(keyed):
    files = keyed["files"]
    csv = {"Content-Type": "text/csv", "Idempotency-Key": "mine"}
    batch = files.post("/batches", content=cars_csv(2), headers=csv).json()["id"]
    for query in ("", "?kind=batch", "?kind=batch&idempotency_key=mine"):
        assert [item["id"] for item in files.get(f"/jobs{query}").json()["items"]] == [batch]
    assert code(files.get("/jobs?kind=job")) == (403, "not-permitted")
    assert files.get("/jobs/x").status_code == 403


def test_a_job_of_another_caller_is_404(keyed, car):
    location = keyed["shop"].post("/jobs", json=car).headers["Location"]
    assert keyed["shop"].get(f"{location}?wait=20").json()["state"] == "SUCCEEDED"
    job_id, unknown = location.rpartition("/")[2], "01m8fqj4f7z0kj5s71amqzvc4r"
    for path in ("/jobs/{}", "/jobs/{}?wait=0.1", "/jobs/{}/events"):
        answers = [keyed["garage"].get(path.format(each)) for each in (job_id, unknown)]
        shown = [
            (each.status_code, re.sub(r'"instance":"[^"]*"', "", each.text).replace(name, "ID"))
            for each, name in zip(answers, (job_id, unknown), strict=True)
        ]
        assert shown[0] == shown[1], path
        assert set(answers[0].headers) == set(answers[1].headers)
    answers = [keyed["garage"].delete(f"/jobs/{each}") for each in (job_id, unknown)]
    assert [each.status_code for each in answers] == [404, 404]
    assert answers[0].json()["title"] == answers[1].json()["title"]
    assert keyed["shop"].get(location).status_code == 200, "it was not deleted"


def test_only_the_caller_of_a_valuation_or_an_admin_reports_its_sale(keyed, car):
    valuation = keyed["shop"].post("/predict", json=car).json()
    sale = {"sale_price_mad": 150_000, "sold_at": dt.datetime.now(dt.UTC).date().isoformat()}
    path = f"/valuations/{valuation['id']}/outcome"
    answers = [keyed[name].post(path, json=sale) for name in ("nobody", "garage", "shop", "boss")]
    assert [answer.status_code for answer in answers] == [401, 404, 201, 200]
    assert keyed["garage"].post(path, json=sale).status_code == 404, "also after the report"
    counts = {
        name: [each["outcomes"] for each in keyed[name].get("/outcomes/stats").json()["versions"]]
        for name in ("garage", "shop", "boss")
    }
    assert counts == {"garage": [], "shop": [1], "boss": [1]}


@pytest.mark.timeout(60)
def test_streams_end_once_their_key_is_revoked(faults, home, keyed, secrets):
    leaver = keyed["leaver"]
    faults.suspend("bulk")
    try:
        batch = leaver.post("/batches", content=cars_csv(10), headers={"Content-Type": "text/csv"})
        url = f"/batches/{batch.json()['id']}"
        with (
            leaver.stream("GET", f"{url}/events") as by_key,
            keyed["nobody"].stream(
                "GET", f"/fichiers/{batch.json()['id']}/suivi", auth=("any", secrets["leaver"])
            ) as by_password,
        ):
            assert (by_key.status_code, by_password.status_code) == (200, 200)
            carprice_key(home, "leaver", "--revoke")
            sent = [by_key.read(), by_password.read()]
    finally:
        faults.resume("bulk")
    assert all(b"event: progress" in text and b"event: end" not in text for text in sent)
    assert leaver.get(url).status_code == 401


def answer_to_head(client, headers):
    """The beginning of the answer to an upload of which only the head is sent."""
    given = {
        "Host": "localhost", "Content-Type": "text/csv", "Content-Length": "1000000",
        "Authorization": client.headers["Authorization"], **headers,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    where = (client.base_url.host, client.base_url.port)
    with socket.create_connection(where, timeout=10) as connection:
        connection.sendall(f"POST /batches HTTP/1.1\r\n{lines}\r\n".encode())
        return connection.recv(100).decode()


LONG_LIST = 300
"""Cars of a job that the bulk workers value."""


def code(answer):
    """The status and the code of a problem."""
    return answer.status_code, answer.json()["type"].rpartition("#")[2]


def test_requests_beyond_the_limit_of_a_key_are_429_on_every_route(keyed, car):
    hasty = keyed["hasty"]
    allowed = [hasty.post("/predict", json=car), hasty.get("/jobs"), hasty.get("/models")]
    assert [answer.status_code for answer in allowed] == [200] * 3
    assert [answer.headers["RateLimit"] for answer in allowed] == [
        f'"requests";r={left};t={t}' for left, t in ((2, 100), (1, 200), (0, 300))
    ]
    refused = [
        hasty.post("/predict", json=car),
        hasty.post("/predict?coverage=0.5", json=car),
        hasty.get("/jobs"),
        hasty.post("/batches", content=b"x", headers={"Content-Type": "text/csv"}),
    ]
    for answer in refused:
        assert code(answer) == (429, "rate-limited")
        assert answer.headers["RateLimit-Policy"] == '"requests";q=3;w=300'
        assert answer.headers["RateLimit"].startswith('"requests";r=0;t=')
        assert 1 <= int(answer.headers["Retry-After"]) <= 100
    page = hasty.post("/", data={}, headers={"Accept": "text/html"})
    assert (page.status_code, "Trop de requêtes" in page.text) == (429, True)
    assert hasty.get("/livez").status_code == 200
    assert "RateLimit" not in keyed["shop"].post("/predict", json=car).headers


def test_a_limit_is_changed_without_a_restart(faults, home, keyed, car):
    key_ids = {entry["caller"]: entry["id"] for entry in listed_keys(home)}
    carprice_key(home, "change", key_ids["hasty"], "--requests-per-second", "none")
    wait_until(lambda: keyed["hasty"].post("/predict", json=car).status_code == 200, 10)
    broker = connect(faults.service.settings.redis_url)
    wait_until(lambda: broker.hgetall(redis_keys.CALLER_WEIGHTS) == {b"busy": b"3"}, 10)


def test_cars_of_a_day_are_counted_on_every_way(keyed, car):
    frugal = keyed["frugal"]

    def told(answer):
        """The cars that are left, as a response says."""
        return int(answer.headers["RateLimit"].split("r=")[1].split(";")[0])

    def left():
        return told(frugal.get("/jobs"))

    def upload(data, query=""):
        answer = frugal.post(f"/batches{query}", content=data, headers={"Content-Type": "text/csv"})
        return frugal.get(f"/batches/{answer.json()['id']}?wait=20").json()

    assert left() == 20
    assert frugal.post("/predict", json=car).status_code == 200
    for query in ("", "?coverage=0.5"):
        invalid = frugal.post(f"/predict{query}", json=car | {"year": 1800})
        assert (invalid.status_code, told(invalid)) == (422, 19)
    assert left() == 19
    retried = {"Idempotency-Key": "once"}
    jobs = [frugal.post("/jobs", json=[car] * 3, headers=retried) for _ in "12"]
    assert jobs[0].json()["id"] == jobs[1].json()["id"]
    assert [told(answer) for answer in jobs] == [16, 16]
    assert left() == 16
    assert upload(cars_csv(10), "?dry_run=true")["state"] == "SUCCEEDED"
    assert left() == 16
    assert upload(cars_csv(10))["counts"]["valid"] == 10
    assert left() == 6
    refused = frugal.post("/jobs", json=[car] * 7, headers={"Accept-Language": "en"})
    assert code(refused) == (429, "car-limit-reached")
    assert "left: 6, asked for: 7" in refused.json()["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 4320
    stopped = upload(cars_csv(7))
    assert (stopped["state"], stopped["error"]["code"]) == ("FAILED", "car-limit-reached")
    assert left() == 6
    assert frugal.post("/jobs", json=[car] * 6).status_code == 202
    assert code(frugal.post("/predict", json=car)) == (429, "car-limit-reached")
    csv = {"content": cars_csv(1), "headers": {"Content-Type": "text/csv"}}
    assert code(frugal.post("/batches", **csv)) == (429, "car-limit-reached")
    late = {"Content-Type": "text/csv", "Idempotency-Key": "late"}
    answer = frugal.post("/batches", content=cars_csv(1), headers=late)
    assert code(answer) == (429, "car-limit-reached")
    assert upload(cars_csv(10), "?dry_run=true")["state"] == "SUCCEEDED"
    assert keyed["shop"].post("/predict", json=car).status_code == 200


@pytest.mark.timeout(90)
def test_open_jobs_and_batches_of_a_caller_are_limited_until_they_end(faults, keyed, car):
    busy, cars = keyed["busy"], [car] * LONG_LIST
    csv = {"content": cars_csv(5), "headers": {"Content-Type": "text/csv"}}
    faults.suspend("bulk")
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: busy.post("/jobs", json=cars), range(8)))
        states = sorted(answer.status_code for answer in answers)
        assert states == [202, 202] + [429] * 6
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert code(refused) == (429, "open-jobs-limit-reached")
        assert refused.headers["Retry-After"]
        repeated = {"Content-Type": "text/csv", "Idempotency-Key": "same"}
        batch = busy.post("/batches", content=cars_csv(5), headers=repeated)
        assert batch.status_code == 202
        assert code(busy.post("/batches", **csv)) == (429, "open-batches-limit-reached")
        assert answer_to_head(busy, {"Idempotency-Key": "new"}).startswith("HTTP/1.1 429")
        again = busy.post("/batches", content=cars_csv(5), headers=repeated)
        assert (again.status_code, again.json()["id"]) == (202, batch.json()["id"])
        assert busy.post("/predict", json=car).status_code == 200
        assert keyed["garage"].post("/jobs", json=cars).status_code == 202
    finally:
        faults.resume("bulk")
    for answer in answers:
        if answer.status_code == 202:
            job = busy.get(f"{answer.headers['Location']}?wait=30").json()
            assert job["state"] == "SUCCEEDED"
    busy.get(f"{batch.headers['Location']}?wait=30")
    assert busy.post("/jobs", json=cars).status_code == 202
    assert busy.post("/batches", **csv).status_code == 202


def test_bytes_of_a_caller_are_limited_until_they_are_deleted(keyed, car):
    hoarder = keyed["hoarder"]

    def upload(rows, **headers):
        csv = {"Content-Type": "text/csv", "Accept-Language": "en", **headers}
        return hoarder.post("/batches", content=cars_csv(rows), headers=csv)

    too_large = [upload(1000), upload(1000, **{"Idempotency-Key": "large"})]
    for answer in too_large:
        assert code(answer) == (429, "storage-limit-reached")
        assert "you hold 0" in answer.json()["detail"]
    batch = upload(20)
    assert batch.status_code == 202
    path = batch.headers["Location"]
    assert hoarder.get(f"{path}?wait=20").json()["state"] == "SUCCEEDED"

    def export(form):
        return hoarder.get(f"{path}/results?format={form}")

    for form in ("ndjson", "xlsx", "parquet"):
        wait_until(lambda form=form: export(form).status_code == 200, 30)
    assert code(upload(1)) == (429, "storage-limit-reached"), "results and exports count"
    assert hoarder.delete(path).status_code == 204
    jobs = []
    while (answer := hoarder.post("/jobs", json=[car] * 5)).status_code == 202:
        jobs.append(answer.headers["Location"])
        assert len(jobs) < 100
    assert code(answer) == (429, "storage-limit-reached")
    assert upload(300).status_code == 429
    for job in jobs:
        assert hoarder.get(f"{job}?wait=20").json()["state"] == "SUCCEEDED"
        assert hoarder.delete(job).status_code == 204
    assert hoarder.post("/jobs", json=[car] * 5).status_code == 202


def test_an_expired_key_is_401_with_the_reason(faults, home, car):
    store = FileKeyStore.of(faults.service.settings)
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=4)
    secret, entry = new_key("guest", frozenset(Scope), expires_at=at)
    store.change(lambda entries: [*entries, entry])
    with faults.service.client(headers={"Authorization": f"Bearer {secret}"}) as guest:
        wait_until(lambda: guest.post("/predict", json=car).status_code == 200, 3)
        wait_until(lambda: guest.post("/predict", json=car).status_code == 401, 10)
        assert code(guest.post("/predict", json=car)) == (401, "key-expired")
        assert code(guest.get("/jobs")) == (401, "key-expired")
    used = wait_until(lambda: {e["caller"]: e for e in listed_keys(home)}["guest"]["last_used"], 10)
    assert used is not None


def test_requests_are_counted_by_the_id_of_their_key(home, keyed, car):
    shop = next(entry["id"] for entry in listed_keys(home) if entry["caller"] == "shop")
    hasty = next(entry["id"] for entry in listed_keys(home) if entry["caller"] == "hasty")

    def sample(line):
        text = keyed["nobody"].get("/metrics").text
        found = [each for each in text.splitlines() if each.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    counter = f'key_requests_total{{key="{shop}"}}'
    time.sleep(UPKEEP_INTERVAL_S + 1)
    before = sample(counter)
    keyed["shop"].post("/predict", json=car)
    keyed["shop"].get("/jobs")
    wait_until(lambda: sample(counter) == before + 2, 15)
    assert sample(f'key_limited_requests_total{{key="{hasty}",limit="rate-limited"}}') >= 4


def test_the_webhooks_of_a_key_are_signed_by_its_own_secret(keyed, home, car):
    ids = {each["caller"]: each["id"] for each in listed_keys(home)}
    secret = carprice_key(home, "secret", "create", ids["garage"], command="webhooks")
    with running_receiver() as receiver:
        url = {"callback_url": f"{receiver.url}/ok"}
        job = wait_until(
            lambda: (
                (answer := keyed["garage"].post("/jobs", json=car, params=url)).status_code == 202
                and answer.json()
            )
        )
        refused = keyed["shop"].post("/jobs", json=car, params=url).json()
        assert refused["errors"][0]["code"] == "callback-without-secret"
        assert ids["shop"] in refused["errors"][0]["detail"]
        (got,) = wait_until(lambda: receiver.received)
    assert got.json["data"]["id"] == job["id"]
    assert got.is_signed_by(secret)
