"""One system under measurement, and the folders of a run."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, Command
from shared.queue.celery_app import broker_url
from shared.redis.servers import embedded_url
from shared.settings import Settings

OWN_PYTHON = sys.executable
PEERS_PYTHON = str(ROOT / ".venv-peers" / "bin" / "python")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The folders and files of a run."""

    folder: Path
    models_path: Path
    pipeline: Path

    @property
    def home(self) -> Path:
        """Home of the service."""
        return self.folder / "home"

    @property
    def full_home(self) -> Path:
        """Home of the service with many stored jobs and audit lines."""
        return self.folder / "full"

    @property
    def traced_home(self) -> Path:
        """Home of the service that traces."""
        return self.folder / "traced"

    @property
    def numba(self) -> str:
        """Folder of compiled kernels: the caller's NUMBA_CACHE_DIR, if set."""
        return os.environ.get("NUMBA_CACHE_DIR") or str(self.folder / "numba")

    @property
    def queue(self) -> Settings:
        """Settings of the Redis server that the peers' queues share."""
        return Settings(home=self.folder / "queue")

    def env(self) -> dict[str, str]:
        """Return the environment of every peer."""
        redis_url = embedded_url(self.queue, "broker")
        return {
            **ONE_THREAD,
            "MODELS_PATH": str(self.models_path),
            "NUMBA_CACHE_DIR": self.numba,
            "BENCH_PIPELINE": str(self.pipeline),
            "BENCH_REDIS_URL": redis_url,
            "BENCH_CELERY_URL": broker_url(redis_url),
            "BENTOML_HOME": str(self.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One system under measurement.

    Args:
        name: short name, in results and on the command line.
        label: name in the tables.
        programs: returns the commands to start, given the workspace and the port.
        ready: path that answers 200 once it can be measured; empty for a subject without HTTP.
        imports: modules of the peers' environment that it needs; empty: it runs in the service's.
        client: module that is its client in the `roundtrip` scenario, if it has no HTTP.
        uses_queue: whether it needs the peers' Redis server.
        uses_pipeline: whether it needs the reference project's pipeline.
    """

    name: str
    label: str
    programs: Callable[[Workspace, int], Sequence[Command]]
    ready: str = "/ready"
    imports: tuple[str, ...] = ()
    client: str = ""
    uses_queue: bool = False
    uses_pipeline: bool = False

    @property
    def python(self) -> str:
        """Interpreter of its environment."""
        return PEERS_PYTHON if self.imports else OWN_PYTHON
