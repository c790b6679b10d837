"""Supervisor: starts processes in tiers, restarts them, and stops them in reverse order.

A single-threaded loop handles output, exits and restarts every `POLL_INTERVAL_S`.
"""

import selectors
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, Self

from launcher.child import Child, describe_exit
from launcher.liveness.hangs import HangDetector
from launcher.output import OUTAGE_QUIET_S, Output
from launcher.watchdog import Watchdog
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason

POLL_INTERVAL_S = 0.1
START_RETRY_S = 1.0
"""Delay after the system has refused to start a process."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNAL_DEBOUNCE_S = 1.0
"""Signals within this time count once: terminal, shell and `make` may send the same one."""


class CrashLoopError(RuntimeError):
    """A process crashes repeatedly; the message is the last line on the terminal."""


class Supervisor:
    """Runs tiers of children until a stop signal arrives or one of them is in a crash loop."""

    def __init__(
        self,
        tiers: Sequence[Sequence[Child]],
        *,
        output: Output,
        watchdog: Watchdog,
        hangs: HangDetector | None = None,
        is_disk_full: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare; nothing starts yet.

        Args:
            tiers: in start order; they stop in reverse order.
            output: receives the lines of the children.
            watchdog: kills the process groups of the children if this process is killed.
            hangs: kills children that hang; None: nobody does.
            is_disk_full: whether the processes lack disk space; their exits are no crashes then.
        """
        self._tiers: Final = tiers
        self._output: Final = output
        self._watchdog: Final = watchdog
        self._hangs: Final = hangs
        self._is_disk_full: Final = is_disk_full
        self._repeated_said_at: Final[dict[str, float]] = {}
        self._selector: Final = selectors.DefaultSelector()
        self.stop_requests = 0
        self._last_request_at = float("-inf")

    def __enter__(self) -> Self:
        """Install the handlers of the stop signals."""
        self._previous_handlers = {
            number: signal.signal(number, self._on_stop) for number in STOP_SIGNALS
        }
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all children that still run, and restore the signal handlers."""
        for child in self._running():
            child.kill_group()
            self._reap(child)
        self._watchdog.close()
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last_request_at > SIGNAL_DEBOUNCE_S:
            self.stop_requests += 1
        self._last_request_at = now

    def start_tier(self, index: int, ready: Callable[[], bool]) -> None:
        """Start a tier and wait until it is ready or a stop is requested.

        Raises:
            CrashLoopError: a process crashes repeatedly.
        """
        for child in self._tiers[index]:
            self._start(child)
        while not self.stop_requests and not ready():
            self.run_once()

    def run_once(self) -> None:
        """One round of the loop: relay output, handle exits, do the restarts that are due.

        Raises:
            CrashLoopError: a process crashes repeatedly.
        """
        self._relay(POLL_INTERVAL_S)
        self._watchdog.restart_if_dead()
        if self._hangs is not None:
            self._hangs.check(self._running(), {self._watchdog.pid: "watchdog"})
        for child in self._running():
            if child.has_exited():
                self._handle_exit(child)
        for child in self._children():
            if child.restart_at is not None and child.restart_at <= time.monotonic():
                self._start(child)

    def stop(self, tier_timeouts_s: Sequence[float]) -> None:
        """Stop all tiers in reverse order: SIGTERM, then SIGKILL after the timeout of the tier.

        A second stop signal kills all processes at once.
        """
        for tier, timeout_s in reversed(list(zip(self._tiers, tier_timeouts_s, strict=True))):
            for child in tier:
                child.restart_at = None
                child.signal(signal.SIGTERM)
            self._wait_for_exit(tier, time.monotonic() + timeout_s)

    def _wait_for_exit(self, tier: Sequence[Child], deadline: float) -> None:
        """Wait until the processes of a tier have exited; kill them after the deadline."""
        while running := [child for child in tier if child.running]:
            if self.stop_requests > 1 or time.monotonic() > deadline:
                self._output.say(
                    _("{names} killed: still running").format(
                        names=", ".join(c.name for c in running)
                    )
                )
                for child in running:
                    child.kill_group()
            self._relay(POLL_INTERVAL_S)
            for child in running:
                if child.has_exited():
                    self._reap(child)

    def _start(self, child: Child) -> None:
        """Start a child, later if the system has no process or memory for it now."""
        try:
            child.start()
        except OSError as error:
            child.restart_at = time.monotonic() + START_RETRY_S
            self._say_once(
                child.name,
                _("{name} cannot be started ({reason}); trying again").format(
                    name=child.name, reason=os_reason(error)
                ),
            )
            return
        self._watchdog.watch(child.pid)
        self._selector.register(child.output_fd, selectors.EVENT_READ, child)

    def _handle_exit(self, child: Child) -> None:
        """Report the unexpected exit of a child and schedule its restart."""
        code = self._reap(child)
        if self._is_disk_full():
            child.schedule_restart(code, is_disk_full=True)
            self._say_once(
                child.name,
                _(
                    "{name} {exit} while the disk is full (or /dev/shm); it starts again "
                    "until there is space"
                ).format(name=child.name, exit=describe_exit(code)),
            )
            return
        delay_s = child.schedule_restart(code)
        if child.is_crash_looping:
            raise CrashLoopError(
                _("{name} {exit} again and again: see its lines above").format(
                    name=child.name, exit=describe_exit(code)
                )
            )
        self._output.say(
            _("{name} {exit}; it starts again in {seconds} s").format(
                name=child.name, exit=describe_exit(code), seconds=f"{delay_s:g}"
            )
        )

    def _say_once(self, name: str, text: str) -> None:
        """Say something about a process that is repeated, once a minute."""
        now = time.monotonic()
        if now - self._repeated_said_at.get(name, float("-inf")) > OUTAGE_QUIET_S:
            self._repeated_said_at[name] = now
            self._output.say(text)

    def _reap(self, child: Child) -> int:
        """Relay the remaining output of an exited child, then reap it."""
        if child.output_open:
            self._selector.unregister(child.output_fd)
        for line in child.drain_output():
            self._output.relay(child.name, line)
        group = child.pid
        code = child.reap()
        self._watchdog.unwatch(group)
        return code

    def _relay(self, timeout_s: float) -> None:
        """Relay the output of the children that arrives within this time."""
        for key, _events in self._selector.select(timeout_s):
            child = key.data
            for line in child.lines():
                self._output.relay(child.name, line)
            if not child.output_open:
                self._selector.unregister(key.fd)

    def _children(self) -> list[Child]:
        return [child for tier in self._tiers for child in tier]

    def _running(self) -> list[Child]:
        return [child for child in self._children() if child.running]
