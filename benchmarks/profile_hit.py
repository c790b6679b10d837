"""Where the CPU time of a cache hit goes, in this process, against a bare Flask route.

Parts are timed where they run, inside real requests: timed alone in a loop they would find every
cache warm and look cheaper than they are. `python -m benchmarks.profile_hit [MODELS]`.
"""

import contextlib
import dataclasses
import io
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

from benchmarks import inputs
from benchmarks.peers.bare_flask import app as bare_app
from benchmarks.processes import Command, Program
from benchmarks.subject import OWN_PYTHON
from shared.connections import with_connections
from shared.embedded import ServerName, socket_path
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
PLAIN, FLASK = "application/json", "application/json; charset=utf-8"
"""The same to a client; what is not quite plain is answered by Flask (`api.hot_path`)."""

PARTS = {
    "find the caller": ("api.hot_path", "HotPath", "_caller"),
    "read the body": ("api.hot_path", "", "_read"),
    "JSON": ("api.hot_path", "", "parse_json"),
    "the car's fields": ("api.hot_path", "", "load_car_request"),
    "service": ("api.services.valuations", "Valuations", "value"),
    "- cache": ("shared.adapters.redis_cache", "RedisValuationCache", "get"),
    "- audit: one line": ("shared.adapters.jsonl_audit", "JsonlAuditLog", "append"),
    "- count the price": ("api.services.valuations", "", "observe_valuations"),
    "write the answer": ("api.hot_path", "HotPath", "_write"),
    "headers": ("api.hot_path", "", "_headers"),
    "count and time the request": ("api.hot_path", "", "observe_http"),
}
"""Module, class (or none) and function of each part; a part contains those indented below it."""


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
            line = [OWN_PYTHON, "-m", "shared.embedded", name]
            env = {"CARPRICE_HOME": str(home)}
            program = Program(Command(name=name, arguments=line, env=env), home / f"{name}.log")
            stack.callback(program.stop)
            while not socket_path(Settings(home=home), name).exists():
                program.check()
                time.sleep(0.05)
        yield


def report() -> None:
    """Measure and print."""
    from api.app import create_app  # noqa: PLC0415 - after the environment is set
    from shared.logging import configure_logging  # noqa: PLC0415

    settings = with_connections(Settings.from_env())
    configure_logging("warning", "api")
    app = create_app(settings)
    far = create_app(dataclasses.replace(settings, cache_near_entries=0))
    fill_cache(app)
    subjects = {
        "hit, from the process' own memory": (app, PLAIN),
        "hit, from the cache server": (far, PLAIN),
        "the same through Flask": (far, FLASK),
        "bare Flask route, called the same way": (bare_app, PLAIN),
    }
    for name, value in cpu_us(subjects).items():
        print(f"{value:8.1f}  {name}")
    for title, subject in (("own memory", app), ("cache server", far)):
        print(f"of the hit from the {title}, timed where it runs:")
        for name, value in parts_us(subject).items():
            print(f"{value:8.1f}  {name}")


def fill_cache(app: Any) -> None:
    """Put the example's estimate where a worker would put it."""
    from api.current import EXTENSION  # noqa: PLC0415 - see `report`
    from model_store.bundle import load_model  # noqa: PLC0415
    from model_store.registry import ModelRegistry  # noqa: PLC0415
    from shared.adapters.redis_cache import RedisValuationCache  # noqa: PLC0415
    from shared.adapters.redis_client import connect  # noqa: PLC0415
    from shared.schemas.car_requests import load_car_request  # noqa: PLC0415

    settings = app.extensions[EXTENSION].settings
    version = ModelRegistry(settings.versions_path).active_version()
    request = load_car_request(CAR)
    estimate = load_model(settings.versions_path, str(version)).estimate([request.car])[0]
    cache = RedisValuationCache(connect(settings.cache_url), 3600, time.time)
    cache.put([(request.car, request.extras, estimate)])
    status, headers = call(app)
    if status != "200 OK" or "hit" not in headers.get("Cache-Status", ""):
        raise RuntimeError(f"not a hit: {status} {headers}")


def call(app: Any, content_type: str = PLAIN) -> tuple[str, dict[str, str]]:
    """One request, as a WSGI server would make it; status and headers."""
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/predict",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(BODY)),
        "HTTP_HOST": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(BODY),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
    }
    started: list[tuple[str, list[tuple[str, str]]]] = []
    answer = app(environ, lambda status, headers, _=None: started.append((status, headers)))
    b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return started[0][0], dict(started[0][1])


def cpu_us(subjects: Mapping[str, tuple[Any, str]]) -> dict[str, float]:
    """CPU time of one call of each, the median of stretches that take turns."""
    stretches: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(REPEATS):
        for name, (app, content_type) in subjects.items():
            started_s = time.process_time()
            for _ in range(CALLS):
                call(app, content_type)
            stretches[name].append(1e6 * (time.process_time() - started_s) / CALLS)
    return {name: statistics.median(values) for name, values in stretches.items()}


def parts_us(app: Any) -> dict[str, float]:
    """CPU time of each part within a hit; the clock's own cost, under 1 us, is in it."""
    spent: dict[str, float] = defaultdict(float)
    with contextlib.ExitStack() as stack:
        for name, (module, owner, function) in PARTS.items():
            target = sys.modules[module]
            stack.enter_context(
                timed(getattr(target, owner) if owner else target, function, name, spent)
            )
        for _ in range(CALLS):
            call(app)
    return {name: 1e6 * spent[name] / CALLS for name in PARTS}


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
