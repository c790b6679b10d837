"""The service with API keys: scopes, strangers' jobs, the page."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT, running_service, short_folder

THREADS = 8


@pytest.fixture(scope="module")
def keyed(models_path):
    """A service with keys; a client for each of them, and one without."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(short_folder())
        secrets = {
            name: subprocess.run(
                [sys.executable, "-m", "api.cli", "key", name, *scopes],
                cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(home)},
                check=True, capture_output=True, text=True,
            ).stdout.strip()
            for name, scopes in {
                "shop": ("--scope", "predict"),
                "garage": ("--scope", "predict", "--scope", "bulk"),
                "boss": ("--scope", "admin"),
            }.items()
        }  # fmt: skip
        service = stack.enter_context(running_service(home, models_path, API_THREADS=str(THREADS)))
        clients = {
            name: stack.enter_context(service.client(headers={"Authorization": f"Bearer {secret}"}))
            for name, secret in secrets.items()
        }
        clients["nobody"] = stack.enter_context(service.client())
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
def test_strangers_who_send_their_body_slowly_stop_nobody(keyed, car, path):
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


def test_scopes_bound_what_a_key_opens(keyed, car):
    assert keyed["shop"].post("/predict", json=car).status_code == 200
    upload = {"file": ("cars.csv", b"x")}
    assert keyed["shop"].post("/batches", files=upload).status_code == 403
    assert keyed["shop"].post("/models/rollback").status_code == 403
    assert keyed["boss"].post("/predict", json=car).status_code == 403


def test_another_callers_job_does_not_exist(keyed, car):
    location = keyed["shop"].post("/jobs", json=car).headers["Location"]
    assert keyed["shop"].get(f"{location}?wait=20").json()["state"] == "SUCCEEDED"
    assert keyed["garage"].get(location).status_code == 404
    assert keyed["garage"].delete(location).status_code == 404


def test_only_the_caller_of_a_valuation_or_an_admin_reports_its_sale(keyed, car):
    valuation = keyed["shop"].post("/predict", json=car).json()
    sale = {"sale_price_mad": 150_000, "sold_at": "2026-01-02"}
    path = f"/valuations/{valuation['id']}/outcome"
    answers = [keyed[name].post(path, json=sale) for name in ("nobody", "garage", "shop", "boss")]
    assert [answer.status_code for answer in answers] == [401, 404, 201, 200]
    assert keyed["garage"].post(path, json=sale).status_code == 404, "also once it is on record"
