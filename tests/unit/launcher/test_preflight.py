"""Preflight checks: each failure is one line that says what to do."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import preflight
from launcher.child import Child
from launcher.preflight import (
    CannotStartError,
    await_home,
    check_flower,
    check_keys,
    hold_metrics,
    is_disk_full,
    lacks_space,
    lock_home,
    prepare_home,
    remove_metrics,
    wipe_metrics,
)
from shared.keys.entries import Scope, new_key
from shared.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    prepare_home(settings)
    return settings


def test_other_machines_are_served_only_with_keys(home: Settings) -> None:
    public = dataclasses.replace(home, host="0.0.0.0")
    with pytest.raises(CannotStartError, match="make key"):
        check_keys(public)
    public.keys_file.write_text("[]")
    with pytest.raises(CannotStartError, match="make key"):
        check_keys(public)
    _, entry = new_key("shop", frozenset({Scope.PREDICT}))
    public.keys_file.write_text(json.dumps([entry.to_json()]))
    check_keys(public)


def test_loopback_needs_no_keys(home: Settings) -> None:
    check_keys(home)


def test_flower_is_shown_to_other_machines_only_with_a_password(home: Settings) -> None:
    public = dataclasses.replace(home, flower_address="0.0.0.0")
    with pytest.raises(CannotStartError, match="FLOWER_BASIC_AUTH"):
        check_flower(public)
    check_flower(dataclasses.replace(public, flower_basic_auth="admin:long-password"))


def test_the_home_is_private(home: Settings) -> None:
    assert home.home.stat().st_mode & 0o777 == 0o700


def test_a_file_in_place_of_the_home_is_reported(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(CannotStartError, match=r"CARPRICE_HOME=.*home cannot be used"):
        prepare_home(Settings(home=tmp_path / "home"))


def test_a_full_disk_is_reported(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(home.home)._replace(free=1_234_567)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(CannotStartError, match="has 1 MB of disk left, at least 50 are needed"):
        prepare_home(home)


def test_the_start_waits_for_disk_space_and_says_so_once(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_bytes = iter([1_000_000, 2_000_000, 60_000_000])
    real = shutil.disk_usage(home.home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=next(free_bytes)))
    monkeypatch.setattr(preflight, "SPACE_POLL_S", 0.0)
    said: list[str] = []
    await_home(home, said.append)
    assert next(free_bytes, None) is None
    assert len(said) == 1
    assert "has 1 MB of disk left, at least 50 are needed" in said[0]
    assert "waiting for space" in said[0]


def test_a_disk_is_full_if_it_cannot_reserve_space(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_disk_full(home.home)

    numbers = iter((errno.ENOSPC, errno.EDQUOT, errno.EIO))

    def refuse(*_: int) -> None:
        raise OSError(next(numbers), "refused")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    for expected in (True, True, False):
        assert is_disk_full(home.home) is expected
    assert [each.name for each in home.home.iterdir() if "space" in each.name] == []


def test_full_shared_memory_is_a_lack_of_space(
    home: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare_home(home)
    monkeypatch.setattr(preflight, "SHARED_MEMORY", tmp_path / "shm")
    assert not lacks_space(home), "there is none"
    (tmp_path / "shm").mkdir()
    assert not lacks_space(home)
    sizes = []

    def refuse(_handle: int, _offset: int, size: int) -> None:
        sizes.append(size)
        if size < preflight.PROBE_BYTES:
            raise OSError(errno.ENOSPC, "refused")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert lacks_space(home)
    assert len(sizes) == 2


def test_processes_that_a_killed_run_left_behind_are_named(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "HOME_LOCK_TIMEOUT_S", 0.2)
    lock = lock_home(home.home)
    left = Child(name="api", line="sleep 600", env=os.environ, cwd=home.home, keep_open=[lock])
    left.start()
    try:
        os.pwrite(lock, b"4194305\n", 0)  # no process has this id
        os.close(lock)
        with pytest.raises(CannotStartError, match=f"left behind: kill {left.pid}, then"):
            lock_home(home.home)
    finally:
        left.kill_group()
        left.reap()
    os.close(lock_home(home.home))


def test_two_runs_do_not_share_a_home(home: Settings) -> None:
    lock = lock_home(home.home)
    with pytest.raises(CannotStartError, match=f"in use by process {os.getpid()}"):
        lock_home(home.home)
    os.close(lock)
    os.close(lock_home(home.home))


def test_a_killed_run_leaves_the_home_free(home: Settings) -> None:
    (home.home / "run" / "up.lock").write_text("999999999\n")
    os.close(lock_home(home.home))


def test_the_lock_waits_for_the_children_of_a_killed_run(home: Settings) -> None:
    lock = lock_home(home.home)
    last_process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.5)"], pass_fds=[lock]
    )
    os.close(lock)
    (home.home / "run" / "up.lock").write_text("999999999\n")
    os.close(lock_home(home.home))
    assert last_process.wait() == 0


def test_metrics_of_an_earlier_run_are_wiped(home: Settings) -> None:
    folder = home.home / "metrics"
    folder.mkdir()
    (folder / "counter_17.db").write_text("old")
    wipe_metrics(folder)
    assert list(folder.iterdir()) == []


def test_a_run_leaves_the_metrics_of_another_that_only_begins(home: Settings) -> None:
    """Two units of one host start, and end, at any time; the first may have no metric yet."""
    folder = home.home / "metrics"
    folder.mkdir()
    (folder / "counter_0.db").write_text("of the last run")
    first = hold_metrics(folder)
    assert not (folder / "counter_0.db").exists()
    (folder / "counter_0.db").write_text("of the first")
    (folder / "heartbeats" / "1-a").mkdir(parents=True)
    second = hold_metrics(folder)
    assert (folder / "counter_0.db").exists()
    assert (folder / "heartbeats" / "1-a").exists()
    remove_metrics(folder, second)
    assert (folder / "counter_0.db").exists()
    remove_metrics(folder, first)
    assert not folder.exists()


def test_a_folder_of_metrics_that_cannot_be_made_is_no_reason_not_to_start(home: Settings) -> None:
    (home.home / "metrics").write_text("a file")
    assert hold_metrics(home.home / "metrics") is None
    remove_metrics(home.home / "metrics", None)
