"""Every panel shows data from a real Prometheus that scraped the running service."""

import datetime as dt
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ShadowPointer
from scripts.ports import reserve_port
from shared.keys.entries import KeyLimits, Scope, new_key
from shared.keys.store import FileKeyStore
from shared.queue.celery_app import make_celery
from shared.queue.names import TaskName
from shared.settings import Settings
from shared.webhooks.secret_store import WebhookSecret, WebhookSecrets
from shared.webhooks.signing import new_secret
from tests.batch_parts import cars_csv
from tests.conftest import (
    REFERENCE_CAR,
    ROOT,
    Service,
    running_service,
    short_folder,
    stop,
    wait_until,
)
from tests.prometheus_server import running_prometheus
from tests.unit.model_store import small_models

pytestmark = [
    pytest.mark.integration,
    pytest.mark.prometheus,
    pytest.mark.usefixtures("traffic"),
]

SALE = {"sale_price_mad": 150_000, "sold_at": dt.datetime.now(dt.UTC).date().isoformat()}
MILEAGES = itertools.count(10_000)


def panels() -> Iterator[tuple[str, str]]:
    definitions = yaml.safe_load(
        (ROOT / "monitoring" / "grafana" / "dashboards.yml").read_text(encoding="utf-8")
    )
    for dashboard in definitions.values():
        for panel in dashboard["panels"]:
            for query in panel["queries"].values():
                yield f"{dashboard['title']}: {panel['title']}", query


@pytest.fixture(scope="module")
def keyed(models_path: Path) -> Iterator[httpx.Client]:
    """A client of another service, whose key has a limit of ten requests per second."""
    with short_folder() as home:
        secret, entry = new_key(
            "shop", frozenset(Scope), limits=KeyLimits(requests_per_s=10.0, burst=1)
        )
        settings = Settings.from_env({"CARPRICE_HOME": str(home)})
        FileKeyStore.of(settings).change(lambda _: [entry])
        signing = WebhookSecret(
            owner=entry.id, secret=new_secret(), created_at=dt.datetime.now(dt.UTC)
        )
        WebhookSecrets.of(settings).change(lambda _: [signing])
        with (
            running_service(home, models_path) as service,
            service.client(headers={"Authorization": f"Bearer {secret}"}) as client,
        ):
            # No name ends in "invalid": the attempt fails, and is counted.
            callback = {"callback_url": "https://receiver.invalid/"}
            job = client.post("/jobs", json=REFERENCE_CAR, params=callback)
            assert job.status_code == 202, job.text
            yield client


@pytest.fixture(scope="module")
def exporters(service: Service) -> Iterator[dict[str, str]]:
    """Addresses of the Redis exporters of the service by their server."""
    settings = service.settings
    urls = {"broker": settings.redis_url, "cache": settings.cache_url}
    found = {server: f"127.0.0.1:{reserve_port()}" for server in urls}
    processes = [
        subprocess.Popen(
            ["prometheus-redis-exporter", f"-web.listen-address={address}"],
            env={"REDIS_ADDR": urls[server]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for server, address in found.items()
    ]
    yield found
    for process in processes:
        stop(process)


@pytest.fixture(scope="module")
def prometheus(
    service: Service,
    keyed: httpx.Client,
    exporters: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes both APIs, Flower and the Redis servers every second."""
    targets = {
        "carprice-api": [service.url, str(keyed.base_url)],
        "flower": [service.flower_url],
    }
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "monitoring" / "prometheus" / "rules.yml")],
        "scrape_configs": [
            {
                "job_name": name,
                "static_configs": [{"targets": [url.removeprefix("http://") for url in urls]}],
            }
            for name, urls in targets.items()
        ]
        + [
            {
                "job_name": "redis",
                "static_configs": [
                    {"targets": [address], "labels": {"server": server}}
                    for server, address in exporters.items()
                ],
            }
        ],
    }
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), config) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def shadow(service: Service) -> Iterator[None]:
    """A shadow version that values every car."""
    version = save_bundle(small_models.train(), service.models_path)
    pointer = ShadowPointer(service.models_path)
    pointer.point_to(version.id, 1.0)
    yield
    pointer.clear()
    shutil.rmtree(service.models_path / version.id)


@pytest.fixture(scope="module")
def traffic(service: Service) -> None:
    """Requests of every kind that the metrics count."""
    with service.client() as http:
        for km_driven in (1000, 1000, 2000, 3000):
            valuation = http.post("/predict", json={**REFERENCE_CAR, "km_driven": km_driven}).json()
        # The task below measures the errors on the sales that it finds.
        sold = http.post(f"/valuations/{valuation['id']}/outcome", json=SALE)
        assert sold.is_success, sold.text
        job = http.post("/jobs", json=REFERENCE_CAR).json()
        http.get(f"/jobs/{job['id']}", params={"wait": 20})
        # A PSI is withheld while chance alone may explain it: so many cars are enough.
        batch = http.post("/batches", content=cars_csv(400), headers={"Content-Type": "text/csv"})
        assert batch.is_success, batch.text
        path = f"/batches/{batch.json()['id']}"
        wait_until(lambda: http.get(f"{path}/results").is_success, 60.0, "the batch is done")
    make_celery(service.settings.redis_url).send_task(str(TaskName.WATCH_MODEL))


@pytest.mark.parametrize(("panel", "query"), list(panels()))
def test_the_panel_shows_data(
    prometheus: httpx.Client, service: Service, keyed: httpx.Client, panel: str, query: str
) -> None:
    def numbers() -> list[Any]:
        for _ in range(3):
            keyed.get("/models/active")
        with service.client() as http:
            # One more miss and hit: rates need a change between two scrapes.
            new_car = {**REFERENCE_CAR, "km_driven": next(MILEAGES)}
            for _ in range(2):
                valuation = http.post("/predict", json=new_car).json()
                http.post(f"/valuations/{valuation['id']}/outcome", json=SALE)
        answer = prometheus.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]

    assert wait_until(numbers, 90.0, panel)


def test_no_alert_fires_on_a_healthy_service(prometheus: httpx.Client) -> None:
    wait_until(
        lambda: prometheus.get("/api/v1/query", params={"query": "up"}).json()["data"]["result"],
        60.0,
        "the first scrape",
    )
    rules = prometheus.get("/api/v1/rules", params={"type": "alert"}).json()["data"]["groups"]
    states = {rule["name"]: rule["state"] for group in rules for rule in group["rules"]}
    assert {name: state for name, state in states.items() if state == "firing"} == {}
