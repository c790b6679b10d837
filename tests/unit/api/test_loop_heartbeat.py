"""The heartbeat of the API stops when its loop or one of its pools of threads does not work."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.transport.loop_heartbeat import LoopHeartbeat
from shared.heartbeat import FILE_VARIABLE, Heartbeat
from tests.conftest import wait_until

LIMIT_S = 100.0


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "heartbeat"
    path.touch()
    os.utime(path, (0, 0))
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def has_beaten(file: Path) -> bool:
    """Whether there was a heartbeat since the last call."""
    found = file.stat().st_mtime > 0
    os.utime(file, (0, 0))
    return found


def test_it_stops_while_a_pool_is_deadlocked(file: Path, pool: ThreadPoolExecutor) -> None:
    now = 0.0
    heartbeat = LoopHeartbeat({pool.submit: LIMIT_S}, Heartbeat(), lambda: now)
    deadlock = threading.Event()
    pool.submit(deadlock.wait)
    heartbeat.beat()
    now += LIMIT_S
    heartbeat.beat()
    assert has_beaten(file), "the pool may be busy for a while"
    now += 1.0
    heartbeat.beat()
    assert not has_beaten(file)
    deadlock.set()
    pool.submit(lambda: None).result()
    heartbeat.beat()
    assert has_beaten(file)


def test_it_goes_on_with_a_pool_that_works(file: Path, pool: ThreadPoolExecutor) -> None:
    now = 0.0
    heartbeat = LoopHeartbeat({pool.submit: LIMIT_S}, Heartbeat(), lambda: now)
    for _ in range(3):
        heartbeat.beat()
        assert has_beaten(file)
        pool.submit(lambda: None).result()
        now += 10 * LIMIT_S


def test_it_is_written_by_the_event_loop(file: Path) -> None:
    async def serve() -> None:
        heartbeat = LoopHeartbeat({}, Heartbeat())
        heartbeat.start(asyncio.get_running_loop())
        heartbeat.start(asyncio.get_running_loop())
        for _ in range(2):
            await asyncio.to_thread(wait_until, lambda: has_beaten(file), 10.0)

    asyncio.run(serve())


def test_a_process_that_was_not_started_by_the_supervisor_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    Heartbeat().beat()
