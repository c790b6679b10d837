"""Records responses and the content of the broker while no worker runs."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.behaviour.cars import PLAIN
from tests.behaviour.normal import Headers
from tests.behaviour.pages import BROWSER, FILE, FORM, JSON, Call, answer_of
from tests.behaviour.running import Service
from tests.behaviour.scenarios import redis_content

NEW = PLAIN | {"km_driven": 123_321}
CSV = {"Content-Type": "text/csv"}


def record(service: Service) -> dict[str, Any]:
    """Stop the workers and send requests; the service cannot be used afterwards."""
    for worker in service.workers:
        service.home.stop(worker)
    service.home.redis("broker").flushall()
    with service.client() as http:
        plain = Headers(http.get("/livez").headers.multi_items())
        recorded = {call.name: answer_of(http, call, plain) for call in _calls(http)}
    return {"answers": recorded, "redis": redis_content(service, "broker")}


def _calls(http: httpx.Client) -> Iterator[Call]:
    body = json.dumps(NEW)
    yield Call(name="predict", method="POST", path="/predict", content=body,
               headers=JSON | {"Prefer": "wait=0"})  # fmt: skip
    yield Call(name="predict, with extras", method="POST", path="/predict?include=depreciation",
               content=body, headers=JSON | {"Prefer": "wait=0.1"})  # fmt: skip
    yield Call(name="estimate", method="POST", path="/", data=FORM | {"km_driven": "77777"},
               headers=BROWSER)  # fmt: skip
    yield Call(name="job", method="POST", path="/jobs", content=body, headers=JSON)
    yield Call(name="job, waited for", method="POST", path="/jobs", content=body,
               headers=JSON | {"Prefer": "wait=0.1"})  # fmt: skip
    job = http.post("/jobs", json=[NEW, NEW]).json()["id"]
    yield Call(name="job, read", path=f"/jobs/{job}?wait=0.1")
    yield Call(name="job, page", path=f"/estimations/{job}", headers=BROWSER)
    yield Call(name="job, cancelled", method="DELETE", path=f"/jobs/{job}")
    yield Call(name="job, cancelled again", method="DELETE", path=f"/jobs/{job}")
    yield Call(name="job, cancelled, events", path=f"/jobs/{job}/events")
    yield Call(name="batch", method="POST", path="/batches", content=FILE, headers=CSV)
    batch = http.post("/batches", content=FILE, headers=CSV).json()["id"]
    yield Call(name="batch, read", path=f"/batches/{batch}")
    for part in ("results", "results?partial=true", "results?partial=true&format=ndjson", "errors",
                 "rejected"):  # fmt: skip
        yield Call(name=f"batch, {part}", path=f"/batches/{batch}/{part}")
    yield Call(name="batch, page", path=f"/fichiers/{batch}", headers=BROWSER)
    yield Call(name="batch, rows on the page", path=f"/fichiers/{batch}/resultats/csv",
               headers=BROWSER)  # fmt: skip
    yield Call(name="batch, cancelled", method="DELETE", path=f"/batches/{batch}")
    yield Call(name="files", path="/fichiers", headers=BROWSER)
    yield Call(name="list", path="/jobs")
