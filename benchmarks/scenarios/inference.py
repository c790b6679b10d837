"""Scenario `inference`: 1, 64 and 10,000 rows per call, alternating engines in one process."""

import json

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.measurements import Round
from benchmarks.processes import run_to_completion

SIZES = (1, 64, 10_000)
TIMEOUT_S = 240.0


def inference(bench: Bench) -> None:
    """Measure all engines in a separate process."""
    if not bench.workspace.pipeline.exists():
        inputs.train_pipeline(bench.workspace, small=bench.options.smoke)
    options = bench.options
    command = bench.command(
        "benchmarks.scenarios.inference_engines", options.rounds, options.seconds, *SIZES
    )
    printed, _ = run_to_completion(command, TIMEOUT_S)
    for line in printed.splitlines():
        if line.startswith("ROUND "):
            bench.rounds.append(Round(**json.loads(line.removeprefix("ROUND "))))
    for one in bench.rounds:
        if one.scenario.startswith("inference"):
            bench.show(f"  {one.scenario} {one.number}: {one.subject} {one.per_second:,.0f} rows/s")
