"""`carprice run` and `carprice first-model`, which the containers call."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_the_run_command_is_replaced_by_its_process(home: Path) -> None:
    process = subprocess.Popen(
        [*CARPRICE, "run", "broker"],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home)},
    )
    try:
        url = embedded_url(Settings(home=home), "broker")
        wait_until(lambda: server_error(url) is None)
    finally:
        code = stop(process)
    assert code == 0


def test_a_worker_with_a_metrics_port_serves_its_metrics(
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
