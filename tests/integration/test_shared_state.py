"""Two hosts that share models and keys: two APIs, two workers, one Redis server, one S3 server."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from scripts.ports import reserve_port
from tests.conftest import (
    ROOT,
    START_TIMEOUT_S,
    Service,
    running_service,
    short_folder,
    stop,
    wait_until,
)
from tests.object_store import BUCKET, ObjectStore, running_object_store
from tests.unit.model_store import small_models

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PROCESSES = 5
"""API, interactive and bulk on the first host; API and interactive on the second."""
DEADLINE_S = 30.0
"""Generous: the machine of the tests may be busy."""


@dataclass(frozen=True)
class Hosts:
    """Two hosts: all processes on the first; an API and an interactive worker on the second."""

    first: Service
    second_url: str
    second_home: Path
    store: ObjectStore
    env: dict[str, str]
    """Of commands on the second host."""

    @property
    def urls(self) -> tuple[str, str]:
        """The addresses of both APIs."""
        return self.first.url, self.second_url

    @property
    def second_models(self) -> Path:
        """The registry's folder of the second host."""
        return self.second_home / "models"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on the second host."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )


@contextlib.contextmanager
def running(env: dict[str, str], *kinds: str) -> Iterator[None]:
    """Run processes of the service as an orchestrator does, each by itself."""
    log = Path(env["CARPRICE_HOME"]) / "run.log"
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "run", kind],
                cwd=ROOT,
                env={**env, "HONCHO_PROCESS_NAME": f"second-{kind}"},
                stdout=stack.enter_context(log.open("a")),
                stderr=subprocess.STDOUT,
            )
            stack.callback(stop, process, 60.0)
        yield


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    models = tmp_path_factory.mktemp("models")
    version = save_bundle(small_models.train(), models)
    ModelRegistry(models).activate(version.id, by="before")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(running_object_store())
        shared = {
            "STATE_URL": f"s3://{BUCKET}/state",
            "BLOB_ENDPOINT_URL": store.endpoint_url,
            "INTERACTIVE_WORKERS": "1",
            "BULK_PROCESSES": "1",
        }
        home = stack.enter_context(short_folder())
        first = stack.enter_context(running_service(home, models, **shared))
        second_home, port = stack.enter_context(short_folder()), reserve_port()
        env = {
            **os.environ,
            **shared,
            "CARPRICE_HOME": str(second_home),
            "MODELS_PATH": str(second_home / "models"),
            "PORT": str(port),
            "REDIS_URL": first.settings.redis_url,
            "CACHE_URL": first.settings.cache_url,
        }
        stack.enter_context(running(env, "api", "interactive"))
        found = Hosts(first, f"http://127.0.0.1:{port}", second_home, store, env)
        wait_until(lambda: _is_ready(found.second_url), START_TIMEOUT_S, "the second API is ready")
        wait_until(
            lambda: len(_serving(found)) == PROCESSES, START_TIMEOUT_S, "all processes have a model"
        )
        yield found


def _is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz", timeout=5.0).json()["status"] == "ready")
    except httpx.HTTPError:
        return False


def _serving(hosts: Hosts) -> list[str]:
    """The versions that the processes say they serve."""
    from shared.redis.connections import connect  # noqa: PLC0415
    from shared.redis.serving import ServingVersions  # noqa: PLC0415

    client = connect(hosts.first.settings.redis_url)
    with contextlib.closing(client):
        return [version for version in ServingVersions(client).live().values() if version]


def _versions(url: str) -> list[str]:
    listed = httpx.get(f"{url}/models", timeout=30).json()["models"]
    return [one["version"] for one in listed]


def _active(url: str) -> str:
    return str(httpx.get(f"{url}/models/active", timeout=30).json()["version"])


def _answered_by(url: str, car: dict[str, Any], km: int) -> str:
    """The version that values a car which no cache has."""
    answer = httpx.post(f"{url}/predict", json={**car, "km_driven": km}, timeout=30).json()
    return str(answer["model"]["version"])


@pytest.fixture(scope="module")
def other(hosts: Hosts) -> str:
    """A version that was trained on the second host, and published from there."""
    version = save_bundle(small_models.train(), hosts.second_models).id
    published = hosts.run("models", "publish", version)
    assert published.returncode == 0, published.stderr
    return version


