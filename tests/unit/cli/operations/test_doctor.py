"""`carprice doctor`: each check finds its fault, made for real, and names what mends it."""

import dataclasses
import errno
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.models import self_test
from cli.main import main
from cli.operations import (
    host_checks,
    model_checks,
    server_checks,
    settings_checks,
    work_checks,
)
from cli.operations.doctor import CHECKS, findings_of
from cli.operations.findings import Finding, Installation, Level
from model_store.registry.bundle import save_bundle
from model_store.registry.history import Action, ActivationRecord, append_activation
from model_store.registry.registry import ModelRegistry
from shared.audit.checkpoints import Checkpoints
from shared.audit.log import AuditLog
from shared.domain.ids import BatchId, CallerId
from shared.i18n.languages import LANGUAGES, Language
from shared.keys.entries import Scope, new_key
from shared.keys.store import FileKeyStore
from shared.redis import keys
from shared.redis.dead_letters import DeadLetters
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings
from tests.audit_segments import AT, audit_record
from tests.conftest import ROOT, Servers
from tests.small_disk import NO_NAMESPACES, unshare_command
from tests.unit.client.servers import answer, running
from tests.unit.model_store import small_models

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def given(servers: Servers, tmp_path: Path) -> Settings:
    """Settings with a closed home and the shared servers."""
    tmp_path.chmod(0o700)
    return dataclasses.replace(servers.settings, home=tmp_path, models_path=tmp_path / "models")


def found(check: Any, settings: Settings) -> list[Finding]:
    return list(check(Installation(settings, settings)))


def said(check: Any, settings: Settings) -> list[tuple[str, str, str]]:
    return [(str(each.level), each.text, each.remedy) for each in found(check, settings)]


def test_a_home_that_others_can_open_is_a_fault(given: Settings) -> None:
    assert said(host_checks.check_home, given) == []
    given.home.chmod(0o750)  # somebody gave a group access: the service leaves it as it is
    assert [each[0] for each in said(host_checks.check_home, given)] == ["warning"]
    given.home.chmod(0o755)
    text = f"{given.home} is open to other users"
    assert said(host_checks.check_home, given) == [("fault", text, f"chmod 700 {given.home}")]
    given.home.chmod(0o700)
    missing = dataclasses.replace(given, home=given.home / "missing")
    assert [each[2] for each in said(host_checks.check_home, missing)] == ["carprice up"]


