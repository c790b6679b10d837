"""Procfile, docker-compose.yml, Dockerfile, queue names and documented settings agree."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.procfile import TIER_STOP_TIMEOUTS_S, TIERS, read_procfile
from scripts.write_settings import COMPOSE_VARIABLES, OTHER_VARIABLES, page
from shared.queue.celery_app import make_celery
from shared.queue.names import TASK_QUEUES, QueueName, TaskName
from shared.settings import Settings
from shared.tabular.tables.child import CPU_MAX_S
from worker.container import WorkerProcess
from worker.model import ModelRuntime
from worker.tasks import register_tasks

ROOT = Path(__file__).parents[2]
PROCFILE = read_procfile(ROOT / "Procfile")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
ONE_SHOT = {"train"}
SETTING_NAMES = {field.metadata["env"] for field in dataclasses.fields(Settings)}


def queues_of(command: str) -> set[str]:
    words = shlex.split(command)
    return set(words[words.index("--queues") + 1].split(",")) if "--queues" in words else set()


def test_the_processes_serve_exactly_the_queues() -> None:
    served = set().union(*(queues_of(command) for command in PROCFILE.values()))
    assert served == {str(queue) for queue in QueueName}


def test_interactive_tasks_have_dedicated_workers() -> None:
    assert queues_of(PROCFILE["interactive"]) == {QueueName.INTERACTIVE}
    assert QueueName.INTERACTIVE not in queues_of(PROCFILE["bulk"])


def test_every_task_has_a_queue() -> None:
    assert set(TASK_QUEUES) == set(TaskName)


def test_no_message_is_delivered_again_while_its_task_runs() -> None:
    app = make_celery("memory://")
    settings = Settings()
    register_tasks(app, WorkerProcess(settings, ModelRuntime(settings.home, lambda: 0.0)))
    assert set(TaskName) <= set(app.tasks)
    limits = {name: app.tasks[name].time_limit or app.conf.task_time_limit for name in TaskName}
    assert max(limits.values()) < app.conf.broker_transport_options["visibility_timeout"]
    assert limits[TaskName.SPLIT_BATCH] > CPU_MAX_S, "a workbook is opened by the first step"


def test_the_supervisor_has_a_tier_for_every_process() -> None:
    assert sorted(PROCFILE) == sorted(kind for tier in TIERS for kind in tier)
    assert len(TIER_STOP_TIMEOUTS_S) == len(TIERS)


def test_every_variable_of_the_procfile_is_a_setting_or_set_by_the_supervisor() -> None:
    used = set(re.findall(r"\$\{?([A-Z][A-Z_]*)", (ROOT / "Procfile").read_text(encoding="utf-8")))
    assert used - SETTING_NAMES == {"HONCHO_PROCESS_NAME", "API_STOP_S"}


def test_defaults_in_the_procfile_are_the_settings_defaults() -> None:
    text = (ROOT / "Procfile").read_text(encoding="utf-8")
    defaults = {field.metadata["env"]: str(field.default) for field in dataclasses.fields(Settings)}
    for name, default in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text):
        if name in defaults:
            assert default == defaults[name], name


def test_compose_runs_every_process_of_the_procfile() -> None:
    run = {
        service["command"][1]
        for service in SERVICES.values()
        if service.get("command", [""])[0] == "run"
    }
    embedded = {"broker", "cache"}
    assert run == set(PROCFILE) - embedded - {"flush"}
    assert embedded <= set(SERVICES)
    assert "sync " in SERVICES["broker"]["command"][2], "as `flush` does"


def test_compose_uses_only_documented_variables() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    assert used <= SETTING_NAMES | set(OTHER_VARIABLES) | set(COMPOSE_VARIABLES)
    given = {
        name
        for service in SERVICES.values()
        if service.get("image", "").startswith("carpricepredictor-ma:")
        for name in service.get("environment", {})
    }
    assert given <= SETTING_NAMES | set(OTHER_VARIABLES)


def test_the_example_environment_has_every_variable_of_compose() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^([A-Z_]+)=", text, flags=re.MULTILINE))
    used = set(
        re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text("utf-8"))
    )
    assert named == used


def test_the_example_environment_has_the_settings_defaults() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+)=(.+)$", text, flags=re.MULTILINE))
    defaults = {
        field.metadata["env"]: str(getattr(Settings(), field.name))
        for field in dataclasses.fields(Settings)
    }
    same = given.keys() & defaults.keys()
    assert same >= {"PORT", "API_THREADS", "BULK_PROCESSES", "CACHE_MAX_MEMORY"}
    assert {name: given[name] for name in same} == {name: defaults[name] for name in same}


def test_the_settings_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page(), "make settings"


def test_no_variable_is_documented_twice() -> None:
    groups = [SETTING_NAMES, set(OTHER_VARIABLES), set(COMPOSE_VARIABLES)]
    assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.parametrize("name", sorted(SERVICES))
class TestEveryService:
    def test_runs_unprivileged_on_a_read_only_file_system(self, name: str) -> None:
        service = SERVICES[name]
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service)

    def test_has_a_pinned_image(self, name: str) -> None:
        tag = SERVICES[name]["image"].partition(":")[2]
        assert tag
        assert "latest" not in tag

    def test_has_a_restart_policy_a_health_check_and_limits(self, name: str) -> None:
        service = SERVICES[name]
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits)
        if name in ONE_SHOT:
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}

    def test_publishes_ports_on_this_machine_only(self, name: str) -> None:
        for port in SERVICES[name].get("ports", []):
            assert port.startswith("127.0.0.1:")

    def test_mounts_declared_volumes_or_read_only_files(self, name: str) -> None:
        for volume in SERVICES[name].get("volumes", []):
            source, _, rest = volume.partition(":")
            assert source in COMPOSE["volumes"] or rest.endswith(":ro")
            if source.startswith("./"):
                assert (ROOT / source).is_dir()

    def test_waits_until_its_dependencies_are_healthy(self, name: str) -> None:
        for other, condition in SERVICES[name].get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert condition == {"condition": wanted}

    def test_has_no_default_password(self, name: str) -> None:
        for variable, value in SERVICES[name].get("environment", {}).items():
            if variable.endswith(("_PASSWORD", "_AUTH")) and not variable.startswith("SMTP_"):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), variable


def test_the_stop_grace_periods_of_compose_are_as_long_as_the_supervisors() -> None:
    for kind, tier_timeout_s in zip(TIERS, TIER_STOP_TIMEOUTS_S, strict=True):
        for name in set(kind) & {"api", "interactive", "bulk"}:
            assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) >= tier_timeout_s


def test_the_image_is_slim_unprivileged_and_checked() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert stages == [*3 * ["python:3.11-slim"], "base", "base", "service"]
    base, api, service, all_ = (
        text[text.index(f"AS {name}\n") :].partition("\nFROM ")[0]
        for name in ("base", "api", "service", "all")
    )
    assert "HEALTHCHECK" in base
    for final in (api, service):
        assert "\nUSER 10001:10001\n" in f"{final}\n"
        assert "pip install" not in base + final
    assert "\nUSER 1000:1000\n" in all_.partition("USER root")[2]
    assert "--require-hashes -r requirements/runtime.txt" in text
    assert "--require-hashes -r requirements/api.txt" in text
    assert 'ENTRYPOINT ["python", "-m", "cli.main"]' in base


def test_the_image_contains_every_package_and_no_secrets() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {"api", "worker", "shared", "model_store", "data", "client", "Procfile"} <= kept
    assert "*" in lines
    assert not any(".env" in name for name in kept)
