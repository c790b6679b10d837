"""Broker and cache of docker-compose.yml, started with the commands in that file."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from kombu import Connection, Exchange, Queue
from redis.backoff import NoBackoff
from redis.retry import Retry

from launcher.embedded import server_binary
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
DEADLINE_S = 20.0

pytestmark = pytest.mark.integration

Connect = Callable[..., "redis.Redis"]


@pytest.fixture(params=["broker", "cache"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Run the command of a compose service, with a Unix socket and a temporary folder."""
    socket = tmp_path / "s.sock"
    shell, option, script = SERVICES[request.param]["command"]
    script = (
        script.replace("$$", "$")
        .replace("port 6379", f"port 0\nunixsocket {socket}")
        .replace("/data", str(tmp_path))
        .replace("${CACHE_MAX_MEMORY:-128mb}", "128mb")
        .replace("${BROKER_MAX_MEMORY:-1gb}", "1gb")
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "valkey-server").symlink_to(server_binary())
    process = subprocess.Popen(
        [shell, option, script],
        env={
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "REDIS_PASSWORD": "app-secret",
            "EXPORTER_PASSWORD": "exporter-secret",
        },
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + DEADLINE_S
    while not socket.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    once = Retry(NoBackoff(), 0)
    yield lambda **credentials: redis.Redis(unix_socket_path=str(socket), retry=once, **credentials)
    process.terminate()
    process.wait()
    # All other processes that the command has started end with the server.
    wait_until(lambda: not _group(process.pid))


def _group(leader: int) -> list[str]:
    """Return the ids of the live processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(group) == leader and state != "Z":
                found.append(stat.parent.name)
    return found


def test_connections_without_a_password_are_refused(connect: Connect) -> None:
    for credentials in ({}, {"password": "app-secret"}, {"username": "default", "password": ""}):
        with pytest.raises(redis.exceptions.AuthenticationError):
            connect(**credentials).ping()


def test_the_service_user_has_no_administrative_commands(connect: Connect) -> None:
    client = connect(username="carprice", password="app-secret")
    client.set("key", "value", ex=10)
    assert client.eval("return redis.call('get', KEYS[1])", 1, "key") == b"value"
    assert client.info("memory")["used_memory"] > 0
    assert client.info("replication")["role"] == "master"
    assert client.wait(0, 1) == 0
    for forbidden in (client.flushall, client.config_get, client.shutdown):
        with pytest.raises(redis.exceptions.NoPermissionError):
            forbidden()


def test_the_service_user_may_send_and_receive_celery_messages(connect: Connect) -> None:
    path = connect().connection_pool.connection_kwargs["path"]
    queue = Queue("test", Exchange("test"), routing_key="test")
    with Connection(f"redis+socket://carprice:app-secret@{path}") as connection:
        with connection.Producer() as producer:
            producer.publish({"n": 1}, exchange=queue.exchange, routing_key="test", declare=[queue])
        received: list[Any] = []
        with connection.Consumer(queue, callbacks=[lambda body, _: received.append(body)]):
            connection.drain_events(timeout=DEADLINE_S)
    assert received == [{"n": 1}]


@pytest.mark.parametrize("connect", ["broker"], indirect=True)
def test_each_flush_of_the_broker_touches_the_file_of_its_health_check(
    connect: Connect, tmp_path: Path
) -> None:
    """The health check fails if the file is old."""
    connect(username="carprice", password="app-secret").set("key", "1")
    wait_until((tmp_path / "flushed").exists, what="a flush")
    (tmp_path / "flushed").unlink()
    wait_until((tmp_path / "flushed").exists, what="the next flush")
    assert "/data/flushed" in SERVICES["broker"]["healthcheck"]["test"][1]


@pytest.mark.parametrize("connect", ["broker"], indirect=True)
def test_the_broker_ends_if_the_disk_refuses_a_flush(connect: Connect, tmp_path: Path) -> None:
    client = connect(username="carprice", password="app-secret")
    client.set("key", "1")
    refusing = tmp_path / "bin" / "sync"
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    wait_until(lambda: not (tmp_path / "s.sock").exists(), what="the end of the server")


@pytest.mark.parametrize("connect", ["broker"], indirect=True)
def test_acknowledged_commands_are_written_to_the_file_at_once(
    connect: Connect, tmp_path: Path
) -> None:
    """With `everysec` the broker keeps acknowledged commands in memory while the disk is busy."""
    exporter = connect(username="exporter", password="exporter-secret")
    assert exporter.config_get("appendfsync") == {"appendfsync": "no"}
    connect(username="carprice", password="app-secret").set("key", "acknowledged")
    assert any(b"acknowledged" in path.read_bytes() for path in tmp_path.rglob("*.aof"))


def test_the_exporter_user_reads_statistics_only(connect: Connect) -> None:
    client = connect(username="exporter", password="exporter-secret")
    assert client.info()
    assert client.config_get("maxmemory")
    assert client.slowlog_get() == []
    for forbidden in (lambda: client.get("key"), lambda: client.set("key", "1"), client.flushall):
        with pytest.raises(redis.exceptions.NoPermissionError):
            forbidden()