def test_a_home_of_another_user_is_a_fault(
    given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    (level, _, remedy), *_ = said(host_checks.check_home, given)
    owner = pwd.getpwuid(given.home.stat().st_uid).pw_name
    assert (level, remedy) == ("fault", f"sudo -u {owner} carprice doctor")


@pytest.mark.parametrize("name", ["api-keys.json", "webhook-secrets.json", "audit-checkpoints.key"])
def test_a_file_of_keys_that_others_can_read_is_a_fault(given: Settings, name: str) -> None:
    path = given.home / name
    path.write_text("secret")
    path.chmod(0o600)
    assert said(host_checks.check_secrets, given) == []
    path.chmod(0o640)
    assert said(host_checks.check_secrets, given)[0][0] == "warning"
    path.chmod(0o644)
    text = f"{path} is open to other users"
    assert said(host_checks.check_secrets, given) == [("fault", text, f"chmod 600 {path}")]


def test_more_connections_than_files_are_reported(given: Settings) -> None:
    assert said(host_checks.check_open_files, dataclasses.replace(given, api_connections=64)) == []
    many = dataclasses.replace(given, api_connections=10**9)
    assert found(host_checks.check_open_files, many)[0].level is Level.WARNING


def test_a_clock_that_is_wrong_is_a_fault(given: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(host_checks.check_clock, given) == []
    monkeypatch.setattr(Installation, "now", staticmethod(lambda: time.time() - 90))
    assert found(host_checks.check_clock, given)[0].level is Level.FAULT


@pytest.mark.skipif(unshare_command() is None, reason=NO_NAMESPACES)
def test_a_new_home_on_a_small_disk_without_servers(tmp_path: Path) -> None:
    """Space, inodes, a folder that cannot be written, servers and model: all told at once."""
    script = (
        "mount -t tmpfs -o size=20m,nr_inodes=90,mode=700 none $HOME_HERE && mkdir $HOME_HERE/audit"
        " && mount -t tmpfs -o ro none $HOME_HERE/audit && ulimit -n 1024"
        f" && exec {sys.executable} -m cli.main doctor --json"
    )
    env = os.environ | {
        "HOME_HERE": str(tmp_path), "CARPRICE_HOME": str(tmp_path), "PORT": "1",
        "MODELS_PATH": str(tmp_path / "models"), "REDIS_URL": NOWHERE, "CACHE_URL": NOWHERE,
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    done = subprocess.run(
        [*(unshare_command() or ()), "bash", "-c", script],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    texts = {name: [one["text"] for one in each["findings"]] for name, each in checks.items()}
    assert texts["space"][0].endswith("20 MB of disk left")
    assert "more files" in texts["space"][1]
    assert [one["level"] for one in checks["space"]["findings"][:2]] == ["fault", "fault"]
    assert texts["home"] == [f"{tmp_path}/audit cannot be written"]
    assert len(texts["open-files"]) == 1
    assert texts["broker"] == ["the broker at 127.0.0.1:1 does not answer: nothing listens there"]
    assert len(texts["cache"]) == 1
    assert texts["model"] == ["no model is active"]
    assert checks["model"]["findings"][0]["remedy"] == "carprice train --activate"
    assert len(texts["kernels"]) == len(texts["api"]) == 1
    unchecked = {name for name, each in checks.items() if not each["checked"]}
    assert unchecked == {"clock", "workers", "queues", "given-up"}
    assert list(checks) == [check.name for check in CHECKS]


@pytest.fixture
def changed(servers: Servers) -> Iterator[Any]:
    """A function that sets an option of the broker until the test ends."""
    before: dict[str, Any] = {}

    def change(**options: Any) -> None:
        for name, value in options.items():
            ((option, value_before),) = servers.broker.config_get(name.replace("_", "-")).items()
            before.setdefault(option, value_before)
            servers.broker.config_set(name.replace("_", "-"), value)

    yield change
    for name, value in before.items():
        servers.broker.config_set(name, value)


def run(remedy: str) -> None:
    subprocess.run(["bash", "-c", remedy], check=True, capture_output=True, timeout=30)


def test_a_broker_that_evicts_or_is_almost_full_is_told(
    given: Settings, servers: Servers, changed: Any
) -> None:
    assert said(server_checks.check_broker, given) == []
    changed(maxmemory_policy="allkeys-lru")
    (level, _, remedy), *_ = said(server_checks.check_broker, given)
    assert level == "fault"
    run(remedy)
    assert said(server_checks.check_broker, given) == []
    changed(
        maxmemory_policy="noeviction", maxmemory=int(servers.broker.info()["used_memory"] * 1.02)
    )
    assert [each.level for each in found(server_checks.check_broker, given)] == [Level.WARNING]


def test_a_broker_without_a_file_loses_what_it_accepts(given: Settings) -> None:
    """The embedded cache as the broker: it keeps nothing, and evicts."""
    swapped = dataclasses.replace(given, redis_url=given.cache_url)
    remedies = [each.remedy for each in found(server_checks.check_broker, swapped)]
    assert [each.partition(" CONFIG SET ")[2] for each in remedies] == [
        "maxmemory-policy noeviction", "appendonly yes",
    ]  # fmt: skip
    (same,) = found(server_checks.check_cache, swapped)
    assert (same.level, same.remedy) == (Level.WARNING, "CACHE_URL")


def test_a_cache_that_does_not_evict_or_has_no_limit_is_told(given: Settings, changed: Any) -> None:
    assert said(server_checks.check_cache, given) == []
    changed(maxmemory=1 << 28)  # the servers of all tests may have none
    swapped = dataclasses.replace(given, redis_url=given.cache_url, cache_url=given.redis_url)
    (stays,) = found(server_checks.check_cache, swapped)
    assert stays.remedy.endswith(" CONFIG SET maxmemory-policy allkeys-lru")
    changed(maxmemory=0)
    (unlimited,) = found(server_checks.check_cache, swapped)
    assert unlimited.remedy.endswith(" CONFIG SET maxmemory 128mb")


@pytest.mark.parametrize(
    ("version", "is_old"), [("6.2.14", True), ("7.0.0", False), ("8.4", False)]
)
def test_an_old_redis_is_a_fault(version: str, *, is_old: bool) -> None:
    assert bool(list(server_checks._version("x", {"redis_version": version}))) is is_old


def test_what_mends_a_silent_server_depends_on_whose_it_is(given: Settings) -> None:
    away = dataclasses.replace(given, redis_url=NOWHERE)
    (own,) = server_checks.check_broker(Installation(away, dataclasses.replace(away, redis_url="")))
    (other,) = found(server_checks.check_broker, away)
    assert (own.remedy, other.remedy) == ("carprice up", "redis-cli -h 127.0.0.1 -p 1 PING")


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("unix:///srv/car%20price/broker.sock", "redis-cli -s '/srv/car price/broker.sock' PING"),
        ("redis://queue.example/0", "redis-cli -h queue.example -p 6379 PING"),
        (
            "rediss://bob:secret@queue.example:6380/0",
            "redis-cli -h queue.example -p 6380 --tls --user bob --askpass PING",
        ),
        ("sentinel://a.example,b.example/queue", "redis-cli -h PRIMARY -p 6379 PING"),
    ],
)
def test_a_remedy_names_the_server_that_it_is_about(url: str, command: str) -> None:
    assert server_checks._redis_cli(url, "PING") == command


def test_a_lost_pointer_and_a_missing_version_are_faults(given: Settings) -> None:
    assert said(model_checks.check_model, given)[0][2] == "carprice train --activate"
    version = "2026-01-01T000000-aaaaaa"
    models = given.versions_path
    models.mkdir()
    (models / "ACTIVE").write_text(version)
    (missing,) = found(model_checks.check_model, given)
    assert (missing.level, missing.remedy) == (Level.FAULT, "carprice models rollback")
    (models / version).mkdir()
    (models / version / "manifest.json").write_text("{}")
    (damaged,) = found(model_checks.check_model, given)
    assert "cannot be used" in damaged.text
    (models / "ACTIVE").unlink()
    append_activation(
        models,
        ActivationRecord(
            at="2026-01-01T00:00:00+00:00",
            action=Action.ACTIVATE,
            version=version,
            previous=None,
            by="x",
        ),
    )
    (lost,) = found(model_checks.check_model, given)
    assert lost.remedy == f"carprice models activate {version}"


@pytest.fixture
def with_a_model(given: Settings) -> Settings:
    """Settings whose active version is what was saved."""
    save_bundle(small_models.train(trees=2), given.versions_path)
    registry = ModelRegistry(given.versions_path)
    registry.activate(registry.list()[0].id, by="test")
    return given


def test_looking_at_the_model_writes_nothing(
    with_a_model: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test would compile kernels into the home, and make it if there is none."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    away = dataclasses.replace(
        with_a_model, home=with_a_model.home / "typo", models_path=with_a_model.versions_path
    )
    assert said(model_checks.check_model, away) == []
    assert said(model_checks.check_kernels, away)[0][0] == "warning"
    assert not away.home.exists()


def test_a_self_test_that_a_busy_machine_delays_is_no_reason_to_roll_back(
    with_a_model: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(with_a_model.home / "numba"))
    monkeypatch.setattr(model_checks, "are_compiled", lambda _: True)
    monkeypatch.setattr(self_test, "SELF_TEST_TIMEOUT_S", 0.01)
    (finding,) = found(model_checks.check_model, with_a_model)
    assert (finding.level, finding.remedy) == (Level.WARNING, "uptime")


def test_a_check_that_must_not_read_something_says_what_and_the_others_go_on(
    given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    check = next(each for each in CHECKS if each.name == "space")
    (finding,) = findings_of(check, Installation(given, given)) or ()
    assert finding.level is Level.FAULT
    assert f"Permission denied {given.home}" in finding.text


def test_kernels_that_are_not_compiled_are_told(
    given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(given.home / "numba"))
    assert found(model_checks.check_kernels, given)[0].level is Level.WARNING


def test_a_changed_record_of_the_last_audit_file_is_a_fault(
    given: Settings, car: dict[str, Any]
) -> None:
    log = AuditLog.of(given, "w", lambda: AT, Checkpoints.of(given, lambda: AT))
    log.append([audit_record(car, number) for number in range(3)])
    log.close()
    assert said(model_checks.check_audit, given) == []
    (path,) = given.audit_folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"price_mad", b"price_xxx", 1))
    (fault,) = found(model_checks.check_audit, given)
    assert (fault.level, fault.remedy) == (Level.FAULT, "carprice audit verify")
    assert path.name in fault.text


def test_queues_without_workers_and_workers_of_another_release(
    given: Settings, servers: Servers
) -> None:
    assert [each[1] for each in said(work_checks.check_workers, given)] == [
        f"no worker serves the queue {queue}" for queue in ("interactive", "bulk", "control")
    ]
    registry = WorkerRegistry(servers.broker)
    registry.heartbeat("new@vm:1", ["interactive", "bulk", "control"])
    assert said(work_checks.check_workers, given) == []
    servers.broker.zadd(keys.WORKERS, {"bulk|old@vm:1|4": time.time(), "bulk|dead@vm:1|5": 1.0})
    assert [(each[0], each[1].split()[0]) for each in said(work_checks.check_workers, given)] == [
        ("warning", "dead@vm"), ("fault", "old@vm"),
    ]  # fmt: skip


def test_old_work_and_work_that_was_given_up_are_told(given: Settings, servers: Servers) -> None:
    assert said(work_checks.check_queues, given) == said(work_checks.check_given_up, given) == []
    message = json.dumps({"headers": {"enqueued_at": time.time() - 900}})
    servers.broker.lpush(keys.queue("bulk"), message)
    assert "queue bulk" in found(work_checks.check_queues, given)[0].text
    letters = DeadLetters(servers.broker, time.time)
    letters.add_step(BatchId("01m8fqj4f7z0kj5s71amqzvc4r"), CallerId("a"), "1", "x", 5)
    servers.broker.zadd(keys.WEBHOOKS_FAILED, {"w": time.time()})
    assert [each[2] for each in said(work_checks.check_given_up, given)] == [
        "carprice dead list", "carprice webhooks list",
    ]  # fmt: skip


def test_an_api_that_does_not_answer_is_a_fault(given: Settings) -> None:
    ready = {"checks": [{"name": "workers", "ok": True, "detail": ""}]}
    with running(answer(json.dumps(ready).encode())) as (url, _):
        port = int(url.rpartition(":")[2])
        assert said(work_checks.check_api, dataclasses.replace(given, port=port)) == []
    assert (
        found(work_checks.check_api, dataclasses.replace(given, port=port))[0].level is Level.FAULT
    )


def test_firing_alerts_and_a_silent_source_are_told(given: Settings) -> None:
    assert said(work_checks.check_alerts, given) == []
    alert = {"labels": {"alertname": "WorkerDown"}, "annotations": {"summary": "s"}, "startsAt": ""}
    with running(answer(json.dumps([alert]).encode())) as (url, _):
        (fires,) = found(work_checks.check_alerts, dataclasses.replace(given, alerts_url=url))
    assert fires.text == "the alert WorkerDown fires: s"
    away = dataclasses.replace(given, alerts_url="http://127.0.0.1:1")
    assert "does not answer" in found(work_checks.check_alerts, away)[0].text


def add_key(settings: Settings) -> None:
    entry = new_key("alice", frozenset({Scope.ADMIN}))[1]
    FileKeyStore.of(settings).change(lambda entries: [*entries, entry])


PUBLIC = {"public_url": "http://prices.example"}


@pytest.mark.parametrize(
    ("change", "with_key", "levels"),
    [
        ({}, False, []),
        ({"host": "0.0.0.0"}, False, ["fault"]),
        ({"host": "0.0.0.0"}, True, []),
        (PUBLIC, False, ["fault"]),
        ({"trusted_proxies": 1}, False, ["fault"]),
        (PUBLIC, True, ["warning"]),
        ({"public_url": "https://prices.example"}, True, []),
        ({"public_url": "http://localhost:8000"}, False, []),
        (PUBLIC | {"demo": "on"}, False, ["warning"]),
        (PUBLIC | {"demo": "on", "trusted_proxies": 1}, False, []),
    ],
)
def test_a_public_address_needs_keys_and_tls(
    given: Settings, change: dict[str, Any], levels: list[str], *, with_key: bool
) -> None:
    if with_key:
        add_key(given)
    settings = dataclasses.replace(given, **change)
    assert [each[0] for each in said(settings_checks.check_access, settings)] == levels


def test_a_damaged_file_of_keys_is_a_fault(given: Settings) -> None:
    given.keys_file.write_text("[")
    assert found(settings_checks.check_access, given)[0].level is Level.FAULT


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"port": 5555}, "PORT, FLOWER_PORT"),
        ({"prometheus_port": 9093}, "PROMETHEUS_PORT, ALERTMANAGER_PORT"),
        ({"port": 9122}, "PORT, REDIS_EXPORTER_PORT + 1"),
        ({"flower_address": "0.0.0.0"}, "Flower"),
        ({"predict_wait_s": 60.0}, "PREDICT_WAIT_S"),
        ({"redis_ca_file": ROOT / "Makefile"}, "no server is reached over TLS"),
        ({"redis_ca_file": Path("/missing"), "redis_url": "rediss://x:1/0"}, "REDIS_CA_FILE names"),
        ({"retrain_data": Path("/missing")}, "RETRAIN_DATA"),
        ({"state_url": "s3://state"}, "STATE_URL"),
    ],
)
def test_settings_that_do_not_fit_together_are_told(change: dict[str, Any], word: str) -> None:
    assert said(settings_checks.check_settings, Settings()) == []
    (finding,) = found(settings_checks.check_settings, Settings(**change))
    assert word in finding.text
    assert finding.remedy


