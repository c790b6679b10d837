"""The task queues among the peers, and the Redis server that they share."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.processes import Command
from benchmarks.servers import granian
from benchmarks.subject import OWN_PYTHON, PEERS_PYTHON, Subject, Workspace
from shared.settings import Settings


def queue_server(workspace: Workspace) -> Command:
    """Return the command of the peers' Redis server: binary and configuration of the broker."""
    return Command(
        name="queue",
        arguments=[OWN_PYTHON, "-m", "launcher.embedded", "broker"],
        env={"CARPRICE_HOME": str(workspace.queue.home)},
    )


def _celery(name: str, application: str, workspace: Workspace, python: str = OWN_PYTHON) -> Command:
    options = ["--pool", "solo", "--hostname", f"{name}@%h", "--loglevel", "warning"]
    options += ["--without-gossip", "--without-mingle"]
    arguments = [python, "-m", "celery", "--quiet", "-A", application, "worker", *options]
    return Command(name=name, arguments=arguments, env=workspace.env())


def _plain_celery(workspace: Workspace, port: int) -> Sequence[Command]:
    application = "benchmarks.peers.celery_plain"
    numbers = range(1, Settings().interactive_workers + 1)
    workers = [_celery(f"plain-{n}", f"{application}:celery", workspace) for n in numbers]
    return [granian("plain-api", f"{application}:app", workspace, port), *workers]


def _celery_empty(workspace: Workspace, _: int) -> Sequence[Command]:
    return [_celery("empty", "benchmarks.peers.celery_empty:celery", workspace)]


def _rq(workspace: Workspace, _: int) -> Sequence[Command]:
    program = str(Path(PEERS_PYTHON).with_name("rq"))
    arguments = [program, "worker", "--url", workspace.env()["BENCH_REDIS_URL"], "--quiet"]
    arguments += ["--worker-class", "rq.worker.SimpleWorker", "empty"]
    return [Command(name="rq", arguments=arguments, env=workspace.env())]


def _dramatiq(workspace: Workspace, _: int) -> Sequence[Command]:
    arguments = [PEERS_PYTHON, "-m", "dramatiq", "benchmarks.peers.dramatiq_empty"]
    arguments += ["--processes", "1", "--threads", "1"]
    return [Command(name="dramatiq", arguments=arguments, env=workspace.env())]


def _taskiq(workspace: Workspace, _: int) -> Sequence[Command]:
    program = str(Path(PEERS_PYTHON).with_name("taskiq"))
    arguments = [program, "worker", "benchmarks.peers.taskiq_empty:broker", "--workers", "1"]
    arguments += ["--log-level", "WARNING"]
    return [Command(name="taskiq", arguments=arguments, env=workspace.env())]


def _empty(
    name: str, label: str, programs: Callable[[Workspace, int], Sequence[Command]], *imports: str
) -> Subject:
    """Return a queue with an empty task, and the module that is its only client."""
    return Subject(
        name=f"{name}-empty",
        label=label,
        programs=programs,
        ready="",
        imports=imports,
        client=f"benchmarks.peers.{name}_empty",
        uses_queue=True,
    )


PLAIN_CELERY = Subject(
    name="celery-plain",
    label="Flask, `apply_async().get()`, fast runtime",
    programs=_plain_celery,
    uses_queue=True,
)
EMPTY_QUEUES = (
    _empty("celery", "Celery, empty task, solo worker", _celery_empty),
    _empty("rq", "RQ, empty job, SimpleWorker", _rq, "rq"),
    _empty("dramatiq", "Dramatiq, empty actor, one thread", _dramatiq, "dramatiq", "redis"),
    _empty("taskiq", "taskiq, empty task, one worker", _taskiq, "taskiq", "taskiq_redis"),
)
