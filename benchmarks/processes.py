"""Programs of a run: started in groups of their own, asked for their CPU time, always ended."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PR_SET_PDEATHSIG = 1
PRIVATE_PAGES = {"Pss_Anon:", "Pss_Shmem:"}
STOP_TIMEOUT_S = 45.0
"""More than the service's own patience with its processes."""
POLL_S = 0.1


class ProgramError(RuntimeError):
    """A program did not start or failed; the message holds its last words."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to start, from the repository's folder."""

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def peak_mb(pid: int) -> float:
    """Most memory that a process has held, by the kernel's own count; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) * 1024 / 1e6 if found else 0.0


def private_mb(pid: int) -> float:
    """Memory that a process itself fills, resident now; 0 if it is gone.

    Pages of files (programs and libraries) do not count: all processes share them, and the kernel
    drops them when memory is short. Pages that a fork shares are divided among its sharers.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    lines = [line.split() for line in rollup.splitlines()]
    return sum(1024 * int(line[1]) / 1e6 for line in lines if line[0] in PRIVATE_PAGES)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process' environment with additions; the repository's packages can be imported."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **extra}


class Program:
    """One started program with all the processes that it starts itself."""

    def __init__(self, command: Command, log: Path) -> None:
        self.name = command.name
        self._log = log
        self._family: dict[int, psutil.Process] = {}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command.arguments,
                cwd=ROOT,
                env=environment(command.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_exit_with_parent,  # noqa: PLW1509 - this process has one thread
            )

    def check(self) -> None:
        """Make sure that it still runs.

        Raises:
            ProgramError: it has ended.
        """
        if self._process.poll() is not None:
            last_words = self._log.read_text(encoding="utf-8", errors="replace")[-1500:]
            code = self._process.returncode
            raise ProgramError(f"{self.name} ended with exit code {code}\n{last_words.strip()}")

    def family(self) -> list[psutil.Process]:
        """The process and its descendants that are alive."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._process.pid)
            self._family.update({one.pid: one for one in (own, *own.children(recursive=True))})
        return [one for one in self._family.values() if one.is_running()]

    def cpu_s(self) -> float:
        """CPU time of the whole family so far; of ended members what their parents got told."""
        total = 0.0
        for one in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:4])
        return total

    def stop(self) -> None:
        """Ask it to end; end whatever is left after a while."""
        family = self.family()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()


def wait_until_ready(url: str, programs: Sequence[Program], timeout_s: float) -> None:
    """Wait until a URL answers 200.

    Raises:
        ProgramError: one of the programs has ended, or the time is up.
    """
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        for program in programs:
            program.check()
        if _answers(url):
            return
        time.sleep(POLL_S)
    raise ProgramError(f"{url} is not ready within {timeout_s:.0f} s")


def _answers(url: str) -> bool:
    """Whether a URL answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def run_to_completion(command: Command, timeout_s: float) -> tuple[str, float]:
    """Run a program that ends by itself.

    Returns:
        What it printed, and its CPU time in seconds.

    Raises:
        ProgramError: it failed, or took too long.
    """
    before = os.times()
    try:
        done = subprocess.run(
            command.arguments,
            cwd=ROOT,
            env=environment(command.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            preexec_fn=_exit_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{command.name} did not end within {timeout_s:.0f} s") from error
    after = os.times()
    if done.returncode != 0:
        raise ProgramError(f"{command.name} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
    cpu_s = after.children_user + after.children_system
    return done.stdout, cpu_s - before.children_user - before.children_system


def _exit_with_parent() -> None:
    """Let the kernel end a program when this one is gone, even by SIGKILL."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
