"""Environment and process counts of a run."""

import os
from pathlib import Path

import pytest

from launcher import environment
from launcher.environment import (
    CODE_ROOT,
    SHARED_MEMORY,
    child_environment,
    embedded_urls,
    metrics_folder,
    process_counts,
    single_host_environment,
    with_absolute_paths,
)
from launcher.preflight import wipe_metrics
from launcher.procfile import TIERS, make_tiers
from launcher.readiness import api_state, local_address, server_error
from shared.settings import Settings


def test_relative_paths_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = with_absolute_paths(Settings(home=Path("here"), models_path=Path("models")))
    assert settings.home == tmp_path / "here"
    assert settings.models_path == tmp_path / "models"
    assert settings.blobs_path is None


def test_processes_get_every_setting_and_the_embedded_servers(tmp_path: Path) -> None:
    env = child_environment(Settings(home=tmp_path, port=9000), {"PATH": "/bin", "LANG": "C"})
    assert env["PORT"] == "9000"
    assert env["REDIS_URL"] == f"unix://{tmp_path}/run/broker.sock"
    assert env["CACHE_URL"] == f"unix://{tmp_path}/run/cache.sock"
    assert Path(env["PROMETHEUS_MULTIPROC_DIR"]).parent == SHARED_MEMORY
    assert env["OMP_NUM_THREADS"] == "1"
    assert env["LANG"] == "C"
    assert env["PATH"].endswith(f"{os.pathsep}/bin")
    assert Settings.from_env(env).port == 9000


def test_metrics_are_in_a_private_folder_in_memory_or_else_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    folder = metrics_folder(settings, {})
    assert metrics_folder(settings, {}) == folder
    assert metrics_folder(Settings(home=tmp_path / "other"), {}) != folder
    assert folder.parent == SHARED_MEMORY
    wipe_metrics(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert metrics_folder(settings, {}) == folder
    folder.chmod(0o777)
    assert metrics_folder(settings, {}) == tmp_path / "metrics"
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert metrics_folder(settings, {}) == tmp_path / "metrics"
    folder.unlink()
    assert metrics_folder(settings, {"PROMETHEUS_MULTIPROC_DIR": "/given"}) == Path("/given")
    monkeypatch.setattr(environment, "SHARED_MEMORY", tmp_path)
    assert metrics_folder(settings, {}) == tmp_path / "metrics"


def test_workers_of_one_host_have_no_metrics_port() -> None:
    env = single_host_environment(Settings(metrics_port=9100), {"METRICS_PORT": "9100"})
    assert Settings.from_env(env).metrics_port == 0


def test_given_servers_replace_the_embedded_ones() -> None:
    given = Settings(redis_url="rediss://queue.example:6380/0")
    assert child_environment(given, {})["REDIS_URL"] == "rediss://queue.example:6380/0"
    assert process_counts(given)["broker"] == 0
    assert process_counts(given)["cache"] == 1
    assert process_counts(given)["flush"] == 0
    assert [url.rpartition("/")[2] for url in embedded_urls(given)] == ["cache.sock"]
    assert embedded_urls(Settings(redis_url="redis://a", cache_url="redis://b")) == []


def test_the_procfile_gives_the_processes_of_a_run() -> None:
    tiers = make_tiers(CODE_ROOT / "Procfile", process_counts(Settings()), {})
    assert [[child.name for child in tier] for tier in tiers] == [
        ["broker", "cache", "flush"],
        ["interactive.1", "interactive.2", "bulk"],
        ["api", "webhooks", "beat", "flower"],
    ]


def test_processes_with_a_count_of_zero_are_not_started() -> None:
    counts = dict.fromkeys(TIERS[0], 0)
    assert make_tiers(CODE_ROOT / "Procfile", counts, {})[0] == []


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1:1"), ("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1")],
)
def test_the_local_address_is_one_that_this_machine_can_reach(host: str, address: str) -> None:
    assert local_address(host, 1) == address


def test_a_service_that_does_not_run_is_not_ready(tmp_path: Path) -> None:
    assert server_error(f"unix://{tmp_path}/none.sock")
    ready, reason = api_state("127.0.0.1:1")
    assert not ready
    assert "no answer from http://127.0.0.1:1/readyz" in reason
