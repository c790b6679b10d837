"""Starts the processes of the recorded service by `carprice run`."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from scripts.ports import reserve_port
from tests.behaviour.adapters import ROOT, entry_point_name

MODELS = Path(__file__).parent / "models"
FIXED_YEAR = Path(__file__).parent / "fixed_year"
NUMBA = ROOT / ".pytest_cache" / "numba"
PATIENCE_S = 150.0
_MODULE, _, _ATTRIBUTE = entry_point_name().partition(":")
CARPRICE = (
    sys.executable,
    "-c",
    f"import sys; sys.argv[0] = 'carprice'; from {_MODULE} import {_ATTRIBUTE}; {_ATTRIBUTE}()",
)
"""The command line of `carprice`, from the entry point that `pyproject.toml` names now."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until a condition is true and return its value."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


@dataclass(frozen=True, kw_only=True)
class Home:
    """A home folder, the environment of its processes, and its running processes."""

    folder: Path
    env: dict[str, str]
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def command(
        self, *arguments: str, text: str = "", **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run `carprice` to its end."""
        return subprocess.run(
            [*CARPRICE, *arguments],
            cwd=self.folder,
            env=self._env(env),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def start(self, kind: str, **env: str) -> "subprocess.Popen[bytes]":
        """Start one process of the service."""
        log = (self.folder / f"{kind}-{len(self.started)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [*CARPRICE, "run", kind],
                cwd=ROOT,
                env=self._env({"PROMETHEUS_MULTIPROC_DIR": self.metrics_of(kind), **env}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def metrics_of(self, kind: str) -> str:
        """Return the folder of the metrics of one kind of process."""
        return str(self.folder / f"metrics-{kind}")

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """Stop one process."""
        self.started.remove(process)
        _stop(process)

    def socket_of(self, server: str) -> Path:
        """Return the socket of an embedded server."""
        return self.folder / "run" / f"{server}.sock"

    def redis(self, server: str) -> "redis.Redis[bytes]":
        """Connect to an embedded server."""
        return redis.Redis(unix_socket_path=str(self.socket_of(server)))

    def _env(self, more: dict[str, str]) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
            or name.startswith("COVERAGE_")
        }
        return {
            **inherited,
            "TZ": "UTC",
            "HOME": str(self.folder),
            "PYTHONPATH": f"{FIXED_YEAR}{os.pathsep}{ROOT}",
            "NUMBA_CACHE_DIR": str(NUMBA),
            **self.env,
            **more,
        }


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a process; kill it and its children if it does not end."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def home(**env: str) -> Iterator[Home]:
    """Create a home in a folder with a path short enough for Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="cpb-"))
    made = Home(folder=folder, env={"CARPRICE_HOME": str(folder), **env})
    try:
        yield made
    finally:
        for process in reversed(made.started):
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service: its processes, addresses and keys."""

    home: Home
    workers: "list[subprocess.Popen[bytes]]"
    url: str
    worker_urls: dict[str, str]
    keys_url: str
    keys: dict[str, str]
    empty_url: str

    def client(self, **options: Any) -> httpx.Client:
        """Create an HTTP client without default headers."""
        return client(self.url, **options)


def client(url: str, **options: Any) -> httpx.Client:
    """Create an HTTP client without default headers.

    Each request has its own connection, because the server closes a connection if it has not read
    the whole body.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    made = httpx.Client(base_url=url, timeout=60.0, limits=limits, **options)
    for name in ("Accept", "Accept-Encoding", "User-Agent"):
        del made.headers[name]
    return made


@contextlib.contextmanager
def service() -> Iterator[Service]:
    """Run the service without supervisor and without beat, and two more API processes.

    One of them requires keys and has small limits for bodies. The other one has no Redis servers
    and no model.
    """
    with contextlib.ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpm-")))
        shutil.copytree(MODELS, models, dirs_exist_ok=True)
        main = stack.enter_context(
            home(MODELS_PATH=str(models), BULK_PROCESSES="1", LOG_LEVEL="warning")
        )
        ports = [reserve_port() for _ in range(5)]
        for server in ("broker", "cache"):
            main.start(server)
        for server in ("broker", "cache"):
            wait_until(lambda name=server: _answers(main, name), server)
        workers = [
            main.start(kind, METRICS_PORT=str(port))
            for kind, port in (("interactive", ports[1]), ("bulk", ports[2]))
        ]
        main.start("api", PORT=str(ports[0]))
        keys_file = main.folder / "keys.json"
        keyed = {"API_KEYS_FILE": str(keys_file)}
        keys = {
            name: main.command("key", name, *scopes, **keyed).stdout.strip()
            for name, scopes in KEYS.items()
        }
        main.start("api", PORT=str(ports[3]), BODY_MAX_BYTES="2000", UPLOAD_MAX_BYTES="1500",
                   JOB_MAX_CARS="3", CORS_ORIGINS="https://a.example,https://b.example",
                   PROMETHEUS_MULTIPROC_DIR=main.metrics_of("keys"), **keyed)  # fmt: skip
        empty = stack.enter_context(home(LOG_LEVEL="error"))
        empty.start("api", PORT=str(ports[4]), MODELS_PATH=str(empty.folder / "models"))
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in (urls[3], urls[4]):
            wait_until(lambda url=url: _status(f"{url}/livez") == httpx.codes.OK, url)
        for url in (urls[1], urls[2]):
            wait_until(lambda url=url: _status(f"{url}/metrics") == httpx.codes.OK, url)
        wait_until(lambda: _status(f"{urls[0]}/readyz") == httpx.codes.OK, "ready")
        yield Service(
            home=main,
            workers=workers,
            url=urls[0],
            worker_urls={"interactive": urls[1], "bulk": urls[2]},
            keys_url=urls[3],
            keys=keys,
            empty_url=urls[4],
        )


KEYS = {
    "shop": ("--scope", "predict"),
    "stock": ("--scope", "bulk"),
    "operator": ("--scope", "predict", "--scope", "bulk", "--scope", "admin"),
}
"""Callers and the options of their keys."""


def _answers(where: Home, server: str) -> bool:
    try:
        return bool(where.redis(server).ping())
    except redis.RedisError:
        return False


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=5.0).status_code
    except httpx.HTTPError:
        return 0
