"""Damaged append-only files: the reason is shown, and the repair keeps all other commands."""

import datetime as dt
import io
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import child as child_module
from launcher.append_only.commands import analyse
from launcher.append_only.repair import find_damage, repair, trim_zeros
from launcher.child import Child
from launcher.output import Output
from launcher.supervisor import CrashLoopError, Supervisor
from launcher.watchdog import Watchdog
from shared.redis.connections import RedisClient, connect
from shared.redis.servers import embedded_url
from shared.settings import Settings
from tests.conftest import ROOT, answers, running_server, short_folder, wait_until

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)


def command(*parts: bytes) -> bytes:
    """Return a command as the file holds it."""
    words = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%b" % (len(parts), words)


def kept(data: bytes, trusted_bytes: int = 1000) -> bytes:
    """Return what the analysis keeps."""
    return b"".join(data[start:end] for start, end in analyse(data, trusted_bytes).kept)


SETS = [command(b"SET", b"key%d" % number, bytes([number]) * number) for number in range(60)]
MULTI, EXEC = command(b"MULTI"), command(b"exec")


def test_a_sound_file_is_kept_whole() -> None:
    data = b"".join([command(b"SELECT", b"0"), *SETS, MULTI, *SETS, EXEC, b"#TS:1\r\n"])
    assert analyse(data).dropped == ()
    assert kept(data) == data
    assert kept(b"") == b""


def test_a_damaged_command_is_dropped_and_the_others_are_kept() -> None:
    whole = b"".join(SETS)
    offset = len(b"".join(SETS[:20]))
    for damage in (b"\0" * 8, b"*9\r\n", b"$$$$$$$$$$$"):
        data = whole[: offset + 1] + damage + whole[offset + 1 + len(damage) :]
        assert kept(data) == b"".join(SETS[:20] + SETS[21:])


def test_a_damaged_transaction_is_dropped_whole() -> None:
    before, after = b"".join(SETS[:5]), b"".join([*SETS[5:], MULTI, SETS[3], EXEC])
    for position in range(4):
        parts = [MULTI, SETS[7], SETS[8], EXEC]
        parts[position] = b"?" + parts[position][1:]
        assert kept(before + b"".join(parts) + after) == before + after


def test_an_incomplete_end_is_dropped_with_its_transaction() -> None:
    whole = b"".join(SETS)
    last = MULTI + SETS[9] + EXEC
    for length in range(1, len(last)):
        assert kept(whole + last[:length]) == whole


def test_a_value_that_looks_like_commands_is_not_executed() -> None:
    trap = b"\r\n" + command(b"FLUSHALL") + command(b"SET", b"admin", b"yes") + b"\r\n"
    data = b"".join(SETS) + command(b"SET", b"note", trap) + b"".join(SETS)
    position = data.index(b"note")
    data = data[: position - 4] + b"?" + data[position - 3 :]
    assert kept(data, trusted_bytes=10_000) == b"".join(SETS) * 2


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_damaged_only_whole_commands_are_kept(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(b"".join(SETS) * 3)
    for _ in range(chance.randrange(1, 4)):
        start = chance.randrange(len(data))
        end = start + chance.randrange(1, 300)
        data[start:end] = chance.randbytes(end - start)
    found = kept(bytes(data))
    assert analyse(found).dropped == ()
    assert sum(found.count(each) for each in SETS[20:]) > 40


@pytest.fixture
def home() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def broker_of(home: Path) -> RedisClient:
    return connect(embedded_url(Settings(home=home), "broker"))


def fill(home: Path) -> Path:
    """Run a broker that stores 300 keys; return its append-only file."""
    with running_server(home, "broker"):
        broker = broker_of(home)
        wait_until(lambda: answers(broker), what="the broker")
        for number in range(300):
            broker.set(f"key{number}", "x" * 40)
    (path,) = (home / "broker" / "appendonlydir").glob("*.incr.aof")
    return path


def damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"?" * 20)


