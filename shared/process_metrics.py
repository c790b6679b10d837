"""Metrics of the processes of this host, of its memory and of the disk of the home.

They are read at each scrape: nothing runs in between, and a process that has ended is gone.
"""

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.process_figures import ProcessTable

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Names this start of the machine's kernel, also within containers."""


class ProcessCollector(Collector):
    """The figures as metrics, read at each scrape.

    Args:
        home: the folder of the service, as in the environment of its processes.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._table = ProcessTable(home)
        self._host = socket.gethostname()

    def describe(self) -> list[Metric]:
        """Nothing: the registry needs no scrape to know the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of processes, home and machine."""
        yield from self._processes()
        yield from self._home_space()
        yield from self._memory()

    def _processes(self) -> Iterator[Metric]:
        labels = ["role", "process", "host"]
        cpu = CounterMetricFamily(
            "process_cpu_seconds", "User and system time of a process.", labels=labels
        )
        gauges = {
            name: GaugeMetricFamily(name, meaning, labels=labels)
            for name, meaning in _PROCESS_GAUGES.items()
        }
        for process, each in sorted(self._table.read().items()):
            key = [process.partition(".")[0], process, self._host]
            cpu.add_metric(key, each.cpu_s)
            values = (
                each.resident_bytes,
                each.open_files,
                each.files_limit,
                each.files_share,
                each.threads,
                each.started_at,
            )
            for family, value in zip(gauges.values(), values, strict=True):
                family.add_metric(key, value)
        yield cpu
        yield from gauges.values()

    def _home_space(self) -> Iterator[Metric]:
        try:
            space = os.statvfs(self._home)
            disk = _disk_id(Path(self._home).stat().st_dev)
        except OSError:
            return
        for name, meaning, blocks in (
            ("carprice_home_size_bytes", "Size of the disk of CARPRICE_HOME.", space.f_blocks),
            ("carprice_home_free_bytes", "Space that the service may use.", space.f_bavail),
        ):
            family = GaugeMetricFamily(name, meaning, labels=["host", "disk"])
            family.add_metric([self._host, disk], blocks * space.f_frsize)
            yield family

    def _gauge(self, name: str, meaning: str, value: float) -> GaugeMetricFamily:
        """A gauge of this host."""
        family = GaugeMetricFamily(name, meaning, labels=["host"])
        family.add_metric([self._host], value)
        return family

    def _memory(self) -> Iterator[Metric]:
        total, available = _memory_bytes()
        yield self._gauge(
            "carprice_memory_total_bytes", "Memory of the machine, or of the container.", total
        )
        yield self._gauge(
            "carprice_memory_available_bytes", "Memory that programs can still have.", available
        )
        yield self._gauge("carprice_cpus", "Processors of the machine.", os.cpu_count() or 1)


def _disk_id(device: int) -> str:
    """A name of a mounted disk that all containers of one machine give it, and no other machine.

    Args:
        device: number of the file system, as the kernel of this machine counts them.
    """
    # Containers have host names and machine ids of their own, and share what the kernel has.
    machine = BOOT_ID.read_bytes() if BOOT_ID.exists() else socket.gethostname().encode()
    return hashlib.sha256(b"%b %d" % (machine.strip(), device)).hexdigest()[:8]


_PROCESS_GAUGES = {
    "process_resident_memory_bytes": "Resident memory; shared pages count in each process.",
    "process_open_fds": "Open files.",
    "process_max_fds": "Limit of open files of one process.",
    "process_open_fds_ratio": "Largest share of its limit that one process has open.",
    "process_threads": "Threads.",
    "process_start_time_seconds": "Unix time of the start.",
}


def _memory_bytes() -> tuple[int, int]:
    """Total and available memory, of the container if that has a limit."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    pairs = (line.split(":") for line in lines)
    machine = {name: int(value.split()[0]) * 1024 for name, value in pairs}
    total, available = machine["MemTotal"], machine["MemAvailable"]
    with contextlib.suppress(OSError, ValueError, KeyError):  # no limit, or an older kernel
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        rows = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        freeable = {name: int(value) for name, value in rows}["inactive_file"]
        used = int((group / "memory.current").read_text()) - freeable
        if limit < total:
            total, available = limit, min(available, max(limit - used, 0))
    return total, available
