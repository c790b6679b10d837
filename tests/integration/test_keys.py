"""The service with API keys: authentication, scopes, jobs of other callers, streams."""

import contextlib
import datetime as dt
import os
import socket
import subprocess
import sys

import pytest

from tests.batch_parts import cars_csv
from tests.conftest import ROOT, running_service, short_folder
from tests.faults.conftest import FaultInjector

THREADS = 8


def carprice_key(home, *arguments):
    """Run `carprice key` and return its output."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "key", *arguments],
        cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(home)},
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


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
        }.items()
    }


@pytest.fixture(scope="module")
def faults(home, secrets, models_path):  # noqa: ARG001 - the keys exist before the start
    """A service with these keys."""
    with running_service(home, models_path, API_THREADS=str(THREADS)) as service:
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


def test_a_job_of_another_caller_is_404(keyed, car):
    location = keyed["shop"].post("/jobs", json=car).headers["Location"]
    assert keyed["shop"].get(f"{location}?wait=20").json()["state"] == "SUCCEEDED"
    assert keyed["garage"].get(location).status_code == 404
    assert keyed["garage"].delete(location).status_code == 404


def test_only_the_caller_of_a_valuation_or_an_admin_reports_its_sale(keyed, car):
    valuation = keyed["shop"].post("/predict", json=car).json()
    sale = {"sale_price_mad": 150_000, "sold_at": dt.datetime.now(dt.UTC).date().isoformat()}
    path = f"/valuations/{valuation['id']}/outcome"
    answers = [keyed[name].post(path, json=sale) for name in ("nobody", "garage", "shop", "boss")]
    assert [answer.status_code for answer in answers] == [401, 404, 201, 200]
    assert keyed["garage"].post(path, json=sale).status_code == 404, "also after the report"


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
