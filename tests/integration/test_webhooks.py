"""Webhooks of the real service: jobs and batches, refusals, a killed sender, the command line."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from client.sync import CarPriceClient
from client.webhooks import verify
from tests.conftest import ROOT, wait_until
from tests.webhook_receiver import running_receiver

MODULE = "api.webhooks.main"
EN = {"Accept-Language": "en"}
CSV = {"Content-Type": "text/csv"}
CARS = b"""ref,company,model,year,km_driven
1,Dacia,Logan,2018,90000
2,Renault,Clio,1018,80000
"""
pytestmark = pytest.mark.usefixtures("secret")


@pytest.fixture(scope="module")
def receiver():
    with running_receiver() as running:
        yield running


def run(service, *arguments, code=0):
    """Run `carprice` and return its output and its messages."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(service.home), "CARPRICE_URL": service.url},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def carprice(service, *arguments, code=0):
    """Run `carprice webhooks` and return its output."""
    return run(service, "webhooks", *arguments, code=code)[0]


def submit(http, body, url, **headers):
    return http.post("/jobs", json=body, params={"callback_url": url}, headers=headers)


@pytest.fixture(scope="module")
def secret(service, receiver, car_of_module):
    """The secret of the service, whose jobs are refused before it exists."""
    with service.client() as http:
        refused = submit(http, car_of_module, f"{receiver.url}/ok", **EN)
        assert refused.status_code == 422
        (place,) = refused.json()["errors"]
        assert (place["parameter"], place["code"]) == ("callback_url", "callback-without-secret")
        assert "carprice webhooks secret create service" in place["detail"]
        made = carprice(service, "secret", "create").strip()
        accepted = wait_until(
            lambda: (
                (answer := submit(http, car_of_module, f"{receiver.url}/ok")).status_code == 202
                and answer
            )
        )
        wait_until(lambda: received(receiver, accepted.json()["id"]))
    return made


@pytest.fixture(scope="module")
def car_of_module():
    return {"company": "Dacia", "model": "Logan", "year": 2018, "km_driven": 90_000}


def received(receiver, work_id, number=1):
    """What came for a job or batch, once there are `number`."""
    found = [each for each in receiver.received if each.json["data"]["id"] == work_id]
    return len(found) >= number and found


