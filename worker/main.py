"""Entry of the workers, of beat and of Flower: `celery -A worker.main`."""

import os
import time
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning

from model_store.registry.hosts import SHARED_CHECK_INTERVAL_S
from model_store.registry.shared_models import SharedModels
from shared.logging import configure_logging
from shared.metrics import MODEL_RELOADS
from shared.queue.celery_app import make_celery
from shared.redis.servers import refuse_cluster, with_server_urls
from shared.settings import Settings
from shared.tracing.current import start_tracing
from worker.container import WorkerProcess, resume_bulk_work
from worker.delivery import use_owned_transport
from worker.lifecycle import connect_signals
from worker.model import CHECK_INTERVAL_S, ModelRuntime
from worker.tasks import register_tasks


def make_app() -> Celery:
    """The configured application with its tasks."""
    settings = with_server_urls(Settings.from_env())
    configure_logging(settings.log_level, "worker")
    start_tracing("worker")
    refuse_cluster(settings.redis_url, settings.cache_url)
    # Celery warns about root because of pickle; these workers accept msgpack and JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.home / "numba"))
    use_owned_transport(settings.redis_url)
    celery = make_celery(settings.redis_url)
    celery.conf.worker_consumer = "worker.lifecycle:EventBatchingConsumer"
    shared = SharedModels.of(settings)
    runtime = ModelRuntime(
        settings.versions_path,
        time.monotonic,
        on_reload=lambda outcome: MODEL_RELOADS.labels(outcome=outcome).inc(),
        check_interval_s=CHECK_INTERVAL_S if shared is None else SHARED_CHECK_INTERVAL_S,
        ensure=(lambda _: None) if shared is None else shared.ensure,
    )
    process = WorkerProcess(settings, runtime)
    register_tasks(celery, process)
    connect_signals(settings, runtime, process.start, lambda: resume_bulk_work(settings))
    return celery


app = make_app()
