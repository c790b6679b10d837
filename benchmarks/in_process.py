"""Runs a profile of API and workers in one process, with a real broker and cache."""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.processes import Command, Program
from benchmarks.subject import OWN_PYTHON
from shared.redis.servers import ServerName, socket_path
from shared.settings import Settings

SERVERS: tuple[ServerName, ...] = ("broker", "cache")


def run_profile(report: Callable[[], None], *, small_model: bool) -> None:
    """Call `report` in a home of its own, with the models of the first argument of the command.

    Args:
        report: imports the service, because that reads the environment, and prints its figures.
        small_model: which model to train if there is no argument.
    """
    home = Path(tempfile.mkdtemp(prefix="cpb-"))
    metrics = Path(tempfile.mkdtemp(prefix="cpb-", dir="/dev/shm"))
    models = Path(sys.argv[1]) if len(sys.argv) > 1 else home / "models"
    try:
        if not models.exists():
            inputs.train_model(models, small=small_model)
        os.environ.update(
            CARPRICE_HOME=str(home),
            MODELS_PATH=str(models),
            # Set before prometheus_client is imported: metrics are files, as in the service.
            PROMETHEUS_MULTIPROC_DIR=str(metrics),
        )
        with servers(home):
            report()
    finally:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(metrics, ignore_errors=True)


@contextlib.contextmanager
def servers(home: Path) -> Iterator[None]:
    """Run the service's broker and cache."""
    with contextlib.ExitStack() as stack:
        for name in SERVERS:
            line = [OWN_PYTHON, "-m", "launcher.embedded", name]
            env = {"CARPRICE_HOME": str(home)}
            program = Program(Command(name=name, arguments=line, env=env), home / f"{name}.log")
            stack.callback(program.stop)
            while not socket_path(Settings(home=home), name).exists():
                program.check()
                time.sleep(0.05)
        yield


@contextlib.contextmanager
def timed(owner: Any, function: str, name: str, spent: dict[str, float]) -> Iterator[None]:
    """Add the CPU time of a function's calls to `spent[name]` within the context."""
    original = getattr(owner, function)

    def clocked(*args: Any, **options: Any) -> Any:
        started_s = time.thread_time()
        try:
            return original(*args, **options)
        finally:
            spent[name] += time.thread_time() - started_s

    setattr(owner, function, clocked)
    try:
        yield
    finally:
        setattr(owner, function, original)
