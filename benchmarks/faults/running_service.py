"""A running service whose processes, servers and files a fault may break."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.faults.load import Connection
from benchmarks.processes import ROOT, Command, Program, environment, wait_until_ready
from benchmarks.soak_samples import kind_of
from scripts.ports import reserve_port
from shared.redis.connections import RedisClient, connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings

START_TIMEOUT_S = 180.0
COMMAND_TIMEOUT_S = 120.0
POLL_S = 0.05


class NotInTimeError(RuntimeError):
    """A condition did not become true in time."""


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Poll until a condition is true.

    Raises:
        NotInTimeError: it is not within `timeout_s`.
    """
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise NotInTimeError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)


class RunningService:
    """One service with a home of its own.

    Args:
        folder: new folder with a short path, because Unix sockets are in it.
        models_path: a registry with an active model.
        env: settings of the service.
        prefix: words before the command, for example those that mount a small disk.
    """

    def __init__(
        self,
        folder: Path,
        models_path: Path,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.models_path = models_path
        self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = self.other_key = ""
        self._starts = 0
        self._prefix = prefix
        self._env = {
            "CARPRICE_HOME": str(self.home),
            "MODELS_PATH": str(models_path),
            "PORT": str(self.port),
            "FLOWER_PORT": str(reserve_port()),
            "REDIS_URL": "",
            "CACHE_URL": "",
            **(env or {}),
        }
        self.program: Program | None = None

    def start(self) -> None:
        """Start the service and wait until it is ready.

        Raises:
            ProgramError: it ends, or is not ready in time.
        """
        self._starts += 1
        arguments = [*self._prefix, sys.executable, "-m", "cli.main", "up"]
        command = Command(name="carprice", arguments=arguments, env=self._env)
        self.program = Program(command, self.folder / f"up-{self._starts}.log")
        wait_until_ready(f"{self.url}/readyz", [self.program], START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop the service as Ctrl-C does."""
        if self.program is not None:
            self.program.stop()

    def create_keys(self) -> None:
        """Create a key for the load and one for another caller."""
        self.key = self.command("key", "create", "shop", *_scopes("predict", "bulk", "admin"))
        self.other_key = self.command("key", "create", "other", *_scopes("predict", "bulk"))

    def command(self, *arguments: str) -> str:
        """Run a `carprice` command for this home and return what it prints.

        Raises:
            RuntimeError: it failed; its output is the message.
        """
        done = self.run(*arguments)
        if done.returncode:
            raise RuntimeError(f"carprice {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def exit_code(self, *arguments: str) -> int:
        """Run a `carprice` command for this home and return its exit code."""
        return self.run(*arguments).returncode

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a `carprice` command for this home."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=environment(self._env),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )

    @property
    def seen_home(self) -> Path:
        """The home as this process sees it, if the service has a mount namespace of its own."""
        if not self._prefix or self.program is None:
            return self.home
        return Path(f"/proc/{self.program.pid}/root") / self.home.relative_to("/")

    @property
    def broker(self) -> RedisClient:
        """A client of the broker."""
        url = self._env["REDIS_URL"] or with_server_urls(Settings(home=self.seen_home)).redis_url
        return connect(url)

    @property
    def cache(self) -> RedisClient:
        """A client of the cache server."""
        return connect(with_server_urls(Settings(home=self.seen_home)).cache_url)

    def connection(self) -> Connection:
        """A connection with the key of the load."""
        return Connection(self.url, self.key)

    def processes(self, kind: str) -> list[psutil.Process]:
        """Processes of one kind, those of pools included."""
        found = []
        for process in self.program.processes() if self.program else []:
            with contextlib.suppress(psutil.Error):
                if kind_of(" ".join(process.cmdline())) == kind:
                    found.append(process)
        return found

    def pool(self) -> list[psutil.Process]:
        """Pool processes of the bulk worker."""
        bulk = self.processes("bulk worker")
        parents = {process.pid for process in bulk}
        return [process for process in bulk if process.ppid() in parents]

    def signal(self, processes: Sequence[psutil.Process], number: signal.Signals) -> float:
        """Send a signal to processes; returns the Unix time."""
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                os.kill(process.pid, number)
        return time.time()

    def kill(self, kind: str) -> float:
        """SIGKILL all processes of a kind; returns the Unix time."""
        return self.signal(self.processes(kind), signal.SIGKILL)

    def suspend(self, kind: str, seconds: float) -> float:
        """SIGSTOP all processes of a kind for a time; returns the Unix time of their resumption."""
        processes = self.processes(kind)
        self.signal(processes, signal.SIGSTOP)
        time.sleep(seconds)
        return self.signal(processes, signal.SIGCONT)

    def is_ready(self) -> bool:
        """Whether the service reports that everything is ready."""
        try:
            status, body = self.connection().request("GET", "/readyz")
        except OSError:
            return False
        return status == http.client.OK and b'"ready"' in body

    def wait_until_ready(self) -> None:
        """Wait until everything is ready.

        Raises:
            NotInTimeError: it is not.
        """
        wait_until(self.is_ready, START_TIMEOUT_S, "the service is ready")


def _scopes(*names: str) -> list[str]:
    return [word for name in names for word in ("--scope", name)]
