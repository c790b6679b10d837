"""An RQ job that does nothing, on one SimpleWorker (no fork per job, which is RQ's fastest way).

Run as a program it is the client: `python -m benchmarks.peers.rq_empty SECONDS`.
"""

import os

from redis import Redis
from rq import Queue

from benchmarks.scenarios.one_client import main


def nothing() -> None:
    """Do nothing."""


def round_trip(queue: Queue) -> None:
    """Send one job and wait for its result.

    Raises:
        RuntimeError: no result came.
    """
    # By name: as `__main__.nothing` the worker could not import it.
    job = queue.enqueue("benchmarks.peers.rq_empty.nothing", result_ttl=60)
    if job.latest_result(timeout=30) is None:
        raise RuntimeError("no result within 30 s")


if __name__ == "__main__":
    rq_queue = Queue("empty", connection=Redis.from_url(os.environ["BENCH_REDIS_URL"]))
    main(lambda: round_trip(rq_queue))
