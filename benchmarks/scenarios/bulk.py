"""A generated CSV end to end, against the bare forest over the ready matrix."""

from benchmarks import inputs
from benchmarks.bench import Bench
from benchmarks.load import measured
from benchmarks.measurements import Round, result_line
from benchmarks.processes import run_to_the_end
from benchmarks.subjects import SERVICE

BARE = "bare-predict"
BARE_TIMEOUT_S = 120.0


def bulk(bench: Bench) -> None:
    """Upload, validate, price, interval, audit, merged CSV; everything is inside the time."""
    csv_path, matrix_path = inputs.write_cars(bench.place, bench.options.rows)

    def measure(name: str, number: int) -> Round:
        if name == BARE:
            return _bare(bench, str(matrix_path), number)
        running = bench.running(name)
        command = bench.command("benchmarks.scenarios.bulk_client", running.url, csv_path)
        return measured(running, command, scenario="bulk", number=number)

    names = bench.wanted([SERVICE])
    # The bare loop runs alone: nothing of the service has work to do meanwhile.
    bench.alternate([*names, BARE], measure)


def _bare(bench: Bench, matrix: str, number: int) -> Round:
    command = bench.command("benchmarks.scenarios.bare_predict", matrix)
    printed, cpu_s = run_to_the_end(command, BARE_TIMEOUT_S)
    found = result_line(printed)
    return Round(
        scenario="bulk",
        subject=BARE,
        number=number,
        duration_s=found["duration_s"],
        operations=found["requests"],
        subject_cpu_s=found["cpu_s"],
        client_cpu_s=max(0.0, cpu_s - found["cpu_s"]),
    )
