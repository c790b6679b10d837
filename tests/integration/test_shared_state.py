"""Two hosts that share models and keys: two APIs, two workers, one Redis server, one S3 server."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from model_store.registry.bundle import save_bundle
from tests.conftest import START_TIMEOUT_S, wait_until
from tests.two_hosts import TwoHosts, running_two_hosts
from tests.unit.model_store import small_models

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
PROCESSES = 5
"""API, interactive and bulk on the first host; API and interactive on the second."""
DEADLINE_S = 30.0
"""Generous: the machine of the tests may be busy."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    with running_two_hosts(tmp_path_factory.mktemp("models"), "api", "interactive") as found:
        wait_until(
            lambda: len(_serving(found)) == PROCESSES, START_TIMEOUT_S, "all processes have a model"
        )
        yield found


def _serving(hosts: TwoHosts) -> list[str]:
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
def other(hosts: TwoHosts) -> str:
    """A version that was trained on the second host, and published from there."""
    version = save_bundle(small_models.train(), hosts.second.models).id
    published = hosts.second.run("models", "publish", version)
    assert published.returncode == 0, published.stderr
    return version


def test_an_activation_on_one_host_is_effective_on_both(hosts: TwoHosts, other: str, car) -> None:
    before = _active(hosts.first.url)
    assert before == _active(hosts.second.url)
    wait_until(lambda: other in _versions(hosts.first.url), DEADLINE_S, "the published version")

    activated = httpx.post(f"{hosts.first.url}/models/{other}/activate", timeout=60)
    assert (activated.status_code, activated.json()["not_serving"]) == (200, [])
    assert set(_serving(hosts)) == {other}
    for number, url in enumerate(hosts.urls * 3):
        assert _active(url) == other
        assert _answered_by(url, car, 10_000 + number) == other

    # The copy of the version before is damaged on the second host: it is fetched again.
    (hosts.second.models / before / "forest.npz").write_bytes(b"damaged")
    rolled_back = httpx.post(f"{hosts.second.url}/models/rollback", timeout=60)
    assert (rolled_back.status_code, rolled_back.json()["not_serving"]) == (200, [])
    assert rolled_back.json()["version"] == before
    assert [_active(url) for url in hosts.urls] == [before, before]
    assert [one["action"] for one in _history(hosts)][-2:] == ["activate", "rollback"]


def _history(hosts: TwoHosts) -> list[dict[str, Any]]:
    import json  # noqa: PLC0415

    return list(json.loads(hosts.second.run("models", "history", "--json").stdout))


def test_a_card_of_a_version_that_a_host_lacks_is_answered(hosts: TwoHosts, other: str) -> None:
    wait_until(lambda: _version(hosts.first.url, other), DEADLINE_S)
    shutil.rmtree(hosts.second.models / other)
    assert _version(hosts.second.url, other)["version"] == other


def _version(url: str, version: str) -> dict[str, Any]:
    models = httpx.get(f"{url}/models", timeout=30).json()["models"]
    return next((one for one in models if one["version"] == version), {})


def test_a_process_that_does_not_follow_is_named(hosts: TwoHosts, other: str) -> None:
    from shared.redis.connections import connect  # noqa: PLC0415
    from shared.redis.serving import ServingVersions  # noqa: PLC0415

    client = connect(hosts.first.settings.redis_url)
    with contextlib.closing(client):
        client.set("carprice:1:serving:stuck@elsewhere", "old", ex=60)
        client.sadd("carprice:1:serving", "stuck@elsewhere")
        activated = httpx.post(f"{hosts.second.url}/models/{other}/activate", timeout=60)
        client.delete("carprice:1:serving:stuck@elsewhere")
        assert "stuck@elsewhere" not in ServingVersions(client).live()
    assert activated.status_code == 202
    assert activated.json()["not_serving"] == ["stuck@elsewhere"]


def test_keys_are_created_and_revoked_on_both_hosts_and_outlast_the_store(
    hosts: TwoHosts, car
) -> None:
    made = hosts.second.run("key", "create", "garage", "--scope", "predict", "--scope", "admin")
    assert made.returncode == 0, made.stderr
    kept = hosts.second.run("key", "create", "kept", "--scope", "predict", "--scope", "admin")
    for key in (made.stdout.strip(), kept.stdout.strip()):
        for url in hosts.urls:
            wait_until(lambda url=url, key=key: _status(url, car, key) == 200, DEADLINE_S)
    for url in hosts.urls:
        wait_until(lambda url=url: _status(url, car, "") == 401, DEADLINE_S)

    assert hosts.second.run("key", "revoke", "garage").returncode == 0
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
    failed = hosts.second.run("key", "create", "late")
    assert failed.returncode == 1
    assert "state store" in failed.stderr


def _status(url: str, car: dict[str, Any], key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{url}/predict", json=car, headers=headers, timeout=30).status_code
