"""The service itself, and the peers that are HTTP servers without a task queue."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from benchmarks.processes import ROOT, Command
from benchmarks.subject import ONE_THREAD, OWN_PYTHON, PEERS_PYTHON, Subject, Workspace
from launcher.procfile import read_procfile
from scripts.ports import reserve_port

SERVICE = "carprice"
FULL_SERVICE = "carprice-full"
TRACED_SERVICE = "carprice-traced"
PEER_THREADS = 128
"""Threads of a WSGI peer: as many as the service has for Flask."""
BROKER_MAX_MEMORY = "8gb"
"""A million stored jobs take more than the default of 1 GB."""


def _service(workspace: Workspace, port: int) -> Sequence[Command]:
    return _service_at(workspace, port, workspace.home)


def _full_service(workspace: Workspace, port: int) -> Sequence[Command]:
    return _service_at(workspace, port, workspace.full_home, FULL_SERVICE)


def _traced_service(workspace: Workspace, port: int) -> Sequence[Command]:
    sink_port = reserve_port()
    sink = [OWN_PYTHON, "-m", "benchmarks.scenarios.trace_sink", str(sink_port)]
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink_port}"}
    workspace.traced_home.mkdir(exist_ok=True)
    return [
        Command(name="trace-sink", arguments=sink, env=workspace.env()),
        *_service_at(workspace, port, workspace.traced_home, TRACED_SERVICE, endpoint),
    ]


def _service_at(
    workspace: Workspace,
    port: int,
    home: Path,
    name: str = SERVICE,
    further: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[Command]:
    env = {
        "CARPRICE_HOME": str(home),
        "MODELS_PATH": str(workspace.models_path),
        "NUMBA_CACHE_DIR": workspace.numba,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        # No peer refuses: 256 connections wait in all of them alike.
        "QUEUE_MAX_DELAY_MS": "1000",
        "BROKER_MAX_MEMORY": BROKER_MAX_MEMORY,
        "FLOWER_PORT": str(reserve_port()),
        "REDIS_URL": "",
        "CACHE_URL": "",
        **further,
    }
    return [Command(name=name, arguments=[OWN_PYTHON, "-m", "cli.main", "up"], env=env)]


def granian(name: str, application: str, workspace: Workspace, port: int) -> Command:
    """Return the command of a WSGI peer on granian, with the options of the service's Procfile."""
    line = read_procfile(ROOT / "Procfile")["api"].replace("api.asgi:app", application)
    line = line.replace("--interface asginl", f"--interface wsgi --blocking-threads {PEER_THREADS}")
    line = line.replace("granian", f"{OWN_PYTHON} -m granian", 1)
    env = workspace.env() | {"HOST": "127.0.0.1", "PORT": str(port)}
    return Command(name=name, arguments=["/bin/sh", "-c", f"exec {line}"], env=env)


def _uvicorn(module: str) -> Callable[[Workspace, int], Sequence[Command]]:
    def programs(workspace: Workspace, port: int) -> Sequence[Command]:
        application = f"benchmarks.peers.{module}:app"
        options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        options += ["--no-access-log", "--log-level", "warning"]
        env = workspace.env()
        if module == "reference_way":  # n_jobs=-1 uses all cores
            env = {name: value for name, value in env.items() if name not in ONE_THREAD}
        arguments = [PEERS_PYTHON, "-m", "uvicorn", application, *options]
        return [Command(name=module, arguments=arguments, env=env)]

    return programs


def _bare_flask(workspace: Workspace, port: int) -> Sequence[Command]:
    return [granian("bare-flask", "benchmarks.peers.bare_flask:app", workspace, port)]


def _bentoml(workspace: Workspace, port: int) -> Sequence[Command]:
    service = "benchmarks.peers.bentoml_service:CarPrice"
    options = ["--host", "127.0.0.1", "--port", str(port)]
    arguments = [PEERS_PYTHON, "-m", "bentoml", "serve", service, *options]
    return [Command(name="bentoml", arguments=arguments, env=workspace.env())]


def _in_process(name: str, label: str, *imports: str, uses_pipeline: bool = False) -> Subject:
    """Return an ASGI application that computes in its own process."""
    return Subject(
        name=name,
        label=label,
        programs=_uvicorn(name.replace("-", "_")),
        imports=("fastapi", "uvicorn", *imports),
        uses_pipeline=uses_pipeline,
    )


SERVICES = (
    Subject(name=SERVICE, label="**this service** (`make up`)", programs=_service, ready="/readyz"),
    Subject(
        name=FULL_SERVICE,
        label="this service, with many stored jobs and audit lines",
        programs=_full_service,
        ready="/readyz",
    ),
    Subject(
        name=TRACED_SERVICE,
        label="this service, each request traced; with its collector",
        programs=_traced_service,
        ready="/readyz",
    ),
)
SERVERS = (
    _in_process("fastapi-fast", "FastAPI in-process, fast runtime", "numba"),
    Subject(
        name="bentoml",
        label="BentoML in-process, fast runtime",
        programs=_bentoml,
        ready="/readyz",
        imports=("bentoml", "numba"),
    ),
    _in_process("fastapi-forest", "FastAPI in-process, `forest.predict`", "sklearn"),
    _in_process(
        "reference-way", "pandas row, pipeline, n_jobs=-1", "sklearn", "pandas", uses_pipeline=True
    ),
    _in_process("fastapi-constant", "FastAPI + pydantic, answers a constant"),
    Subject(
        name="bare-flask", label="bare Flask route on granian (the limit)", programs=_bare_flask
    ),
)
