"""What is measured: the service, its peers, and the programs that each of them needs."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.launcher.processes import read_procfile
from benchmarks.processes import ROOT, Command, free_port
from shared.celery_app import broker_url
from shared.embedded import embedded_url
from shared.settings import Settings

OWN_PYTHON = sys.executable
PEERS_PYTHON = str(ROOT / ".venv-peers" / "bin" / "python")
SERVICE = "carprice"
FULL_SERVICE = "carprice-full"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, kw_only=True)
class Place:
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
    programs: Callable[[Place, int], Sequence[Command]]
    ready: str = "/ready"
    imports: tuple[str, ...] = ()
    client: str = ""
    uses_queue: bool = False
    uses_pipeline: bool = False

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return PEERS_PYTHON if self.imports else OWN_PYTHON


def queue_server(place: Place) -> Command:
    """The server of the peers' queues: the binary and the configuration of the service's broker."""
    return Command(
        name="queue",
        arguments=[OWN_PYTHON, "-m", "shared.embedded", "broker"],
        env={"CARPRICE_HOME": str(place.queue.home)},
    )


def _service(place: Place, port: int) -> Sequence[Command]:
    return _service_at(place, port, place.folder / "home")


def _full_service(place: Place, port: int) -> Sequence[Command]:
    return _service_at(place, port, place.full_home, FULL_SERVICE)


def _service_at(place: Place, port: int, home: Path, name: str = SERVICE) -> Sequence[Command]:
    env = {
        "CARPRICE_HOME": str(home),
        "MODELS_PATH": str(place.models_path),
        "NUMBA_CACHE_DIR": place.numba,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "FLOWER_PORT": str(free_port()),
        "REDIS_URL": "",
        "CACHE_URL": "",
    }
    return [Command(name=name, arguments=[OWN_PYTHON, "-m", "api.cli", "up"], env=env)]


def _granian(name: str, application: str, place: Place, port: int) -> Command:
    """A WSGI peer behind the service's own server, with the options that the service ships."""
    line = read_procfile(ROOT / "Procfile")["api"].replace("api.wsgi:app", application)
    env = place.env() | {"HOST": "127.0.0.1", "PORT": str(port)}
    return Command(name=name, arguments=["/bin/sh", "-c", f"exec {OWN_PYTHON} -m {line}"], env=env)


def _uvicorn(module: str) -> Callable[[Place, int], Sequence[Command]]:
    def programs(place: Place, port: int) -> Sequence[Command]:
        application = f"benchmarks.peers.{module}:app"
        options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        options += ["--no-access-log", "--log-level", "warning"]
        env = place.env()
        if module == "reference_way":  # all cores, as n_jobs=-1 asks for
            env = {name: value for name, value in env.items() if name not in ONE_THREAD}
        arguments = [PEERS_PYTHON, "-m", "uvicorn", application, *options]
        return [Command(name=module, arguments=arguments, env=env)]

    return programs


def _celery(name: str, application: str, place: Place, python: str = OWN_PYTHON) -> Command:
    options = ["--pool", "solo", "--hostname", f"{name}@%h", "--loglevel", "warning"]
    options += ["--without-gossip", "--without-mingle"]
    arguments = [python, "-m", "celery", "--quiet", "-A", application, "worker", *options]
    return Command(name=name, arguments=arguments, env=place.env())


def _plain_celery(place: Place, port: int) -> Sequence[Command]:
    application = "benchmarks.peers.celery_plain"
    numbers = range(1, Settings().interactive_workers + 1)
    workers = [_celery(f"plain-{n}", f"{application}:celery", place) for n in numbers]
    return [_granian("plain-api", f"{application}:app", place, port), *workers]


def _bare_flask(place: Place, port: int) -> Sequence[Command]:
    return [_granian("bare-flask", "benchmarks.peers.bare_flask:app", place, port)]


def _bentoml(place: Place, port: int) -> Sequence[Command]:
    service = "benchmarks.peers.bentoml_service:CarPrice"
    options = ["--host", "127.0.0.1", "--port", str(port)]
    arguments = [PEERS_PYTHON, "-m", "bentoml", "serve", service, *options]
    return [Command(name="bentoml", arguments=arguments, env=place.env())]


def _celery_empty(place: Place, _: int) -> Sequence[Command]:
    return [_celery("empty", "benchmarks.peers.celery_empty:celery", place)]


