"""A shadow version of the running service: compared in the metrics, never in an answer."""

import itertools
import shutil

import pytest

from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ShadowPointer
from tests.conftest import wait_until
from tests.unit.model_store import small_models

pytestmark = pytest.mark.integration


@pytest.fixture
def shadow(service):
    """A shadow version that values every car."""
    version = save_bundle(small_models.train(level=0.5), service.models_path)
    pointer = ShadowPointer(service.models_path)
    pointer.point_to(version.id, 1.0)
    yield version
    pointer.clear()
    shutil.rmtree(service.models_path / version.id)


def shadow_count(http, version, outcome):
    wanted = (f'version="{version}"', f'outcome="{outcome}"')
    return sum(
        float(line.rpartition(" ")[2])
        for line in http.get("/metrics").text.splitlines()
        if line.startswith("shadow_valuations_total{") and all(each in line for each in wanted)
    )


def test_the_shadow_values_requests_but_answers_none(http, car, shadow):
    active = http.get("/models/active").json()["version"]

    km = itertools.count(61_001)

    def request_until_compared():
        body = car | {"km_driven": next(km)}
        assert http.post("/predict", json=body).json()["model"]["version"] == active
        return shadow_count(http, shadow.id, "success") >= 3

    wait_until(request_until_compared, what="the shadow's valuations")


def test_the_shadow_values_rows_of_batches(http, car, shadow):
    rows = [",".join(str(value) for value in (car | {"km_driven": n}).values()) for n in range(40)]
    file = "\n".join([",".join(car), *rows]).encode()
    before = shadow_count(http, shadow.id, "success")
    accepted = http.post("/batches", content=file, headers={"Content-Type": "text/csv"}).json()
    ended = http.get(f"/batches/{accepted['id']}?wait=20").json()
    assert ended["counts"]["valid"] == 40
    wait_until(
        lambda: shadow_count(http, shadow.id, "success") == before + 40, what="the shadow's rows"
    )


def test_a_damaged_shadow_does_not_affect_answers(http, car, service, shadow):
    (service.models_path / shadow.id / "forest.npz").write_bytes(b"")

    km = itertools.count(62_001)

    def request_until_failed():
        body = car | {"km_driven": next(km)}
        assert http.post("/predict", json=body).status_code == 200
        return shadow_count(http, shadow.id, "failure") >= 1

    wait_until(request_until_failed, what="the failure is counted")
