"""Processor time, memory and open files of the processes of one home, read from `/proc`.

A process belongs to the service of a home if its environment says so, or its parent does.
"""

import contextlib
import os
import re
import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HOME_VARIABLE = "CARPRICE_HOME"
NAME_VARIABLE = "HONCHO_PROCESS_NAME"
"""Name of a process of the Procfile, like `interactive.2`."""

SUPERVISOR_VARIABLE = "CARPRICE_SUPERVISOR"
"""Process id of the supervisor, which its children know."""

SUPERVISOR = "supervisor"
TITLE_PREFIX = "carprice-"
"""Of the titles of the embedded servers, which overwrite their environment with it."""

_NAME = re.compile(r"[a-z][a-z-]*(\.[A-Za-z0-9_-]+)?")
"""Other texts name no process of the service, and may be no text for Prometheus."""

_SETTLED_S = 10.0
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessId(NamedTuple):
    """A process for all times: numbers are used again."""

    pid: int
    started_ticks: int
    """Since the machine was started."""


class ProcessState(NamedTuple):
    """What `/proc/PID/stat` says."""

    id: ProcessId
    parent: int
    cpu_s: float
    """Its own time and that of its threads."""
    ended_children_cpu_s: float
    threads: int
    resident_bytes: int


@dataclass
class ProcessFigures:
    """Sums over the processes of one name: a worker and its pool, a process and its children."""

    cpu_s: float = 0.0
    resident_bytes: int = 0
    threads: int = 0
    open_files: int = 0
    files_limit: float = float("inf")
    """Of the process with the lowest limit."""
    files_share: float = 0.0
    """Largest share of its limit that one of them has open."""
    started_at: float = float("inf")
    """Unix time of the first of them."""


class Membership(NamedTuple):
    """What the environment of a process says."""

    name: str
    supervisor: int
    """Process id of the parent of all; 0 without one."""


@dataclass
class ProcessTable:
    """The processes of one home.

    Args:
        home: its folder, as in the environment of the processes.
    """

    home: str
    _known: dict[ProcessId, Membership | None] = field(default_factory=dict)
    """Of processes that were seen before."""

    def read(self) -> dict[str, ProcessFigures]:
        """The figures by the name of the process."""
        states = {state.id.pid: state for state in _states()}
        found = {state.id: self._membership(state) for state in states.values()}
        now_ticks = time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S
        # A process that has just been forked gets its environment by its exec.
        self._known = {
            each: member
            for each, member in found.items()
            if member is not None or now_ticks - each.started_ticks > _SETTLED_S * _TICKS_PER_S
        }
        names = {each.pid: member.name for each, member in found.items() if member is not None}
        # Only a parent: the number may be that of another process by now, or in a container.
        supervisors = {
            member.supervisor
            for each, member in found.items()
            if member is not None and states[each.pid].parent == member.supervisor
        }
        names |= {pid: SUPERVISOR for pid in supervisors if pid in states}
        for pid, state in states.items():
            if state.parent in supervisors and pid not in names and (name := _title(pid)):
                names[pid] = name
        return _sums(states, names)

    def _membership(self, state: ProcessState) -> Membership | None:
        if state.id in self._known:
            return self._known[state.id]
        env = _environment(state.id.pid)
        name, supervisor = env.get(NAME_VARIABLE), env.get(SUPERVISOR_VARIABLE, "")
        if not name or not _NAME.fullmatch(name) or env.get(HOME_VARIABLE) != self.home:
            return None
        return Membership(name, int(supervisor) if re.fullmatch(r"[0-9]{1,9}", supervisor) else 0)


def _title(pid: int) -> str | None:
    """The name of an embedded server."""
    title = _read(pid, "cmdline").partition(b"\0")[0].decode(errors="replace")
    if not title.startswith(TITLE_PREFIX):
        return None
    return title.removeprefix(TITLE_PREFIX).split()[0]


def _sums(
    states: Mapping[int, ProcessState], names: Mapping[int, str]
) -> dict[str, ProcessFigures]:
    figures: dict[str, ProcessFigures] = defaultdict(ProcessFigures)
    boot_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for pid, state in states.items():
        name = _name(pid, names, states)
        if name is not None:
            _add(figures[name], name, state, boot_at)
    return figures


def _name(pid: int, names: Mapping[int, str], states: Mapping[int, ProcessState]) -> str | None:
    """The name of a process, or that of the nearest of its parents that has one."""
    while pid in states:
        if pid in names:
            return names[pid]
        pid = states[pid].parent
    return None


def _add(figures: ProcessFigures, name: str, state: ProcessState, boot_at: float) -> None:
    figures.cpu_s += state.cpu_s
    # The time of an ended child moves to its parent, so that the sum never falls. The children
    # of the supervisor have names of their own.
    if name != SUPERVISOR:
        figures.cpu_s += state.ended_children_cpu_s
    figures.resident_bytes += state.resident_bytes
    figures.threads += state.threads
    started_at = boot_at + state.id.started_ticks / _TICKS_PER_S
    figures.started_at = min(figures.started_at, started_at)
    with contextlib.suppress(OSError, ValueError):  # it has ended, or belongs to somebody else
        count = _open_files(state.id.pid)
        limit, _ = resource.prlimit(state.id.pid, resource.RLIMIT_NOFILE)
        figures.open_files += count
        if limit != resource.RLIM_INFINITY:
            figures.files_limit = min(figures.files_limit, limit)
            figures.files_share = max(figures.files_share, count / limit)


def _states() -> Iterator[ProcessState]:
    """All processes that can be seen."""
    for entry in os.listdir(_PROC):  # noqa: PTH208 - a tenth of the time of iterdir
        if entry.isdigit() and (text := _read(int(entry), "stat")):
            # The name, in parentheses, may hold anything.
            values = text.rpartition(b")")[2].split()
            own, ended = (sum(map(int, values[at : at + 2])) / _TICKS_PER_S for at in (11, 13))
            yield ProcessState(
                id=ProcessId(int(entry), int(values[19])),
                parent=int(values[1]),
                cpu_s=own,
                ended_children_cpu_s=ended,
                threads=int(values[17]),
                resident_bytes=int(values[21]) * _PAGE_BYTES,
            )


def _read(pid: int, name: str) -> bytes:
    """A file of a process; empty if it has ended or belongs to somebody else."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return b""


def _environment(pid: int) -> dict[str, str]:
    entries = _read(pid, "environ").decode(errors="surrogateescape").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _open_files(pid: int) -> int:
    """Number of open files of a process; raises `OSError`."""
    folder = f"/proc/{pid}/fd"
    return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208
