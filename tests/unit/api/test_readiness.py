"""`/readyz` of one API process: 503 only if it can neither accept nor record work."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from api.container import ApiServices, build_services
from shared.domain.errors import AuditUnavailable
from shared.keys.entries import Scope, new_key
from shared.keys.store import write_keys
from shared.metrics import exposition
from shared.redis.workers import WorkerRegistry
from tests.audit_segments import audit_record
from tests.conftest import REFERENCE_CAR, Servers

if TYPE_CHECKING:
    from shared.audit.log import AuditLog

QUEUES = ["interactive", "bulk", "control"]


@dataclasses.dataclass
class Api:
    """An application on real servers."""

    client: FlaskClient
    services: ApiServices
    servers: Servers

    def ready(self) -> "Readiness":
        return readiness(self.client.get("/readyz"))

    def failed(self) -> set[str]:
        return {name for name, check in self.ready().checks.items() if not check["ok"]}


@dataclasses.dataclass
class Readiness:
    """An answer of `/readyz`."""

    status_code: int
    status: str
    checks: dict[str, dict[str, Any]]


def readiness(answer: TestResponse) -> Readiness:
    body = answer.get_json()
    checks = {check["name"]: check for check in body["checks"]}
    return Readiness(answer.status_code, body["status"], checks)


@pytest.fixture
def api(servers: Servers, models_path: Path, tmp_path: Path) -> Iterator[Api]:
    settings = dataclasses.replace(servers.settings, home=tmp_path, models_path=models_path)
    services = build_services(settings)
    WorkerRegistry(servers.broker).heartbeat("all@here:1", QUEUES)
    yield Api(create_app(settings, services).test_client(), services, servers)
    servers.broker.config_set("maxmemory", "0")


def test_with_everything_the_process_is_ready(api: Api) -> None:
    answer = api.ready()
    assert answer.status_code == 200
    assert answer.status == "ready"


def test_missing_workers_only_degrade_the_service(api: Api) -> None:
    api.servers.broker.flushall()
    answer = api.ready()
    assert answer.status_code == 200
    assert answer.status == "degraded"
    assert api.failed() == {"workers"}


def test_the_queues_without_worker_are_named(api: Api) -> None:
    api.servers.broker.flushall()
    WorkerRegistry(api.servers.broker).heartbeat("one@here:1", ["interactive"])
    checks = api.ready().checks
    assert not checks["workers"]["ok"]
    assert checks["workers"]["detail"] == "interactive: 1, bulk: 0, control: 0"


def test_without_a_model_the_process_is_not_ready(servers: Servers, tmp_path: Path) -> None:
    settings = dataclasses.replace(servers.settings, home=tmp_path, models_path=tmp_path / "none")
    answer = readiness(create_app(settings).test_client().get("/readyz"))
    assert answer.status_code == 503
    assert answer.status == "not-ready"


def refuse(*_: Any) -> int:
    raise OSError(28, "No space left on device")


def test_an_audit_log_that_cannot_be_written_makes_the_process_not_ready(
    api: Api, tmp_path: Path
) -> None:
    (tmp_path / "audit").write_text("a file in place of the folder")
    answer = api.ready()
    assert answer.status_code == 503
    assert api.failed() == {"audit"}


def test_a_failed_flush_of_the_audit_log_makes_the_process_not_ready_until_one_succeeds(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    (check, _) = api.services.health.audit_flushes
    log: AuditLog = check.__self__  # type: ignore[attr-defined]
    monkeypatch.setattr("shared.audit.log.schedule_flush", lambda _: None)
    log.append([audit_record(REFERENCE_CAR)])
    with monkeypatch.context() as failing:
        failing.setattr("shared.audit.log.os.fdatasync", refuse)
        with pytest.raises(AuditUnavailable):
            log.flush()
        assert api.failed() == {"audit"}
        assert api.ready().status_code == 503
    log.flush()
    assert api.ready().status == "ready"


def test_a_full_disk_makes_the_process_not_ready_until_there_is_space(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as full:
        full.setattr("api.ops.folder_check.os.write", refuse)
        assert api.failed() == {"audit", "storage"}
        assert api.ready().status_code == 503
    assert api.ready().status == "ready"
    assert list(tmp_path.rglob(".probe-*")) == []


def test_a_storage_that_cannot_be_written_only_degrades_the_service(
    api: Api, tmp_path: Path
) -> None:
    (tmp_path / "batches").write_text("a file in place of the folder")
    answer = api.ready()
    assert answer.status_code == 200
    assert answer.status == "degraded"
    assert api.failed() == {"storage"}


def test_a_broker_without_memory_for_new_work_makes_the_process_not_ready(api: Api) -> None:
    api.servers.broker.config_set("maxmemory", "1mb")
    answer = api.ready()
    assert answer.status_code == 503
    assert answer.checks["broker"]["detail"] == "broker-full"
    assert answer.checks["workers"]["ok"]


def test_a_broker_that_refuses_writes_makes_the_process_not_ready(api: Api) -> None:
    """It answers a PING."""
    api.servers.broker.replicaof("127.0.0.1", "1")
    try:
        answer = api.ready()
    finally:
        api.servers.broker.replicaof("NO", "ONE")
    assert answer.status_code == 503
    assert not answer.checks["broker"]["ok"]


def test_lost_keys_make_the_process_not_ready(api: Api) -> None:
    settings = api.services.settings
    write_keys(settings.keys_file, [new_key("boss", frozenset(Scope))[1]])
    client = create_app(settings, api.services).test_client()
    assert readiness(client.get("/readyz")).status == "ready"
    settings.keys_file.unlink()
    after_restart = create_app(settings, api.services).test_client()
    answer = readiness(after_restart.get("/readyz"))
    assert answer.status_code == 503
    assert answer.checks["keys"]["detail"] == "keys-unavailable"


def test_metrics_show_the_checks(api: Api, tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file in place of the folder")
    text = exposition(api.services.health.snapshot()).decode()
    assert 'readiness_check_ok{check="audit",required="yes"} 0.0' in text
    assert 'readiness_check_ok{check="workers",required="no"} 1.0' in text


def test_checks_do_not_count_as_refused_work(api: Api) -> None:
    api.servers.broker.config_set("maxmemory", "1mb")
    before = exposition(api.services.health.snapshot()).decode()
    api.ready()
    after = exposition(api.services.health.snapshot()).decode()
    refused = [
        [line for line in text.splitlines() if line.startswith("broker_full_total")]
        for text in (before, after)
    ]
    assert refused[0] == refused[1]


def test_a_process_that_is_told_to_stop_is_not_ready(api: Api) -> None:
    api.services.health.stop()
    ready = api.ready()
    assert ready.status_code == 503
    assert ready.checks["stopping"]["detail"] == "told to stop"
    assert api.client.get("/livez").status_code == 200


def test_the_gauges_of_waiting_work_are_exposed(api: Api) -> None:
    text = exposition(api.services.health.snapshot()).decode()
    assert "\ncarprice_callers_waiting 0.0\n" in text
    assert "\ncarprice_backlog_rows " in text
    assert "\ncarprice_oldest_open_batch_seconds " in text
