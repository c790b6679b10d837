"""Kept estimates with a real broker, a real cache, real files and a small model; no worker."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.pages.car.form import example_values
from api.pages.car.views import EXTRAS
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from shared.domain.clock import DAY_S
from shared.domain.ids import new_id
from shared.domain.valuation import Contribution, Estimate, Explanation
from shared.fields.requests import load_car_request
from shared.keys.entries import Scope, new_key
from shared.redis.cache import EstimateCache
from shared.settings import Settings
from tests.conftest import Servers, wait_until
from tests.unit.model_store import small_models

CAR = example_values() | {"company": "Dacia", "model": "Logan", "asking_price_mad": "120 000"}
SECOND_CAR = CAR | {"model": "Sandero", "fuel": "Diesel", "km_driven": "140 000"}
PRICE = 90_000.0
SHARES = (0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one small model, active."""
    path = tmp_path_factory.mktemp("small")
    ModelRegistry(path).activate(save_bundle(small_models.train(), path).id, by="test")
    return path


@pytest.fixture
def settings(servers: Servers, small_model: Path, tmp_path: Path) -> Settings:
    """Servers, a model and a folder of its own; nobody works on the queue."""
    return dataclasses.replace(
        servers.settings,
        models_path=small_model,
        blobs_path=tmp_path / "blobs",
        audit_path=tmp_path / "audit",
        predict_wait_s=0.1,
    )


@pytest.fixture
def cached(servers: Servers, small_model: Path) -> Callable[..., Estimate]:
    """Puts the estimate of a car into the cache."""
    cache = EstimateCache(servers.cache, 3600, time.time)
    version = str(ModelRegistry(small_model).active_version())

    def put(car: Mapping[str, str] = CAR, price: float = PRICE) -> Estimate:
        estimate = Estimate(
            price_mad=price,
            quantiles_mad=tuple(price * share for share in SHARES),
            model_version=version,
            model_known=True,
            explanation=Explanation(price - 5000, (Contribution("fuel", "Diesel", 5000.0),)),
        )
        cache.put([(load_car_request(dict(car)).car, EXTRAS, estimate)])
        return estimate

    return put


@pytest.fixture
def browser(settings: Settings, servers: Servers) -> FlaskClient:
    """A visitor of a service without keys."""
    wait_until(lambda: servers.broker.flushdb() and servers.broker.dbsize() == 0)
    return create_app(settings).test_client()


@dataclasses.dataclass(frozen=True)
class Keyed:
    """A service with keys."""

    settings: Settings
    owner: tuple[str, str]
    other: tuple[str, str]
    admin: tuple[str, str]

    def browser(self) -> FlaskClient:
        """A browser with an own process of the service."""
        return create_app(self.settings).test_client()


@pytest.fixture
def keyed(settings: Settings, tmp_path: Path) -> Keyed:
    """Two callers and an administrator, by HTTP Basic."""
    made = [
        new_key("dealer", frozenset({Scope.PREDICT})),
        new_key("rival", frozenset({Scope.PREDICT})),
        new_key("chief", frozenset({Scope.ADMIN})),
    ]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([entry.to_json() for _key, entry in made]))
    owner, other, admin = (("", key) for key, _entry in made)
    return Keyed(dataclasses.replace(settings, api_keys_file=path), owner, other, admin)


def ask(page: FlaskClient, car: Mapping[str, str] = CAR, **more: Any) -> str:
    """Send the form; return the path of the estimate."""
    answer = page.post("/", data=dict(car), **more)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"]).partition("#")[0].partition("?")[0]


def old_id(days: float) -> str:
    """An id that was given so many days ago."""
    return new_id(time.time() - days * DAY_S)
