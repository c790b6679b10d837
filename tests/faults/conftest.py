"""A service with short leases whose processes a test may kill or suspend."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Service, running_service, short_folder

COMMAND_PARTS = {
    "broker": "carprice-broker",
    "cache": "carprice-cache",
    "flush": "launcher.broker_flush",
    "interactive": "--queues interactive",
    "bulk": "--queues bulk",
    "beat": "worker.main beat",
    "api": "granian",
}


class FaultInjector:
    """Kills, suspends and resumes processes of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def processes(self, kind: str) -> list[psutil.Process]:
        """Return the processes of one kind, including the children of pools."""
        found = psutil.Process(self.service.process.pid).children(recursive=True)
        return [each for each in found if COMMAND_PARTS[kind] in self._command(each)]

    def kill(self, kind: str) -> None:
        """SIGKILL every process of one kind."""
        for process in self.processes(kind):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def suspend(self, kind: str) -> None:
        """SIGSTOP every process of one kind."""
        self._signal(kind, signal.SIGSTOP)

    def resume(self, kind: str) -> None:
        """SIGCONT every process of one kind."""
        self._signal(kind, signal.SIGCONT)

    def _signal(self, kind: str, number: int) -> None:
        for process in self.processes(kind):
            os.kill(process.pid, number)

    @staticmethod
    def _command(process: psutil.Process) -> str:
        try:
            return " ".join(process.cmdline())
        except psutil.Error:
            return ""


@pytest.fixture(scope="module")
def faults(models_path: Path) -> Iterator[FaultInjector]:
    """One service per module; every test leaves it healthy."""
    with (
        short_folder() as home,
        running_service(
            home, models_path, JOB_LEASE_S="2", PREDICT_WAIT_S="2", BATCH_CHUNK_ROWS="250"
        ) as service,
    ):
        yield FaultInjector(service)
