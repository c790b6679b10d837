"""Entry of the process that sends webhooks: `python -m api.webhooks.main`.

It is a process of its own, so that slow receivers delay no valuation. It belongs to the package
`api` because webhooks show jobs as the API does (docs/adr/0114).
"""

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from api.webhooks.bodies import WebhookBodies
from api.webhooks.connections import SystemResolver
from api.webhooks.deliverer import WebhookDeliverer
from api.webhooks.sender import WebhookSender
from model_store.registry.hosts import refresh_copies
from model_store.registry.registry import ActiveVersionCache
from shared.blobs.job_payloads import JobPayloads
from shared.blobs.stores import open_job_store
from shared.heartbeat import Heartbeat
from shared.logging import configure_logging, get_logger
from shared.metrics import host_registry
from shared.metrics_server import LoopLiveness, serve_metrics
from shared.redis.connections import connect, is_answering
from shared.redis.job_store.archive import open_job_archive
from shared.redis.job_store.store import JobStore
from shared.redis.servers import refuse_cluster, with_server_urls
from shared.redis.webhooks.store import WebhookStore
from shared.settings import Settings
from shared.tracing.current import start_tracing
from shared.webhooks.addresses import AddressPolicy
from shared.webhooks.shared_secrets import open_webhook_secrets

LEASE_MARGIN_S = 30.0
"""How much longer the lease of a webhook is than its attempt: time to write how that ended."""

BROKER_THREADS = 16

log = get_logger("webhooks")


def build_deliverer(
    settings: Settings, resolver: SystemResolver, heartbeat: Heartbeat
) -> WebhookDeliverer:
    """Build what the process needs; connections open at their first use.

    Args:
        settings: with `redis_url` filled in.
        resolver: finds the addresses of receivers.
        heartbeat: of this process.
    """
    clock = time.time
    broker = connect(settings.redis_url)
    jobs = JobStore(
        broker,
        clock,
        retention_s=settings.job_retention_s,
        lease_s=settings.job_lease_s,
        payloads=JobPayloads(open_job_store(settings)),
        archive=open_job_archive(settings, broker, clock),
    )
    sender = WebhookSender(
        AddressPolicy.of(settings.webhook_allowed_networks),
        resolver,
        timeout_s=settings.webhook_timeout_s,
        clock=clock,
    )
    return WebhookDeliverer(
        WebhookStore(
            broker,
            clock,
            retry_s=settings.webhook_retry_s,
            lease_s=settings.webhook_timeout_s + LEASE_MARGIN_S,
        ),
        WebhookBodies(jobs, ActiveVersionCache(settings.versions_path).identity),
        open_webhook_secrets(settings),
        sender.send,
        clock=clock,
        beat=heartbeat.beat,
    )


async def deliver(settings: Settings) -> None:
    """Send webhooks until the process gets a signal to stop."""
    loop, stop, resolver = asyncio.get_running_loop(), asyncio.Event(), SystemResolver()
    loop.set_default_executor(ThreadPoolExecutor(BROKER_THREADS, "broker"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("webhooks_ready")
    try:
        await build_deliverer(settings, resolver, Heartbeat()).run(stop)
    finally:
        resolver.close()


def main() -> None:
    """Run the process."""
    settings = with_server_urls(Settings.from_env())
    configure_logging(settings.log_level, "webhooks")
    start_tracing("webhooks")
    refuse_cluster(settings.redis_url)
    if settings.metrics_port:
        liveness = LoopLiveness(partial(is_answering, settings.redis_url))
        serve_metrics(settings.metrics_port, host_registry(), liveness)
    refresh_copies(settings)
    asyncio.run(deliver(settings))


if __name__ == "__main__":
    main()
