"""Configuration of the programs beside the service follows the settings."""

import json
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from launcher.observe import command, programs
from launcher.observe.configuration import (
    alertmanager_configuration,
    prometheus_configuration,
    write_private,
)
from launcher.preflight import CannotStartError
from scripts.ports import reserve_port
from shared.settings import Settings


def jobs(settings: Settings, exporters: dict[str, str]) -> dict[str, Any]:
    config = json.loads(prometheus_configuration(settings, exporters))
    return {job["job_name"]: job for job in config["scrape_configs"]}


def test_the_api_is_asked_at_its_port_and_with_its_key_only(tmp_path: Path) -> None:
    settings = Settings(port=9000, flower_port=9001, metrics_key_file=tmp_path / "key")
    with pytest.raises(CannotStartError, match=r"METRICS_KEY_FILE=.*/key: cannot be read \(.+\)"):
        jobs(settings, {})
    (tmp_path / "key").write_text("secret")
    made = jobs(settings, {"broker": "127.0.0.1:9121"})
    assert made["carprice-api"]["static_configs"] == [{"targets": ["127.0.0.1:9000"]}]
    assert made["carprice-api"]["authorization"] == {"credentials_file": f"{tmp_path}/key"}
    assert "authorization" not in made["flower"]
    assert made["redis"]["static_configs"][0]["labels"] == {"server": "broker"}


def test_without_exporters_redis_is_no_job() -> None:
    assert set(jobs(Settings(), {})) == {"carprice-api", "flower"}


@pytest.mark.prometheus
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    settings = Settings(scrape_interval_s=1)
    path.write_text(prometheus_configuration(settings, {"cache": "127.0.0.1:9122"}))
    subprocess.run(["promtool", "check", "config", str(path)], check=True, capture_output=True)


def test_a_receiver_that_lacks_a_variable_is_refused_by_its_name() -> None:
    with pytest.raises(CannotStartError, match="ALERT_EMAIL_FROM is needed"):
        alertmanager_configuration({"ALERT_EMAIL_TO": "ops@example.org"})


def test_passwords_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alertmanager.yml"
    write_private(path, "secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    write_private(path, "another secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(CannotStartError, match="cannot be written"):
        write_private(blocked / "alertmanager.yml", "secret")


def test_sentinels_have_no_exporter_and_passwords_are_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    settings = Settings(
        home=tmp_path,
        redis_url="sentinel://a.example:26379/queue",
        cache_url="redis://:secret@cache.example:6379/0?health_check_interval=1",
    )
    found = command._exporters(settings)
    assert set(found) == {"cache"}
    assert found["cache"]["REDIS_ADDR"] == "redis://:secret@cache.example:6379/0"


def test_the_port_of_each_exporter_must_be_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(
            home=tmp_path / "home",
            prometheus_port=reserve_port(),
            alertmanager_port=reserve_port(),
            redis_exporter_port=port - 1,
        )
        with pytest.raises(CannotStartError, match=f"port {port} on 127.0.0.1"):
            command._children(settings)
    assert not settings.home.exists()


def test_a_home_that_it_makes_is_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if "exporter" in name else f"/{name}")
    ports = {"prometheus_port": reserve_port(), "alertmanager_port": reserve_port()}
    settings = Settings(home=tmp_path / "home", **ports)
    command._children(settings)
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700


def test_programs_under_other_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"prometheus": "/opt/prometheus", "alertmanager": "/opt/alertmanager"}
    monkeypatch.setattr(shutil, "which", present.get)
    assert programs.required_paths() == ("/opt/prometheus", "/opt/alertmanager")
    del present["alertmanager"]
    with pytest.raises(CannotStartError, match="apt install prometheus-alertmanager"):
        programs.required_paths()