def sender_of(service):
    """The process that sends webhooks."""
    for child in psutil.Process(service.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if MODULE in child.cmdline():
                return child
    return None


def test_a_job_is_reported_with_the_result_that_is_polled(http, receiver, secret, car):
    accepted = submit(http, car, f"{receiver.url}/ok/jobs?shop=7", **EN)
    assert accepted.status_code == 202
    job_id = accepted.json()["id"]
    (got,) = wait_until(lambda: received(receiver, job_id))
    assert got.path == "/ok/jobs?shop=7"
    assert got.is_signed_by(secret)
    assert got.json["type"] == "job.succeeded"
    job = http.get(f"/jobs/{job_id}", headers=EN).json()
    assert got.json["data"]["result"] == job["result"]
    assert got.json["data"]["finished_at"] == job["finished_at"]


def test_the_python_client_names_the_address_and_verifies_what_comes(
    service, receiver, secret, car, tmp_path
):
    (tmp_path / "cars.csv").write_bytes(CARS)
    url = f"{receiver.url}/ok"
    with CarPriceClient(service.url) as client:
        job = client.submit(car, callback_url=url)
        (got,) = wait_until(lambda: received(receiver, job.id))
        event = verify(got.headers, got.body, secret)
        assert event.job.valuations == tuple(job.wait(timeout=60))
        batch = client.value_file(tmp_path / "cars.csv", tmp_path / "out.csv", callback_url=url)
        (got,) = wait_until(lambda: received(receiver, batch.id))
    assert verify(got.headers, got.body, secret).data["outcome"] == batch.outcome


def test_a_list_is_one_webhook(http, receiver, car):
    coverage = {"callback_url": f"{receiver.url}/ok", "coverage": 0.5}
    short = http.post("/jobs", json=[car, car], params=coverage).json()["id"]
    long = submit(http, [car] * 150, f"{receiver.url}/ok").json()["id"]
    (got,) = wait_until(lambda: received(receiver, short))
    assert [each["interval"]["coverage"] for each in got.json["data"]["result"]] == [0.5, 0.5]
    (got,) = wait_until(lambda: received(receiver, long))
    assert got.json["data"]["progress"] == {"done": 150, "total": 150}
    assert "result" not in got.json["data"]


def test_a_batch_and_its_correction_are_reported(http, receiver, secret):
    url = {"callback_url": f"{receiver.url}/ok"}
    batch_id = http.post("/batches", content=CARS, params=url, headers=CSV).json()["id"]
    (got,) = wait_until(lambda: received(receiver, batch_id))
    assert got.is_signed_by(secret)
    assert got.json["type"] == "batch.succeeded"
    data = got.json["data"]
    assert (data["outcome"], data["counts"]) == (
        "with_errors", {"valid": 1, "invalid": 1, "failed": 0},
    )  # fmt: skip
    assert data["finished_at"] == http.get(f"/batches/{batch_id}").json()["finished_at"]
    assert data["progress"] == {"done": 2, "total": 2}
    assert http.get(data["links"]["results"]).status_code == 200
    rejected = http.get(f"/batches/{batch_id}/rejected").content.replace(b"1018", b"2018")
    corrections = f"/batches/{batch_id}/corrections"
    correction = http.post(corrections, content=rejected, params=url, headers=CSV).json()["id"]
    (got,) = wait_until(lambda: received(receiver, correction))
    assert got.json["data"]["counts"] == {"valid": 1, "invalid": 0, "failed": 0}


def test_the_command_batch_and_its_corrections_name_an_address(service, http, receiver, tmp_path):
    (table := tmp_path / "stock.csv").write_bytes(CARS)
    out, rejected = tmp_path / "out.csv", tmp_path / "rejected.csv"
    call = ("--callback-url", f"{receiver.url}/ok/shop", "--quiet")
    run(service, "batch", table, "-o", out, "--rejected", rejected, *call, code=1)
    (got,) = wait_until(lambda: receiver.at("/ok/shop"))
    assert got.json["data"]["counts"] == {"valid": 1, "invalid": 1, "failed": 0}
    batch_id = got.json["data"]["id"]
    rejected.write_bytes(rejected.read_bytes().replace(b"1018", b"2018"))
    run(service, "batch", "correct", batch_id, rejected, *call)
    first, second = wait_until(lambda: (found := receiver.at("/ok/shop"))[1:] and found)
    assert second.json["data"]["counts"] == {"valid": 1, "invalid": 0, "failed": 0}
    assert http.get(f"/batches/{batch_id}").json()["corrections"] == [second.json["data"]["id"]]
    assert first.id != second.id
    for address in ("http://10.0.0.1/", ""):
        refused = ("batch", table, "-o", out, "--callback-url", address)
        _, messages = run(service, *refused, code=2)
        assert messages.startswith("--callback-url: "), "the option is named"


def test_a_cancelled_job_is_reported(http, receiver, car):
    """It is cancelled before a worker takes it, or ends before: either way it is reported once."""
    job_id = submit(http, [car] * 1000, f"{receiver.url}/ok").json()["id"]
    http.delete(f"/jobs/{job_id}")
    (got,) = wait_until(lambda: received(receiver, job_id))
    assert got.json["type"] in {"job.cancelled", "job.succeeded"}
    assert got.json["data"]["state"] == http.get(f"/jobs/{job_id}").json()["state"]


def test_a_repeated_submission_is_reported_once(http, receiver, car):
    url, key = f"{receiver.url}/ok", {"Idempotency-Key": "webhook-1"}
    first = submit(http, car, url, **key).json()["id"]
    assert submit(http, car, url, **key).json()["id"] == first
    assert submit(http, car, f"{url}/other", **key).json()["type"].endswith("idempotency-conflict")
    assert http.post("/jobs", json=car, headers=key).json()["type"].endswith("idempotency-conflict")
    wait_until(lambda: received(receiver, first))
    options = {"content": CARS, "headers": CSV | {"Idempotency-Key": "webhook-2"}}
    batches = [
        http.post("/batches", params=params, **options).json()
        for params in (*[{"callback_url": url}] * 2, {"callback_url": f"{url}/other"}, {})
    ]
    assert batches[0]["id"] == batches[1]["id"]
    for refused in batches[2:]:
        assert refused["type"].endswith("idempotency-conflict")
    wait_until(lambda: received(receiver, batches[0]["id"]))
    after = submit(http, car, url).json()["id"]
    wait_until(lambda: received(receiver, after))
    assert len(received(receiver, first)) == 1
    assert len(received(receiver, batches[0]["id"])) == 1


def test_work_that_is_deleted_before_it_ends_is_reported_as_cancelled(service, http, receiver, car):
    """A delivered webhook is gone: it cannot be replayed."""
    for child in psutil.Process(service.process.pid).children(recursive=True):
        if "interactive" in " ".join(child.cmdline()):
            child.suspend()
    try:
        job_id = submit(http, car, f"{receiver.url}/ok").json()["id"]
        assert http.delete(f"/jobs/{job_id}").status_code in {202, 204}
        (got,) = wait_until(lambda: received(receiver, job_id))
    finally:
        for child in psutil.Process(service.process.pid).children(recursive=True):
            child.resume()
    assert (got.json["type"], "result" in got.json["data"]) == ("job.cancelled", False)
    assert http.delete(f"/jobs/{job_id}").status_code == 204
    assert http.get(f"/jobs/{job_id}").status_code == 410
    carprice(service, "replay", got.id, code=1)


REFUSALS = {
    "ftp://shop.example/": ("callback-not-a-url", "URL absolue en http", "absolute http://"),
    "http://u:p@shop.example/": ("callback-not-a-url", "nom d'utilisateur", "user name"),
    "http://shop.example:22/": ("callback-port", "80, 443", "80, 443"),
    "http://10.0.0.1/": ("callback-not-public", "n'est pas publique", "not public"),
    "http://169.254.169.254/latest": ("callback-not-public", "privé", "private network"),
    "http://[::ffff:127.0.0.1]/": ("callback-not-public", "privé", "private network"),
}
"""Code and parts of the French and English texts by address."""


@pytest.mark.parametrize("url", REFUSALS)
@pytest.mark.parametrize("path", ["/jobs", "/batches", "/batches/{id}/corrections"])
def test_bad_addresses_are_refused_with_their_reason(http, car, url, path):
    code, *texts = REFUSALS[url]
    path = path.replace("{id}", "01m8fqj4f7z0kj5s71amqzvc4r")
    for language, text in zip(("fr", "en"), texts, strict=True):
        options = {"params": {"callback_url": url}, "headers": {"Accept-Language": language}}
        body = {"json": car} if path == "/jobs" else {"content": CARS}
        answer = http.post(path, **body, **options)
        assert answer.status_code == 422
        (place,) = answer.json()["errors"]
        assert (place["parameter"], place["code"]) == ("callback_url", code)
        assert text in place["detail"]
        assert "callback_url" in answer.json()["detail"]


def test_a_killed_sender_loses_nothing(service, http, receiver, car):
    sender_of(service).send_signal(signal.SIGSTOP)
    ids = [submit(http, car, f"{receiver.url}/ok").json()["id"] for _ in range(5)]
    for job_id in ids:
        http.get(f"/jobs/{job_id}", params={"wait": 20})
    before = sender_of(service)
    before.kill()
    for job_id in ids:
        wait_until(lambda job_id=job_id: received(receiver, job_id))
    assert sender_of(service).pid != before.pid


def test_webhooks_are_listed_and_replayed(service, http, receiver, car):
    job_id = submit(http, car, f"{receiver.url}/refuse/secret-path").json()["id"]
    wait_until(lambda: received(receiver, job_id))
    listed = wait_until(
        lambda: [
            each
            for each in json.loads(carprice(service, "list", "--json"))
            if each["id"].startswith(job_id) and each["attempts"]
        ]
    )
    (row,) = listed
    assert (row["state"], row["event"]) == ("pending", "job.succeeded")
    assert (row["last_outcome"], row["last_status"]) == ("refused", 404)
    assert row["receiver"] == receiver.url, "not the whole address"
    assert carprice(service, "replay", row["id"]) == f"{row['id']}\treplay\n"
    attempts = wait_until(lambda: received(receiver, job_id, 2))
    assert {each.id for each in attempts} == {row["id"]}
    carprice(service, "replay", "unknown", code=1)
    carprice(service, "replay", code=2)
    metrics = http.get("/metrics").text
    assert 'webhook_attempts_total{outcome="refused"}' in metrics
    assert "webhooks_pending 1.0" in metrics
    logs = "".join(path.read_text() for path in (service.home / "logs").glob("webhooks*"))
    assert "webhook_attempt_failed" in logs
    assert "secret-path" not in logs


def test_secrets_are_rotated_with_an_overlap(service, http, receiver, secret, car):
    carprice(service, "secret", "create", code=1)
    carprice(service, "secret", "create", "no-such-key", code=1)
    new = carprice(service, "secret", "rotate").strip()

    def is_signed_by_both():
        job_id = submit(http, car, f"{receiver.url}/ok").json()["id"]
        (got,) = wait_until(lambda: received(receiver, job_id))
        return got.is_signed_by(secret) and got.is_signed_by(new)

    wait_until(is_signed_by_both)
    shown = carprice(service, "secret", "list", "--json")
    assert [each["owner"] for each in json.loads(shown)] == ["service", "service"]
    assert "whsec_" not in shown


def test_the_openapi_document_describes_the_webhooks(http):
    paths = http.get("/openapi.json").json()["paths"]
    for path in ("/jobs", "/batches", "/batches/{batch_id}/corrections"):
        operation = paths[path]["post"]
        (callback,) = operation["callbacks"].values()
        ((expression, item),) = callback.items()
        assert expression == "{$request.query.callback_url}"
        assert item["post"]["requestBody"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/Webhook"
        }
        assert "callback_url" in {each["name"] for each in operation["parameters"]}
