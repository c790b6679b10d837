"""Scenario `roundtrip`: one client; a miss against empty tasks of other queues."""

from benchmarks.bench import Bench
from benchmarks.load import measured
from benchmarks.measurements import Round
from benchmarks.processes import Command
from benchmarks.servers import SERVICE

SUBJECTS = (SERVICE, "celery-empty", "rq-empty", "dramatiq-empty", "taskiq-empty")


def roundtrip(bench: Bench) -> None:
    """Measure calls of one client, one after the other."""

    def measure(name: str, number: int) -> Round:
        command = _client(bench, name)
        return measured(bench.running(name), command, scenario="roundtrip", number=number)

    bench.run_interleaved(bench.available_subjects(SUBJECTS), measure)


def _client(bench: Bench, name: str) -> Command:
    running = bench.running(name)
    seconds = bench.options.seconds
    if running.subject.client:
        return bench.command(running.subject.client, seconds, python=running.subject.python)
    cars = bench.next_car_number()
    return bench.command("benchmarks.scenarios.one_client", seconds, running.url, cars)
