"""The composition root of the API: builds every service once per process."""

import dataclasses
import os
import threading
import time
from functools import partial

from api.batches.drafts import Drafts
from api.batches.polls import BatchPolls
from api.batches.results import BatchResults
from api.batches.retries import BatchRetries
from api.batches.rows.reading import BatchRows
from api.batches.service import Batches
from api.batches.storage import CallerBatches
from api.dashboard.live import Operations
from api.estimates.service import Estimates
from api.events.changes import StateChanges
from api.events.snapshots import BatchBodies
from api.events.thread_waits import ThreadWaits
from api.events.waits import Waits
from api.http.context import disconnects
from api.jobs.content import JobContents
from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import Listing, SubmissionIndex
from api.jobs.reading import JobReader
from api.jobs.replication import make_accepted, restore_on_change
from api.jobs.service import Jobs
from api.limits import ConcurrencyLimiter
from api.loops.event_loops import EventLoops
from api.middleware.key_limits import SubmissionLimits
from api.models.self_test import self_test_of
from api.ops.audit_statistics import AuditStats
from api.ops.health import Health
from api.sales.log import SaleReportLog
from api.sales.service import SaleReports
from api.sales.shared_search import open_search
from api.valuations.micro_batches import MicroBatchDispatcher
from api.valuations.queue_guard import QueueGuard
from api.valuations.service import Valuations
from api.valuations.unanswered import UnansweredRequests
from api.webhooks.callbacks import Callbacks
from model_store.registry.hosts import (
    SHARED_CHECK_INTERVAL_S,
    Activations,
    check_copies,
    open_registry,
)
from model_store.registry.registry import ActiveVersionCache, ModelRegistry
from shared.audit.checkpoints import Checkpoints
from shared.audit.hosts.views import HostManifests
from shared.audit.log import AuditLog, Fsync
from shared.blobs.batch_files import BatchFiles
from shared.blobs.draft_files import DraftFiles
from shared.blobs.estimate_files import EstimateFiles
from shared.blobs.input_objects import InputObjects
from shared.blobs.job_payloads import JobPayloads
from shared.blobs.stores import open_blob_store, open_estimate_store, open_job_store
from shared.domain.ids import new_id
from shared.queue.replay import DeadLetterService, open_dead_letters
from shared.queue.sender import TaskSender
from shared.queue.work import JobSubmitter, WorkSender
from shared.redis.batch_ledger.backlog import BacklogReader
from shared.redis.batch_ledger.ledger import make_ledger
from shared.redis.cache import EstimateCache
from shared.redis.connections import CACHE_TIMEOUT_S, connect
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store.archive import open_job_archive
from shared.redis.job_store.memory import BrokerMemory, JobUsageCounts
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.store import JobStore
from shared.redis.model_figures import ModelFiguresStore
from shared.redis.rate_limits import RateLimits
from shared.redis.webhooks.store import WebhookStore
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings
from shared.webhooks.addresses import AddressPolicy
from shared.webhooks.shared_secrets import open_webhook_secrets

