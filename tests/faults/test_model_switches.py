"""Activations under load: no request fails, and each price is that of the version it names."""

import csv
import io
import itertools
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import load_model, save_bundle
from model_store.registry.registry import ModelRegistry, new_version_id
from shared.fields.requests import load_car_request
from tests.batch_parts import cars_csv
from tests.conftest import Service, running_service, short_folder, wait_until
from tests.unit.model_store import small_models

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SWITCHES = 4
CALLERS = 4
REPEATED_CARS = 12
"""Number of cars that all callers request repeatedly, so that the cache answers most of them."""
LATEST_ANSWERS = 60
BATCH_ROWS = 6_000
SWITCH_TIMEOUT_S = 60.0

Body = dict[str, Any]


def body(seed: int) -> Body:
    """Return the car of a seed."""
    chance = random.Random(seed)
    company, model = chance.choice(sorted(small_models.VEHICLES)).split("|")
    return {
        "company": company,
        "model": model,
        "year": chance.randint(2002, 2024),
        "fuel": chance.choice(["Diesel", "Petrol"]),
        "transmission": chance.choice(["Manual", "Automatic"]),
        "km_driven": chance.randint(10_000, 300_000),
    }


def price_of(model: LoadedModel, asked: Body) -> float:
    """Return the price of a version, computed without the service."""
    return model.prices_mad([load_car_request(asked).car])[0]


@pytest.fixture(scope="module")
def registry_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions whose prices differ by half; the first one is active."""
    path = tmp_path_factory.mktemp("switched")
    versions = [save_bundle(small_models.train(level=level), path).id for level in (0.0, 0.4)]
    ModelRegistry(path).activate(versions[0], by="test")
    return path


@pytest.fixture(scope="module")
def models(registry_path: Path) -> Mapping[str, LoadedModel]:
    """The loaded versions by id, the active one first."""
    active = ModelRegistry(registry_path).active_version()
    names = {str(active)} | {version.id for version in ModelRegistry(registry_path).list()}
    ordered = sorted(names, key=lambda name: name != active)
    return {name: load_model(registry_path, name) for name in ordered}


@pytest.fixture(scope="module")
def service(registry_path: Path) -> Iterator[Service]:
    """A service whose models these tests may change."""
    options = {"PREDICT_WAIT_S": "30", "BATCH_CHUNK_ROWS": "100"}
    with short_folder() as home, running_service(home, registry_path, **options) as running:
        yield running


class Callers:
    """Threads that send requests without a pause and keep every answer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CALLERS)]
        self.answers: list[tuple[Body, httpx.Response]] = []
        self.broken: list[Exception] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        new_cars = itertools.count(1000 + 1_000_000 * number)
        with self._service.client() as client:
            for turn in itertools.count():
                if self._ended.is_set():
                    return
                asked = body(next(new_cars) if turn % 2 else turn % REPEATED_CARS)
                try:
                    self.answers.append((asked, client.post("/predict", json=asked)))
                except httpx.HTTPError as error:
                    self.broken.append(error)

    def are_answered_by(self, version: str) -> bool:
        """Return whether the latest answers, cached or not, are all of one version."""
        latest = [answer.json()["model"]["version"] for _, answer in self.answers[-LATEST_ANSWERS:]]
        return len(latest) == LATEST_ANSWERS and set(latest) == {version}


def test_activations_under_load_drop_no_request_and_mix_no_versions(
    service: Service, models: Mapping[str, LoadedModel]
) -> None:
    first, second = models
    with service.client() as operator, Callers(service) as callers:
        wait_until(lambda: callers.are_answered_by(first), SWITCH_TIMEOUT_S, "the first answers")
        batch = operator.post(
            "/batches", content=cars_csv(BATCH_ROWS), headers={"Content-Type": "text/csv"}
        ).json()
        for turn in range(SWITCHES):
            version = (second, first)[turn % 2]
            moved = operator.post(f"/models/{version}/activate")
            assert moved.status_code == 200, moved.text
            wait_until(lambda: callers.are_answered_by(version), SWITCH_TIMEOUT_S, version)  # noqa: B023
        ended = wait_until(
            lambda: has_ended(operator, batch["id"]), SWITCH_TIMEOUT_S, "the batch's end"
        )
        results = operator.get(f"/batches/{batch['id']}/results").text
    assert callers.broken == []
    assert {answer.status_code for _, answer in callers.answers} == {200}
    assert_priced_by_their_version(callers.answers, models)
    assert ended["model_version"] == first
    assert_priced_by(results, models[first])


def test_a_damaged_version_is_refused_and_the_active_one_keeps_serving_under_load(
    service: Service, models: Mapping[str, LoadedModel]
) -> None:
    first, _ = models
    path = service.models_path
    damaged = new_version_id(ModelRegistry(path).get(first).created_at)
    shutil.copytree(path / first, path / damaged)
    manifest = path / damaged / "manifest.json"
    manifest.write_text(manifest.read_text().replace(first, damaged))
    with (path / damaged / "forest.npz").open("r+b") as file:
        file.write(b"damaged")
    with service.client() as operator, Callers(service) as callers:
        assert operator.post(f"/models/{first}/activate").status_code == 200
        wait_until(lambda: callers.are_answered_by(first), SWITCH_TIMEOUT_S, "the first answers")
        refused = operator.post(f"/models/{damaged}/activate")
        # Write the pointer without the checks of an activation: the workers check the version too.
        (path / "ACTIVE").write_text(f"{damaged}\n")
        time.sleep(3.0)
        (path / "ACTIVE").write_text(f"{first}\n")
        wait_until(lambda: callers.are_answered_by(first), SWITCH_TIMEOUT_S, "the first again")
    assert refused.status_code == 409
    assert callers.broken == []
    assert {answer.status_code for _, answer in callers.answers} == {200}
    assert_priced_by_their_version(callers.answers, models)


def has_ended(client: httpx.Client, batch_id: str) -> Any:
    """Return the batch if it has succeeded."""
    batch = client.get(f"/batches/{batch_id}").json()
    return batch if batch["state"] == "SUCCEEDED" else None


def assert_priced_by_their_version(
    answers: list[tuple[Body, httpx.Response]], models: Mapping[str, LoadedModel]
) -> None:
    """Check that each answer, cached or not, has the price of the version that it names."""
    kinds: Counter[tuple[str, bool]] = Counter()
    known: dict[tuple[str, str], float] = {}
    for asked, answer in answers:
        shown = answer.json()
        version = shown["model"]["version"]
        place = (version, repr(asked))
        if place not in known:
            known[place] = price_of(models[version], asked)
        assert shown["price_mad"] == pytest.approx(known[place], abs=0.011), shown
        kinds[version, shown["cached"]] += 1
    used = {version for version, _ in kinds}
    assert all(kinds[version, cached] for version in used for cached in (True, False)), kinds


def assert_priced_by(results: str, model: LoadedModel) -> None:
    """Check that every row of a batch has the price of the version it was accepted with."""
    rows = list(csv.DictReader(io.StringIO(results)))
    assert len(rows) == BATCH_ROWS
    asked = [
        {name: row[name] for name in row if not name.endswith("_mad") and name != "ref"}
        for row in rows
    ]
    prices = model.prices_mad([load_car_request(each).car for each in asked])
    for row, price in zip(rows, prices, strict=True):
        assert float(row["price_mad"]) == pytest.approx(price, abs=0.011), row
