"""Health checks: whether each dependency works, and how long its check took."""

import dataclasses
import time
from collections.abc import Callable

import redis

from model_store.registry.registry import ActiveVersionCache
from shared.domain.errors import BrokerUnavailable, DomainError, ModelNotLoaded
from shared.metrics import ServiceSnapshot
from shared.queue.names import QueueName
from shared.redis.cache import ValuationCache
from shared.redis.workers import WorkerRegistry


class WorkersMissing(Exception):
    """No worker serves the interactive queue."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The state of one dependency."""

    name: str
    ok: bool
    required: bool
    """Whether the service cannot answer without it."""
    latency_ms: float
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Checks the dependencies of the service."""

    active_model: ActiveVersionCache
    workers: WorkerRegistry
    cache: ValuationCache

    def checks(self) -> list[Check]:
        """Check every dependency now."""
        broker = _check("broker", self.workers.ping, required=True)
        # Heartbeats are in the broker: asking a dead one again would take its timeout twice.
        workers = (
            _check("workers", self._check_workers, required=True)
            if broker.ok
            else dataclasses.replace(broker, name="workers", latency_ms=0.0)
        )
        return [
            _check("model", self._check_model, required=True),
            broker,
            workers,
            _check("cache", self.cache.ping, required=False),
        ]

    def snapshot(self) -> ServiceSnapshot:
        """The gauges of `/metrics`; values that cannot be read are left out."""
        version_id = self.active_model.version_id()
        version = self.active_model.manifest(version_id) if version_id else None
        try:
            messages, ages = self.workers.waiting()
            workers = self.workers.live_counts()
        except BrokerUnavailable:
            messages, ages, workers = {}, {}, {}
        return ServiceSnapshot(
            model_version=version.id if version else None,
            model_trained_on=version.created_at.date().isoformat() if version else "",
            cached_estimates=self.cache.size(),
            queue_messages=messages,
            queue_oldest_age_s=ages,
            workers=workers,
        )

    def _check_model(self) -> str:
        version = self.active_model.version_id()
        if version is None:
            raise ModelNotLoaded
        return version

    def _check_workers(self) -> str:
        live_counts = self.workers.live_counts()
        if not live_counts[QueueName.INTERACTIVE]:
            raise WorkersMissing
        return ", ".join(f"{queue}: {count}" for queue, count in live_counts.items())


def _check(name: str, check: Callable[[], str | None], *, required: bool) -> Check:
    started = time.perf_counter()
    try:
        detail, ok = check() or "", True
    except DomainError as error:
        # Only the code is published, because the message may contain addresses.
        detail, ok = error.code, False
    except (WorkersMissing, redis.RedisError) as error:
        detail, ok = type(error).__name__, False
    return Check(
        name=name,
        ok=ok,
        required=required,
        latency_ms=round(1000 * (time.perf_counter() - started), 3),
        detail=detail,
    )
