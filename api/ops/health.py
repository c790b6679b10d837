"""Health checks: whether each dependency works, and how long its check took."""

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from api.ops.folder_check import check_folder
from model_store.registry.registry import ActiveVersionCache
from shared.domain.errors import (
    AuditUnavailable,
    BrokerFull,
    BrokerUnavailable,
    DomainError,
    ModelNotLoaded,
    StorageUnavailable,
)
from shared.metrics import ServiceSnapshot
from shared.redis.batch_ledger.backlog import BacklogReader
from shared.redis.cache import EstimateCache
from shared.redis.job_store.memory import BrokerMemory
from shared.redis.model_figures import ModelFigures, ModelFiguresStore, months_since
from shared.redis.webhooks.store import WebhookStore
from shared.redis.workers import WorkerRegistry

_NO_FIGURES = ModelFigures(
    version=None, cars=0, psi={}, psi_given={}, sale_errors={}, sale_reports={}
)


class WorkersMissing(Exception):
    """A queue has no worker; the message has the number of workers of each queue."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The state of one dependency."""

    name: str
    ok: bool
    required: bool
    """Whether this process can neither accept nor record work without it."""
    latency_ms: float
    detail: str


class Stopping(Exception):
    """The process has been told to stop, and accepts work for a short time only."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Checks what this process needs, and what the service as a whole needs.

    Required is what this process needs to accept work and to record answers. Workers are not: work
    is accepted without them and waits in the broker, and another API process has no others.
    """

    active_model: ActiveVersionCache
    workers: WorkerRegistry
    memory: BrokerMemory
    cache: EstimateCache
    model_figures: ModelFiguresStore
    webhooks: WebhookStore
    audit_folder: Path
    storage_folder: Path | None
    """Folder of the files of batches; None: they are in an object store, which is not checked."""
    audit_flushes: Sequence[Callable[[], None]] = ()
    """Each raises `AuditUnavailable` while the last flush of a log of this process has failed."""
    copies: Callable[[], None] | None = None
    """Raises a domain error if this host's copies of shared state are old; None: none is shared."""
    further: dict[str, Callable[[], None]] = dataclasses.field(default_factory=dict)
    """Further required checks by name: each raises a domain error if it fails."""
    backlog: BacklogReader
    callers_waiting: Callable[[], int]
    """How many requests for single cars wait in this process for a worker."""

    def stop(self) -> None:
        """Report from now on that this process stops, by a check that fails."""
        self.further["stopping"] = _fail_stopping

    def checks(self) -> list[Check]:
        """Check every dependency now."""
        broker = _check("broker", self._check_broker, required=True)
        # Heartbeats are in the broker: asking a dead one again would take its timeout twice.
        workers = (
            _check("workers", self._check_workers, required=False)
            if broker.detail != BrokerUnavailable.code
            else dataclasses.replace(broker, name="workers", required=False, latency_ms=0.0)
        )
        return [
            _check("model", self._check_model, required=True),
            broker,
            workers,
            _check("cache", self.cache.ping, required=False),
            _check("audit", self._check_audit, required=True),
            _check("storage", self._check_storage, required=False),
            *([] if self.copies is None else [_check("state", self.copies, required=False)]),
            *(_check(name, check, required=True) for name, check in self.further.items()),
        ]

    def snapshot(self) -> ServiceSnapshot:
        """The gauges of `/metrics`; values that cannot be read are left out."""
        version_id = self.active_model.version_id()
        version = self.active_model.manifest(version_id) if version_id else None
        checks = self.checks()
        try:
            _require_broker(checks)
            messages, ages = self.workers.waiting()
            workers = self.workers.live_counts()
            figures = self.model_figures.get() or _NO_FIGURES
            webhooks = self.webhooks.figures()._asdict()
            backlog = self.backlog.read()
        except BrokerUnavailable:
            messages, ages, workers, figures, webhooks = {}, {}, {}, _NO_FIGURES, {}
            backlog = None
        is_current = version is not None and figures.version == version.id
        today = dt.datetime.now(dt.UTC).date()
        return ServiceSnapshot(
            model_version=version.id if version else None,
            model_trained_on=version.created_at.date().isoformat() if version else "",
            cached_estimates=self.cache.size(),
            queue_messages=messages,
            queue_oldest_age_s=ages,
            workers=workers,
            checks={(check.name, check.required): check.ok for check in checks},
            data_age_months=months_since(version.data_as_of, today) if version else None,
            drift_cars=figures.cars if is_current else None,
            # After an activation, those of the version before say nothing about the new one.
            drift_psi=figures.psi if is_current else {},
            drift_psi_given=figures.psi_given if is_current else {},
            sale_errors=figures.sale_errors,
            sale_reports=figures.sale_reports,
            webhooks=webhooks,
            callers_waiting=self.callers_waiting(),
            backlog_rows=backlog.rows if backlog else None,
            oldest_open_batch_s=backlog.oldest_s if backlog else None,
        )

    def _check_broker(self) -> None:
        self.workers.check_writable()
        if self.memory.is_full():
            raise BrokerFull(reason="the rest of its memory is reserved for accepted work")

    def _check_model(self) -> str:
        version = self.active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        return version

    def _check_workers(self) -> str:
        counts = self.workers.live_counts()
        text = ", ".join(f"{queue}: {count}" for queue, count in counts.items())
        if not all(counts.values()):
            raise WorkersMissing(text)
        return text

    def _check_audit(self) -> None:
        try:
            check_folder(self.audit_folder)
        except OSError as error:
            raise AuditUnavailable(reason=error.strerror or str(error)) from error
        for check_flush in self.audit_flushes:
            check_flush()

    def _check_storage(self) -> None:
        if self.storage_folder is None:
            return
        try:
            check_folder(self.storage_folder)
        except OSError as error:
            raise StorageUnavailable(reason=error.strerror or str(error)) from error


def _fail_stopping() -> None:
    raise Stopping


def _require_broker(checks: list[Check]) -> None:
    """Raise `BrokerUnavailable` if its check has just failed so: no second timeout is waited for.

    Raises:
        BrokerUnavailable: the check of the broker failed with it.
    """
    for check in checks:
        if check.name == "broker" and check.detail == BrokerUnavailable.code:
            raise BrokerUnavailable(reason="its check failed")


def _check(name: str, check: Callable[[], str | None], *, required: bool) -> Check:
    started = time.perf_counter()
    try:
        detail, ok = check() or "", True
    except DomainError as error:
        # Only the code is published, because the message may contain addresses.
        detail, ok = error.code, False
    except WorkersMissing as error:
        detail, ok = str(error), False
    except Stopping:
        detail, ok = "told to stop", False
    except redis.RedisError as error:
        detail, ok = type(error).__name__, False
    return Check(
        name=name,
        ok=ok,
        required=required,
        latency_ms=round(1000 * (time.perf_counter() - started), 3),
        detail=detail,
    )
