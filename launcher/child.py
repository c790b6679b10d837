"""A child process of the supervisor: start, output, exit and restart delays."""

import collections
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.i18n.command import gettext as _

RESTART_DELAYS_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Delays before the first, second … restart in a row; the last one repeats."""

STABLE_AFTER_S = 30.0
"""A process that ran this long is restarted with the first delay."""

MAX_CRASHES = 5
CRASH_WINDOW_S = 30.0
"""This many crashes within this time are a crash loop."""

FULL_DISK_DELAY_S = 1.0
"""Delay while the disk is full, so that the service is back soon after space is."""

EXTERNAL_STOP_CODES = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
"""Exit codes after signals from outside; they do not count as crashes."""

READ_BYTES = 65_536
LINE_MAX_BYTES = 1_000_000
"""Longer lines of output are split."""


class Child:
    """A process that can be started, observed and restarted.

    Args:
        name: in logs.
        line: shell command.
        env: environment of the process.
        cwd: its working directory.
        keep_open: file descriptors that it inherits (locks).
    """

    def __init__(
        self,
        *,
        name: str,
        line: str,
        env: Mapping[str, str],
        cwd: Path,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.restart_at: float | None = None
        self.output_open = False
        self._line = line
        self._env = env
        self._cwd = cwd
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restarts_in_a_row = 0
        self._crashes: collections.deque[float] = collections.deque(maxlen=MAX_CRASHES)
        self._unfinished_line = b""

    @property
    def running(self) -> bool:
        """Whether the process has been started and not yet reaped."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        assert self._process is not None  # noqa: S101 - for running children only
        return self._process.pid

    @property
    def output_fd(self) -> int:
        """Non-blocking file descriptor of its output."""
        assert self._process is not None  # noqa: S101 - for running children only
        assert self._process.stdout is not None  # noqa: S101 - started with a pipe
        return self._process.stdout.fileno()

    def start(self) -> None:
        """Start the process in its own session, so that only the supervisor signals it."""
        self.restart_at = None
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self._line}"],
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self._keep_open,
        )
        self.output_open = True
        os.set_blocking(self.output_fd, False)

    def lines(self) -> list[bytes]:
        """The complete lines of output that are available now."""
        chunk = self._read()
        *complete, self._unfinished_line = (self._unfinished_line + chunk).split(b"\n")
        if len(self._unfinished_line) > LINE_MAX_BYTES:
            complete.append(self._unfinished_line)
            self._unfinished_line = b""
        return complete

    def drain_output(self) -> list[bytes]:
        """The remaining output of an exited process."""
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
        """Whether the process has exited; its id stays reserved until `reap`."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def reap(self) -> int:
        """Kill the rest of the process group, then wait for the exited process.

        Returns:
            The exit code; negative for a signal.
        """
        assert self._process is not None  # noqa: S101 - for running children only
        os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        self._unfinished_line = b""
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, which passes it to its own children.

        `Popen.send_signal` is not used: it would reap an exited process.
        """
        if self._process is not None:
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill the process and its children."""
        os.killpg(self.pid, signal.SIGKILL)

    def schedule_restart(self, code: int, *, is_disk_full: bool = False) -> float:
        """Schedule the restart after an exit with this code.

        Args:
            code: as `reap` returns it.
            is_disk_full: the exit says nothing about the program and does not count as a crash.

        Returns:
            Seconds from now.
        """
        now = time.monotonic()
        if is_disk_full:
            self._crashes.clear()
            self._restarts_in_a_row = 0
            self.restart_at = now + FULL_DISK_DELAY_S
            return FULL_DISK_DELAY_S
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
        """Whether it crashed `MAX_CRASHES` times within `CRASH_WINDOW_S`."""
        full = len(self._crashes) == MAX_CRASHES
        return full and self._crashes[-1] - self._crashes[0] < CRASH_WINDOW_S


def describe_exit(code: int) -> str:
    """An exit code in words, for messages."""
    if code >= 0:
        return _("ended with exit code {code}").format(code=code)
    return _("was ended by {signal}").format(signal=signal.Signals(-code).name)
