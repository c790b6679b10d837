"""The embedded servers, as real processes."""

import os
import platform
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from launcher import embedded
from launcher.embedded import EmbeddedServerError
from shared.redis.servers import SOCKET_PATH_MAX_BYTES, ServerName, embedded_url, socket_path
from shared.settings import Settings
from tests.conftest import wait_until

CODE_ROOT = Path(__file__).parents[3]
DEADLINE_S = 20.0

StartServer = Callable[..., tuple[subprocess.Popen[bytes], "redis.Redis"]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServer]:
    processes: list[subprocess.Popen[bytes]] = []

    def start_server(
        name: ServerName, home: Path = tmp_path, **env: str
    ) -> tuple[subprocess.Popen[bytes], "redis.Redis"]:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher.embedded", name],
            cwd=CODE_ROOT,
            env={**os.environ, **env, "CARPRICE_HOME": str(home)},
        )
        processes.append(process)
        client = redis.Redis.from_url(embedded_url(Settings(home=home), name))
        wait_until_it_answers(client, process)
        return process, client

    yield start_server
    for process in processes:
        process.kill()
        process.wait()


def wait_until_it_answers(client: "redis.Redis", process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        assert process.poll() is None, "the server ended"
        try:
            client.ping()
        except redis.exceptions.RedisError:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        else:
            return


def test_the_broker_never_evicts_and_keeps_an_append_only_file(start: StartServer) -> None:
    _, client = start("broker", BROKER_MAX_MEMORY="50mb")
    options = client.config_get("*")
    assert options["maxmemory"] == str(50 * 1024 * 1024)
    assert options["appendonly"] == "yes"
    assert options["appendfsync"] == "no"
    assert options["maxmemory-policy"] == "noeviction"
    assert options["aof-load-truncated"] == "yes"


def test_the_cache_evicts_within_its_memory_and_keeps_no_files(start: StartServer) -> None:
    _, client = start("cache", CACHE_MAX_MEMORY="5mb")
    options = client.config_get("*")
    assert options["maxmemory"] == str(5 * 1024 * 1024)
    assert options["maxmemory-policy"] == "allkeys-lru"
    assert options["appendonly"] == "no"
    assert options["save"] == ""


@pytest.mark.parametrize("name", ["broker", "cache"])
def test_only_this_user_reaches_the_server(start: StartServer, name: ServerName) -> None:
    _, client = start(name)
    path = client.connection_pool.connection_kwargs["path"]
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert client.config_get("port") == {"port": "0"}


def test_what_the_broker_acknowledged_survives_kill_9(start: StartServer) -> None:
    process, client = start("broker")
    for number in range(1000):
        client.rpush("queue", number)
    process.kill()
    process.wait()
    _, client = start("broker")
    assert client.llen("queue") == 1000


def test_the_broker_starts_with_a_truncated_last_command(
    start: StartServer, tmp_path: Path
) -> None:
    process, client = start("broker")
    client.rpush("queue", "first")
    process.kill()
    process.wait()
    (log,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$5\r\nque")
    _, client = start("broker")
    assert client.lrange("queue", 0, -1) == [b"first"]


def test_sigterm_ends_the_server_itself(start: StartServer) -> None:
    process, _ = start("broker")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=DEADLINE_S) == 0


def test_a_second_server_on_the_same_data_is_refused(
    start: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process, _ = start("broker")
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.0)
    message = f"another server already uses .*; if it was left behind: kill {process.pid}"
    with pytest.raises(EmbeddedServerError, match=message):
        embedded.exec_server(Settings(home=tmp_path), "broker")


def test_a_server_ends_with_the_supervisor_that_was_killed(tmp_path: Path) -> None:
    """Nobody else would: whoever kills everything by name does not know the server's."""
    line = f"{sys.executable} -m launcher.embedded broker & wait"
    env = {**os.environ, "CARPRICE_HOME": str(tmp_path), embedded.SUPERVISOR_VARIABLE: "broker"}
    with subprocess.Popen(["/bin/sh", "-c", line], cwd=CODE_ROOT, env=env) as supervisor:
        client = redis.Redis.from_url(embedded_url(Settings(home=tmp_path), "broker"))
        wait_until_it_answers(client, supervisor)
        server = client.info("server")["process_id"]
        supervisor.kill()
    wait_until(lambda: not psutil.pid_exists(server), what="the server's end")


def test_a_home_with_spaces_and_accents_works(start: StartServer, tmp_path: Path) -> None:
    home = tmp_path / "mes données"
    home.mkdir()
    _, client = start("broker", home)
    assert client.set("key", "value")


def test_a_home_too_deep_for_a_socket_gets_a_short_private_folder(
    start: StartServer, tmp_path: Path
) -> None:
    home = tmp_path / ("deep" * 25)
    home.mkdir()
    path = socket_path(Settings(home=home), "cache")
    assert len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES
    _, client = start("cache", home)
    assert client.ping()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (home / "logs").stat()
    path.unlink()
    path.parent.rmdir()


def test_a_socket_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="can be written by others"):
        embedded.prepare_folders(Settings(home=tmp_path), "broker")


def test_a_platform_without_the_binary_gets_instructions(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert embedded.main(["broker"]) == 2
    assert "set REDIS_URL and CACHE_URL" in capfd.readouterr().err


def test_an_unknown_server_gets_the_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert embedded.main(["queue"]) == 2
    assert "usage" in capfd.readouterr().err
