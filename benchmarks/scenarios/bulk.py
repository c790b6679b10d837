"""Scenario `bulk`: a generated CSV end to end, against the bare forest over its matrix."""

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.load import measured
from benchmarks.measurements import Round, parse_result_line
from benchmarks.processes import run_to_completion
from benchmarks.servers import SERVICE

BARE = "bare-predict"
BARE_TIMEOUT_S = 600.0
TEN_TIMES = 10


def bulk(bench: Bench) -> None:
    """Measure from the first byte of the upload to the last byte of the results."""
    _end_to_end(bench, "bulk", bench.options.rows)


def tenfold(bench: Bench) -> None:
    """Measure ten times the rows: the cost per row must not grow."""
    _end_to_end(bench, "bulk-tenfold", TEN_TIMES * bench.options.rows)


def _end_to_end(bench: Bench, scenario: str, rows: int) -> None:
    csv_path, matrix_path = inputs.write_cars(bench.workspace, rows)

    def measure(name: str, number: int) -> Round:
        if name == BARE:
            return _bare(bench, scenario, str(matrix_path), number)
        running = bench.running(name)
        command = bench.command("benchmarks.scenarios.bulk_client", running.url, csv_path)
        return measured(running, command, scenario=scenario, number=number)

    names = bench.available_subjects([SERVICE])
    # The service is idle while the bare forest runs.
    bench.run_interleaved([*names, BARE], measure)


def _bare(bench: Bench, scenario: str, matrix: str, number: int) -> Round:
    command = bench.command("benchmarks.scenarios.bare_predict", matrix)
    printed, cpu_s = run_to_completion(command, BARE_TIMEOUT_S)
    found = parse_result_line(printed)
    return Round(
        scenario=scenario,
        subject=BARE,
        number=number,
        duration_s=found["duration_s"],
        operations=found["requests"],
        subject_cpu_s=found["cpu_s"],
        client_cpu_s=max(0.0, cpu_s - found["cpu_s"]),
    )
