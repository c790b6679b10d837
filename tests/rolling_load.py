"""A proxy in front of several APIs, and callers that notice when an answer is missing."""

import contextlib
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx

from scripts.ports import reserve_port
from tests.conftest import ROOT, wait_until

CALLERS = 8


def is_ready(url: str) -> bool:
    """Whether an API, or one of those behind a proxy, can serve."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


@contextlib.contextmanager
def running_proxy(folder: Path, addresses: Sequence[str]) -> Iterator[str]:
    """HAProxy with its configuration of compose, but with the APIs of these addresses."""
    text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    port = reserve_port()
    servers = "\n".join(f"    server api{n} {each}" for n, each in enumerate(addresses))
    text = re.sub(r" +server-template .*", servers, text)
    text = text.replace("bind :8000", f"bind 127.0.0.1:{port}")
    text = text.replace("bind :8405", f"bind 127.0.0.1:{reserve_port()}")
    path = folder / "haproxy.cfg"
    path.write_text(text)
    process = subprocess.Popen(["haproxy", "-db", "-f", str(path)])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_ready(url), 30.0, "the proxy answers")
        yield url
    finally:
        process.terminate()
        process.wait(30)


class Callers:
    """Callers that send requests one after the other, over connections that they keep.

    Args:
        url: of the proxy.
        car: what they ask for.
        headers: of each request.
    """

    def __init__(
        self, url: str, car: dict[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        self._url = url
        self._car = car
        self._headers = headers
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
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60.0) as client:
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
