"""The share of a cache hit that metrics take: CPU time with and without them, in one run.

A hit is the fastest request, so metrics weigh most in it. 64 requests at once share a tick of the
event loop, as those of 64 connections do. With and without take turns; the server's own time (HTTP,
sockets) is left out, so that the true share is smaller.

`python -m benchmarks.metrics_cost [MODELS]`
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from prometheus_client import Counter, Histogram

from api.transport.wsgi_bridge import AsgiApplication
from benchmarks.in_process import run_profile
from benchmarks.profile_hit import call, check, fill_cache
from shared.redis.servers import with_server_urls
from shared.settings import Settings

CONNECTIONS, ROUNDS, REPEATS = (1, 64), 20, 30


def main() -> None:
    """Print the CPU time of a hit with and without metrics, microseconds, and their ratio."""
    run_profile(report, small_model=True)


def report() -> None:
    """Measure and print."""
    from api.app import create_app, create_asgi_app  # noqa: PLC0415 - after the environment is set
    from shared.logging import configure_logging  # noqa: PLC0415

    settings = with_server_urls(Settings.from_env())
    configure_logging("warning", "api")
    app = create_asgi_app(create_app(settings))
    fill_cache(settings)
    with asyncio.Runner() as runner:
        runner.run(check(app))
        for connections in CONNECTIONS:
            with_them, without = runner.run(cpu_us(app, connections))
            cost = 1 - without / with_them
            print(
                f"{connections:3} at once: {with_them:6.1f} us with metrics, {without:6.1f} us "
                f"without: {cost:.1%}"
            )


async def cpu_us(app: AsgiApplication, connections: int) -> tuple[float, float]:
    """CPU time per hit with and without metrics, medians of alternating repeats."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(REPEATS):
        for counts, values in took.items():
            with contextlib.nullcontext() if counts else without_metrics():
                started_s = time.process_time()
                for _ in range(ROUNDS):
                    await asyncio.gather(*(call(app) for _ in range(connections)))
                spent_s = time.process_time() - started_s
            values.append(1e6 * spent_s / (ROUNDS * connections))
    return statistics.median(took[True]), statistics.median(took[False])


@contextlib.contextmanager
def without_metrics() -> Iterator[None]:
    """Count and observe nothing."""
    nothing: Callable[..., Any] = lambda *_, **__: None  # noqa: E731
    with (
        mock.patch.object(Counter, "inc", nothing),
        mock.patch.object(Histogram, "observe", nothing),
        mock.patch("shared.metrics._observe_all", nothing),
    ):
        yield


if __name__ == "__main__":
    main()
