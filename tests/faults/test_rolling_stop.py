"""Two APIs behind the proxy of compose are stopped and started in turn: callers notice nothing."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from scripts.ports import reserve_port
from tests.conftest import ROOT, Service, running_service, short_folder, wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.haproxy,
]

DRAIN_DELAY_S = "4"
CALLERS = 8
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
        wait_until(lambda: is_ready(port), 60.0, "the API is ready")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


@contextlib.contextmanager
def running_proxy(folder: Path, ports: list[int]) -> Iterator[str]:
    """HAProxy with its configuration of compose, but with these APIs."""
    text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    port = reserve_port()
    servers = "\n".join(f"    server api{each} 127.0.0.1:{each}" for each in ports)
    text = re.sub(r" +server-template .*", servers, text)
    text = text.replace("bind :8000", f"bind 127.0.0.1:{port}")
    text = text.replace("bind :8405", f"bind 127.0.0.1:{reserve_port()}")
    path = folder / "haproxy.cfg"
    path.write_text(text)
    process = subprocess.Popen(["haproxy", "-db", "-f", str(path)])
    try:
        wait_until(lambda: is_ready(port), 30.0, "the proxy answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


class Callers:
    """Callers that send requests one after the other, over connections that they keep.

    Args:
        url: of the proxy.
        car: what they ask for.
    """

    def __init__(self, url: str, car: dict[str, object]) -> None:
        self._url = url
        self._car = car
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        kinds = [self._hit, self._miss, self._wait_for_job, self._read]
        self._threads = [
            threading.Thread(target=self._run, args=(kinds[index % len(kinds)],))
            for index in range(CALLERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def errors(self) -> dict[str, int]:
        """What is not the answer of a service that works, with its number."""
        good = re.compile(r"20[012]")
        return {text: count for text, count in self.answers.items() if not good.fullmatch(text)}

    def _run(self, ask: Callable[[httpx.Client], httpx.Response]) -> None:
        with httpx.Client(base_url=self._url, timeout=60.0) as client:
            while not self._stop.is_set():
                try:
                    text = str(ask(client).status_code)
                except httpx.HTTPError as error:
                    text = repr(error)
                self.answers[text] += 1

    def _hit(self, client: httpx.Client) -> httpx.Response:
        return client.post("/predict", json=self._car)

    def _miss(self, client: httpx.Client) -> httpx.Response:
        return client.post(
            "/predict", json=self._car | {"km_driven": time.time_ns() // 1000 % 1_900_000}
        )

    def _wait_for_job(self, client: httpx.Client) -> httpx.Response:
        accepted = client.post("/jobs", json=self._car)
        if accepted.status_code != 202:
            return accepted
        return client.get(accepted.headers["Location"], headers={"Prefer": "wait=20"})

    def _read(self, client: httpx.Client) -> httpx.Response:
        return client.get("/models")


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
        with running_proxy(tmp_path, ports) as url, Callers(url, car) as callers:
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
