"""The supervisor, with small real processes in place of the service's."""

import errno
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from launcher import child as child_module
from launcher import supervisor
from launcher.child import Child
from launcher.output import Output
from launcher.supervisor import CrashLoopError, Supervisor
from launcher.watchdog import Watchdog
from tests.conftest import wait_until

DEADLINE_S = 20.0

SLEEPER = "sh -c 'echo up; exec sleep 600'"


class Bench:
    """A supervisor over named commands, and what it printed."""

    def __init__(
        self, folder: Path, tiers: list[dict[str, str]], is_disk_full: Callable[[], bool]
    ) -> None:
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.terminal = io.StringIO()
        self.children = {
            name: Child(name=name, line=line, env=env, cwd=folder)
            for tier in tiers
            for name, line in tier.items()
        }
        self.supervisor = Supervisor(
            [[self.children[name] for name in tier] for tier in tiers],
            output=Output(folder, list(self.children), self.terminal),
            watchdog=Watchdog(),
            is_disk_full=is_disk_full,
        )
        self.tiers = len(tiers)

    def start(self) -> None:
        for index in range(self.tiers):
            self.supervisor.start_tier(index, ready=lambda: True)

    def until(self, condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < give_up_at, self.terminal.getvalue()
            self.supervisor.run_once()

    def printed(self, text: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.terminal.getvalue().count(f"| {text}") >= times


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*tiers: dict[str, str], is_disk_full: Callable[[], bool] = lambda: False) -> Bench:
        made.append(Bench(tmp_path, list(tiers), is_disk_full))
        made[-1].supervisor.__enter__()
        return made[-1]

    yield make
    for one in made:
        one.supervisor.__exit__(None, None, None)


def test_lines_of_a_process_appear_with_its_name_and_in_its_file(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    one = bench({"speaker": "sh -c 'echo salam; sleep 600'"})
    one.start()
    one.until(one.printed("salam"))
    assert "speaker  | salam" in one.terminal.getvalue()
    assert (tmp_path / "speaker.log").read_text() == "salam\n"


def test_a_killed_process_is_started_again_and_the_others_stay(
    bench: Callable[..., Bench],
) -> None:
    one = bench({"first": SLEEPER, "second": SLEEPER})
    one.start()
    one.until(one.printed("up", 2))
    killed, other = one.children["first"].pid, one.children["second"].pid
    os.kill(killed, signal.SIGKILL)
    one.until(one.printed("up", 3))
    assert one.children["first"].pid != killed
    assert one.children["second"].pid == other
    assert "first was ended by SIGKILL; it starts again" in one.terminal.getvalue()


def test_a_process_that_exits_during_the_stop_is_harmless(
    bench: Callable[..., Bench],
) -> None:
    """Its end has not been noted when it is told to end, and then it is over."""
    one = bench({"server": SLEEPER}, {"first": SLEEPER, "second": SLEEPER})
    one.start()
    one.until(one.printed("up", 3))
    for name in ("server", "first"):
        victim = one.children[name]
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(victim.has_exited, what="its end")
    one.supervisor.stop([5.0, 5.0])
    assert not any(child.running for child in one.children.values())


def test_children_of_a_killed_process_are_killed_too(
    bench: Callable[..., Bench],
) -> None:
    one = bench({"parent": "sh -c 'sleep 601 & echo child $!; wait'"})
    one.start()
    one.until(one.printed("child"))
    orphan = int(one.terminal.getvalue().rsplit("child", 1)[1].split()[0])
    os.kill(one.children["parent"].pid, signal.SIGKILL)
    one.until(lambda: not is_running(orphan))
    assert "parent was ended by SIGKILL; it starts again" in one.terminal.getvalue()


def test_a_crash_loop_stops_everything(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "RESTART_DELAYS_S", (0.0,))
    one = bench({"broken": "sh -c 'echo no module named x; exit 3'"})
    one.start()
    with pytest.raises(CrashLoopError, match="broken ended with exit code 3 again and again"):
        one.until(lambda: False)
    assert one.terminal.getvalue().count("no module named x") == 5


def test_exits_on_a_full_disk_are_no_crash_loop_and_are_reported_once(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(child_module, "RESTART_DELAYS_S", (0.0, 600.0))
    monkeypatch.setattr(child_module, "FULL_DISK_DELAY_S", 0.0)
    space = tmp_path / "space"
    waits = f"sh -c 'echo started; test -e {space} && exec sleep 600; exit 3'"
    one = bench({"writer": waits}, is_disk_full=lambda: not space.exists())
    one.start()
    one.until(one.printed("started", 8))
    space.touch()
    one.until(lambda: one.children["writer"].running and not one.children["writer"].has_exited())
    said = "writer ended with exit code 3 while the disk is full"
    assert one.terminal.getvalue().count(said) == 1


def test_a_system_without_processes_delays_a_start_and_stops_nothing(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "RESTART_DELAYS_S", (0.0,))
    monkeypatch.setattr(supervisor, "START_RETRY_S", 0.1)
    one = bench({"one": SLEEPER, "other": SLEEPER})
    one.start()
    one.until(one.printed("up", 2))
    other = one.children["other"].pid
    refused = 0

    def refuse(*_: object, **__: object) -> None:
        nonlocal refused
        refused += 1
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        os.kill(one.children["one"].pid, signal.SIGKILL)
        os.kill(one.supervisor._watchdog.pid, signal.SIGKILL)
        one.until(lambda: refused > 6)
        assert one.terminal.getvalue().count("one cannot be started") == 1
    one.until(one.printed("up", 3))
    assert one.children["other"].pid == other
    one.until(lambda: one.supervisor._watchdog._process.poll() is None)


def test_a_process_killed_from_outside_is_restarted_every_time(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "RESTART_DELAYS_S", (0.0,))
    one = bench({"victim": SLEEPER})
    one.start()
    for times in range(1, 8):
        one.until(one.printed("up", times))
        os.kill(one.children["victim"].pid, signal.SIGKILL)


def test_tiers_stop_in_reverse_order(bench: Callable[..., Bench]) -> None:
    polite = "sh -c 'trap \"echo bye; exit\" TERM; echo up; while :; do sleep 0.1; done'"
    one = bench({"server": polite}, {"worker": polite}, {"web": polite})
    one.start()
    one.until(one.printed("up", 3))
    one.supervisor.stop([10.0, 10.0, 10.0])
    goodbyes = [
        line.split()[1] for line in one.terminal.getvalue().splitlines() if line.endswith("bye")
    ]
    assert goodbyes == ["web", "worker", "server"]


def test_a_process_that_ignores_sigterm_is_killed_after_the_timeout(
    bench: Callable[..., Bench],
) -> None:
    one = bench({"deaf": "sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.1; done'"})
    one.start()
    one.until(one.printed("up"))
    pid = one.children["deaf"].pid
    one.supervisor.stop([0.3])
    assert not is_running(pid)


def test_no_process_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(
        textwrap.dedent("""
            import os, pathlib, sys
            from launcher.child import Child
            from launcher.watchdog import Watchdog
            from launcher.output import Output
            from launcher.supervisor import Supervisor
            here = pathlib.Path(sys.argv[1])
            line = "sh -c 'sleep 602 & echo grandchild $!; wait'"
            child = Child(name="one", line=line, env=dict(os.environ), cwd=here)
            guardian = Watchdog()
            with Supervisor([[child]], output=Output(here, ["one"]), watchdog=guardian) as it:
                it.start_tier(0, ready=lambda: True)
                while True:
                    it.run_once()
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(driver), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) == 3, "guardian, shell and its child"
    assert int(line.split()[-1]) in {one.pid for one in started}
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=DEADLINE_S)
    process.stdout.close()
    assert alive == []


def test_a_killed_watchdog_is_replaced_and_knows_the_groups() -> None:
    group = subprocess.Popen(["/bin/sleep", "603"], start_new_session=True)
    guardian = Watchdog()
    guardian.watch(group.pid)
    guardian._process.kill()
    guardian._process.wait()
    guardian.restart_if_dead()
    guardian.close()
    assert group.wait(timeout=DEADLINE_S) == -signal.SIGKILL


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a name in the table."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
