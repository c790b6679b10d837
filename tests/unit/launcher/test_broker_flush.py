"""The append-only files of the broker are flushed to the disk, also while they are rewritten."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import broker_flush
from launcher.broker_flush import fsync_aof_files
from shared.redis.connections import connect
from tests.conftest import Servers, wait_until

ROOT = Path(__file__).parents[3]


def test_all_append_only_files_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.base.aof", "a.incr.aof", "a.manifest"):
        (tmp_path / name).write_text("x")
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )
    fsync_aof_files(tmp_path)
    assert sorted(Path(path).name for path in flushed) == ["a.base.aof", "a.incr.aof"]


def test_a_file_removed_meanwhile_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync_aof_files(tmp_path / "none")
    (tmp_path / "1.aof").symlink_to(tmp_path / "gone")
    (tmp_path / "2.aof").write_text("x")
    asked: list[int] = []
    monkeypatch.setattr(os, "fsync", asked.append)
    fsync_aof_files(tmp_path)
    assert len(asked) == 1


def _broken(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_failed_fsync_is_reported_and_makes_the_broker_rewrite_its_files(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = servers.settings.home
    broker = connect(servers.settings.redis_url)
    broker.set("key", "acknowledged")
    folder = home / "broker" / "appendonlydir"
    former = set(folder.glob("*.base.*"))
    monkeypatch.setenv("CARPRICE_HOME", str(home))
    monkeypatch.setattr(os, "fsync", _broken)
    assert broker_flush.main() == 1
    said = capsys.readouterr().err
    assert "Input/output error" in said
    assert "the broker writes all it remembers into new files" in said
    wait_until(lambda: set(folder.glob("*.base.*")) - former, what="new files")
    assert any(b"acknowledged" in path.read_bytes() for path in folder.glob("*.base.*"))


def test_on_a_full_disk_it_asks_for_new_files_until_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "broker" / "appendonlydir" / "a.1.base.rdb"
    base.parent.mkdir(parents=True)
    base.touch()
    rounds: list[str] = []

    def flush(_: Path) -> None:
        rounds.append("flush")
        if rounds.count("flush") < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        if rounds.count("flush") == 6:
            raise SystemExit

    def rewrite(_: object) -> str:
        rounds.append("rewrite")
        if rounds.count("rewrite") == 4:
            base.rename(base.with_name("a.2.base.rdb"))
        return "asked"

    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    monkeypatch.setattr(broker_flush, "FLUSH_INTERVAL_S", 0.0)
    monkeypatch.setattr(broker_flush, "fsync_aof_files", flush)
    monkeypatch.setattr(broker_flush, "_rewrite_aof", rewrite)
    with pytest.raises(SystemExit):
        broker_flush.main()
    assert rounds == ["flush", "rewrite"] * 4 + ["flush", "flush"]
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_failed_fsync_without_a_broker_reports_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "broker" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "1.aof").write_text("x")
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", _broken)
    assert broker_flush.main() == 1
    assert "does not write its files anew" in capsys.readouterr().err


def test_it_flushes_every_second_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "broker" / "appendonlydir"
    rounds = []

    def flush(asked: Path) -> None:
        assert asked == folder
        rounds.append(asked)
        if len(rounds) == 3:
            raise SystemExit

    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    monkeypatch.setattr(broker_flush, "fsync_aof_files", flush)
    monkeypatch.setattr(broker_flush, "FLUSH_INTERVAL_S", 0.0)
    with pytest.raises(SystemExit):
        broker_flush.main()


def test_the_process_ends_on_sigterm_and_reports_invalid_settings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "launcher.broker_flush"]
    env = {**os.environ, "CARPRICE_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=env) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
    wrong = subprocess.run(
        command, cwd=ROOT, env={**env, "PORT": "x"}, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "PORT" in wrong.stderr
