"""Entry of the workers, of beat and of Flower: `celery -A worker.main`."""

import os
import time
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning

from shared.logging import configure_logging
from shared.metrics import MODEL_RELOADS
from shared.queue.celery_app import make_celery
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from worker import tasks
from worker.container import WorkerServices, build_services, resume_batches
from worker.lifecycle import connect_signals
from worker.model import ModelRuntime


class WorkerProcess:
    """The services of this process; built anew in each child of a pool."""

    def __init__(self, settings: Settings, runtime: ModelRuntime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._services: WorkerServices | None = None

    def start(self) -> None:
        """Build the services: after the fork, so that no connection or file is shared."""
        self._services = build_services(self._settings, self._runtime)

    def services(self) -> WorkerServices:
        """The services of this process."""
        if self._services is None:
            raise RuntimeError("the pool did not announce this process")
        return self._services


def make_app() -> Celery:
    """The configured application with its tasks."""
    settings = with_server_urls(Settings.from_env())
    configure_logging(settings.log_level, "worker")
    # Celery warns of root because of pickle; these workers accept msgpack and JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.home / "numba"))
    celery = make_celery(settings.redis_url)
    celery.conf.worker_consumer = "worker.consumer:EventBatchingConsumer"
    runtime = ModelRuntime(
        settings.versions_path,
        time.monotonic,
        on_reload=lambda outcome: MODEL_RELOADS.labels(outcome=outcome).inc(),
    )
    process = WorkerProcess(settings, runtime)
    tasks.register_valuation_tasks(celery, lambda: process.services().valuation)
    tasks.register_batch_tasks(celery, lambda: process.services().batches)
    tasks.register_maintenance_tasks(celery, lambda: process.services().sweeps)
    connect_signals(settings, runtime, process.start, lambda: resume_batches(settings))
    return celery


app = make_app()
