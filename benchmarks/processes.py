"""Starts the programs of a run, measures their CPU time and memory, and always ends them."""

import contextlib
import ctypes
import os
import signal
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
"""Longer than the service's supervisor waits for its processes."""
POLL_S = 0.1


class ProgramError(RuntimeError):
    """A program did not start or failed; the message contains the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program to start in the repository's folder."""

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def peak_mb(pid: int) -> float:
    """Return the peak resident memory of a process as the kernel reports it; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) * 1024 / 1e6 if found else 0.0


def private_mb(pid: int) -> float:
    """Return the private resident memory of a process; 0 if it has ended.

    Pages of files (programs and libraries) do not count: processes share them, and the kernel can
    drop them. Pages shared since a fork are divided by the number of processes that share them.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    lines = [line.split() for line in rollup.splitlines()]
    return sum(1024 * int(line[1]) / 1e6 for line in lines if line[0] in PRIVATE_PAGES)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with additions and the repository on PYTHONPATH."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **extra}


class Program:
    """A started program and all its descendant processes."""

    def __init__(self, command: Command, log: Path) -> None:
        self.name = command.name
        self._log = log
        self._seen: dict[int, psutil.Process] = {}
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

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def check(self) -> None:
        """Check that it still runs.

        Raises:
            ProgramError: it has ended.
        """
        if self._process.poll() is not None:
            output = self._log.read_text(encoding="utf-8", errors="replace")[-1500:]
            code = self._process.returncode
            raise ProgramError(f"{self.name} ended with exit code {code}\n{output.strip()}")

    def processes(self) -> list[psutil.Process]:
        """Return the process and its descendants that are alive."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._process.pid)
            self._seen.update({one.pid: one for one in (own, *own.children(recursive=True))})
        return [one for one in self._seen.values() if one.is_running()]

    def cpu_s(self) -> float:
        """Return the CPU time of all its processes so far, including reaped children."""
        total = 0.0
        for one in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:4])
        return total

    def stop(self) -> None:
        """Send SIGTERM, wait `STOP_TIMEOUT_S`, then kill all remaining processes."""
        processes = self.processes()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()


def wait_until_ready(url: str, programs: Sequence[Program], timeout_s: float) -> None:
    """Wait until a URL answers 200.

    Raises:
        ProgramError: one of the programs has ended, or the time has run out.
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
    """Return whether a URL answers 2xx, and not that the service is degraded: without workers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return b'"degraded"' not in answer.read()
    except OSError:
        return False


def run_to_completion(command: Command, timeout_s: float) -> tuple[str, float]:
    """Run a program that ends by itself.

    Returns:
        Its standard output, and its CPU time in seconds.

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
    """Let the kernel send SIGTERM to the program when this process ends, even by SIGKILL."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
