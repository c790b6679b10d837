"""The composition root of a worker: builds every service once per process."""

import contextlib
import dataclasses
import time

from model_store.registry.hosts import share_state
from model_store.registry.trials import VersionTrials
from shared.audit.checkpoints import Checkpoints
from shared.audit.hosts.exchange import share_audit
from shared.audit.hosts.shared_records import SharedRecords
from shared.audit.log import AuditLog
from shared.audit.retention import AuditRetention
from shared.blobs.batch_files import BatchFiles
from shared.blobs.draft_files import DraftFiles
from shared.blobs.ended_jobs.segments import JobSegments
from shared.blobs.estimate_files import EstimateFiles
from shared.blobs.job_payloads import JobPayloads
from shared.blobs.stores import (
    open_blob_store,
    open_ended_job_store,
    open_estimate_store,
    open_job_store,
)
from shared.domain.clock import Clock
from shared.queue.lost_work import LostWorkSweeper
from shared.queue.names import QueueName
from shared.queue.waiting import read_waiting
from shared.queue.work import WorkSender, make_work_sender
from shared.redis.batch_ledger.ledger import make_ledger
from shared.redis.batch_ledger.retained import RetainedBatches
from shared.redis.cache import EstimateCache
from shared.redis.connections import CACHE_TIMEOUT_S, RedisClient, connect
from shared.redis.dead_letters import DeadLetters
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store.records import SUMMARY_FIELDS
from shared.redis.job_store.segment_writing import SegmentWriting
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.job_store.store import JobStore
from shared.redis.model_figures import ModelFiguresStore
from shared.redis.owners import Owner
from shared.redis.rate_limits import RateLimits
from shared.settings import Settings
from worker.batches.assemble import BatchAssembler
from worker.batches.corrections.importer import CorrectionImporter
from worker.batches.drafts.previews import DraftPreviewer
from worker.batches.exports.service import BatchExporter
from worker.batches.shared_segments import SharedSegments
from worker.batches.split import BatchSplitter
from worker.batches.steps import BatchStepSender
from worker.batches.sweep import BatchSweeper
from worker.batches.tables import TableImporter
from worker.batches.value import BatchValuation
from worker.model import Estimation, ModelRuntime
from worker.model_watch.schedule import RetrainingSchedule
from worker.model_watch.watch import ModelWatch
from worker.shadow import ShadowEvaluator, ShadowRuntime
from worker.tracing import BatchTraces
from worker.valuations.archive_sweep import JobArchiver
from worker.valuations.claims import RedisClaims
from worker.valuations.estimate_sweep import EstimateSweeper
from worker.valuations.payload_sweep import JobPayloadSweeper
from worker.valuations.service import ValuationService
from worker.valuations.steps import ValuationSteps
from worker.valuations.sweep import JobSweeper


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkerServices:
    """The services that the tasks of one process call."""

    valuation: ValuationService
    split: BatchSplitter
    value: BatchValuation
    assemble: BatchAssembler
    exports: BatchExporter
    previews: DraftPreviewer
    traces: BatchTraces
    work: WorkSender
    model_watch: ModelWatch
    retraining: RetrainingSchedule
    sweepers: tuple[
        LostWorkSweeper,
        JobSweeper,
        BatchSweeper,
        JobPayloadSweeper,
        WorkSender,
        AuditRetention,
        EstimateSweeper,
        JobArchiver,
    ]
    """In the order in which they run: what is found lost is sent in the same sweep."""


class WorkerProcess:
    """One process of a worker.

    Args:
        settings: with `redis_url` and `cache_url` filled in.
        runtime: the model, loaded by the parent before it forks.
    """

    services: WorkerServices
    """Set by `start`; a task that runs before it raises `AttributeError`."""

    def __init__(self, settings: Settings, runtime: ModelRuntime) -> None:
        self._settings = settings
        self._runtime = runtime

    def start(self, owner: Owner) -> None:
        """Build the services: after the fork, so that no connection or file is shared.

        Args:
            owner: this process.
        """
        self.services = build_services(self._settings, self._runtime, owner)
        runtime = self._runtime
        trials = VersionTrials(runtime.load, runtime.loaded)
        share_state(self._settings, owner.name, runtime.serving_version, trials)
        share_audit(self._settings)