WAITS_SHARE = 3
"""Quarters of the connections that long polls and event streams may hold."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ApiServices:
    """The services that views and the fast path call."""

    settings: Settings
    valuations: Valuations
    jobs: Jobs
    job_contents: JobContents
    batch_polls: BatchPolls
    batch_bodies: BatchBodies
    batches: Batches
    drafts: Drafts
    dead_letters: DeadLetterService
    inputs: InputObjects
    batch_results: BatchResults
    batch_retries: BatchRetries
    batch_rows: BatchRows
    downloads: ConcurrencyLimiter
    listing: Listing
    waits: Waits
    thread_waits: ThreadWaits
    loops: EventLoops
    registry: ModelRegistry
    activations: Activations
    active_model: ActiveVersionCache
    health: Health
    cache: EstimateCache
    audit_stats: AuditStats
    sale_reports: SaleReports
    submission_limits: SubmissionLimits
    callbacks: Callbacks
    estimates: Estimates
    operations: Operations


def build_services(settings: Settings) -> ApiServices:
    """Build the services; connections open and threads start at their first use."""
    clock = time.time
    broker = connect(settings.redis_url)
    activations = Activations.of(settings)
    interval_s = SHARED_CHECK_INTERVAL_S if settings.state_url else 1.0
    active_model = ActiveVersionCache(settings.versions_path, interval_s=interval_s)
    cache = EstimateCache(
        connect(settings.cache_url, reply_timeout_s=CACHE_TIMEOUT_S),
        settings.cache_ttl_s,
        clock,
        near_entries=settings.cache_near_entries,
    )
    job_usage = JobUsageCounts(broker, clock)
    memory = BrokerMemory(broker, job_usage)
    workers = WorkerRegistry(broker, clock)
    accepted = make_accepted(settings, broker, clock)
    archive = open_job_archive(settings, broker, clock)
    store = JobStore(
        broker,
        clock,
        retention_s=settings.job_retention_s,
        lease_s=settings.job_lease_s,
        payloads=JobPayloads(open_job_store(settings)),
        protocol=workers.protocol,
        memory=memory,
        accepted=accepted,
        archive=archive,
    )
    sender = TaskSender(broker)
    fair_queues = FairQueues(broker, clock)
    work = WorkSender(sender, fair_queues, workers)
    restore_on_change(settings, accepted, store, work.send_jobs)
    dispatcher = MicroBatchDispatcher(
        sender,
        broker,
        store,
        group_max_cars=settings.group_max_cars,
        slots=settings.group_slots,
    )
    queue_guard = QueueGuard(broker, fair_queues, clock, settings.queue_max_length, memory)
    checkpoints = Checkpoints.of(settings, clock)
    manifests = HostManifests(settings.audit_folder)
    audit = AuditLog.of(settings, "api", clock, checkpoints)
    sale_reports = SaleReportLog(
        settings.audit_folder,
        f"api-{os.getpid()}-{new_id()}",
        clock,
        fsync=Fsync(settings.audit_fsync),
        checkpoints=checkpoints,
        monotonic=time.monotonic,
    )
    idempotency = RedisIdempotency(broker)
    lists = SubmissionIndex(broker)
    loops = EventLoops()
    waits = Waits(StateChanges(broker), settings.api_connections * WAITS_SHARE // 4)
    # Half of the threads may wait long. A quarter reads bodies (`api.limits`), an eighth sends
    # large responses: the last eighth remains for all other requests.
    long_waits = threading.BoundedSemaphore(max(1, settings.api_threads // 2))
    thread_waits = ThreadWaits(
        waits,
        loops,
        long_waits=long_waits,
        streams=ConcurrencyLimiter(settings.api_threads // 4),
        disconnects=disconnects,
    )
    batch_files = BatchFiles(open_blob_store(settings))
    ledger = make_ledger(broker, clock, settings)
    batches_of = CallerBatches(broker)
    batches = Batches(
        files=batch_files,
        ledger=ledger,
        active_model=active_model,
        idempotency=idempotency,
        waits=thread_waits,
        send=work.send,
        memory=memory,
        protocol=workers.protocol,
        clock=clock,
        max_bytes=settings.upload_max_bytes,
        retention_s=settings.batch_retention_s,
    )
    positions = QueuePositions(broker, clock)
    jobs = Jobs(
        active_model=active_model,
        store=store,
        submitter=JobSubmitter(store, work),
        send_job=work.send_job,
        reader=JobReader(store, lists, positions, waits.changes.ended, catalogue=archive.catalogue),
        positions=positions,
        waits=waits,
        threads=thread_waits,
        loops=loops,
        idempotency=idempotency,
        clock=clock,
        queue_guard=queue_guard,
    )
    results = BatchResults(
        files=batch_files,
        ledger=ledger,
        waits=thread_waits,
        send=work.send,
        url_s=settings.result_url_s,
    )
    registry = open_registry(settings, self_test_of(activations, settings.versions_path))
    return ApiServices(
        settings=settings,
        valuations=Valuations(
            active_model=active_model,
            cache=cache,
            dispatcher=dispatcher,
            unanswered=UnansweredRequests(store, JobSubmitter(store, work), clock),
            audit=audit,
            clock=clock,
            queue_guard=queue_guard,
            long_waits=long_waits,
            loops=loops,
            disconnects=disconnects,
        ),
        jobs=jobs,
        job_contents=JobContents(jobs, active_model.identity),
        batch_polls=BatchPolls(batches, waits, loops),
        batch_bodies=BatchBodies(active_model.identity),
        inputs=InputObjects.of(settings),
        batch_results=results,
        batch_retries=BatchRetries(batches=batches),
        batch_rows=BatchRows(results=results),
        downloads=ConcurrencyLimiter(settings.api_threads // 8),
        batches=batches,
        drafts=Drafts(
            files=DraftFiles(batch_files.blobs),
            ledger=ledger,
            batches=batches,
            send=sender.send,
            clock=clock,
            max_bytes=settings.upload_max_bytes,
        ),
        dead_letters=open_dead_letters(settings, broker, batch_files, work, clock),
        listing=Listing(lists=lists, batches=batches, idempotency=idempotency, archive=archive),
        waits=waits,
        thread_waits=thread_waits,
        loops=loops,
        registry=registry,
        activations=activations,
        active_model=active_model,
        health=Health(
            active_model=active_model,
            workers=workers,
            memory=memory,
            cache=cache,
            model_figures=ModelFiguresStore(broker),
            webhooks=WebhookStore(broker, clock, retry_s=settings.webhook_retry_s),
            audit_folder=settings.audit_folder,
            storage_folder=None if settings.blob_url else settings.batches_path,
            copies=partial(check_copies, settings) if settings.state_url else None,
            audit_flushes=(audit.check, sale_reports.check),
            backlog=BacklogReader(broker, clock, settings.batch_chunk_rows),
            callers_waiting=dispatcher.callers,
        ),
        cache=cache,
        audit_stats=AuditStats(
            settings.audit_folder,
            settings.checkpoints_folder,
            hosts=manifests if settings.state_url else None,
        ),
        sale_reports=SaleReports(
            search=open_search(settings, manifests, clock),
            log=sale_reports,
            jobs=store,
            clock=clock,
            window_s=settings.outcome_window_s,
        ),
        submission_limits=SubmissionLimits(
            RateLimits(broker),
            job_usage=job_usage.usage,
            open_batches=batches_of.count_open,
            stored_bytes=batches_of.stored_bytes,
            quota_ttl_s=settings.batch_retention_s,
        ),
        callbacks=Callbacks(
            addresses=AddressPolicy.of(settings.webhook_allowed_networks),
            secrets=open_webhook_secrets(settings),
            protocol=workers.protocol,
        ),
        estimates=Estimates(
            files=EstimateFiles(open_estimate_store(settings)),
            jobs=store,
            identity=active_model.identity,
            clock=clock,
            days=settings.estimate_days,
        ),
        operations=Operations(settings, broker, cache, registry, clock),
    )
