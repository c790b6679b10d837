"""Servers that are shared, encrypted or of a kind that cannot be used."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from scripts.ports import reserve_port
from shared.domain.errors import BrokerUnavailable
from shared.redis.addresses import with_ca_file
from shared.redis.connections import broker_errors, connect
from tests.conftest import (
    REFERENCE_CAR,
    ROOT,
    Service,
    responds,
    running_service,
    short_folder,
    stop,
    wait_until,
)
from tests.redis_cluster import (
    DEADLINE_S,
    RedisServer,
    make_certificates,
    running_server,
)

pytestmark = [pytest.mark.integration, pytest.mark.redis, pytest.mark.timeout(400)]


def process_environment(home: Path, models: Path, **settings: str) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CARPRICE_HOME": str(home),
        "MODELS_PATH": str(models),
        **settings,
    }


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@dataclass(frozen=True)
class Encrypted:
    """A server with TLS, its authority, and one that has not signed."""

    url: str
    authority: Path
    other_authority: Path
    server: RedisServer

    def refusals(self) -> int:
        """Return how many clients have ended the handshake."""
        return (self.server.folder / "log").read_text().count("Error accepting a client")


@pytest.fixture(scope="module")
def encrypted(folder: Path) -> Iterator[Encrypted]:
    """A server with TLS."""
    certificates = make_certificates(folder, "authority")
    other = make_certificates(folder, "rogue")
    port = reserve_port()
    with running_server(folder, "--tls-port", str(port), *certificates.server_options) as server:
        url = f"rediss://127.0.0.1:{port}/0"
        yield Encrypted(url, certificates.authority, other.authority, server)


COMMANDS = {
    "api": "granian --interface asginl --loop asyncio --host 127.0.0.1 --port {port} --workers 1 "
    "api.asgi:app",
    "worker": "celery --quiet -A worker.main worker --queues interactive --pool solo "
    "--without-gossip --without-mingle --loglevel warning",
    "beat": "celery --quiet -A worker.main beat --scheduler worker.beat:MemoryScheduler "
    "--pidfile= --loglevel warning",
    "webhooks": "python -m api.webhooks.main",
    "cli": "python -m cli.main dead list",
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_process_refuses_a_certificate_of_another_authority(
    encrypted: Encrypted, models_path: Path, kind: str
) -> None:
    clients = encrypted.server.client
    port, url, before = reserve_port(), encrypted.url, encrypted.refusals()
    settings = {
        "REDIS_URL": url,
        "CACHE_URL": url,
        "REDIS_CA_FILE": str(encrypted.other_authority),
    }
    with short_folder() as home, (home / "log").open("wb") as log:
        process = subprocess.Popen(
            COMMANDS[kind].format(port=port).split(),
            cwd=ROOT,
            env=process_environment(home, models_path, **settings),
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: encrypted.refusals() > before, DEADLINE_S, "an attempt")
            if kind == "api":
                wait_until(lambda: broker_state(port) == "broker-unavailable", DEADLINE_S)
            if kind in {"worker", "beat"}:  # they have not only looked for a cluster
                wait_until(lambda: encrypted.refusals() > before + 3, DEADLINE_S, "attempts")
            if kind == "cli":
                assert process.wait(DEADLINE_S) != 0
            # One whose handshake has not ended is listed as well.
            commands = [
                each["cmd"]
                for each in clients.client_list()
                if each["laddr"].endswith(f":{urlsplit(url).port}")
            ]
            assert set(commands) <= {"NULL"}
        finally:
            stop(process)


def broker_state(port: int) -> str:
    try:
        checks = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5.0).json()["checks"]
    except httpx.HTTPError:
        return ""
    return next(str(each["detail"]) for each in checks if each["name"] == "broker")


def test_a_service_runs_over_verified_connections(encrypted: Encrypted, models_path: Path) -> None:
    settings = {"REDIS_URL": encrypted.url, "REDIS_CA_FILE": str(encrypted.authority)}
    with (
        short_folder() as home,
        running_service(home, models_path, **settings) as service,
        service.client() as client,
    ):
        assert client.post("/predict", json=REFERENCE_CAR).status_code == 200
        job = client.post("/jobs", json=[REFERENCE_CAR] * 300, headers={"Prefer": "wait=30"})
        assert job.json()["state"] == "SUCCEEDED"


def test_two_services_share_a_server(folder: Path, models_path: Path) -> None:
    """Each has its own jobs, queues, workers and events."""
    with running_server(folder) as server, short_folder() as one, short_folder() as two:
        url = f"redis://127.0.0.1:{server.port}/0"
        with (
            running_service(one, models_path, REDIS_URL=url, REDIS_PREFIX="one:") as first,
            running_service(two, models_path, REDIS_URL=url, REDIS_PREFIX="two:") as second,
        ):
            mine, theirs = job_of(first, 1), job_of(second, 2)
            for service, own, other in ((first, mine, theirs), (second, theirs, mine)):
                with service.client() as client:
                    assert client.get(f"/jobs/{own}").status_code == 200
                    assert client.get(f"/jobs/{other}").status_code == 404
                wait_until(lambda at=service.flower_url: online(at) == 3, DEADLINE_S, "3 workers")
        names = {each.decode() for each in server.client.scan_iter("*", count=1000)}
        assert names
        assert not {each for each in names if not each.startswith(("one:", "two:"))}


def online(flower_url: str) -> int:
    """Return how many workers Flower has heard of."""
    wait_until(lambda: responds(flower_url), DEADLINE_S, "Flower")
    lines = httpx.get(f"{flower_url}/metrics", timeout=30.0).text.splitlines()
    return sum(line.startswith("flower_worker_online{") for line in lines)


def job_of(service: Service, number: int) -> str:
    with service.client() as client:
        car = REFERENCE_CAR | {"km_driven": 10_000 + number}
        answer = client.post("/jobs", json=[car] * 300, headers={"Prefer": "wait=30"})
        assert answer.json()["state"] == "SUCCEEDED"
        assert client.post("/predict", json=car).status_code == 200
        return str(answer.json()["id"])


@pytest.fixture
def cluster(folder: Path) -> Iterator[RedisServer]:
    # By default the port of the cluster bus is 10,000 higher, which may be no number of a port.
    bus = str(reserve_port())
    with running_server(folder, "--cluster-enabled", "yes", "--cluster-port", bus) as server:
        yield server


@pytest.mark.parametrize("kind", ["api", "worker", "beat", "webhooks"])
def test_every_process_refuses_a_cluster(
    cluster: RedisServer, models_path: Path, kind: str
) -> None:
    url = f"redis://127.0.0.1:{cluster.port}/0"
    with short_folder() as home:
        process = subprocess.Popen(
            COMMANDS[kind].format(port=reserve_port()).split(),
            cwd=ROOT,
            env=process_environment(home, models_path, REDIS_URL=url, CACHE_URL=url),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=DEADLINE_S)
        finally:
            stop(process)
    assert process.returncode != 0
    assert "belongs to a Redis Cluster" in output


def test_the_service_does_not_start_with_a_cluster(cluster: RedisServer, models_path: Path) -> None:
    url = f"redis://127.0.0.1:{cluster.port}/0"
    with short_folder() as home:
        ended = subprocess.run(
            [sys.executable, "-m", "cli.main", "up"],
            cwd=ROOT,
            env=process_environment(
                home,
                models_path,
                REDIS_URL=url,
                PORT=str(reserve_port()),
                FLOWER_PORT=str(reserve_port()),
            ),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert ended.returncode == 1
    assert "stopped: the server at 127.0.0.1" in ended.stdout + ended.stderr


def test_a_cluster_that_appears_later_is_an_outage(cluster: RedisServer) -> None:
    client = connect(f"redis://127.0.0.1:{cluster.port}/0")
    with pytest.raises(BrokerUnavailable), broker_errors():
        client.set("key", 1)
    assert isinstance(client.ping(), bool)


def test_sentinels_and_servers_by_tls(folder: Path) -> None:
    certificates, other = (make_certificates(folder, name) for name in ("good", "bad"))
    port, sentinel_port = reserve_port(), reserve_port()
    with running_server(folder, "--tls-port", str(port), *certificates.server_options):
        settings = folder / "tls-sentinel.conf"
        settings.write_text(
            f"port 0\ntls-port {sentinel_port}\nbind 127.0.0.1\ntls-replication yes\n"
            f"sentinel monitor queue 127.0.0.1 {port} 1\n"
            + "\n".join(
                f"{name.removeprefix('--')} {value}"
                for name, value in zip(*[iter(certificates.server_options)] * 2, strict=True)
            )
        )
        sentinel = subprocess.Popen(["redis-sentinel", str(settings)], stdout=subprocess.DEVNULL)
        try:
            url = f"sentinels://127.0.0.1:{sentinel_port}/queue"
            client = connect(with_ca_file(url, str(certificates.authority)))
            wait_until(lambda: answers(client), DEADLINE_S, "the primary")
            assert client.set("key", 1)
            with pytest.raises(redis.ConnectionError):
                connect(with_ca_file(url, str(other.authority))).ping()
        finally:
            sentinel.kill()
            sentinel.wait()


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
