"""Scenarios over HTTP: cache hit, miss at several numbers of connections, submit and poll."""

from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.load import measured, wrk
from benchmarks.measurements import Round
from benchmarks.processes import run_to_the_end
from benchmarks.subjects import SERVICE

HIT_CONNECTIONS = 64
JOB_CONNECTIONS = 16
DIFFERENT_CARS = 64
"""So many cars are asked for over and over in the cache scenario."""

HIT_SUBJECTS = (SERVICE, "fastapi-constant", "bare-flask")
MISS_SUBJECTS = (
    SERVICE,
    "celery-plain",
    "fastapi-fast",
    "bentoml",
    "fastapi-forest",
    "reference-way",
    "bare-flask",
)
JOB_SUBJECTS = (SERVICE, "celery-plain")


def hit(bench: Bench) -> None:
    """The same few cars over and over: everything comes from the cache."""
    cars = bench.next_cars()
    _predict(bench, HIT_SUBJECTS, "hit", HIT_CONNECTIONS, cars=cars)


def miss(bench: Bench) -> None:
    """Each request another car: everything goes to the forest."""
    for connections in bench.options.connections:
        _predict(bench, MISS_SUBJECTS, f"miss-{connections}", connections)


def jobs(bench: Bench) -> None:
    """Submit one car, poll until its job has succeeded."""
    names = bench.wanted(JOB_SUBJECTS)
    seconds = bench.options.seconds
    for name in names:
        running = bench.running(name)
        warm_up = bench.options.warm_up_s
        run_to_the_end(wrk(running, "jobs", warm_up, JOB_CONNECTIONS, bench.next_cars()), 60)

    def measure(name: str, number: int) -> Round:
        running = bench.running(name)
        command = wrk(running, "jobs", seconds, JOB_CONNECTIONS, bench.next_cars())
        return measured(bench, running, command, scenario="jobs", number=number)

    bench.alternate(names, measure)


def _predict(
    bench: Bench,
    subjects: Sequence[str],
    scenario: str,
    connections: int,
    cars: int | None = None,
) -> None:
    """Measure `/predict`; `cars`: number of the first of the few cars to repeat."""
    names = bench.wanted(subjects)
    different = 0 if cars is None else DIFFERENT_CARS

    def measure(name: str, number: int, seconds: float = bench.options.seconds) -> Round:
        running = bench.running(name)
        first = bench.next_cars() if cars is None else cars
        command = wrk(running, "predict", seconds, connections, first, different)
        return measured(bench, running, command, scenario=scenario, number=number)

    for name in names:
        measure(name, 0, bench.options.warm_up_s)
    bench.alternate(names, measure)
