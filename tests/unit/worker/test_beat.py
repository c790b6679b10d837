"""Beat keeps its schedule in memory and survives a broker that refuses."""

import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.beat import SchedulingError
from structlog.testing import capture_logs

from worker.beat import TICK_FILE, MemoryScheduler


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryScheduler:
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(MemoryScheduler, "producer", None)  # it would connect to a broker
    app = Celery("test", set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": "sweep", "schedule": 0.01}}
    return MemoryScheduler(app)


def test_a_task_that_cannot_be_sent_is_logged_without_a_stack_and_sent_later(
    scheduler: MemoryScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Any] = [SchedulingError("MISCONF No space left on device"), None]
    sent = []

    def send(entry: Any, **_: Any) -> None:
        sent.append(entry.task)
        if (error := outcomes.pop(0)) is not None:
            raise error

    monkeypatch.setattr(scheduler, "apply_async", send)
    with capture_logs() as logs:
        while outcomes:
            scheduler.tick()
            time.sleep(0.02)
    assert sent == ["sweep", "sweep"]
    (logged,) = logs
    assert logged["event"] == "task_not_sent"
    assert "No space left" in logged["error"]
    assert "exc_info" not in logged


def test_each_tick_touches_a_file_and_stores_nothing_else(
    scheduler: MemoryScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "apply_async", lambda *_, **__: None)
    scheduler.tick()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [tmp_path / TICK_FILE]
    (tmp_path / TICK_FILE).unlink()
    (tmp_path / "run").rmdir()
    scheduler.tick()
