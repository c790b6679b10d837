"""Ends the processes of a run whose supervisor was killed."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

CODE_ROOT = Path(__file__).parents[1]


class Watchdog:
    """The supervisor's end of the pipe."""

    def __init__(self, keep_open: Sequence[int] = ()) -> None:
        """Start the watchdog.

        Args:
            keep_open: file descriptors that stay open until the last group is gone (locks).
        """
        self._keep_open = tuple(keep_open)
        self._groups: set[int] = set()
        self._process = self._start()

    def watch(self, group: int) -> None:
        """Kill this process group if the supervisor dies."""
        self._groups.add(group)
        self._send_line(f"+{group}")

    def unwatch(self, group: int) -> None:
        """This process group has ended."""
        self._groups.discard(group)
        self._send_line(f"-{group}")

    def restart_if_dead(self) -> None:
        """Start again if the guardian itself was killed."""
        if self._process.poll() is not None:
            self.close()
            self._process = self._start()
            for group in self._groups:
                self._send_line(f"+{group}")

    def close(self) -> None:
        """End the watchdog, and with it whatever group is still registered."""
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
        """A dead guardian is revived, and told everything, by the supervisor's next round."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(f"{line}\n".encode())
            except BrokenPipeError:
                return


def remaining_groups(lines: Iterable[bytes]) -> set[int]:
    """The process groups that were registered and not taken back."""
    groups: set[int] = set()
    for line in lines:
        sign, group = line[:1], int(line[1:])
        if sign == b"+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def kill_groups(groups: Iterable[int]) -> None:
    """End whole process groups at once: queue, ledger and audit log survive that by design."""
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def main(pipe: BinaryIO) -> None:
    """Wait for the end of the supervisor."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kill_groups(remaining_groups(pipe))


if __name__ == "__main__":
    main(sys.stdin.buffer)


_PR_SET_PDEATHSIG = 1


def die_with_parent() -> bool:
    """Have the kernel send this process SIGTERM when its parent dies, even by SIGKILL.

    It holds for whatever program this process becomes, not for its children.

    Returns:
        False if the parent has died already.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent
