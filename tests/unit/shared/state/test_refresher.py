"""One process of a host refreshes its copies; a copy that fails does not stop the others."""

import fcntl
import os
from pathlib import Path

import pytest

from shared.state.refresher import CopyRefresher
from tests.conftest import wait_until


def fail() -> None:
    raise OSError("state store: unreachable")


def test_a_copy_that_fails_does_not_stop_the_others(tmp_path: Path, caplog) -> None:
    rounds: list[str] = []
    refresher = CopyRefresher(
        tmp_path / "lock", (fail, lambda: rounds.append("pull")), on_current=rounds.clear
    )
    assert not refresher.run_once()
    assert not refresher.run_once()
    assert rounds == ["pull", "pull"]
    assert caplog.text.count("unreachable") == 1, "the same failure is logged once a minute"


def test_a_round_without_failure_is_told(tmp_path: Path) -> None:
    rounds: list[str] = []
    refresher = CopyRefresher(
        tmp_path / "lock", (lambda: None,), on_current=lambda: rounds.append("current")
    )
    assert refresher.run_once()
    assert rounds == ["current"]


@pytest.mark.timeout(60)
def test_another_process_takes_over_when_the_first_ends(tmp_path: Path) -> None:
    lock, pulls = tmp_path / "run" / "lock", []
    lock.parent.mkdir()
    other = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    tries: list[None] = []
    refresher = CopyRefresher(lock, (lambda: pulls.append(1),), interval_s=0.01)
    refresher._stop.wait = lambda _, wait=refresher._stop.wait: tries.append(None) or wait(0.01)
    refresher.start()
    try:
        wait_until(lambda: len(tries) > 5)
        assert pulls == []
        os.close(other)
        wait_until(lambda: pulls)
    finally:
        refresher.stop()
