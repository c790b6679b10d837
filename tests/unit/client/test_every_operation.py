"""The client has a call for every operation of the API that needs no administrator."""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from client.sync import CarPriceClient
from shared.keys.entries import Scope, new_key
from shared.keys.store import write_keys
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.unit.client.test_client import CAR, VALUATION, batch
from tests.unit.client.test_rows import REJECTED_FILE, page

METHODS = ("get", "post", "put", "patch", "delete")
WITHOUT_CALL = {
    "get_health": "`readiness` says more",
    "get_liveness": "for supervisors; `readiness` says more",
    "follow_job": "for browsers; `wait_job` waits for as long as a stream would be open",
    "follow_batch": "for browsers; `on_progress` of `wait_batch`",
}
"""Operations for which the client has no call, and why."""
WITHOUT_ARGUMENT = {
    "get_job": {"include": "without effect: a job has what it was submitted with"},
    "get_results": {
        "delimiter": "`form` names whole dialects", "decimal": "as `delimiter`",
        "partial": "for a look at a batch that runs, in a browser",
        "redirect": "the client reads the results from the service",
    },
    "get_rejected_rows": {"redirect": "as of `get_results`"},
    "upload_batch": {"input_uri": "the client sends files; who has objects calls the API"},
    "get_model_card": {"lang": "the language of the client"},
}  # fmt: skip
"""Query parameters that no call sends, and why."""
MODEL = {"version": "m1", "active": True, "created_at": "2026-11-01T00:00:00+00:00"}
ENDED = {"id": "j1", "state": "SUCCEEDED", "result": VALUATION}
DAY = dt.date(2026, 11, 1)
STATISTICS = dict.fromkeys(
    ("total_predictions", "successful_predictions", "failed_predictions", "cache_hits",
     "cache_hit_rate", "average_price", "min_price", "max_price", "average_response_time_ms"), 0,
)  # fmt: skip
ANSWERS: dict[str, Any] = {
    "POST /predict": VALUATION,
    "GET /valuations/v1": VALUATION,
    "GET /batches/b1/rows": json.loads(page([])),
    "GET /batches/b1/rejected": REJECTED_FILE,
    "GET /readyz": {"status": "ready", "checks": []},
    "GET /models": {"models": [MODEL]},
    "GET /models/active": MODEL,
    "GET /suggest": {"suggestions": [{"value": "Clio", "company": "Renault", "listings": 9}]},
    "GET /suggest/usual": {
        "fuel": [], "transmission": [], "fiscal_power_cv": [], "km_driven": None
    },
    "GET /predictions/stats": STATISTICS | {"date": "2026-11-01"},
    "GET /outcomes/stats": {"versions": []},
}  # fmt: skip
UPLOAD: dict[str, Any] = {
    "dry_run": True, "on_error": "abort", "key_column": "Ref", "encoding": "cp1252",
    "delimiter": "semicolon", "decimal": ",", "columns": {"km_driven": "Compteur", "year": "#5"},
    "constants": {"company": "BMW"}, "units": {"km_driven": "mi", "asking_price_mad": "EUR"},
    "header": 3, "sheet": 2, "callback_url": "https://shop.example/ends",
}  # fmt: skip


def _files(folder: Path) -> dict[str, Callable[[CarPriceClient], Any]]:
    source = folder / "cars.csv"
    source.write_text("Marque;Modèle\nDacia;Logan\n")
    target = folder / "out.csv"
    return {
        "upload_batch": lambda client: client.submit_file(source, **UPLOAD),
        "correct_batch": lambda client: client.correct_rows(
            "b1", source, callback_url="https://shop.example/ends"
        ),
        "get_batch": lambda client: client.batch("b1"),
        "cancel_batch": lambda client: client.delete_batch("b1"),
        "retry_batch": lambda client: client.retry_batch("b1"),
        "get_results": lambda client: (
            client.download_results("b1", target, form="excel-fr", is_localized=True),
            client.download_results("b1", target, form="ndjson"),
        ),
        "get_rejected_rows": lambda client: (
            client.download_rejected("b1", target, form="excel-fr"),
            client.download_rejected("b1", target, form="xlsx"),
            client.correct_cells("b1", {3: {"Année": "2016"}}),
        ),
        "get_error_report": lambda client: list(client.batch_errors("b1")),
        "get_rows": lambda client: list(
            client.batch_rows(
                "b1", sort="-price", verdict="fair", status="valued", brand="Kia", text="Rio"
            )
        ),
    }


