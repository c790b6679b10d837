"""One process of a run: its life, its output and its restarts."""

import collections
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

RESTART_DELAYS_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Waits before the first, second … restart in a row; the last one repeats."""

STABLE_AFTER_S = 30.0
"""A process that lived this long starts again at the first delay."""

MAX_CRASHES = 5
CRASH_WINDOW_S = 30.0
"""A process that ends by itself this often within this time will not recover by itself."""

EXTERNAL_STOP_CODES = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
"""Ends that came from outside say nothing about the process itself."""

READ_BYTES = 65_536
LINE_MAX_BYTES = 1_000_000
"""A longer line is passed on in parts."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What to run, and its name in logs."""

    name: str
    line: str
    env: Mapping[str, str]
    cwd: Path


class Child:
    """A process that is started, watched and started again."""

    def __init__(self, command: Command) -> None:
        self.name = command.name
        self.restart_at: float | None = None
        self.output_open = False
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restarts_in_a_row = 0
        self._crashes: collections.deque[float] = collections.deque(maxlen=MAX_CRASHES)
        self._unfinished_line = b""

    @property
    def running(self) -> bool:
        """Whether the process has been started and its end not been noted yet."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        assert self._process is not None  # noqa: S101 - asked of running children only
        return self._process.pid

    @property
    def output_fd(self) -> int:
        """Where its output can be read without waiting."""
        assert self._process is not None  # noqa: S101 - asked of running children only
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        return self._process.stdout.fileno()

    def start(self) -> None:
        """Start the process in a session of its own, so that only the supervisor signals it."""
        self.restart_at = None
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self._command.line}"],
            env=dict(self._command.env),
            cwd=self._command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.output_open = True
        os.set_blocking(self.output_fd, False)

    def lines(self) -> list[bytes]:
        """The lines completed by what can be read now without waiting."""
        chunk = self._read()
        *complete, self._unfinished_line = (self._unfinished_line + chunk).split(b"\n")
        if len(self._unfinished_line) > LINE_MAX_BYTES:
            complete.append(self._unfinished_line)
            self._unfinished_line = b""
        return complete

    def drain_output(self) -> list[bytes]:
        """Everything that is left to read of a process that has ended."""
        last: list[bytes] = []
        while self.output_open and (lines := self.lines()):
            last += lines
        return [*last, self._unfinished_line] if self._unfinished_line else last

    def _read(self) -> bytes:
        try:
            chunk = os.read(self.output_fd, READ_BYTES)
        except BlockingIOError:
            return b""
        self.output_open = chunk != b""
        return chunk

    def has_exited(self) -> bool:
        """Whether the process is over; its id stays reserved until `reap`."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def reap(self) -> int:
        """Note the end: kill what is left of its group, then free its id.

        Returns:
            The exit code; negative for a signal.
        """
        assert self._process is not None  # noqa: S101 - asked of running children only
        os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        self._unfinished_line = b""
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, which tells its own children.

        Not by `Popen`, which frees the id of a process that has ended in between: `reap` does.
        """
        if self._process is not None:
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """End the process and its children at once."""
        os.killpg(self.pid, signal.SIGKILL)

    def schedule_restart(self, code: int) -> float:
        """Decide when to start again after an end with this exit code.

        Returns:
            Seconds from now.
        """
        now = time.monotonic()
        if code not in EXTERNAL_STOP_CODES:
            self._crashes.append(now)
        if now - self._started_at > STABLE_AFTER_S:
            self._restarts_in_a_row = 0
        delay_s = RESTART_DELAYS_S[min(self._restarts_in_a_row, len(RESTART_DELAYS_S) - 1)]
        self._restarts_in_a_row += 1
        self.restart_at = now + delay_s
        return delay_s

    @property
    def is_crash_looping(self) -> bool:
        """Whether it ended by itself too often in too short a time."""
        full = len(self._crashes) == MAX_CRASHES
        return full and self._crashes[-1] - self._crashes[0] < CRASH_WINDOW_S


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
