"""One process of a host refreshes its copies; a copy that fails does not stop the others."""

import fcntl
import os
from pathlib import Path

from shared.state.refresher import SILENT_AFTER_S, CopyRefresher, HostLock
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


def held(path: Path) -> int:
    """Lock a file as another process does."""
    path.parent.mkdir(exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def test_only_one_process_holds_the_lock_and_another_takes_over_at_its_end(tmp_path: Path) -> None:
    other, lock = held(tmp_path / "run" / "lock"), HostLock(tmp_path / "run" / "lock")
    assert not lock.hold()
    os.close(other)
    assert lock.hold()
    assert lock.hold()
    lock.release()
    assert HostLock(tmp_path / "run" / "lock").hold()


def test_a_suspended_holder_is_replaced_and_notices_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = HostLock(path), HostLock(path)
    assert first.hold()
    assert not second.hold()
    long_ago = path.stat().st_mtime - SILENT_AFTER_S - 1
    os.utime(path, (long_ago, long_ago))
    second.hold()
    assert second.hold()
    assert not first.hold()
    assert second.hold()


def test_copies_are_refreshed_by_the_holder_of_the_lock(tmp_path: Path) -> None:
    pulls: list[int] = []
    first, second = (
        CopyRefresher(tmp_path / "run" / "lock", (lambda n=n: pulls.append(n),), interval_s=0.01)
        for n in (1, 2)
    )
    first.start()
    wait_until(lambda: len(pulls) > 2)
    second.start()
    wait_until(lambda: len(pulls) > 10)
    assert set(pulls) == {1}
    first.stop()
    wait_until(lambda: 2 in pulls)
    second.stop()
