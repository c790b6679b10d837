"""Statistics of a day of the audit log, in time that does not grow with the log.

The sums of a file are stored beside it (`shared.audit.sums`); only lines that were added since are
read. Many unread lines, as after an update from a release that stored no sums, are read by a child
process, one at a time.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.ops.daily_sums import DaySums
from shared.audit.chain import FILE_PATTERN
from shared.audit.hosts.views import HostManifests
from shared.audit.sums import CallerSums, StoredSums, store_sums
from shared.domain.errors import StatisticsPending
from shared.domain.ids import CallerId
from shared.logging import get_logger

MAX_CACHED_DAYS = 8
"""Days whose sums are kept in memory (least recently used is evicted)."""
INLINE_BYTES = 8 << 20
"""Unread bytes of a day up to which they are read at once: 50 ms."""
MAX_WAITING = 4
"""Threads that may wait for a child process, of all days together."""
WAIT_S = 20.0
"""How long each of them waits."""
LOCK_WAIT_S = 2.0
"""How long a thread waits for others that ask about the same day."""
_ROOT = Path(__file__).parents[2]

log = get_logger("audit.stats")

SumFiles = Callable[[Path, str, list[tuple[str, int]]], list[StoredSums]]
"""`sum_files(folder, day, files)` sums whole files; each is given by its name and size."""


class AuditStats:
    """Statistics of `/predictions/stats`.

    Args:
        folder: the audit log.
        checkpoints: their folder, which holds the sums of the files of processes; None: none.
        wait_s: how long a call waits while a child process reads.
        sum_files: sums files whose lines are too many to be read at once.
        hosts: what other hosts have copied of their logs; None: there are none.
    """

    def __init__(
        self,
        folder: Path,
        checkpoints: Path | None = None,
        *,
        wait_s: float = WAIT_S,
        sum_files: SumFiles | None = None,
        hosts: HostManifests | None = None,
    ) -> None:
        self._hosts = hosts
        self._folder = folder
        self._checkpoints = checkpoints
        self._wait_s = wait_s
        self._sum_files = sum_files or sum_files_in_child
        self._lock = threading.Lock()
        self._days: OrderedDict[str, DaySums] = OrderedDict()
        self._listing: tuple[int, dict[str, list[str]]] = (-1, {})
        self._reading: dict[str, threading.Event] = {}
        self._child = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def of_day(self, day: str, caller: CallerId | None = None) -> dict[str, Any]:
        """Statistics of a UTC day (`YYYY-MM-DD`), with the field names of the reference API.

        Args:
            day: the day.
            caller: whose valuations are counted; None: those of all callers.

        Raises:
            StatisticsPending: the log is being read; later calls succeed.
        """
        names = self._names(day)
        totals = self._own(day, names, caller) if names else CallerSums()
        if self._hosts is not None:
            totals.merge(self._hosts.sums(day, names, caller))
        return _figures(day, totals)

    def _own(self, day: str, names: list[str], caller: CallerId | None) -> CallerSums:
        """The sums of a day on this host."""
        sums = self._day(day)
        if (totals := self._read(day, names, sums, caller)) is None:
            self._wait_for_child(day, names, sums)
            totals = self._read(day, names, sums, caller)
        if totals is None:
            raise StatisticsPending
        return totals

    def _read(
        self, day: str, names: list[str], sums: DaySums, caller: CallerId | None
    ) -> CallerSums | None:
        """The sums of a day; None if too much is unread."""
        with self._reading_allowed(sums):
            if not sums.read(names, INLINE_BYTES):
                return None
            # What was read here is stored, so that it is not read again after a restart.
            if unsaved := sums.unsaved():
                self._store(day, unsaved)
            return sums.of(caller)

    @contextlib.contextmanager
    def _reading_allowed(self, sums: DaySums) -> Any:
        if not sums.lock.acquire(timeout=LOCK_WAIT_S):
            raise StatisticsPending
        try:
            yield
        finally:
            sums.lock.release()

    def _wait_for_child(self, day: str, names: list[str], sums: DaySums) -> None:
        """Have the unread files of a day read by a child process, and wait for it."""
        with self._lock:
            done = self._reading.get(day)
            if done is None:
                done = self._reading[day] = threading.Event()
                threading.Thread(
                    target=self._run_child, args=(day, names, sums, done), daemon=True
                ).start()
        if not self._waiting.acquire(blocking=False):
            raise StatisticsPending
        try:
            done.wait(self._wait_s)
        finally:
            self._waiting.release()

    def _run_child(self, day: str, names: list[str], sums: DaySums, done: threading.Event) -> None:
        try:
            with self._child:
                found = self._sum_files(self._folder, day, sums.unread(names))
                self._store(day, found)
                with sums.lock:
                    sums.take(found)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("audit_sums_not_read", day=day, error=repr(error))
        finally:
            with self._lock:
                del self._reading[day]
            done.set()

    def _store(self, day: str, found: list[StoredSums]) -> None:
        try:
            store_sums(self._folder, day, found)
        except OSError as error:  # they are in memory, and read again after a restart
            log.warning("audit_sums_not_stored", day=day, error=repr(error))

    def _day(self, day: str) -> DaySums:
        """The entry of a day; evicts the least recently used one if there are too many."""
        with self._lock:
            found = self._days.get(day)
            if found is None:
                found = self._days[day] = DaySums(self._folder, day, self._checkpoints)
            self._days.move_to_end(day)
            if len(self._days) > MAX_CACHED_DAYS:
                self._days.popitem(last=False)
            return found

    def _names(self, day: str) -> list[str]:
        """Names of the files of a day; the folder is listed again only if it has changed."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        with self._lock:
            if self._listing[0] != changed:
                days: dict[str, list[str]] = {}
                for name in os.listdir(self._folder):  # noqa: PTH208 - names only, of many files
                    if (match := FILE_PATTERN.fullmatch(name)) is not None:
                        days.setdefault(match[1], []).append(name)
                self._listing = (changed, days)
            return self._listing[1].get(day, [])


def sum_files_in_child(folder: Path, day: str, files: list[tuple[str, int]]) -> list[StoredSums]:
    """Sum files in a child process of low priority, which holds no lock of this interpreter.

    Raises:
        OSError, subprocess.SubprocessError: it did not start or did not succeed.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}
    names = "".join(f"{name}\n" for name, _ in files)
    log.info("audit_sums_reading", day=day, files=len(files))
    done = subprocess.run(
        [sys.executable, "-m", "shared.audit.sum_files", str(folder.resolve())],
        input=names.encode(), stdout=subprocess.PIPE, cwd=_ROOT, env=env, check=True,
    )  # fmt: skip
    return [found for line in done.stdout.splitlines() if (found := StoredSums.decode(line))]


def _figures(day: str, sums: CallerSums) -> dict[str, Any]:
    total = sums.successes + sums.failures
    figures: dict[str, Any] = {"date": day, "total_predictions": total}
    if total == 0:
        figures["message"] = "Aucune prédiction pour cette date"
    return figures | {
        "successful_predictions": sums.successes,
        "failed_predictions": sums.failures,
        "cache_hits": sums.cache_hits,
        "cache_hit_rate": round(100 * sums.cache_hits / total, 2) if total else 0.0,
        "average_price": round(sums.price_sum / sums.successes, 2) if sums.successes else 0.0,
        "min_price": sums.price_min if sums.successes else 0.0,
        "max_price": sums.price_max,
        "average_response_time_ms": round(sums.response_ms_sum / total, 2) if total else 0.0,
        "model_versions": dict(Counter(sums.versions)),
    }
