"""Where the CPU time of a cache hit goes, in this process, against a bare Flask route.

The application is called as an ASGI server calls it, on an event loop, one request after another.

Parts are timed where they run, inside real requests: timed alone in a loop they would find every
cache warm and look cheaper than they are. `python -m benchmarks.profile_hit [MODELS]`.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.transport.wsgi_bridge import AsgiApplication, Message, WsgiBridge
from benchmarks import inputs
from benchmarks.peers.bare_flask import app as bare_app
from benchmarks.processes import Command, Program
from benchmarks.subject import OWN_PYTHON
from shared.redis.servers import ServerName, socket_path, with_server_urls
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
    "find the caller": ("api.transport.fast_path", "FastPath", "_parse_fast_path"),
    "JSON": ("api.transport.fast_path", "", "parse_json"),
    "the car's fields": ("api.transport.fast_path", "", "load_car_request"),
    "cache": ("shared.redis.cache", "ValuationCache", "get_local"),
    "what is recorded": ("api.valuations.service", "", "hit_record"),
    "audit: one line": ("shared.audit.log", "AuditLog", "append"),
    "count the price": ("api.valuations.service", "", "observe_valuations"),
    "write the answer": ("api.transport.fast_path", "FastPath", "_serialize"),
    "count and time the request": ("api.transport.fast_path", "", "observe_http"),
}
"""Module, class (or none) and function of each part."""


def main() -> None:
    """Print the parts of a hit in microseconds."""
    home = Path(tempfile.mkdtemp(prefix="cpb-"))
    (home / "metrics").mkdir()
    models = Path(sys.argv[1]) if len(sys.argv) > 1 else home / "models"
    try:
        if not models.exists():
            inputs.train_model(models, small=True)
        os.environ.update(
            CARPRICE_HOME=str(home),
            MODELS_PATH=str(models),
            # Before prometheus_client is imported: as in the service, metrics live in files.
            PROMETHEUS_MULTIPROC_DIR=str(home / "metrics"),
        )
        with servers(home):
            report()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def servers(home: Path) -> Iterator[None]:
    """Broker and cache of the service."""
    with contextlib.ExitStack() as stack:
        for name in SERVERS:
            line = [OWN_PYTHON, "-m", "launcher.embedded", name]
            env = {"CARPRICE_HOME": str(home)}
            program = Program(Command(name=name, arguments=line, env=env), home / f"{name}.log")
            stack.callback(program.stop)
            while not socket_path(Settings(home=home), name).exists():
                program.check()
                time.sleep(0.05)
        yield


def report() -> None:
    """Measure and print."""
    from api.app import create_app, create_asgi_app  # noqa: PLC0415 - after the environment is set
    from shared.logging import configure_logging  # noqa: PLC0415

    settings = with_server_urls(Settings.from_env())
    configure_logging("warning", "api")
    near = create_asgi_app(create_app(settings))
    far = create_asgi_app(create_app(dataclasses.replace(settings, cache_near_entries=0)))
    bare = WsgiBridge(bare_app, 1)
    fill_cache(settings)
    subjects: dict[str, tuple[AsgiApplication, str]] = {
        "hit, from the process' own memory": (near, FAST_PATH_TYPE),
        "hit, from the cache server": (far, FAST_PATH_TYPE),
        "the same through Flask": (far, FLASK_TYPE),
        "bare Flask route, called the same way": (bare, FAST_PATH_TYPE),
    }
    with asyncio.Runner() as runner:
        for front in (near, far):
            runner.run(check(front))
        for name, value in runner.run(cpu_us(subjects)).items():
            print(f"{value:8.1f}  {name}")
        print("of the hit from own memory, timed where it runs:")
        for name, value in runner.run(parts_us(near)).items():
            print(f"{value:8.1f}  {name}")


def fill_cache(settings: Settings) -> None:
    """Put the example's estimate where a worker would put it."""
    from model_store.registry.bundle import load_model  # noqa: PLC0415 - see `report`
    from model_store.registry.registry import ModelRegistry  # noqa: PLC0415
    from shared.fields.requests import load_car_request  # noqa: PLC0415
    from shared.redis.cache import ValuationCache  # noqa: PLC0415
    from shared.redis.connections import connect  # noqa: PLC0415

    version = ModelRegistry(settings.versions_path).active_version()
    request = load_car_request(CAR)
    estimate = load_model(settings.versions_path, str(version)).estimate([request.car])[0]
    cache = ValuationCache(connect(settings.cache_url), 3600, time.time)
    cache.put([(request.car, request.extras, estimate)])


async def check(app: AsgiApplication) -> None:
    """See that the example is answered from the cache."""
    status, headers = await call(app)
    if status != 200 or b"hit" not in headers.get(b"cache-status", b""):  # noqa: PLR2004
        raise RuntimeError(f"not a hit: {status} {headers}")


async def call(
    app: AsgiApplication, content_type: str = FAST_PATH_TYPE
) -> tuple[int, dict[bytes, bytes]]:
    """One request, as a server would make it; status and headers."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
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
    """CPU time of one call of each, the median of stretches that take turns."""
    stretches: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(REPEATS):
        for name, (app, content_type) in subjects.items():
            started_s = time.process_time()
            for _ in range(CALLS):
                await call(app, content_type)
            stretches[name].append(1e6 * (time.process_time() - started_s) / CALLS)
    return {name: statistics.median(values) for name, values in stretches.items()}


async def parts_us(app: AsgiApplication) -> dict[str, float]:
    """CPU time of each part within a hit; the clock's own cost, under 1 us, is in it."""
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


@contextlib.contextmanager
def timed(owner: Any, function: str, name: str, spent: dict[str, float]) -> Iterator[None]:
    """Add up the CPU time of a function, as long as the context lasts."""
    original = getattr(owner, function)

    def clocked(*args: Any, **options: Any) -> Any:
        started_s = time.thread_time()
        try:
            return original(*args, **options)
        finally:
            spent[name] += time.thread_time() - started_s

    setattr(owner, function, clocked)
    try:
        yield
    finally:
        setattr(owner, function, original)


if __name__ == "__main__":
    main()
