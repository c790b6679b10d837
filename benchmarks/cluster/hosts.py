"""A host of the service: its home, its processes, and its API."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.cluster.network import Place
from benchmarks.faults.load import Connection
from benchmarks.processes import ROOT
from scripts.ports import reserve_port

COMMAND_TIMEOUT_S, STOP_TIMEOUT_S = 180.0, 90.0
CLOCK_FOLDER = ROOT / "benchmarks" / "faults" / "clock"


class Host:
    """A host whose processes are started one by one, as units or containers are.

    Args:
        name: of its folder.
        place: where it runs.
        folder: the folder of the run.
        env: settings that all hosts have.
    """

    def __init__(self, name: str, place: Place, folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.place = place
        self.home = folder / name
        self.home.mkdir(exist_ok=True)
        self.key = ""
        self._port = reserve_port()
        self._log = folder / f"{name}.log"
        self._clock = folder / f"{name}.clock"
        self._lock = threading.Lock()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.set_clock(0)
        self._env = {
            **os.environ,
            **env,
            "CARPRICE_HOME": str(self.home),
            "MODELS_PATH": str(self.models),
            "HOST": place.address,
            "PORT": str(self._port),
            "CARPRICE_TEST_CLOCK": str(self._clock),
            "PYTHONPATH": f"{CLOCK_FOLDER}:{ROOT}",
        }

    @property
    def models(self) -> Path:
        """Its folder of model versions."""
        return self.home / "models"

    @property
    def address(self) -> str:
        """Address and port of its API."""
        return f"{self.place.address}:{self._port}"

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"http://{self.address}"

    @property
    def seen_home(self) -> Path:
        """Its home, as this process sees it."""
        return self.place.seen(self.home)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a caller with the key of the run."""
        return {"Authorization": f"Bearer {self.key}"}

    def host_name(self) -> str:
        """The host name that its processes see."""
        return subprocess.check_output([*self.place.prefix, "hostname"], text=True).strip()

    def client(self) -> httpx.Client:
        """An HTTP client of its API, with the key of the run."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=60.0)

    def connection(self, key: str | None = None) -> Connection:
        """A connection to its API, by default with the key of the run."""
        return Connection(self.url, self.key if key is None else key)

    def get(self, path: str) -> Any:
        """The JSON document of a path.

        Raises:
            httpx.HTTPError: it is not answered, or with an error.
        """
        with self.client() as client:
            return client.get(path).raise_for_status().json()

    def is_ready(self) -> bool:
        """Whether its API says that everything is ready."""
        with contextlib.suppress(httpx.HTTPError):
            return bool(self.get("/readyz")["status"] == "ready")
        return False

    def set_clock(self, seconds: float) -> None:
        """Let its processes see a time of day that differs by this."""
        self._clock.write_text(str(seconds))

    def start(self, *kinds: str) -> None:
        """Start processes, each with its children in a group of its own."""
        with self._lock:
            for kind in kinds:
                with self._log.open("ab") as log:
                    self.processes[kind] = subprocess.Popen(
                        [*self.place.prefix, sys.executable, "-m", "cli.main", "run", kind],
                        cwd=ROOT,
                        env={**self._env, "HONCHO_PROCESS_NAME": kind},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )

    def kill(self, *kinds: str) -> None:
        """SIGKILL processes and their children; by default all of this host."""
        with self._lock:
            for kind in kinds or tuple(self.processes):
                process = self.processes.pop(kind)
                running: list[psutil.Process] = []  # they have process groups of their own
                with contextlib.suppress(psutil.NoSuchProcess):
                    running = psutil.Process(process.pid).children(recursive=True)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                for each in running:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()
                process.wait()

    def restart(self, kind: str) -> None:
        """SIGKILL a process and its children, and start it again."""
        self.kill(kind)
        self.start(kind)

    def terminate(self, kind: str) -> int:
        """SIGTERM a process; return its exit code.

        Raises:
            subprocess.TimeoutExpired: it does not end.
        """
        process = self.processes.pop(kind)
        process.send_signal(signal.SIGTERM)
        return process.wait(STOP_TIMEOUT_S)

    def ended(self) -> list[str]:
        """The processes that have ended by themselves."""
        return [kind for kind, one in self.processes.items() if one.poll() is not None]

    def run(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a `carprice` command on this host, with other settings if some are given."""
        return subprocess.run(
            [*self.place.prefix, sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=self._env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )

    def command(self, *arguments: str) -> str:
        """Run a `carprice` command on this host; return what it prints.

        Raises:
            RuntimeError: it failed.
        """
        done = self.run(*arguments)
        if done.returncode:
            raise RuntimeError(f"carprice {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def verify_audit(self) -> tuple[int, dict[str, Any]]:
        """`carprice audit verify` on this host: its exit code, and what it found."""
        done = self.run("audit", "verify", "--json")
        with contextlib.suppress(ValueError):
            return done.returncode, dict(json.loads(done.stdout))
        return done.returncode, {"error": done.stderr}
