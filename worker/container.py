"""The composition root of a worker: builds every service once per process."""

import dataclasses
import os
import time
from collections.abc import Sequence

from celery import Celery

from shared.adapters.celery_dispatch import CeleryDispatcher
from shared.adapters.jsonl_audit import JsonlAuditLog
from shared.adapters.redis_cache import RedisValuationCache
from shared.adapters.redis_client import RedisClient, connect
from shared.adapters.redis_jobs import RedisJobStore
from shared.domain.ids import new_id
from shared.settings import Settings
from worker.runtime.model_runtime import ModelRuntime
from worker.services.sweep import JobSweep
from worker.services.valuation import ValuationService
from worker.tasks.maintenance import Sweep


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkerServices:
    """What the tasks of one process call."""

    broker: RedisClient
    valuation: ValuationService
    sweeps: Sequence[Sweep]


def build_services(settings: Settings, app: Celery, runtime: ModelRuntime) -> WorkerServices:
    """Wire the services of this process; connections open at their first use.

    Args:
        settings: with `redis_url` and `cache_url` filled in.
        app: the Celery application, for what workers send themselves.
        runtime: the model, loaded by the parent before it forked.
    """
    clock = time.time
    broker = connect(settings.redis_url)
    jobs = RedisJobStore(
        broker, clock, retention_s=settings.job_retention_s, lease_s=settings.job_lease_s
    )
    dispatcher = CeleryDispatcher(
        app, broker, jobs, group_max_cars=settings.group_max_cars, slots=settings.group_slots
    )
    audit = JsonlAuditLog(settings.audit_folder, f"worker-{os.getpid()}-{new_id()}", clock)
    cache = RedisValuationCache(connect(settings.cache_url), settings.cache_ttl_s, clock)
    return WorkerServices(
        broker=broker,
        valuation=ValuationService(
            runtime=runtime,
            audit=audit,
            cache=cache,
            jobs=jobs,
            client=broker,
            clock=clock,
            max_attempts=settings.job_max_attempts,
        ),
        sweeps=[JobSweep(jobs, dispatcher, max_attempts=settings.job_max_attempts)],
    )
