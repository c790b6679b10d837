"""Two APIs behind the proxy of compose are stopped and started in turn: callers notice nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.ports import reserve_port
from tests.conftest import ROOT, Service, running_service, short_folder, wait_until
from tests.rolling_load import Callers, is_ready, running_proxy

pytestmark = [
    pytest.mark.faults,
    pytest.mark.haproxy,
]

DRAIN_DELAY_S = "4"
ROUNDS = 2


@contextlib.contextmanager
def running_api(service: Service, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """One further API of a service, as a unit or a container runs it."""
    settings = service.settings
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "run", "api"],
        cwd=ROOT,
        env={
            **os.environ,
            "CARPRICE_HOME": str(service.home),
            "MODELS_PATH": str(service.models_path),
            "REDIS_URL": settings.redis_url,
            "CACHE_URL": settings.cache_url,
            "PORT": str(port),
            "DRAIN_DELAY_S": DRAIN_DELAY_S,
        },
    )
    try:
        wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"), 60.0, "the API is ready")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_apis_are_restarted_in_turn_without_an_error(
    models_path: Path, car: dict[str, object], tmp_path: Path
) -> None:
    ports = [reserve_port(), reserve_port()]
    with (
        short_folder() as home,
        running_service(home, models_path) as service,
        contextlib.ExitStack() as first,
        contextlib.ExitStack() as second,
    ):
        stacks = [first, second]
        for stack, port in zip(stacks, ports, strict=True):
            stack.enter_context(running_api(service, port))
        addresses = [f"127.0.0.1:{port}" for port in ports]
        with running_proxy(tmp_path, addresses) as url, Callers(url, car) as callers:
            wait_until(lambda: callers.answers.total() > 50, 60.0, "load")
            for _ in range(ROUNDS):
                for stack, port in zip(stacks, ports, strict=True):
                    stack.close()
                    before = callers.answers.total()
                    wait_until(lambda b=before: callers.answers.total() > b + 50, 60.0, "load")
                    stack.enter_context(running_api(service, port))
                    time.sleep(3)  # the proxy counts two answers before it uses the API again
    assert callers.errors == {}
    assert callers.answers["200"] > 500
