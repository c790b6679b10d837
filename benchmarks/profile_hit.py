"""Splits the CPU time of a cache hit into its parts, in-process, beside a bare Flask route.

The application is called on an event loop as an ASGI server calls it, one request after another.
The parts are timed inside real requests, because in a loop of their own they would run with warm
CPU caches and look cheaper. `python -m benchmarks.profile_hit [MODELS]`.
"""

import asyncio
import contextlib
import dataclasses
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping

from api.transport.wsgi_bridge import AsgiApplication, Message, WsgiBridge
from benchmarks.in_process import run_profile, timed
from benchmarks.peers.bare_flask import app as bare_app
from shared.redis.servers import ServerName, with_server_urls
from shared.settings import Settings

CALLS, REPEATS = 500, 15
SERVERS: tuple[ServerName, ...] = ("broker", "cache")
CAR = {
    "company": "Toyota",
    "model": "Corolla",
    "year": 2020,
    "fuel": "Petrol",
    "seller_type": "Individual",
    "transmission": "Manual",
    "km_driven": 25000,
    "engine_cc": 1600,
    "max_power_bhp": 120,
}
BODY = json.dumps(CAR).encode()
FAST_PATH_TYPE, FLASK_TYPE = "application/json", "application/json; charset=utf-8"
"""The same to a client; the second one is answered by Flask (`api.transport.fast_path`)."""

TIMED_FUNCTIONS = {
    "find the caller": ("api.transport.loop_requests", "LoopRequests", "with_body"),
    "JSON": ("api.transport.predictions", "", "parse_json"),
    "the car's fields": ("api.transport.predictions", "", "load_car_request"),
    "cache": ("shared.redis.cache", "EstimateCache", "get_local"),
    "what is recorded": ("api.valuations.service", "", "hit_record"),
    "audit: one line": ("shared.audit.log", "AuditLog", "write"),
    "count the price": ("api.valuations.service", "", "observe_valuations"),
    "write the answer": ("api.transport.predictions", "PredictionRoute", "_serialize"),
    "count and time the request": ("api.transport.predictions", "", "observe_http"),
}
"""Module, class (or none) and function of each part."""


def main() -> None:
    """Print the CPU time of a hit and of its parts, microseconds."""
    run_profile(report, small_model=True)


def report() -> None:
    """Measure all variants and print their CPU times."""
    from api.app import create_app, create_asgi_app  # noqa: PLC0415 - after the environment is set
    from shared.logging import configure_logging  # noqa: PLC0415

    settings = with_server_urls(Settings.from_env())
    configure_logging("warning", "api")
    local = create_asgi_app(create_app(settings))
    remote = create_asgi_app(create_app(dataclasses.replace(settings, cache_near_entries=0)))
    bare = WsgiBridge(bare_app, 1)
    fill_cache(settings)
    subjects: dict[str, tuple[AsgiApplication, str]] = {
        "hit in the local cache": (local, FAST_PATH_TYPE),
        "hit in the cache server": (remote, FAST_PATH_TYPE),
        "hit in the cache server, through Flask": (remote, FLASK_TYPE),
        "bare Flask route, called the same way": (bare, FAST_PATH_TYPE),
    }
    with asyncio.Runner() as runner:
        for app in (local, remote):
            runner.run(check(app))
        for name, value in runner.run(cpu_us(subjects)).items():
            print(f"{value:8.1f}  {name}")
        print("parts of the hit in the local cache, timed inside real requests:")
        for name, value in runner.run(parts_us(local)).items():
            print(f"{value:8.1f}  {name}")


def fill_cache(settings: Settings) -> None:
    """Write the example's estimate to the cache server, as a worker does."""
    from model_store.registry.bundle import load_model  # noqa: PLC0415 - see `report`
    from model_store.registry.registry import ModelRegistry  # noqa: PLC0415
    from shared.fields.requests import load_car_request  # noqa: PLC0415
    from shared.redis.cache import EstimateCache  # noqa: PLC0415
    from shared.redis.connections import connect  # noqa: PLC0415

    version = ModelRegistry(settings.versions_path).active_version()
    request = load_car_request(CAR)
    estimate = load_model(settings.versions_path, str(version)).estimate([request.car])[0]
    cache = EstimateCache(connect(settings.cache_url), 3600, time.time)
    cache.put([(request.car, request.extras, estimate)])


async def check(app: AsgiApplication) -> None:
    """Check that the example is answered from the cache.

    Raises:
        RuntimeError: it is not.
    """
    status, headers = await call(app)
    if status != 200 or b"hit" not in headers.get(b"cache-status", b""):  # noqa: PLR2004
        raise RuntimeError(f"not a hit: {status} {headers}")


async def call(
    app: AsgiApplication, content_type: str = FAST_PATH_TYPE
) -> tuple[int, dict[bytes, bytes]]:
    """Send one request as an ASGI server does; return status and headers."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "client": ("127.0.0.1", "40000"),
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(BODY)),
        ],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


async def cpu_us(subjects: Mapping[str, tuple[AsgiApplication, str]]) -> dict[str, float]:
    """Return the CPU time per call of each subject, the median of alternating repeats."""
    repeats: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(REPEATS):
        for name, (app, content_type) in subjects.items():
            started_s = time.process_time()
            for _ in range(CALLS):
                await call(app, content_type)
            repeats[name].append(1e6 * (time.process_time() - started_s) / CALLS)
    return {name: statistics.median(values) for name, values in repeats.items()}


async def parts_us(app: AsgiApplication) -> dict[str, float]:
    """Return the CPU time of each part of a hit, including the clock's own cost (under 1 us)."""
    spent: dict[str, float] = defaultdict(float)
    with contextlib.ExitStack() as stack:
        for name, (module, owner, function) in TIMED_FUNCTIONS.items():
            target = sys.modules[module]
            stack.enter_context(
                timed(getattr(target, owner) if owner else target, function, name, spent)
            )
        for _ in range(CALLS):
            await call(app)
    return {name: 1e6 * spent[name] / CALLS for name in TIMED_FUNCTIONS}


if __name__ == "__main__":
    main()
