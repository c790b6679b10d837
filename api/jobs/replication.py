"""Stores accepted jobs again that a new primary of the broker lacks (`REDIS_WAIT_REPLICAS`)."""

from collections.abc import Callable, Sequence
from functools import partial

from shared.domain.clock import Clock
from shared.domain.job import TOMBSTONE_TTL_FACTOR, Job
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors, connect
from shared.redis.job_store.accepted import BLOCK, AcceptedJobs
from shared.redis.job_store.store import JobStore
from shared.redis.primary_watch import PrimaryWatch
from shared.settings import Settings


def make_accepted(settings: Settings, broker: RedisClient, clock: Clock) -> AcceptedJobs | None:
    """What keeps accepted jobs; None if no replica is waited for."""
    if not settings.redis_wait_replicas:
        return None
    return AcceptedJobs(
        broker,
        clock,
        replicas=settings.redis_wait_replicas,
        lease_s=settings.job_lease_s,
        keep_s=settings.job_retention_s * TOMBSTONE_TTL_FACTOR,
    )


def restore_on_change(
    settings: Settings,
    accepted: AcceptedJobs | None,
    store: JobStore,
    send_jobs: Callable[[Sequence[Job]], None],
) -> None:
    """Watch the primary from the first accepted job on, and restore after a change.

    Args:
        settings: with `redis_url` filled in.
        accepted: the jobs that this process accepted lately; None: nothing is watched.
        store: reads jobs.
        send_jobs: queues them.
    """
    if accepted is None:
        return
    client = connect(settings.redis_url)
    restore = partial(restore_accepted, client, accepted, store, send_jobs)
    accepted.on_keep = PrimaryWatch(connect(settings.redis_url), restore, accepted.forget_old).start


def restore_accepted(
    broker: RedisClient,
    accepted: AcceptedJobs,
    store: JobStore,
    send_jobs: Callable[[Sequence[Job]], None],
) -> None:
    """Store and queue the missing jobs, and have the workers look for missing batches.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    ids = accepted.store_again()
    jobs = [job for job in store.load_all(ids) if isinstance(job, Job)]
    for start in range(0, len(jobs), BLOCK):
        send_jobs(jobs[start : start + BLOCK])
    with broker_errors():  # an accepted batch is in the blob store, where the sweep finds it
        broker.delete(keys.BATCH_SCAN_MARKER)