def carprice(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "repair-broker", *arguments],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_terminal_shows_why_the_broker_does_not_start_and_the_command_repairs_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill(home)
    former = path.read_bytes()
    damage(path, former.index(b"*3", len(former) // 2))
    monkeypatch.setattr(child_module, "RESTART_DELAYS_S", (0.0,))
    terminal = io.StringIO()
    child = Child(
        name="broker",
        line=f"{sys.executable} -m launcher.embedded broker",
        env={**os.environ, "CARPRICE_HOME": str(home)},
        cwd=ROOT,
    )
    output = Output(tmp_path, ["broker"], terminal)
    with (
        Supervisor([[child]], output=output, watchdog=Watchdog()) as supervisor,
        pytest.raises(CrashLoopError),
    ):
        supervisor.start_tier(0, ready=lambda: False)
    assert f"Bad file format reading the append only file {path.name}" in terminal.getvalue()
    assert "run `carprice repair-broker`" in terminal.getvalue()

    checked = carprice(home, "--check")
    assert checked.returncode == 1
    assert f"of {len(former)} bytes are damaged" in checked.stdout
    repaired = carprice(home)
    assert repaired.returncode == 0, repaired.stderr
    (backup,) = (home / "broker").glob("damaged-*")
    assert len((backup / path.name).read_bytes()) == len(former)
    with running_server(home, "broker"):
        broker = broker_of(home)
        wait_until(lambda: answers(broker), what="the repaired broker")
        assert 297 <= broker.dbsize() < 300
        refused = carprice(home)
        assert refused.returncode == 2
        assert "stop the service first" in refused.stderr
    assert carprice(home).stdout == "no damage found\n"


def test_a_damaged_base_file_is_dropped_only_if_asked(home: Path) -> None:
    fill(home)
    with running_server(home, "broker"):
        broker = broker_of(home)
        wait_until(lambda: answers(broker), what="the broker")
        broker.bgrewriteaof()
        folder = home / "broker" / "appendonlydir"
        wait_until(lambda: list(folder.glob("*.2.base.rdb")), what="a base file")
        wait_until(lambda: not broker.info("persistence")["aof_rewrite_in_progress"])
        broker.set("later", "y")
    (base,) = folder.glob("*.base.rdb")
    damage(base, base.stat().st_size // 2)
    refused = carprice(home)
    assert refused.returncode == 2
    assert "--drop-base" in refused.stderr
    assert base.exists()
    assert carprice(home, "--drop-base").returncode == 0
    with running_server(home, "broker"):
        broker = broker_of(home)
        wait_until(lambda: answers(broker), what="the repaired broker")
        assert broker.keys() == [b"later"]


def test_a_broker_whose_list_of_files_is_missing_does_not_begin_without_data(home: Path) -> None:
    path = fill(home)
    former = path.read_bytes()
    (manifest,) = path.parent.glob("*.manifest")
    listed = manifest.read_bytes()
    manifest.unlink()
    started = subprocess.run(
        [sys.executable, "-m", "launcher.embedded", "broker"],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert started.returncode == 2
    assert "run `carprice repair-broker`" in started.stderr
    assert carprice(home, "--check").returncode == 1
    assert path.read_bytes() == former
    assert not manifest.exists()
    assert carprice(home).returncode == 0
    assert sorted(manifest.read_bytes().split()) == sorted(listed.split())
    with running_server(home, "broker"):
        broker = broker_of(home)
        wait_until(lambda: answers(broker), what="the broker")
        assert broker.dbsize() == 300


def test_files_that_do_not_belong_together_are_not_listed(home: Path) -> None:
    path = fill(home)
    (manifest,) = path.parent.glob("*.manifest")
    manifest.unlink()
    (path.parent / "appendonly.aof.7.base.rdb").write_bytes(b"of another server")
    refused = carprice(home)
    assert refused.returncode == 2
    assert "2 base files instead of one" in refused.stderr
    assert not manifest.exists()


def test_zeros_that_a_loss_of_power_left_are_removed_at_the_start(home: Path) -> None:
    path = fill(home)
    with path.open("ab") as file:
        file.write(command(b"SET", b"torn", b"x" * 40)[:-20] + bytes(3_000_000))
    with running_server(home, "broker"):
        broker = broker_of(home)
        wait_until(lambda: answers(broker), what="the broker")
        assert broker.dbsize() == 300


def test_a_sound_file_is_not_trimmed_and_missing_ones_are_no_error(home: Path) -> None:
    assert trim_zeros(home / "broker") == 0
    assert find_damage(home / "broker") == []
    path = fill(home)
    former = path.read_bytes()
    assert trim_zeros(home / "broker") == 0
    assert path.read_bytes() == former


def test_a_repair_that_the_disk_refuses_leaves_the_files_as_they_were(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fill(home)
    damage(path, path.read_bytes().index(b"*3", 1000))
    former = path.read_bytes()

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    damaged = find_damage(home / "broker")
    with pytest.raises(OSError, match="No space"):
        repair(home / "broker", damaged, NOW)
    assert path.read_bytes() == former
