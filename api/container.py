"""The composition root of the API: builds every service once per process."""

import dataclasses
import os
import threading
import time

from api.services.batch_results import BatchResults
from api.services.batches import Batches
from api.services.health import Health
from api.services.jobs import Jobs
from api.services.listing import Listing
from api.services.loop_valuations import LoopValuations
from api.services.model_trial import ModelSelfTest
from api.services.models import Models
from api.services.outcomes import SaleReports
from api.services.queue_guard import QueueGuard
from api.services.valuations import Valuations
from api.services.watching import StateStreams
from api.slots import ConcurrencyLimiter
from model_store.manifest import ModelVersion
from model_store.registry import ActiveVersionCache, ModelRegistry
from shared.adapters.audit_search import AuditSearch
from shared.adapters.audit_stats import AuditStats
from shared.adapters.batch_files import BatchFiles
from shared.adapters.blob_stores import open_blob_store
from shared.adapters.celery_dispatch import MicroBatchDispatcher
from shared.adapters.celery_sender import TaskSender
from shared.adapters.jsonl_audit import AuditLog
from shared.adapters.outcome_log import SaleReportLog
from shared.adapters.redis_batches import BatchLedger
from shared.adapters.redis_cache import ValuationCache
from shared.adapters.redis_client import CACHE_TIMEOUT_S, connect
from shared.adapters.redis_events import JobEvents
from shared.adapters.redis_idempotency import RedisIdempotency
from shared.adapters.redis_jobs import JobStore
from shared.adapters.redis_lists import SubmissionIndex
from shared.adapters.redis_workers import WorkerRegistry
from shared.domain.ids import new_id
from shared.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ApiServices:
    """What the views call."""

    settings: Settings
    valuations: Valuations
    loop_valuations: LoopValuations
    jobs: Jobs
    batches: Batches
    batch_results: BatchResults
    downloads: ConcurrencyLimiter
    listing: Listing
    state_streams: StateStreams
    models: Models
    health: Health
    cache: ValuationCache
    audit_stats: AuditStats
    outcomes: SaleReports

    def model_card(self, version_id: str) -> ModelVersion | None:
        """The manifest of a version."""
        return self.models.card(version_id)


def build_services(settings: Settings) -> ApiServices:
    """Wire the services; connections open and threads start at their first use."""
    clock = time.time
    broker = connect(settings.redis_url)
    workers = WorkerRegistry(broker, clock)
    active_model = ActiveVersionCache(settings.versions_path)
    registry = ModelRegistry(
        settings.versions_path, self_test=ModelSelfTest(settings.versions_path)
    )
    models = Models(registry, active_model)
    cache = ValuationCache(
        connect(settings.cache_url, reply_timeout_s=CACHE_TIMEOUT_S),
        settings.cache_ttl_s,
        clock,
        near_entries=settings.cache_near_entries,
    )
    store = JobStore(
        broker, clock, retention_s=settings.job_retention_s, lease_s=settings.job_lease_s
    )
    sender = TaskSender(broker)
    dispatcher = MicroBatchDispatcher(
        sender,
        broker,
        store,
        group_max_cars=settings.group_max_cars,
        slots=settings.group_slots,
    )
    queue_guard = QueueGuard(workers, clock, settings.queue_max_length)
    audit = AuditLog(settings.audit_folder, f"api-{os.getpid()}-{new_id()}", clock)
    idempotency = RedisIdempotency(broker)
    events = JobEvents(broker)
    lists = SubmissionIndex(broker)
    # One bound for all who wait. A quarter of the threads reads bodies (`api.slots`), an eighth
    # sends large answers: the last eighth answers everybody else.
    long_waits = threading.BoundedSemaphore(max(1, settings.api_threads // 2))
    batch_files = BatchFiles(open_blob_store(settings))
    ledger = BatchLedger(
        broker,
        clock,
        lease_s=settings.job_lease_s,
        window=settings.batch_window,
        max_attempts=settings.job_max_attempts,
    )
    batches = Batches(
        files=batch_files,
        store=ledger,
        active_model=active_model,
        idempotency=idempotency,
        events=events,
        send_split=sender.send_split,
        clock=clock,
        max_bytes=settings.upload_max_bytes,
        retention_s=settings.batch_retention_s,
        long_waits=long_waits,
    )
    valuations = Valuations(
        active_model=active_model,
        cache=cache,
        dispatcher=dispatcher,
        jobs=store,
        audit=audit,
        clock=clock,
        queue_guard=queue_guard,
        long_waits=long_waits,
    )
    return ApiServices(
        settings=settings,
        valuations=valuations,
        loop_valuations=LoopValuations(
            valuations=valuations,
            active_model=active_model,
            cache=cache,
            dispatcher=dispatcher,
            audit=audit,
            clock=clock,
            queue_guard=queue_guard,
        ),
        jobs=Jobs(
            active_model=active_model,
            store=store,
            lists=lists,
            events=events,
            dispatcher=dispatcher,
            idempotency=idempotency,
            clock=clock,
            queue_guard=queue_guard,
            long_waits=long_waits,
        ),
        batch_results=BatchResults(
            batch_files,
            store=ledger,
            events=events,
            send=sender.send,
            long_waits=long_waits,
        ),
        downloads=ConcurrencyLimiter(settings.api_threads // 8),
        batches=batches,
        listing=Listing(lists, batches, idempotency),
        state_streams=StateStreams(
            events, max_streams=settings.api_threads // 4, long_waits=long_waits
        ),
        models=models,
        health=Health(models, workers, cache),
        cache=cache,
        audit_stats=AuditStats(settings.audit_folder),
        outcomes=SaleReports(
            search=AuditSearch(settings.audit_folder),
            log=SaleReportLog(settings.audit_folder, f"api-{os.getpid()}-{new_id()}", clock),
            jobs=store,
            clock=clock,
            window_s=settings.outcome_window_s,
        ),
    )
