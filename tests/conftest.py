"""Fixtures with real servers, a trained model and the whole service."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import structlog

from scripts.ports import reserve_port
from shared.i18n import command
from shared.i18n.languages import SOURCE_LANGUAGE
from shared.redis.connections import RedisClient, connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 300.0

os.environ["LC_ALL"] = "C.UTF-8"
"""The language of commands, unless a test chooses one."""

# All processes of all tests share a cache of compiled kernels; compilation takes seconds.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))

# Apps of tests keep their connections until the process ends, more than the usual limit of 1,024.
_, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard_limit, 8192), hard_limit))

# Threads of earlier tests may log while a test reads the output of a command.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

REFERENCE_CAR: dict[str, Any] = {
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


def wait_until(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "") -> Any:
    """Poll until a condition is true and return its value; fail the test after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


@pytest.fixture(autouse=True)
def log_configuration() -> Iterator[None]:
    """Keep the configuration of logs as a test found it: commands change that of their process."""
    kept = structlog.get_config()
    yield
    structlog.configure(**kept)


@pytest.fixture(autouse=True)
def language_of_commands() -> Iterator[None]:
    """Let the process speak English again: a command may have been run in another language."""
    yield
    if command.language() != SOURCE_LANGUAGE:
        command.speak(SOURCE_LANGUAGE)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Create a folder with a path short enough for Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="cp-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stop(process: "subprocess.Popen[Any]", timeout_s: float = 30.0) -> int:
    """Send SIGTERM, and SIGKILL after `timeout_s`; return the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@pytest.fixture
def car() -> dict[str, Any]:
    """The reference example, as a request body."""
    return dict(REFERENCE_CAR)


@dataclass(frozen=True)
class Servers:
    """An embedded broker and cache."""

    settings: Settings
    broker: RedisClient
    cache: RedisClient


@contextlib.contextmanager
def running_server(home: Path, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run one embedded server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher.embedded", name],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        stop(process)


def answers(client: RedisClient) -> bool:
    """Return whether a Redis server answers."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


SERVER_REPLY_TIMEOUT_S = 30.0
"""On a machine that is busy with other tests, a reply can take longer than the service waits."""


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """Run an embedded broker and cache."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(short_folder())
        settings = with_server_urls(Settings(home=home, models_path=home / "versions"))
        for name in ("broker", "cache"):
            stack.enter_context(running_server(home, name))
        broker, cache = (
            connect(url, reply_timeout_s=SERVER_REPLY_TIMEOUT_S)
            for url in (settings.redis_url, settings.cache_url)
        )
        servers = Servers(settings, broker, cache)
        wait_until(lambda: answers(servers.broker), what="the broker")
        wait_until(lambda: answers(servers.cache), what="the cache")
        yield servers


@pytest.fixture(scope="session")
def session_servers() -> Iterator[Servers]:
    """A broker and a cache shared by all tests that need only servers."""
    with running_servers() as servers:
        yield servers


@pytest.fixture
def servers(session_servers: Servers) -> Servers:
    """The shared broker and cache, emptied."""
    session_servers.broker.flushall()
    session_servers.cache.flushall()
    return session_servers


@pytest.fixture(scope="session")
def models_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose active version is the default model, trained as `make up` does."""
    path = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, "-m", "cli.main", "train", "--activate"],
        cwd=ROOT,
        env={**os.environ, "MODELS_PATH": str(path)},
        check=True,
        capture_output=True,
        timeout=START_TIMEOUT_S,
    )
    return path


@dataclass(frozen=True)
class Service:
    """A running service, started by `carprice up`."""

    url: str
    flower_url: str
    home: Path
    models_path: Path
    process: "subprocess.Popen[str]"

    def client(self, **options: Any) -> httpx.Client:
        """Create an HTTP client of this service."""
        return httpx.Client(base_url=self.url, timeout=30.0, **options)

    @property
    def settings(self) -> Settings:
        """The settings of this service, with the addresses of its servers."""
        return with_server_urls(Settings(home=self.home, models_path=self.models_path))


@contextlib.contextmanager
def running_service(
    home: Path, models_path: Path, *, prefix: Sequence[str] = (), **env: str
) -> Iterator[Service]:
    """Start `carprice up`, wait until it is ready, and stop it at the end.

    Args:
        home: its CARPRICE_HOME.
        models_path: its MODELS_PATH.
        prefix: a command that ends by executing the one it is given.
        env: further settings.
    """
    port, flower_port = reserve_port(), reserve_port()
    log = (home / "up.log").open("w")
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "cli.main", "up"],
        cwd=ROOT,
        env={
            **os.environ,
            "CARPRICE_HOME": str(home),
            "MODELS_PATH": str(models_path),
            "PORT": str(port),
            "FLOWER_PORT": str(flower_port),
            **env,
        },
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )
    service = Service(
        f"http://127.0.0.1:{port}", f"http://127.0.0.1:{flower_port}", home, models_path, process
    )
    try:
        wait_until(lambda: _is_ready(service), START_TIMEOUT_S, "the service is ready")
        yield service
    finally:
        stop(process, 60.0)
        log.close()


def _is_ready(service: Service) -> bool:
    if service.process.poll() is not None:
        raise AssertionError((service.home / "up.log").read_text())
    try:
        return httpx.get(f"{service.url}/readyz", timeout=5.0).json()["status"] == "ready"
    except httpx.HTTPError:
        return False


def responds(url: str) -> bool:
    """Whether a server answers a request, by whatever status."""
    try:
        httpx.get(url, timeout=30.0)
    except httpx.ConnectError:
        return False
    return True


@pytest.fixture(scope="session")
def service(models_path: Path) -> Iterator[Service]:
    """A service shared by the tests that only send requests to it."""
    networks = "127.0.0.1/32"  # of the receivers of webhooks
    with (
        short_folder() as home,
        running_service(home, models_path, WEBHOOK_ALLOWED_NETWORKS=networks) as running,
    ):
        yield running


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """An HTTP client of the shared service."""
    with service.client() as client:
        yield client
