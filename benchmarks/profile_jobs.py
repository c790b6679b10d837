"""Splits the CPU time of a submitted job by process and by command of the broker.

`python -m benchmarks.profile_jobs [MODELS]` runs the whole service as `make up` does, and submits
and polls (`jobs`) or only submits (`submit`), at several numbers of connections in turns.
"""

import collections
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.bench import Running
from benchmarks.load import wrk
from benchmarks.measurements import parse_result_line
from benchmarks.processes import Program, run_to_completion, wait_until_ready
from benchmarks.profile_miss import CARS_PER_ROUND, START_TIMEOUT_S, cpu_s
from benchmarks.servers import SERVICE
from benchmarks.subject import Workspace
from benchmarks.subjects import SUBJECTS
from scripts.ports import reserve_port
from shared.redis.connections import connect
from shared.redis.servers import socket_path
from shared.settings import Settings

LOADS = (("jobs", 16), ("jobs", 64), ("submit", 64))
"""Script of wrk, and connections."""
ROUNDS, ROUND_S = 3, 4
MESSAGE_COMMAND = "lpush"
"""Puts a message on a queue; also of a script."""


def main() -> None:
    """Print the CPU microseconds per job by process, and the broker's commands."""
    with service(Path(sys.argv[1]) if len(sys.argv) > 1 else None) as (running, home):
        report(running, home)


@contextmanager
def service(models: Path | None) -> Iterator[tuple[Running, Path]]:
    """Run the service; yields it and its home folder.

    Args:
        models: a registry with an active model; None: one is trained.
    """
    folder = Path(tempfile.mkdtemp(prefix="cpb-"))
    registry = models or folder / "models"
    workspace = Workspace(folder=folder, models_path=registry, pipeline=folder / "none")
    try:
        workspace.home.mkdir()
        if models is None:
            inputs.train_model(registry, small=False)
        port = reserve_port()
        (command,) = SUBJECTS[SERVICE].programs(workspace, port)
        program = Program(command, folder / "up.log")
        url = f"http://127.0.0.1:{port}"
        running = Running(subject=SUBJECTS[SERVICE], url=url, programs=[program])
        try:
            wait_until_ready(f"{running.url}/readyz", [program], START_TIMEOUT_S)
            yield running, workspace.home
        finally:
            program.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(running: Running, home: Path) -> None:
    """Measure each load, alternating, and print the medians."""
    rounds: dict[tuple[str, int], list[dict[str, float]]] = collections.defaultdict(list)
    for number in range(ROUNDS + 1):  # round 0 is the warm-up
        for index, load in enumerate(LOADS):
            first = (number * len(LOADS) + index) * CARS_PER_ROUND
            found = one_round(running, home, *load, first)
            if number:
                rounds[load].append(found)
    for (script, connections), all_found in rounds.items():
        print(f"{script}, {connections} connections:")
        names = dict.fromkeys(name for found in all_found for name in found)
        for name in names:
            print(f"{statistics.median(one.get(name, 0.0) for one in all_found):10.1f}  {name}")


def one_round(
    running: Running, home: Path, script: str, connections: int, first: int
) -> dict[str, float]:
    """Measure CPU microseconds per job by kind of process, and commands of the broker per job."""
    (program,) = running.programs
    cpu_before, commands_before = cpu_s(program), commands(home)
    printed, client_s = run_to_completion(
        wrk(running, script, ROUND_S, connections, first), START_TIMEOUT_S
    )
    cpu_after, commands_after = cpu_s(program), commands(home)
    running.wait_until_idle()
    figures = parse_result_line(printed)
    done = figures["finished"]
    spent = {kind: 1e6 * (cpu_after[kind] - cpu_before[kind]) / done for kind in cpu_after}
    used = {
        name: [after - commands_before.get(name, (0, 0))[at] for at, after in enumerate(both)]
        for name, both in commands_after.items()
    }
    common = sorted(used, key=lambda name: -used[name][1])[:12]
    return {
        "jobs per second": done / figures["duration_s"],
        "failed": figures["failed"],
        "ms, median": figures["p50_ms"],
        "jobs per message": done / max(1.0, used[MESSAGE_COMMAND][0]),
        "requests per job": figures["requests"] / done,
        "CPU us per job, all": sum(spent.values()),
        "CPU us per job, wrk": 1e6 * client_s / done,
        **{f"- {kind}": value for kind, value in sorted(spent.items())},
        **{f"broker, us in {name}": used[name][1] / done for name in common},
        **{f"broker, calls of {name}": used[name][0] / done for name in common},
    }


def commands(home: Path) -> Mapping[str, tuple[float, float]]:
    """Return calls and microseconds so far by command of the broker."""
    client = connect(f"unix://{socket_path(Settings(home=home), 'broker')}")
    try:
        stats: Mapping[str, Any] = client.info("commandstats")
    finally:
        client.close()
    return {
        name.removeprefix("cmdstat_"): (one["calls"], one["usec"]) for name, one in stats.items()
    }


if __name__ == "__main__":
    main()
