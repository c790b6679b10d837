"""Runs a load generator (wrk, or a Python client) and measures one round."""

import shutil
import time

from benchmarks.bench import Running, machine_cpu_s
from benchmarks.measurements import Round, parse_result_line
from benchmarks.processes import Command, run_to_completion

HOW_TO_GET_WRK = "wrk is needed to generate load (Debian: apt install wrk)"
TIMEOUT_S = 1800.0
"""Ten million rows take minutes."""


def find_wrk() -> str | None:
    """Return the path of wrk, if it is installed."""
    return shutil.which("wrk")


def wrk(
    running: Running, script: str, seconds: float, connections: int, *arguments: object
) -> Command:
    """Return the command of one run of wrk with one thread, which uses one core at most."""
    options = ["--threads", "1", "--connections", str(connections), "--timeout", "30s"]
    options += ["--duration", f"{max(1, round(seconds))}s"]
    options += ["--script", f"benchmarks/scenarios/{script}.lua"]
    line = ["wrk", *options, running.url, "--", *map(str, arguments)]
    return Command(name="wrk", arguments=line)


def measured(
    running: Running, command: Command, *, scenario: str, number: int, waits: bool = True
) -> Round:
    """Run a load generator; measure the CPU time of subject, load generator and other programs.

    Args:
        running: the subject.
        command: the load generator.
        scenario: name of the scenario.
        number: number of the round.
        waits: whether to wait afterwards until the subject is idle.

    Raises:
        ProgramError: the load generator failed.
    """
    started_at = time.perf_counter()
    subject_before, machine_before = running.cpu_s(), machine_cpu_s()
    printed, client_cpu_s = run_to_completion(command, TIMEOUT_S)
    subject_cpu_s = running.cpu_s() - subject_before
    machine_cpu = machine_cpu_s() - machine_before
    accounted_s = time.perf_counter() - started_at
    if waits:
        running.wait_until_idle()
    found = parse_result_line(printed)
    return Round(
        scenario=scenario,
        subject=running.subject.name,
        number=number,
        duration_s=found["duration_s"],
        operations=found.get("finished", found["requests"]),
        failures=found.get("failed", 0),
        subject_cpu_s=subject_cpu_s,
        client_cpu_s=client_cpu_s,
        other_cpu_s=max(0.0, machine_cpu - subject_cpu_s - client_cpu_s),
        accounted_s=accounted_s,
        peak_mb=running.peak_mb(),
        p95_ms=found.get("p95_ms"),
        **{name: found[name] for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms")},
    )
