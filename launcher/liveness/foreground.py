"""Runs one process of the service, and ends it if it hangs; `carprice run` becomes this program.

It takes the place of the supervisor in a container, whose restart policy starts it again. It
imports little, because it stays in memory as long as the process runs.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from launcher.liveness.hangs import (
    CHECK_INTERVAL_S,
    NEEDS_BROKER,
    START_TIMEOUT_S,
    HangDetector,
    create_heartbeats,
)
from launcher.liveness.probes import Probe, http_probe, redis_probe
from shared.heartbeat import heartbeat_environment

FOREGROUND_MODULE = "launcher.liveness.foreground"

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
FORWARDED_SIGNALS = {*STOP_SIGNALS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
"""Signals that are passed on to the process, which alone decides what they mean."""

_PR_SET_PDEATHSIG = 1
"""Option of prctl(2)."""


class ForegroundProcess:
    """The process, which has the output and the input of this one.

    Args:
        name: its kind.
        line: shell command.
        heartbeat: file of its heartbeat.
        signal_mask: signals that it begins with blocked.

    Raises:
        OSError: the system has no process or memory for it.
    """

    def __init__(self, name: str, line: str, heartbeat: Path, signal_mask: set[int]) -> None:
        self.name = name
        prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

        def prepare() -> None:
            # If this program is killed, nothing supervises the process, and nobody would know it.
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, signal_mask)

        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {line}"],
            env={**os.environ, **heartbeat_environment(heartbeat)},
            # The signals of a terminal reach it once, through this process.
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - there are no other threads yet
        )

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def kill_group(self) -> None:
        """Kill the process and its children."""
        os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int | None:
        """Reap what has ended, orphans included: this process may be the first of a container.

        Returns:
            None while the process runs, then its exit code; 128 and its number after a signal.
        """
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == self.pid:
                self.kill_group()  # its id is reserved until it is reaped
            _, status = os.waitpid(ended.si_pid, 0)
            if ended.si_pid == self.pid:
                code = self._process.returncode = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        return None


def hang_detector(kind: str, address: str, heartbeats: Path) -> HangDetector:
    """What finds a process of this kind that hangs.

    Args:
        kind: of the process.
        address: `host:port` or URL at which it answers; "" if it has none.
        heartbeats: folder of its heartbeat.
    """
    probes: dict[str, Probe] = {}
    wakers: dict[str, Probe] = {}
    if kind in {"broker", "cache"}:
        probes[kind] = redis_probe(address)
    elif kind == "flower":
        probes[kind] = http_probe(address, "/healthcheck")
    elif kind == "api":
        wakers[kind] = http_probe(address, "/livez")
    elif kind in NEEDS_BROKER:
        probes["broker"] = redis_probe(os.environ["REDIS_URL"])
    return HangDetector(heartbeats, probes, wakers, _say)


def main(kind: str, address: str, heartbeats: str, line: str) -> int:
    """Run the process to its end and return its exit code.

    Args:
        kind: of the process.
        address: as for `hang_detector`.
        heartbeats: folder in which this run gets a folder of its own: others may share it.
        line: shell command.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    awaited = {*FORWARDED_SIGNALS, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    folder = Path(heartbeats) / f"{os.getpid()}-{os.urandom(6).hex()}"
    create_heartbeats(folder, [kind])
    try:
        try:
            process = ForegroundProcess(kind, line, folder / kind, {*before} - awaited)
        except OSError as error:
            _say(f"{kind} cannot be started: {error}")
            return 1
        detector = hang_detector(kind, address, folder)
        checks_again_at = 0.0
        while (code := process.reap()) is None:
            received = signal.sigtimedwait(awaited, CHECK_INTERVAL_S)
            if received is not None and received.si_signo in FORWARDED_SIGNALS:
                os.kill(process.pid, received.si_signo)
                if received.si_signo in STOP_SIGNALS:
                    # It finishes its work without heartbeat; who stops it decides how long.
                    checks_again_at = float("inf")
                elif received.si_signo == signal.SIGHUP:  # it may start again, with the same id
                    checks_again_at = max(checks_again_at, time.monotonic() + START_TIMEOUT_S)
            if not (folder / kind).exists():  # there was no space for it
                create_heartbeats(folder, [kind])
            if time.monotonic() >= checks_again_at:
                detector.check([process], {})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"carprice: {text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