def _others() -> dict[str, Callable[[CarPriceClient], Any]]:
    extras: dict[str, Any] = {"include": ["typical"], "coverage": 0.5}
    return {
        "predict": lambda client: client.value(CAR, keep=True, **extras),
        "get_valuation": lambda client: client.valuation("v1", coverage=0.5),
        "delete_valuation": lambda client: client.delete_valuation("v1"),
        "report_sale": lambda client: client.report_sale("v1", 90_000, DAY),
        "submit_job": lambda client: client.submit(
            CAR, callback_url="https://shop.example/ends", **extras
        ),
        "get_job": lambda client: client.job("j1", coverage=0.5),
        "cancel_job": lambda client: client.delete_job("j1"),
        "list_jobs": lambda client: (
            list(client.jobs(kind="job", state="FAILED", since=DAY, until=DAY)),
            client.find_batch("key-1"),
        ),
        "get_readiness": lambda client: client.readiness(),
        "list_models": lambda client: client.models(),
        "get_active_model": lambda client: client.active_model(),
        "get_model_card": lambda client: client.model_card(),
        "get_model_card_file": lambda client: client.model_card_file("errors.png"),
        "suggest": lambda client: client.suggest(
            "edition", "st", company="Dacia", model="Logan", limit=3
        ),
        "get_usual_values": lambda client: client.usual_values("Dacia", "Logan", 2018),
        "get_prediction_statistics": lambda client: client.prediction_statistics(DAY),
        "get_outcome_statistics": lambda client: client.sale_statistics(),
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    """A service with keys and closed statistics, and the headers of a caller's key."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), metrics_public="off")
    secret, entry = new_key("shop", frozenset({Scope.PREDICT, Scope.BULK}))
    write_keys(settings.keys_file, [entry])
    app = create_app(with_server_urls(settings))
    return app.test_client(), {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def operations(service: tuple[Any, dict[str, str]]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """The operations that a caller may use, by their ids: method, path and description."""
    client, headers = service
    document = client.get("/openapi.json").json
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, method, operation in _all(document)
        if client.open(re.sub(r"{\w+}", "x", path), method=method, headers=headers).status_code
        != 403
    }


def _all(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def test_every_operation_that_a_caller_may_use_has_a_call(
    operations: dict[str, Any], tmp_path: Path
) -> None:
    calls = _files(tmp_path).keys() | _others().keys()
    assert operations.keys() - calls == WITHOUT_CALL.keys()
    assert calls <= operations.keys()


@pytest.mark.parametrize("name", [*_others(), *_files(Path("/tmp"))])
def test_a_call_sends_its_operation_with_every_parameter(
    operations: dict[str, Any], tmp_path: Path, name: str
) -> None:
    sent: set[str] = set()
    reached = False
    method, path, operation = operations[name]
    template = re.compile(re.sub(r"{\w+}", "[^/]+", path))

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal reached
        if request.method == method and template.fullmatch(request.url.path):
            reached = True
            sent.update(request.url.params)
        return _answer(request)

    with CarPriceClient("http://service", transport=httpx.MockTransport(handle)) as client:
        (_others() | _files(tmp_path))[name](client)
    assert reached
    documented = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    not_documented = {"headers"} if name == "get_results" else set()  # described in its text
    assert sent - not_documented <= documented
    assert documented - sent == WITHOUT_ARGUMENT.get(name, {}).keys()


def _answer(request: httpx.Request) -> httpx.Response:
    """What a service could answer."""
    if request.method == "DELETE":
        return httpx.Response(204)
    key = f"{request.method} {request.url.path}"
    if key == "GET /jobs":
        is_first = (
            "cursor" not in request.url.params and "idempotency_key" not in request.url.params
        )
        return httpx.Response(200, json={"items": [], "next_cursor": "c1" if is_first else None})
    if key in ANSWERS:
        body = ANSWERS[key]
        return httpx.Response(200, **({"text": body} if isinstance(body, str) else {"json": body}))
    if request.url.path.startswith("/jobs"):
        return httpx.Response(200, json=ENDED)
    if re.fullmatch(r"/batches(/b1(/retry|/corrections)?)?", request.url.path):
        return httpx.Response(200, json=batch())
    return httpx.Response(200, text="")
