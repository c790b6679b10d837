"""No personal data in logs, metrics and Flower: values of callers are searched there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Service, running_service, short_folder, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MILEAGE, PRICE, CAPACITY = 71_354, 417_263, 1187
NAMES = {
    "file": "stock-quixotelot.csv",
    "column": "Vendeur-zzyzxcol",
    "seller": "Mme Wqxvseller 0612345678",
    "title": "Renault Qwyjibomodel",
    "edition": "Plughtrim",
    "field": "note_flimflamfield",
    "text": "bloviatetext",
    "idempotency": "order-snickersnee",
    "sheet": "feuille-jabberwocky",
    "callback": "token-frumiousbander",
}
CALLBACKS = [
    f"https://{host}/{NAMES['callback']}?key={NAMES['callback']}"
    for host in ("hooks.invalid", "10.0.0.1", f"{NAMES['callback']}@hooks.invalid")
]
"""The first is accepted, and its name has no address."""
UNREADABLE = '{"company": "gobbledygook-body'


def table() -> bytes:
    """A file with readable, ignored and rejected cells."""
    header = f"{NAMES['column']};marque;modèle;année;carburant;boîte;km;prix demandé"
    rows = [
        f"{NAMES['seller']};Dacia;Logan;2018;Diesel;Manuelle;{MILEAGE};{PRICE}",
        f"{NAMES['seller']};Dacia;{NAMES['title']};1066;Diesel;Manuelle;{MILEAGE};{PRICE}",
        f"{NAMES['seller']};Dacia;Logan;2018;{NAMES['text']};Manuelle;{NAMES['text']};{PRICE}",
    ]
    return "\n".join([header, *rows]).encode()


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    """A key that has a secret of webhooks."""

    def carprice(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(home)},
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    made = carprice("key", "shop")
    (entry,) = json.loads(carprice("key", "list", "--json"))
    carprice("webhooks", "secret", "create", entry["id"])
    return made


@pytest.fixture(scope="module")
def used(home: Path, key: str, models_path: Path) -> Iterator[Service]:
    """A service that logs as much as it can, after calls of every kind, good and bad."""
    options = {"LOG_LEVEL": "debug", "FLOWER_UNAUTHENTICATED_API": "true"}
    with running_service(home, models_path, **options) as service:
        headers = {"Authorization": f"Bearer {key}"}
        with service.client(headers=headers) as http:
            call_everything(http)
        with service.client(headers={"Authorization": f"Bearer {key[:-4]}zzzz"}) as stranger:
            assert stranger.post("/predict", json={}).status_code == 401
        yield service


def call_everything(http: httpx.Client) -> None:
    car = {
        "company": "Toyota", "model": "Corolla", "year": 2020, "engine_cc": CAPACITY,
        "km_driven": MILEAGE, "asking_price_mad": PRICE, "edition": NAMES["edition"],
        NAMES["field"]: NAMES["text"],
    }  # fmt: skip
    valuation = http.post("/predict", json=car)
    assert valuation.status_code == 200, valuation.text
    assert http.post("/predict", json=car).json()["cached"]
    sale = {"sale_price_mad": PRICE, "sold_at": "2026-11-20"}
    http.post(f"/valuations/{valuation.json()['id']}/outcome", json=sale)
    for bad in (car | {"year": NAMES["text"]}, {"company": NAMES["title"]}):
        assert http.post("/predict", json=bad).status_code == 422
    assert http.post("/predict", content=UNREADABLE).status_code in {400, 415, 422}
    json_type = {"Content-Type": "application/json"}
    assert http.post("/predict", content=UNREADABLE, headers=json_type).status_code in {400, 422}
    keyed = {"Idempotency-Key": NAMES["idempotency"]}
    for body in (car, [car, car | {"model": NAMES["title"]}]):
        job = http.post("/jobs", json=body, headers=keyed | {"Prefer": "wait=20"})
        keyed = {"Idempotency-Key": NAMES["idempotency"] + "2"}
        assert job.json()["state"] == "SUCCEEDED", job.text
    for url, status in zip(CALLBACKS, (202, 422, 422), strict=True):
        params = {"callback_url": url}
        assert http.post("/jobs", json=car, params=params).status_code == status
        table_type = {"Content-Type": "text/csv"}
        batch = http.post("/batches", content=table(), params=params, headers=table_type)
        assert batch.status_code == status, batch.text
    wait_until(lambda: "webhook_attempts_total{" in http.get("/metrics").text, what="an attempt")
    http.get(f"/jobs/{NAMES['title']}")
    http.get(f"/{NAMES['text']}", params={NAMES["field"]: NAMES["seller"]})
    for options in ({}, {"on_error": "abort"}, {"sheet": NAMES["sheet"]}):
        check_batch(http, options)
    unreadable = {"file": (NAMES["file"], f"{NAMES['text']}\n{NAMES['seller']}\n".encode())}
    http.post("/batches", files=unreadable)
    http.post("/batches", files={"file": (NAMES["file"], b"PK\x03\x04" + NAMES["seller"].encode())})


def check_batch(http: httpx.Client, options: dict[str, Any]) -> None:
    files = {"file": (NAMES["file"], table())}
    accepted = http.post("/batches", files=files, params=options)
    if accepted.status_code != 202:
        return
    batch_id = accepted.json()["id"]
    wait_until(
        lambda: http.get(f"/batches/{batch_id}?wait=10").json()["finished_at"], 60.0, "the batch"
    )
    for form in ("", "?format=xlsx", "?format=parquet"):
        http.get(f"/batches/{batch_id}/results{form}")
    http.get(f"/batches/{batch_id}/errors")
    http.delete(f"/batches/{batch_id}")


def found_in(text: str, key: str) -> list[str]:
    """The values of callers that a text contains."""
    values = {
        **NAMES, "key": key, "file of the key": key[-12:], "body": "gobbledygook-body",
        "mileage": str(MILEAGE), "price": str(PRICE), "capacity": str(CAPACITY),
    }  # fmt: skip
    parts = {name: value.split()[0].removesuffix(".csv") for name, value in values.items()}
    parts |= {"telephone": "0612345678", "title": "Qwyjibomodel", "seller": "Wqxvseller"}
    # Digits within a time are no mileage.
    patterns = {
        name: rf"(?<![\d.]){part}(?!\d)" if part.isdecimal() else re.escape(part)
        for name, part in parts.items()
    }
    return [name for name, one in patterns.items() if re.search(one, text, re.IGNORECASE)]


def test_the_search_finds_what_is_there(key: str) -> None:
    assert found_in(table().decode() + key, key) != []
    assert {"title", "seller", "price"} <= set(found_in(table().decode(), key))


def test_no_log_contains_values_of_callers(used: Service, key: str) -> None:
    logs = [path for path in (used.home / "logs").rglob("*") if path.is_file()]
    texts = {path.name: path.read_text(errors="replace") for path in logs}
    texts["terminal"] = (used.home / "up.log").read_text()
    assert any("batch_ended" in text for text in texts.values())
    assert {name: found for name, text in texts.items() if (found := found_in(text, key))} == {}


def test_metrics_contain_no_values_of_callers(used: Service, key: str) -> None:
    text = used.client(headers={"Authorization": f"Bearer {key}"}).get("/metrics").text
    assert "predictions_total" in text
    assert found_in(text, key) == []


def test_flower_shows_no_values_of_callers(used: Service, key: str) -> None:
    pages = ["/api/tasks", "/api/workers", "/tasks", "/workers", "/metrics", "/broker"]
    with httpx.Client(base_url=used.flower_url, timeout=30.0) as flower:
        tasks = wait_until(lambda: flower.get("/api/tasks").json(), 30.0, "tasks in Flower")
        pages += [f"/api/task/info/{task}" for task in tasks]
        pages += [f"/task/{task}" for task in list(tasks)[:20]]
        texts = {page: flower.get(page).text for page in pages}
    assert {page: found for page, text in texts.items() if (found := found_in(text, key))} == {}
