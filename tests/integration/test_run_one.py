"""`carprice run` and `carprice first-model`, which the containers call."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from launcher.liveness.hangs import SUSPENDED_AFTER_S
from launcher.readiness import server_error
from scripts.ports import reserve_port
from shared.redis.servers import embedded_url
from shared.settings import Settings
from tests.conftest import ROOT, Servers, short_folder, stop, wait_until

pytestmark = pytest.mark.integration

CARPRICE = [sys.executable, "-m", "cli.main"]


@pytest.fixture
def home() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def run(home: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*CARPRICE, *arguments],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@contextmanager
def running_broker(home: Path, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The process of `carprice run broker`, once the broker answers."""
    process = subprocess.Popen(
        [*CARPRICE, "run", "broker"],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home), **env},
        stderr=subprocess.PIPE,
    )
    try:
        url = embedded_url(Settings(home=home), "broker")
        wait_until(lambda: server_error(url) is None)
        yield process
    finally:
        stop(process)


def test_the_run_command_ends_with_its_process(home: Path) -> None:
    with running_broker(home) as process:
        (broker,) = psutil.Process(process.pid).children()
    assert process.returncode == 0
    assert not broker.is_running()


def test_a_hung_process_ends_the_run_command_with_an_error(home: Path) -> None:
    with running_broker(home) as process:
        (broker,) = psutil.Process(process.pid).children()
        broker.suspend()
        _, said = process.communicate(timeout=SUSPENDED_AFTER_S + 20.0)
    assert process.returncode == 128 + signal.SIGKILL
    assert said.decode() == "carprice: broker killed: suspended for 10 s\n"


def test_without_restarts_of_hung_processes_the_run_command_becomes_its_process(
    home: Path,
) -> None:
    with running_broker(home, RESTART_HUNG="off") as process:
        assert psutil.Process(process.pid).cmdline()[0].startswith("carprice-broker")
        assert psutil.Process(process.pid).children() == []
    assert process.returncode == 0


def test_a_worker_with_a_metrics_port_serves_its_metrics_and_writes_its_heartbeat(
    home: Path, servers: Servers, models_path: Path
) -> None:
    port = reserve_port()
    process = subprocess.Popen(
        [*CARPRICE, "run", "bulk"],
        cwd=ROOT,
        env={
            **os.environ,
            "CARPRICE_HOME": str(home),
            "MODELS_PATH": str(models_path),
            "REDIS_URL": servers.settings.redis_url,
            "CACHE_URL": servers.settings.cache_url,
            "METRICS_PORT": str(port),
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
        },
    )

    def scrape() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    try:
        assert "audit_records_total" in wait_until(scrape, 60.0, "the worker's metrics")
        (heartbeat,) = (home / "metrics" / "heartbeats").glob("*/bulk")
        before = heartbeat.stat().st_mtime_ns
        wait_until(lambda: heartbeat.stat().st_mtime_ns > before, 30.0, "a heartbeat")
    finally:
        code = stop(process)
    assert code == 0


@pytest.mark.parametrize(
    ("kind", "env", "message"),
    [
        ("api", {"HOST": "0.0.0.0"}, "there are no API keys"),
        ("flower", {"FLOWER_ADDRESS": "0.0.0.0"}, "set FLOWER_BASIC_AUTH"),
        ("beat", {"PORT": "x"}, "expected a whole number"),
    ],
)
def test_a_process_on_a_public_address_without_keys_or_with_wrong_settings_is_refused(
    home: Path, kind: str, env: dict[str, str], message: str
) -> None:
    answer = run(home, "run", kind, **env)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert message in line


def test_an_unknown_process_is_refused_and_the_known_ones_are_listed(home: Path) -> None:
    answer = run(home, "run", "engine")
    assert answer.returncode == 2
    assert "interactive" in answer.stderr


def test_the_first_model_is_not_trained_twice(home: Path, models_path: Path) -> None:
    before = sorted(models_path.iterdir())
    answer = run(home, "first-model", MODELS_PATH=str(models_path))
    assert (answer.returncode, answer.stdout) == (0, "a model is active\n")
    assert sorted(models_path.iterdir()) == before


def with_schema(models_path: Path, folder: Path, *, data_name: str) -> Path:
    """Copy the registry and give its active version the schema of another program version."""
    path = folder / "versions"
    shutil.copytree(models_path, path)
    manifest = path / (path / "ACTIVE").read_text().strip() / "manifest.json"
    content = json.loads(manifest.read_text())
    content["schema_version"] += 1
    content["training"]["name"] = data_name
    manifest.write_text(json.dumps(content))
    return path


def test_a_default_model_of_another_schema_is_trained_again(
    home: Path, models_path: Path, tmp_path: Path
) -> None:
    path = with_schema(models_path, tmp_path, data_name="reference market")
    before = (path / "ACTIVE").read_text()
    answer = run(home, "first-model", MODELS_PATH=str(path))
    assert answer.returncode == 0, answer.stderr
    assert (path / "ACTIVE").read_text() != before


def test_a_model_of_own_listings_is_not_replaced_automatically(
    home: Path, models_path: Path, tmp_path: Path
) -> None:
    path = with_schema(models_path, tmp_path, data_name="stock.csv")
    before = (path / "ACTIVE").read_text()
    answer = run(home, "first-model", MODELS_PATH=str(path))
    assert answer.returncode == 1
    assert "schema" in answer.stderr
    assert "carprice train --activate" in answer.stderr
    assert (path / "ACTIVE").read_text() == before
