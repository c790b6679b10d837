"""Splits the CPU time of a miss by process, and counts cars per message, by number of connections.

`python -m benchmarks.profile_miss [MODELS]` runs the whole service as `make up` does.
"""

import collections
import re
import shutil
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks import inputs
from benchmarks.bench import Running
from benchmarks.load import wrk
from benchmarks.measurements import parse_result_line
from benchmarks.processes import Program, run_to_completion, wait_until_ready
from benchmarks.servers import SERVICE
from benchmarks.soak_samples import kind_of
from benchmarks.subject import Workspace
from benchmarks.subjects import SUBJECTS
from scripts.ports import reserve_port

CONNECTIONS = (1, 16, 64)
ROUNDS, ROUND_S = 3, 4
CARS_PER_ROUND = 100_000
START_TIMEOUT_S = 120.0
MICRO_BATCH_METRIC = re.compile(r"^\w*group\w*_(sum|count)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def main() -> None:
    """Print the CPU microseconds per miss by process, and the cars per message."""
    folder = Path(tempfile.mkdtemp(prefix="cpb-"))
    models = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "models"
    workspace = Workspace(folder=folder, models_path=models, pipeline=folder / "none")
    try:
        workspace.home.mkdir()
        if not models.exists():
            inputs.train_model(models, small=False)
        port = reserve_port()
        (command,) = SUBJECTS[SERVICE].programs(workspace, port)
        program = Program(command, folder / "up.log")
        running = Running(
            subject=SUBJECTS[SERVICE], url=f"http://127.0.0.1:{port}", programs=[program]
        )
        try:
            wait_until_ready(f"{running.url}/readyz", [program], START_TIMEOUT_S)
            report(running, program)
        finally:
            program.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(running: Running, program: Program) -> None:
    """Measure each number of connections, alternating, and print the medians."""
    rounds: dict[int, list[dict[str, float]]] = collections.defaultdict(list)
    for number in range(ROUNDS + 1):  # round 0 is the warm-up
        for connections in CONNECTIONS:
            found = one_round(running, program, connections, number)
            if number:
                rounds[connections].append(found)
    for connections, all_found in rounds.items():
        print(f"{connections} connections:")
        for name in all_found[0]:
            print(f"{statistics.median(one.get(name, 0.0) for one in all_found):10.1f}  {name}")


def one_round(
    running: Running, program: Program, connections: int, number: int
) -> dict[str, float]:
    """Measure CPU microseconds per miss by kind of process, and cars per message."""
    first = (number * len(CONNECTIONS) + CONNECTIONS.index(connections)) * CARS_PER_ROUND
    cpu_before, sent_before = cpu_s(program), sent_micro_batches(running.url)
    printed, _ = run_to_completion(
        wrk(running, "predict", ROUND_S, connections, first, 0), START_TIMEOUT_S
    )
    cpu_after, sent_after = cpu_s(program), sent_micro_batches(running.url)
    figures = parse_result_line(printed)
    answered = figures["finished"]
    spent = {kind: 1e6 * (cpu_after[kind] - cpu_before[kind]) / answered for kind in cpu_after}
    cars, messages = (sent_after[name] - sent_before[name] for name in ("sum", "count"))
    return {
        "misses per second": answered / figures["duration_s"],
        "ms, median": figures["p50_ms"],
        "cars per message": cars / max(1.0, messages),
        "CPU us per miss, all": sum(spent.values()),
    } | {f"- {kind}": value for kind, value in sorted(spent.items())}


def cpu_s(program: Program) -> Mapping[str, float]:
    """Return the CPU time so far by kind of process."""
    spent: dict[str, float] = collections.defaultdict(float)
    for process in program.processes():
        try:
            spent[kind_of(" ".join(process.cmdline()))] += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return spent


def sent_micro_batches(url: str) -> Mapping[str, float]:
    """Return the cars (`sum`) and the messages (`count`) sent so far."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = collections.defaultdict(float)
    for name, value in MICRO_BATCH_METRIC.findall(text):
        found[name] += float(value)
    return found


if __name__ == "__main__":
    main()
