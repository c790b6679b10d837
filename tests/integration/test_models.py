"""The model registry over HTTP: activation without restart, rollback, refusals."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from model_store.registry.bundle import save_bundle
from tests.conftest import ROOT, running_service, short_folder, wait_until
from tests.unit.model_store import small_models


@pytest.fixture(scope="module")
def two_versions(models_path, tmp_path_factory):
    """A registry with two versions; the first one is active."""
    path = tmp_path_factory.mktemp("two") / "versions"
    shutil.copytree(models_path, path)
    save_bundle(small_models.train(), path)
    return path


@pytest.fixture(scope="module")
def own_service(two_versions):
    """A service whose models these tests may change."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(short_folder())
        yield stack.enter_context(running_service(home, two_versions))


@pytest.fixture
def http(own_service):
    with own_service.client() as client:
        yield client


def versions(http):
    """Return the active version and the other one."""
    models = http.get("/models").json()["models"]
    active = [model["version"] for model in models if model["active"]]
    other = [model["version"] for model in models if not model["active"]]
    assert len(active) == 1
    return active[0], other[0]


def test_an_activated_version_answers_without_restart_and_without_old_cache_entries(http, car):
    active, other = versions(http)
    assert http.post("/predict", json=car).json()["model"]["version"] == active
    response = http.post(f"/models/{other}/activate")
    assert response.status_code == 200
    assert response.headers["ETag"] == f'"{other}"'
    wait_until(lambda: http.post("/predict", json=car).json()["model"]["version"] == other)
    for _ in range(5):
        assert http.post("/predict", json=car).json()["model"]["version"] == other
    assert http.get("/models/active").json()["version"] == other
    rolled_back = http.post("/models/rollback")
    assert rolled_back.json()["version"] == active
    wait_until(lambda: http.post("/predict", json=car).json()["model"]["version"] == active)


def test_if_match_refuses_an_activation_if_another_version_is_active(http):
    active, other = versions(http)
    wrong = http.post(f"/models/{other}/activate", headers={"If-Match": '"something-else"'})
    assert wrong.status_code == 412
    assert versions(http)[0] == active
    right = http.post(f"/models/{active}/activate", headers={"If-Match": f'"x", "{active}"'})
    assert right.status_code == 200


@pytest.mark.parametrize("bad", ["nothing", "2026-01-01T000000-abcdef", "..%2f.."])
def test_an_unknown_version_is_404_and_changes_nothing(http, bad):
    active, _ = versions(http)
    assert http.post(f"/models/{bad}/activate").status_code == 404
    assert versions(http)[0] == active


def test_a_corrupt_version_is_refused_and_the_active_one_keeps_serving(http, car, two_versions):
    active, other = versions(http)
    forest = two_versions / other / "forest.npz"
    whole = forest.read_bytes()
    forest.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        response = http.post(f"/models/{other}/activate")
        assert response.status_code == 409
        assert response.json()["type"] == "/docs/problems#model-refused"
        assert http.post("/predict", json=car).json()["model"]["version"] == active
    finally:
        forest.write_bytes(whole)


@pytest.mark.parametrize("verb", ["over HTTP", "from the shell"])
def test_a_version_that_fails_its_self_test_is_not_activated(http, two_versions, verb):
    active, other = versions(http)
    manifest = two_versions / other / "manifest.json"
    whole = manifest.read_text()
    wrong = json.loads(whole)
    wrong["self_test"][0]["price_mad"] *= 1.5
    manifest.write_text(json.dumps(wrong))
    try:
        if verb == "over HTTP":
            response = http.post(f"/models/{other}/activate")
            assert response.status_code == 409
            message = response.json()["detail"]
        else:
            answer = subprocess.run(
                [sys.executable, "-m", "cli.main", "models", "activate", other],
                cwd=ROOT,
                env={**os.environ, "MODELS_PATH": str(two_versions)},
                check=False,
                capture_output=True,
                text=True,
            )
            assert answer.returncode == 1
            message = answer.stderr
        assert "self-test" in message
        assert (two_versions / "ACTIVE").read_text().strip() == active
    finally:
        manifest.write_text(whole)
