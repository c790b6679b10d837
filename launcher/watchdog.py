"""Watchdog: a process that kills the process groups of a run if its supervisor is killed.

The supervisor registers groups through a pipe; the end of the pipe means that it has died.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

CODE_ROOT = Path(__file__).parents[1]
_PR_SET_PDEATHSIG = 1
"""Option of prctl(2)."""


class Watchdog:
    """The watchdog process, as the supervisor controls it."""

    def __init__(self, keep_open: Sequence[int] = ()) -> None:
        """Start the watchdog.

        Args:
            keep_open: file descriptors that stay open until the last group is killed (locks).
        """
        self._keep_open = tuple(keep_open)
        self._groups: set[int] = set()
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def watch(self, group: int) -> None:
        """Kill this process group if the supervisor dies."""
        self._groups.add(group)
        self._send_line(f"+{group}")

    def unwatch(self, group: int) -> None:
        """Unregister a process group that has exited."""
        self._groups.discard(group)
        self._send_line(f"-{group}")

    def restart_if_dead(self) -> None:
        """Start the watchdog again if it was killed."""
        if self._process.poll() is not None:
            self.close()
            try:
                self._process = self._start()
            except OSError:  # no process or memory for it now: the next round tries again
                return
            for group in self._groups:
                self._send_line(f"+{group}")

    def close(self) -> None:
        """End the watchdog, which kills the groups that are still registered."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "launcher.watchdog"],
            cwd=CODE_ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
            pass_fds=self._keep_open,
            bufsize=0,
        )

    def _send_line(self, line: str) -> None:
        """Write to the pipe; a dead watchdog is ignored, as `restart_if_dead` replaces it."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.write(f"{line}\n".encode())
            except BrokenPipeError:
                return


def remaining_groups(lines: Iterable[bytes]) -> set[int]:
    """The process groups that were registered and not unregistered."""
    groups: set[int] = set()
    for line in lines:
        sign, group = line[:1], int(line[1:])
        if sign == b"+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def kill_groups(groups: Iterable[int]) -> None:
    """Kill process groups; queue, ledger and audit log are designed to survive that."""
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def main(pipe: BinaryIO) -> None:
    """Wait for the end of the pipe, then kill the registered groups."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kill_groups(remaining_groups(pipe))


def die_with_parent() -> bool:
    """Make the kernel send SIGTERM to this process when its parent dies, even by SIGKILL.

    The setting survives exec; children do not inherit it.

    Returns:
        False if the parent has already died.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


if __name__ == "__main__":
    main(sys.stdin.buffer)
