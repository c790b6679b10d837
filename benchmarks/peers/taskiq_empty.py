"""A taskiq task that does nothing, on one worker process.

The client: `python -m benchmarks.peers.taskiq_empty SECONDS`.
"""

import asyncio
import os
import sys

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks.scenarios.one_client import Latencies

URL = os.environ["BENCH_REDIS_URL"]
POLL_S = 0.0005
"""Interval at which taskiq polls for the result; its default of 0.2 s would dominate the result."""

broker = ListQueueBroker(URL, queue_name="taskiq-empty").with_result_backend(
    RedisAsyncResultBackend(URL, result_ex_time=60)
)


@broker.task(task_name="empty.nothing")
async def nothing() -> None:
    """Do nothing."""


async def client(seconds: float) -> None:
    """Measure round trips, one after the other."""
    await broker.startup()
    latencies = Latencies(seconds)
    while latencies.should_continue:
        with latencies.measure():
            task = await nothing.kiq()
            await task.wait_result(check_interval=POLL_S, timeout=30)
    await broker.shutdown()
    latencies.report()


if __name__ == "__main__":
    asyncio.run(client(float(sys.argv[1])))