def _rq(place: Place, _: int) -> Sequence[Command]:
    program = str(Path(PEERS_PYTHON).with_name("rq"))
    arguments = [program, "worker", "--url", place.env()["BENCH_REDIS_URL"], "--quiet"]
    arguments += ["--worker-class", "rq.worker.SimpleWorker", "empty"]
    return [Command(name="rq", arguments=arguments, env=place.env())]


def _dramatiq(place: Place, _: int) -> Sequence[Command]:
    arguments = [PEERS_PYTHON, "-m", "dramatiq", "benchmarks.peers.dramatiq_empty"]
    arguments += ["--processes", "1", "--threads", "1"]
    return [Command(name="dramatiq", arguments=arguments, env=place.env())]


def _taskiq(place: Place, _: int) -> Sequence[Command]:
    program = str(Path(PEERS_PYTHON).with_name("taskiq"))
    arguments = [program, "worker", "benchmarks.peers.taskiq_empty:broker", "--workers", "1"]
    arguments += ["--log-level", "WARNING"]
    return [Command(name="taskiq", arguments=arguments, env=place.env())]


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            name=SERVICE, label="**this service** (`make up`)", programs=_service, ready="/readyz"
        ),
        Subject(
            name=FULL_SERVICE,
            label="this service, with many stored jobs and audit lines",
            programs=_full_service,
            ready="/readyz",
        ),
        Subject(
            name="celery-plain",
            label="Flask, `apply_async().get()`, fast runtime",
            programs=_plain_celery,
            uses_queue=True,
        ),
        Subject(
            name="fastapi-fast",
            label="FastAPI in-process, fast runtime",
            programs=_uvicorn("fastapi_fast"),
            imports=("fastapi", "uvicorn", "numba"),
        ),
        Subject(
            name="bentoml",
            label="BentoML in-process, fast runtime",
            programs=_bentoml,
            ready="/readyz",
            imports=("bentoml", "numba"),
        ),
        Subject(
            name="fastapi-forest",
            label="FastAPI in-process, `forest.predict`",
            programs=_uvicorn("fastapi_forest"),
            imports=("fastapi", "uvicorn", "sklearn"),
        ),
        Subject(
            name="reference-way",
            label="pandas row, pipeline, n_jobs=-1",
            programs=_uvicorn("reference_way"),
            imports=("fastapi", "uvicorn", "sklearn", "pandas"),
            uses_pipeline=True,
        ),
        Subject(
            name="fastapi-constant",
            label="FastAPI + pydantic, answers a constant",
            programs=_uvicorn("fastapi_constant"),
            imports=("fastapi", "uvicorn"),
        ),
        Subject(
            name="bare-flask",
            label="bare Flask route on granian (the limit)",
            programs=_bare_flask,
        ),
        Subject(
            name="celery-empty",
            label="Celery, empty task, solo worker",
            programs=_celery_empty,
            ready="",
            client="benchmarks.peers.celery_empty",
            uses_queue=True,
        ),
        Subject(
            name="rq-empty",
            label="RQ, empty job, SimpleWorker",
            programs=_rq,
            ready="",
            imports=("rq",),
            client="benchmarks.peers.rq_empty",
            uses_queue=True,
        ),
        Subject(
            name="dramatiq-empty",
            label="Dramatiq, empty actor, one thread",
            programs=_dramatiq,
            ready="",
            imports=("dramatiq", "redis"),
            client="benchmarks.peers.dramatiq_empty",
            uses_queue=True,
        ),
        Subject(
            name="taskiq-empty",
            label="taskiq, empty task, one worker",
            programs=_taskiq,
            ready="",
            imports=("taskiq", "taskiq_redis"),
            client="benchmarks.peers.taskiq_empty",
            uses_queue=True,
        ),
    )
}
"""All systems that are started, by name."""

ENGINES = {
    "packed": "packed forest, spread included",
    "estimate": "cars to estimates (encode, forest, nine quantiles)",
    "sklearn": "`forest.predict`, n_jobs=1, ready matrix",
    "pipeline": "reference project's way: dicts, DataFrame, pipeline, n_jobs=-1",
    "contributions": "why the price is what it is, one car",
    "depreciation": "the next five years, one car",
    "comparables": "typical cars near it, one car",
}
"""What the `inference` scenario compares, all in one process."""

LABELS = (
    {name: subject.label for name, subject in SUBJECTS.items()}
    | ENGINES
    | {
        "bare-predict": "bare single-core `forest.predict`, ready matrix",
        "alone": "this service, no batch under way",
        "beside-batch": "this service, a large batch under way",
    }
)