def build_services(settings: Settings, runtime: ModelRuntime, owner: Owner) -> WorkerServices:
    """Build the services of this process; connections open at their first use.

    Args:
        settings: with `redis_url` and `cache_url` filled in.
        runtime: the model, loaded by the parent before it forked.
        owner: this process.
    """
    clock = time.time
    broker = connect(settings.redis_url)
    payloads = JobPayloads(open_job_store(settings))
    jobs = _job_store(settings, broker, clock, payloads)
    work = make_work_sender(broker, clock)
    dead_letters = DeadLetters(broker, clock)
    claims = RedisClaims(broker, clock, owner)
    checkpoints = Checkpoints.of(settings, clock)
    audit = AuditLog.of(settings, "worker", clock, checkpoints)
    cache = EstimateCache(
        connect(settings.cache_url, reply_timeout_s=CACHE_TIMEOUT_S), settings.cache_ttl_s, clock
    )
    files = BatchFiles(open_blob_store(settings))
    segments = SharedSegments.of(settings, files.blobs, checkpoints, broker)
    ledger = make_ledger(broker, clock, settings)
    shadow_evaluator = ShadowEvaluator(ShadowRuntime(settings.versions_path, time.monotonic))
    step_sender = BatchStepSender(ledger, work.send, work.bulk_places)
    tables = TableImporter(
        files, ledger, spool=settings.home / "spool", max_bytes=settings.upload_max_bytes
    )
    return WorkerServices(
        valuation=ValuationService(
            steps=ValuationSteps(
                estimation=Estimation(runtime, shadow_evaluator),
                audit=audit,
                claims=claims,
                cache=cache,
                clock=clock,
                shared=SharedRecords.of(settings, broker),
            ),
            claims=claims,
            jobs=jobs,
            client=broker,
            clock=clock,
            dead_letters=dead_letters,
            max_attempts=settings.job_max_attempts,
        ),
        split=BatchSplitter(
            files,
            ledger,
            step_sender,
            tables,
            CorrectionImporter(files, ledger),
            dead_letters=dead_letters,
            chunk_rows=settings.batch_chunk_rows,
            pay_rows=RateLimits(broker).pay_rows,
        ),
        value=BatchValuation(
            files,
            ledger,
            step_sender,
            models=runtime,
            audit_folder=settings.audit_folder,
            clock=clock,
            dead_letters=dead_letters,
            max_attempts=settings.job_max_attempts,
            shadow_evaluator=shadow_evaluator,
            segments=segments,
        ),
        assemble=BatchAssembler(
            files,
            ledger,
            clock,
            dead_letters,
            audit_folder=settings.audit_folder,
            checkpoints=checkpoints,
            segments=segments,
        ),
        exports=BatchExporter(files, ledger, spool=settings.home / "spool"),
        traces=BatchTraces(files.manifest),
        previews=DraftPreviewer(
            DraftFiles(files.blobs),
            ledger,
            spool=settings.home / "spool",
            max_bytes=settings.upload_max_bytes,
        ),
        work=work,
        model_watch=ModelWatch(settings, ModelFiguresStore(broker), clock),
        retraining=RetrainingSchedule(settings, clock),
        sweepers=(
            LostWorkSweeper(
                broker, ledger, jobs, FairQueues(broker, clock).of(QueueName.BULK), clock
            ),
            JobSweeper(jobs, work.send_jobs, dead_letters, max_attempts=settings.job_max_attempts),
            BatchSweeper(
                files,
                ledger,
                RetainedBatches(broker),
                step_sender,
                clock,
                audit_folder=settings.audit_folder,
                retention_s=settings.batch_retention_s,
            ),
            JobPayloadSweeper(payloads, broker, SegmentCatalogue(broker), clock),
            work,
            AuditRetention(
                settings.audit_folder,
                checkpoints,
                clock,
                days=settings.audit_retention_days,
                is_archived=settings.audit_archive is not None,
            ),
            EstimateSweeper(
                EstimateFiles(open_estimate_store(settings)),
                broker,
                clock,
                days=settings.estimate_days,
            ),
            JobArchiver(
                JobSegments(open_ended_job_store(settings), SUMMARY_FIELDS),
                SegmentWriting(broker, clock),
                clock,
            ),
        ),
    )


def resume_bulk_work(settings: Settings) -> None:
    """Have the steps of batches and the long jobs sent again whose messages are lost.

    To be called by the only bulk worker before it takes messages: those that its predecessor held
    are on the queues again. What a suspended process had been sent without reading it is lost.

    Raises:
        BrokerUnavailable: the work is sent again later, when its leases expire.
    """
    broker = connect(settings.redis_url)
    with contextlib.closing(broker):
        waiting = read_waiting(broker)
        work = make_work_sender(broker, time.time)
        work.forget_bulk_in_flight(except_for=waiting.messages)
        lost = make_ledger(broker, time.time, settings).expire_leases(waiting.steps)
        store = _job_store(settings, broker, time.time, JobPayloads(open_job_store(settings)))
        if lost + store.expire_leases(waiting.jobs):
            work.request_sweep()


def _job_store(
    settings: Settings, broker: RedisClient, clock: Clock, payloads: JobPayloads
) -> JobStore:
    return JobStore(
        broker,
        clock,
        retention_s=settings.job_retention_s,
        lease_s=settings.job_lease_s,
        payloads=payloads,
    )
