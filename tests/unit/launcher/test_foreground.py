"""`carprice run` supervises its one process; small real processes stand for the service's."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, wait_until

# Short times, and the orphans of the process come to it as to process 1.
PROGRAM = """
import ctypes, sys
from launcher.liveness import foreground, hangs
foreground.CHECK_INTERVAL_S = hangs.CHECK_INTERVAL_S = 0.1
hangs.SUSPENDED_AFTER_S = 0.5
hangs.SILENT_AFTER_S = {"api": 1.0, "interactive": 1.0}
ctypes.CDLL(None).prctl(36, 1)
sys.exit(foreground.main(*sys.argv[1:]))
"""
BEATS_UNTIL_TOLD = """
import pathlib, signal, sys, time
from shared.heartbeat import Heartbeat
folder = pathlib.Path(sys.argv[1])
def note(number, frame):
    with (folder / "signals").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGTERM:
        time.sleep(float(sys.argv[2]))
        sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
(folder / "ready").touch()
while True:
    if not (folder / "hang").exists():
        Heartbeat().beat()
    time.sleep(0.05)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(line: str, kind: str = "flush") -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, kind, "127.0.0.1:1", str(tmp_path / "beats"), line],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": "redis://127.0.0.1:1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.communicate()


def beating(folder: Path, stop_takes_s: float = 0.0) -> str:
    program = f"{sys.executable} -c {shlex.quote(BEATS_UNTIL_TOLD)}"
    return f"{program} {shlex.quote(str(folder))} {stop_takes_s}"


def child_of(process: "subprocess.Popen[str]") -> psutil.Process:
    (child,) = wait_until(lambda: psutil.Process(process.pid).children())
    return child


def end_of(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_output_and_exit_code_are_those_of_the_process(start: Start) -> None:
    line = "sh -c 'printf \"no line feed\"; echo trouble >&2; exit 5'"
    assert end_of(start(line)) == (5, "no line feed", "trouble\n")


def test_a_process_that_is_killed_ends_the_command_with_the_code_of_a_shell(start: Start) -> None:
    process = start("sleep 600")
    child_of(process).send_signal(signal.SIGKILL)
    assert end_of(process) == (137, "", "")


def test_a_process_whose_loop_hangs_is_killed_and_the_command_fails(
    start: Start, tmp_path: Path
) -> None:
    process = start(beating(tmp_path), "api")
    wait_until((tmp_path / "ready").exists)
    time.sleep(2.5)
    assert process.poll() is None, "it beats"
    (tmp_path / "hang").touch()
    assert end_of(process) == (137, "", "carprice: api killed: no sign of life for 1 s\n")
    assert list((tmp_path / "beats").iterdir()) == []


def test_a_worker_that_waits_for_the_broker_is_not_killed(start: Start, tmp_path: Path) -> None:
    process = start(beating(tmp_path), "interactive")
    wait_until((tmp_path / "ready").exists)
    time.sleep(1.5)
    (tmp_path / "hang").touch()
    time.sleep(2.5)
    assert process.poll() is None


def test_a_suspended_process_is_killed_with_its_children(start: Start) -> None:
    process = start("sh -c 'sleep 601 & wait'")
    child = child_of(process)
    (grandchild,) = wait_until(child.children)
    child.suspend()
    code, _, said = end_of(process)
    assert (code, said) == (137, "carprice: flush killed: suspended for 0 s\n")
    wait_until(lambda: not grandchild.is_running())


def test_the_heartbeat_is_found_although_its_folder_could_not_be_made(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "beats").write_text("a file")
    process = start(beating(tmp_path), "api")
    wait_until((tmp_path / "ready").exists)
    (tmp_path / "beats").unlink()
    time.sleep(2.0)
    (tmp_path / "hang").touch()
    assert end_of(process)[0] == 137


def test_a_process_may_take_its_time_to_stop(start: Start, tmp_path: Path) -> None:
    process = start(beating(tmp_path, 3.0), "api")
    wait_until((tmp_path / "ready").exists)
    time.sleep(0.5)
    process.terminate()
    # It gives no sign of life meanwhile, for longer than a hung process may.
    assert end_of(process) == (7, "", "")


def test_signals_reach_the_process_once(start: Start, tmp_path: Path) -> None:
    process = start(beating(tmp_path), "api")
    wait_until((tmp_path / "ready").exists)
    signals = tmp_path / "signals"
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
        wait_until(lambda name=number.name: signals.exists() and name in signals.read_text())
    assert end_of(process) == (7, "", "")
    assert signals.read_text().split() == ["SIGHUP", "SIGUSR1", "SIGINT", "SIGTERM"]


def test_a_signal_that_comes_before_the_process_exists_stops_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocked and sent, as if it had come while `carprice run` became this program.
    early = "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    monkeypatch.setattr(f"{__name__}.PROGRAM", f"{early}os.kill(os.getpid(), 15)\n{PROGRAM}")
    assert end_of(start("sleep 600")) == (128 + signal.SIGTERM, "", "")


def test_orphans_are_reaped(start: Start) -> None:
    process = start("sh -c '(sleep 1 & sleep 1.2 &) ; exec sleep 600'")
    wait_until(lambda: len(psutil.Process(process.pid).children()) == 3)
    wait_until(lambda: len(psutil.Process(process.pid).children()) == 1)
    assert process.poll() is None


def test_the_process_does_not_outlive_the_command(start: Start) -> None:
    process = start("sleep 600")
    child = child_of(process)
    wait_until(lambda: child.name() == "sleep")
    process.kill()
    try:
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_the_command_stays_small(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("COV")]:
        monkeypatch.delenv(name)  # measuring the coverage takes 10 MB
    process = start("sleep 600")
    child_of(process)
    memory = psutil.Process(process.pid).memory_full_info()
    assert memory.rss < 25_000_000
    assert memory.uss < 15_000_000
