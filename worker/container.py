"""The composition root of a worker: builds every service once per process."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Sequence

from shared.adapters.batch_files import BatchFiles
from shared.adapters.blob_stores import open_blob_store
from shared.adapters.celery_sender import TaskSender
from shared.adapters.jsonl_audit import AuditLog
from shared.adapters.redis_batches import BatchLedger
from shared.adapters.redis_cache import ValuationCache
from shared.adapters.redis_claims import RedisClaims
from shared.adapters.redis_client import CACHE_TIMEOUT_S, RedisClient, connect
from shared.adapters.redis_jobs import JobStore
from shared.domain.clock import Clock
from shared.domain.ids import new_id
from shared.names import TaskName
from shared.settings import Settings
from worker.runtime.model_runtime import ModelRuntime
from worker.runtime.shadow_runtime import ShadowRuntime
from worker.services.batch_assemble import BatchAssembler
from worker.services.batch_flow import BatchStepSender
from worker.services.batch_forms import BatchExporter
from worker.services.batch_split import BatchSplitter
from worker.services.batch_sweep import BatchSweeper
from worker.services.batch_table import TableImporter
from worker.services.batch_value import BatchValuation
from worker.services.estimation import Estimation
from worker.services.shadowing import ShadowEvaluator
from worker.services.sweep import JobSweeper
from worker.services.valuation import ValuationService
from worker.tasks.batch import BatchServices
from worker.tasks.maintenance import Sweeper


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkerServices:
    """What the tasks of one process call."""

    valuation: ValuationService
    batches: BatchServices
    sweeps: Sequence[Sweeper]


def build_services(settings: Settings, runtime: ModelRuntime) -> WorkerServices:
    """Wire the services of this process; connections open at their first use.

    Args:
        settings: with `redis_url` and `cache_url` filled in.
        runtime: the model, loaded by the parent before it forked.
    """
    clock = time.time
    broker = connect(settings.redis_url)
    jobs = JobStore(
        broker, clock, retention_s=settings.job_retention_s, lease_s=settings.job_lease_s
    )
    sender = TaskSender(broker)
    audit = AuditLog(settings.audit_folder, f"worker-{os.getpid()}-{new_id()}", clock)
    cache = ValuationCache(
        connect(settings.cache_url, reply_timeout_s=CACHE_TIMEOUT_S), settings.cache_ttl_s, clock
    )
    files = BatchFiles(open_blob_store(settings))
    ledger = _ledger(settings, broker, clock)
    shadow_evaluator = ShadowEvaluator(ShadowRuntime(settings.versions_path, time.monotonic))
    step_sender = BatchStepSender(ledger, sender.send)
    tables = TableImporter(
        files, ledger, spool=settings.home / "spool", max_bytes=settings.upload_max_bytes
    )
    return WorkerServices(
        valuation=ValuationService(
            estimation=Estimation(runtime, shadow_evaluator),
            audit=audit,
            claims=RedisClaims(broker, clock),
            cache=cache,
            jobs=jobs,
            client=broker,
            clock=clock,
            max_attempts=settings.job_max_attempts,
        ),
        batches=BatchServices(
            split=BatchSplitter(
                files, ledger, step_sender, tables, chunk_rows=settings.batch_chunk_rows
            ),
            value=BatchValuation(
                files,
                ledger,
                step_sender,
                models=runtime,
                audit_folder=settings.audit_folder,
                clock=clock,
                max_attempts=settings.job_max_attempts,
                shadow_evaluator=shadow_evaluator,
            ),
            assemble=BatchAssembler(files, ledger, clock, audit_folder=settings.audit_folder),
            forms=BatchExporter(files, ledger),
        ),
        sweeps=[
            JobSweeper(jobs, sender.send_job, max_attempts=settings.job_max_attempts),
            BatchSweeper(
                files,
                ledger,
                step_sender,
                clock,
                audit_folder=settings.audit_folder,
                retention_s=settings.batch_retention_s,
            ),
        ],
    )


def resume_batches(settings: Settings) -> None:
    """Have all steps of batches sent again that are under way, for the only worker of batches.

    Raises:
        BrokerUnavailable: leases that run out do it later.
    """
    broker = connect(settings.redis_url)
    with contextlib.closing(broker):
        if _ledger(settings, broker, time.time).expire_all_leases():
            TaskSender(broker).send(TaskName.SWEEP, {})


def _ledger(settings: Settings, broker: RedisClient, clock: Clock) -> BatchLedger:
    return BatchLedger(
        broker,
        clock,
        lease_s=settings.job_lease_s,
        window=settings.batch_window,
        max_attempts=settings.job_max_attempts,
    )
