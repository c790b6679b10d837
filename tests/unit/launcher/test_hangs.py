"""Processes that hang are killed, with small real processes in place of the service's."""

import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from launcher.child import Child
from launcher.liveness import hangs
from launcher.liveness.hangs import HangDetector, create_heartbeats
from launcher.liveness.probes import Probe, http_probe, redis_probe
from launcher.liveness.systemd import SystemdNotifier
from launcher.output import Output
from launcher.supervisor import Supervisor
from launcher.watchdog import Watchdog
from shared.heartbeat import heartbeat_environment
from tests.conftest import ROOT, Servers, wait_until

SLEEPER = "sleep 600"
BEATS_UNTIL_TOLD = """
import pathlib, sys, time
from shared.heartbeat import Heartbeat
while True:
    if not pathlib.Path(sys.argv[1]).exists():
        Heartbeat().beat()
    time.sleep(0.05)
"""


class Run:
    """Named processes under a supervisor that looks for hangs."""

    def __init__(self, folder: Path, lines: dict[str, str], probes: Mapping[str, Probe]) -> None:
        self.said: list[str] = []
        create_heartbeats(folder / "heartbeats", lines)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.children = {
            name: Child(
                name=name,
                line=line,
                env=env | heartbeat_environment(folder / "heartbeats" / name),
                cwd=folder,
            )
            for name, line in lines.items()
        }
        self.watchdog = Watchdog()
        self.supervisor = Supervisor(
            [list(self.children.values())],
            output=Output(folder, list(lines)),
            watchdog=self.watchdog,
            hangs=HangDetector(folder / "heartbeats", probes, {}, self.said.append),
        )

    def until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < give_up_at, self.said
            self.supervisor.run_once()

    def run_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    monkeypatch.setattr(hangs, "CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr(hangs, "SUSPENDED_AFTER_S", 0.5)
    monkeypatch.setattr(hangs, "SILENT_AFTER_S", {"api": 1.0, "interactive": 1.0})
    monkeypatch.setattr(hangs, "UNANSWERED_AFTER_S", {"cache": 1.0})
    runs: list[Run] = []

    def make(lines: dict[str, str], probes: Mapping[str, Probe] | None = None) -> Run:
        run = Run(tmp_path, lines, probes or {})
        runs.append(run)
        run.supervisor.__enter__()
        run.supervisor.start_tier(0, ready=lambda: True)
        return run

    yield make
    for run in runs:
        run.supervisor.__exit__(None, None, None)


def beating(tmp_path: Path, name: str) -> str:
    """A process whose heartbeat stops when the file `name` exists."""
    told = shlex.quote(str(tmp_path / name))
    return f"{sys.executable} -c {shlex.quote(BEATS_UNTIL_TOLD)} {told}"


def test_a_suspended_process_is_killed_and_started_again(start: Callable[..., Run]) -> None:
    run = start({"one": SLEEPER, "two": SLEEPER})
    suspended, other = run.children["one"].pid, run.children["two"].pid
    os.kill(suspended, signal.SIGSTOP)
    run.until(lambda: run.said)
    run.until(lambda: run.children["one"].running and run.children["one"].pid != suspended)
    assert run.said == ["one killed: suspended for 0 s"]
    assert run.children["two"].pid == other


def test_a_process_that_goes_on_in_time_is_not_killed(start: Callable[..., Run]) -> None:
    run = start({"one": SLEEPER})
    pid = run.children["one"].pid
    for _ in range(4):
        os.kill(pid, signal.SIGSTOP)
        run.run_for(0.25)
        os.kill(pid, signal.SIGCONT)
        run.run_for(0.25)
    assert run.said == []
    assert run.children["one"].pid == pid


def test_of_a_group_only_the_suspended_process_is_killed(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start({"pool": "sh -c 'sleep 601 & echo $! > child; wait; sleep 600'"})
    child = tmp_path / "child"
    run.until(lambda: child.exists() and child.read_text().strip())
    pid, parent = int(child.read_text()), run.children["pool"].pid
    os.kill(pid, signal.SIGSTOP)
    run.until(lambda: run.said)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))
    assert run.children["pool"].pid == parent


def _is_zombie(pid: int) -> bool:
    return " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_suspended_watchdog_is_replaced(start: Callable[..., Run]) -> None:
    run = start({"one": SLEEPER})
    before = run.watchdog.pid
    os.kill(before, signal.SIGSTOP)
    run.until(lambda: run.watchdog.pid != before)


def test_a_process_whose_loop_hangs_is_killed(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start({"api": beating(tmp_path, "hang"), "interactive.1": beating(tmp_path, "never")})
    hung, other = run.children["api"].pid, run.children["interactive.1"].pid
    run.run_for(3.0)
    assert run.said == []
    (tmp_path / "hang").touch()
    run.until(lambda: run.said)
    assert run.said == ["api killed: no sign of life for 1 s"]
    (tmp_path / "hang").unlink()
    run.until(lambda: run.children["api"].running and run.children["api"].pid != hung)
    run.run_for(2.5)
    assert len(run.said) == 1
    assert run.children["interactive.1"].pid == other


def test_a_hung_process_is_found_although_the_heartbeats_were_deleted(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start({"api": beating(tmp_path, "hang")})
    run.run_for(2.0)
    shutil.rmtree(tmp_path / "heartbeats")
    run.run_for(2.0)
    assert run.said == []
    (tmp_path / "hang").touch()
    run.until(lambda: run.said)
    assert run.said == ["api killed: no sign of life for 1 s"]


def test_a_start_may_take_long_but_not_for_ever(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start({"api": SLEEPER})
    run.run_for(2.5)
    assert run.said == []
    monkeypatch.setattr(hangs, "START_TIMEOUT_S", 0.5)
    run.until(lambda: run.said)


def test_a_server_that_does_not_answer_is_killed(start: Callable[..., Run]) -> None:
    is_well = True
    run = start({"cache": SLEEPER}, {"cache": lambda: is_well})
    run.run_for(3.0)
    assert run.said == []
    is_well = False
    run.until(lambda: run.said)
    assert run.said == ["cache killed: no sign of life for 1 s"]


def test_a_worker_that_waits_for_the_broker_is_not_killed(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    is_up = True
    run = start({"interactive.1": beating(tmp_path, "hang")}, {"broker": lambda: is_up})
    run.run_for(2.0)
    is_up = False
    run.run_for(1.5)  # the next probe
    (tmp_path / "hang").touch()
    run.run_for(3.0)
    assert run.said == []
    is_up = True
    run.until(lambda: run.said)


def test_without_its_file_a_process_is_not_judged(
    start: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hangs, "START_TIMEOUT_S", 0.5)
    run = start({"api": SLEEPER})
    (tmp_path / "heartbeats" / "api").unlink()
    run.run_for(2.0)
    assert run.said == []


def test_probes_tell_servers_that_answer_from_those_that_do_not(servers: Servers) -> None:
    assert redis_probe(servers.settings.redis_url)()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not redis_probe(f"redis://127.0.0.1:{port}")()
    assert not redis_probe(f"redis://127.0.0.1:{port}")()
    assert not http_probe(f"127.0.0.1:{port}", "/livez")()


def test_systemd_is_told_that_the_service_is_ready_lives_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notifier = SystemdNotifier()
        assert "NOTIFY_SOCKET" not in os.environ, "children must not speak for the service"
        notifier.ready()
        notifier.alive()
        notifier.alive()
        notifier.stopping()
        received = [systemd.recv(100) for _ in range(3)]
    assert received == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1\nWATCHDOG=1"]
    notifier.alive()  # nobody listens any more


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    SystemdNotifier().ready()