def test_a_ready_api_without_this_broker_is_that_of_another_service(given: Settings) -> None:
    ready = answer(b'{"status": "ready", "checks": []}', "200 OK", "application/json")
    with running(ready) as (url, _):
        port = int(url.rpartition(":")[2])
        settings = dataclasses.replace(given, port=port, redis_url=NOWHERE)
        ((level, text, _),) = said(work_checks.check_api, settings)
    assert level == "fault"
    assert text.startswith(f"the API at {url} is that of another service")


def test_keys_that_cannot_be_opened_are_not_to_be_made_anew(given: Settings) -> None:
    given.keys_file.mkdir()
    (finding,) = found(settings_checks.check_access, given)
    assert "cannot be read" in finding.text
    assert "remove" not in finding.text


def test_only_ports_of_the_service_keep_it_from_starting() -> None:
    for change, level in (({"port": 5555}, Level.FAULT), ({"port": 9090}, Level.WARNING)):
        (finding,) = found(settings_checks.check_settings, Settings(**change))
        assert finding.level is level


def test_a_setting_that_cannot_be_read_is_told_alone() -> None:
    done = CliRunner().invoke(main, ["doctor", "--json"], env={"PORT": "x"})
    assert done.exit_code == 1
    (check,) = json.loads(done.stdout)["checks"]
    assert check["findings"][0]["text"].startswith("PORT='x'")


def test_a_check_that_the_broker_interrupts_says_so(given: Settings) -> None:
    away = dataclasses.replace(given, redis_url=NOWHERE)
    installation = Installation(away, away)
    installation.__dict__["broker_error"] = None  # it answered a moment ago
    check = next(each for each in CHECKS if each.name == "workers")
    (finding,) = findings_of(check, installation) or ()
    assert finding.level is Level.FAULT
    assert "broker-unavailable" in finding.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_three_languages(given: Settings, language: Language) -> None:
    env = {
        "CARPRICE_HOME": str(given.home), "MODELS_PATH": str(given.versions_path), "PORT": "1",
        "REDIS_URL": given.redis_url, "CACHE_URL": given.cache_url,
    }  # fmt: skip
    done = CliRunner().invoke(main, ["doctor", "--lang", language], env=env)
    assert done.exit_code == 1
    words = {
        "en": "no model is active",
        "fr": "aucun modèle n'est actif",
        "ar": "لا يوجد نموذج مفعّل",
    }
    assert words[language] in done.stdout
    assert "    → carprice train --activate" in done.stdout
