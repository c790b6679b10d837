"""A shadow beside the running service: compared in the metrics, never in an answer."""

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
    """A version beside the active one, tried on every car."""
    version = save_bundle(small_models.train(level=0.5), service.models_path)
    pointer = ShadowPointer(service.models_path)
    pointer.point_to(version.id, 1.0)
    yield version
    pointer.clear()
    shutil.rmtree(service.models_path / version.id)


def trials(http, version, outcome):
    wanted = (f'version="{version}"', f'outcome="{outcome}"')
    return sum(
        float(line.rpartition(" ")[2])
        for line in http.get("/metrics").text.splitlines()
        if line.startswith("shadow_valuations_total{") and all(each in line for each in wanted)
    )


def test_the_shadow_is_tried_and_answers_nobody(http, car, shadow):
    active = http.get("/models/active").json()["version"]

    km = itertools.count(61_001)

    def ask_until_tried():
        body = car | {"km_driven": next(km)}
        assert http.post("/predict", json=body).json()["model"]["version"] == active
        return trials(http, shadow.id, "success") >= 3

    wait_until(ask_until_tried, what="the shadow is tried")


def test_the_shadow_is_tried_on_rows_of_batches(http, car, shadow):
    rows = [",".join(str(value) for value in (car | {"km_driven": n}).values()) for n in range(40)]
    file = "\n".join([",".join(car), *rows]).encode()
    before = trials(http, shadow.id, "success")
    accepted = http.post("/batches", content=file, headers={"Content-Type": "text/csv"}).json()
    ended = http.get(f"/batches/{accepted['id']}?wait=20").json()
    assert ended["counts"]["valid"] == 40
    wait_until(lambda: trials(http, shadow.id, "success") == before + 40, what="the rows are tried")


def test_a_shadow_that_is_damaged_harms_no_answer(http, car, service, shadow):
    (service.models_path / shadow.id / "forest.npz").write_bytes(b"")

    km = itertools.count(62_001)

    def ask_until_failed():
        body = car | {"km_driven": next(km)}
        assert http.post("/predict", json=body).status_code == 200
        return trials(http, shadow.id, "failure") >= 1

    wait_until(ask_until_failed, what="the failure is counted")
