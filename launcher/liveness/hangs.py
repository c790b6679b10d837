"""Finds processes that hang: suspended ones, and those whose main loop does not run any more.

They are killed, and the supervisor starts them again. No process is judged by a clock that goes on
while this one does not run: only time in which it checked counts.
"""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from launcher.liveness.probes import Probe, Prober
from shared.i18n.command import gettext as _

CHECK_INTERVAL_S = 1.0

SUSPENDED_AFTER_S = 10.0
"""A process that is stopped by a signal for this time is killed."""

START_TIMEOUT_S = 600.0
"""Longest time until the first sign of life: a worker may compile its kernels first."""

SILENT_AFTER_S = {
    "api": 15.0,
    "interactive": 60.0,
    "bulk": 60.0,
    "webhooks": 60.0,
    "beat": 60.0,
}
"""Time without heartbeat after which a process is killed, by kind. The loop of an interactive
worker stands still while it values a message."""

UNANSWERED_AFTER_S = {"broker": 10.0, "cache": 10.0, "flower": 60.0}
"""Time in which a server answers no probe after which it is killed, by kind."""

NEEDS_BROKER = {"interactive", "bulk", "beat"}
"""Kinds whose loop waits while the broker is down."""


class WatchedProcess(Protocol):
    """A running process that leads its process group."""

    @property
    def name(self) -> str:
        """Kind of the process, followed by a dot and a number if several run."""

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""

    def kill_group(self) -> None:
        """Kill the process and its children."""


class ProcessState(NamedTuple):
    """A line of the process table."""

    pid: int
    group: int
    is_suspended: bool


def process_table() -> list[ProcessState]:
    """The processes of this machine."""
    table = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # It may end meanwhile.
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                table.append(ProcessState(int(folder.name), int(fields[2]), fields[0] == b"T"))
    return table


@dataclasses.dataclass(slots=True)
class _Sign:
    """The last sign of life of one run of a process."""

    pid: int
    seen: int
    """What was last read: the time of its heartbeat or the number of its answers."""
    has_lived: bool = False
    silent_s: float = 0.0


class HangDetector:
    """Kills processes that hang.

    Args:
        heartbeats: folder of the files of heartbeats, named after the processes.
        probes: of the servers, by the names of their processes, and of an external broker.
        wakers: by the names of processes whose heartbeat begins with their first request, probes
            that send one.
        say: is given a line about each killed process.
        table: reads the process table.
    """

    def __init__(
        self,
        heartbeats: Path,
        probes: Mapping[str, Probe],
        wakers: Mapping[str, Probe],
        say: Callable[[str], None],
        table: Callable[[], Iterable[ProcessState]] = process_table,
    ) -> None:
        self._heartbeats = heartbeats
        self._probers = {name: Prober(probe) for name, probe in probes.items()}
        self._wakers = {name: Prober(probe) for name, probe in wakers.items()}
        self._say = say
        self._table = table
        self._signs: dict[str, _Sign] = {}
        self._suspended_s: dict[int, float] = {}
        self._checked_at = time.monotonic()

    def check(self, running: Sequence[WatchedProcess], others: Mapping[int, str]) -> None:
        """Kill what hangs; to be called in each round of the supervisor.

        Args:
            running: the processes that run.
            others: names of further process groups, by id.
        """
        now = time.monotonic()
        if now - self._checked_at < CHECK_INTERVAL_S:
            return
        elapsed_s = min(now - self._checked_at, 2 * CHECK_INTERVAL_S)
        self._checked_at = now
        self._kill_suspended({**others, **{child.pid: child.name for child in running}}, elapsed_s)
        for child in running:
            self._kill_silent(child, elapsed_s)

    def _kill_suspended(self, groups: Mapping[int, str], elapsed_s: float) -> None:
        suspended = [each for each in self._table() if each.is_suspended and each.group in groups]
        before = self._suspended_s
        self._suspended_s = {each.pid: before.get(each.pid, 0.0) + elapsed_s for each in suspended}
        for each in suspended:
            if self._suspended_s[each.pid] > SUSPENDED_AFTER_S:
                name = groups[each.group]
                self._say(
                    _("{name} killed: suspended for {seconds} s").format(
                        name=name, seconds=f"{SUSPENDED_AFTER_S:.0f}"
                    )
                )
                with contextlib.suppress(ProcessLookupError):
                    if each.pid == each.group:
                        os.killpg(each.group, signal.SIGKILL)
                    else:
                        os.kill(each.pid, signal.SIGKILL)

    def _kill_silent(self, child: WatchedProcess, elapsed_s: float) -> None:
        kind = child.name.partition(".")[0]
        limit_s = SILENT_AFTER_S.get(kind) or UNANSWERED_AFTER_S.get(kind)
        if limit_s is None:
            return
        seen = self._sign_of(child.name)
        sign = self._signs.get(child.name)
        if seen is None:
            if sign is not None and sign.has_lived:
                # Shared memory was cleared; the process goes on with a new file.
                create_heartbeats(self._heartbeats, [child.name])
            return
        if sign is None or sign.pid != child.pid:
            self._signs[child.name] = _Sign(child.pid, seen)
            self._wake(child.name, is_needed=True)
            return
        if seen != sign.seen:
            sign.seen, sign.has_lived, sign.silent_s = seen, True, 0.0
            self._wake(child.name, is_needed=False)
            return
        if kind in NEEDS_BROKER and not self._is_broker_answering():
            sign.silent_s = 0.0
            return
        sign.silent_s += elapsed_s
        if sign.silent_s > (limit_s if sign.has_lived else START_TIMEOUT_S):
            sign.silent_s = 0.0
            self._say(
                _("{name} killed: no sign of life for {seconds} s").format(
                    name=child.name, seconds=f"{limit_s:.0f}"
                )
            )
            child.kill_group()

    def _wake(self, name: str, *, is_needed: bool) -> None:
        if name in self._wakers:
            self._wakers[name].is_needed = is_needed

    def _sign_of(self, name: str) -> int | None:
        """What changes while a process lives; None if nothing tells."""
        if name in self._probers:
            return self._probers[name].answers
        try:
            return (self._heartbeats / name).stat().st_mtime_ns
        except OSError:
            return None

    def _is_broker_answering(self) -> bool:
        broker = self._probers.get("broker")
        return broker is None or broker.is_answering


def create_heartbeats(folder: Path, names: Iterable[str]) -> None:
    """Create the files of the heartbeats; without one, its process has no heartbeat."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch(mode=0o600)