def test_an_activation_on_one_host_is_effective_on_both(hosts: Hosts, other: str, car) -> None:
    before = _active(hosts.first.url)
    assert before == _active(hosts.second_url)
    wait_until(lambda: other in _versions(hosts.first.url), DEADLINE_S, "the published version")

    activated = httpx.post(f"{hosts.first.url}/models/{other}/activate", timeout=60)
    assert (activated.status_code, activated.json()["not_serving"]) == (200, [])
    assert set(_serving(hosts)) == {other}
    for number, url in enumerate(hosts.urls * 3):
        assert _active(url) == other
        assert _answered_by(url, car, 10_000 + number) == other

    # The copy of the version before is damaged on the second host: it is fetched again.
    (hosts.second_models / before / "forest.npz").write_bytes(b"damaged")
    rolled_back = httpx.post(f"{hosts.second_url}/models/rollback", timeout=60)
    assert (rolled_back.status_code, rolled_back.json()["not_serving"]) == (200, [])
    assert rolled_back.json()["version"] == before
    assert [_active(url) for url in hosts.urls] == [before, before]
    assert [one["action"] for one in _history(hosts)][-2:] == ["activate", "rollback"]


def _history(hosts: Hosts) -> list[dict[str, Any]]:
    import json  # noqa: PLC0415

    return list(json.loads(hosts.run("models", "history", "--json").stdout))


def test_a_card_of_a_version_that_a_host_lacks_is_answered(hosts: Hosts, other: str) -> None:
    wait_until(lambda: _version(hosts.first.url, other), DEADLINE_S)
    shutil.rmtree(hosts.second_models / other)
    assert _version(hosts.second_url, other)["version"] == other


def _version(url: str, version: str) -> dict[str, Any]:
    models = httpx.get(f"{url}/models", timeout=30).json()["models"]
    return next((one for one in models if one["version"] == version), {})


def test_a_process_that_does_not_follow_is_named(hosts: Hosts, other: str) -> None:
    from shared.redis.connections import connect  # noqa: PLC0415
    from shared.redis.serving import ServingVersions  # noqa: PLC0415

    client = connect(hosts.first.settings.redis_url)
    with contextlib.closing(client):
        client.set("carprice:1:serving:stuck@elsewhere", "old", ex=60)
        client.sadd("carprice:1:serving", "stuck@elsewhere")
        activated = httpx.post(f"{hosts.second_url}/models/{other}/activate", timeout=60)
        client.delete("carprice:1:serving:stuck@elsewhere")
        assert "stuck@elsewhere" not in ServingVersions(client).live()
    assert activated.status_code == 202
    assert activated.json()["not_serving"] == ["stuck@elsewhere"]


def test_keys_are_created_and_revoked_on_both_hosts_and_outlast_the_store(
    hosts: Hosts, car
) -> None:
    made = hosts.run("key", "create", "garage", "--scope", "predict", "--scope", "admin")
    assert made.returncode == 0, made.stderr
    kept = hosts.run("key", "create", "kept", "--scope", "predict", "--scope", "admin")
    for key in (made.stdout.strip(), kept.stdout.strip()):
        for url in hosts.urls:
            wait_until(lambda url=url, key=key: _status(url, car, key) == 200, DEADLINE_S)
    for url in hosts.urls:
        wait_until(lambda url=url: _status(url, car, "") == 401, DEADLINE_S)

    assert hosts.run("key", "revoke", "garage").returncode == 0
    for url in hosts.urls:
        wait_until(lambda url=url: _status(url, car, made.stdout.strip()) == 401, DEADLINE_S)
        assert _status(url, car, kept.stdout.strip()) == 200

    hosts.store.server.stop()
    headers = {"Authorization": f"Bearer {kept.stdout.strip()}"}
    for url in hosts.urls:
        refused = httpx.post(f"{url}/models/rollback", headers=headers, timeout=60)
        assert (refused.status_code, "storage-unavailable" in refused.text) == (503, True)
        assert _status(url, car, kept.stdout.strip()) == 200
        assert _status(url, car, made.stdout.strip()) == 401
    failed = hosts.run("key", "create", "late")
    assert failed.returncode == 1
    assert "state store" in failed.stderr


def _status(url: str, car: dict[str, Any], key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{url}/predict", json=car, headers=headers, timeout=30).status_code
