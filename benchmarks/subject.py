"""One system under measurement, and where a run keeps its files."""

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
    """Where a run keeps its files."""

    folder: Path
    models_path: Path
    pipeline: Path

    @property
    def full_home(self) -> Path:
        """Home of the service that has many stored jobs and audit lines."""
        return self.folder / "full"

    @property
    def numba(self) -> str:
        """Where compiled kernels are kept: the caller's place, if there is one."""
        return os.environ.get("NUMBA_CACHE_DIR") or str(self.folder / "numba")

    @property
    def queue(self) -> Settings:
        """Settings of the server that all queues among the peers share."""
        return Settings(home=self.folder / "queue")

    def env(self) -> dict[str, str]:
        """Environment of every peer."""
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
        label: what a reader of the table sees.
        programs: what to start, given where and on which port.
        ready: path that answers 200 once it can be measured; empty for one without HTTP.
        imports: modules of the peers' environment; empty: it runs in the service's own.
        client: module that is its one client in the `roundtrip` scenario, if it has no HTTP.
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
        """The interpreter of its environment."""
        return PEERS_PYTHON if self.imports else OWN_PYTHON
