"""A host with an audit log of its own that shares it with others."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.ops.audit_statistics import AuditStats
from api.sales.log import SaleReportLog
from api.sales.shared_search import SharedAuditSearch
from shared.audit.checkpoints import Checkpoints
from shared.audit.hosts.exchange import AuditExchange
from shared.audit.hosts.questions import AnswerThread
from shared.audit.hosts.shared_records import SharedRecords
from shared.audit.hosts.views import HostManifests, HostRecords
from shared.audit.log import AuditLog
from shared.domain.ids import ValuationId, new_id
from shared.redis import keys
from shared.redis.connections import RedisClient
from shared.settings import Settings
from shared.state.objects import StateObjects
from tests.audit_segments import audit_record


class Host:
    """A host that shares its audit log."""

    def __init__(self, folder: Path, objects: StateObjects, broker: RedisClient, name: str) -> None:
        self.settings = Settings(home=folder, audit_path=folder / "audit")
        self.folder = self.settings.audit_folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.objects = objects
        self.broker = broker
        self.name = name
        self.shift_s = 0.0
        self.restart()

    def clock(self) -> float:
        """Its time of day."""
        return time.time() + self.shift_s

    def restart(self) -> None:
        """Start its processes, with nothing in memory."""
        self.checkpoints = Checkpoints.of(self.settings, self.clock)
        self.log = AuditLog(
            self.folder, f"worker-{new_id()}", self.clock, checkpoints=self.checkpoints
        )
        self.exchange = AuditExchange(
            self.folder, self.settings.checkpoints_folder, self.objects, self.name
        )
        self.manifests = HostManifests(self.folder)
        self.search = SharedAuditSearch(
            HostRecords(self.manifests, self.objects), self.settings, self.clock
        )
        self.sales = SaleReportLog(
            self.folder, f"api-{new_id()}", self.clock, checkpoints=self.checkpoints
        )
        self.records = SharedRecords(self.folder, self.objects, self.broker)

    def answer(self, car: Any, valuation_id: str | None = None, **options: Any) -> str:
        """Record an answer; return its id."""
        made = valuation_id or new_id()
        record = dataclasses.replace(
            audit_record(car, **options), id=ValuationId(made), at=self.clock()
        )
        self.log.append([record])
        return made

    def copy(self) -> None:
        """Write the checkpoints and copy."""
        self.log.flush()
        self.exchange.copy()

    def figures(self, **options: Any) -> dict[str, Any]:
        """The statistics of today."""
        day = time.strftime("%Y-%m-%d", time.gmtime(self.clock()))
        stats = AuditStats(self.folder, self.settings.checkpoints_folder, hosts=self.manifests)
        return stats.of_day(day, **options)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Answer the questions of others meanwhile."""
        thread = AnswerThread(self.broker, self.exchange.host, self.exchange.look, lambda: True)
        thread.start()
        try:
            yield
        finally:
            thread.stop()

    def sign(self) -> None:
        """Give the sign of life that its thread gives."""
        self.broker.sadd(keys.AUDIT_HOSTS, self.exchange.host)
        self.broker.set(keys.audit_host(self.exchange.host), 1, ex=30)


def two_hosts(folder: Path, objects: StateObjects, broker: RedisClient) -> tuple[Host, Host]:
    """Two hosts with the same name."""
    return Host(folder / "a", objects, broker, "worker"), Host(
        folder / "b", objects, broker, "worker"
    )
