"""Scenarios over HTTP: cache hit, miss at several numbers of connections, submit and poll."""

from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.load import measured, wrk
from benchmarks.measurements import Round
from benchmarks.processes import run_to_completion
from benchmarks.servers import SERVICE

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
SLOW_SUBJECTS = ("fastapi-forest", "reference-way")
"""At 64 connections they answer the first requests after seconds: see `_round_s`."""
SLOW_FACTOR = 3
MANY_CONNECTIONS, TOO_MANY_CONNECTIONS = 64, 256
JOB_SUBJECTS = (SERVICE, "celery-plain")


def hit(bench: Bench) -> None:
    """The same few cars over and over: everything comes from the cache."""
    cars = bench.next_car_number()
    predict(bench, HIT_SUBJECTS, "hit", HIT_CONNECTIONS, cars=cars)


def miss(bench: Bench) -> None:
    """Each request another car: everything goes to the forest."""
    for connections in bench.options.connections:
        subjects = [
            name
            for name in MISS_SUBJECTS
            if connections < TOO_MANY_CONNECTIONS or name not in SLOW_SUBJECTS
        ]
        predict(bench, subjects, f"miss-{connections}", connections)


def jobs(bench: Bench) -> None:
    """Submit one car, poll until its job has succeeded."""
    submit_and_poll(bench, JOB_SUBJECTS, "jobs", JOB_CONNECTIONS)


def submit_and_poll(bench: Bench, subjects: Sequence[str], scenario: str, connections: int) -> None:
    """Measure `/jobs`."""
    names = bench.available_subjects(subjects)
    seconds = bench.options.seconds
    for name in names if bench.options.warm_up_s else ():
        running = bench.running(name)
        warm_up = bench.options.warm_up_s
        run_to_completion(wrk(running, "jobs", warm_up, connections, bench.next_car_number()), 60)

    def measure(name: str, number: int) -> Round:
        running = bench.running(name)
        command = wrk(running, "jobs", seconds, connections, bench.next_car_number())
        return measured(running, command, scenario=scenario, number=number)

    bench.run_interleaved(names, measure)


def predict(
    bench: Bench,
    subjects: Sequence[str],
    scenario: str,
    connections: int,
    cars: int | None = None,
) -> None:
    """Measure `/predict`; `cars`: number of the first of the few cars to repeat."""
    names = bench.available_subjects(subjects)
    different = 0 if cars is None else DIFFERENT_CARS

    def measure(name: str, number: int) -> Round:
        return ask(name, number, _round_s(name, bench.options.seconds, connections))

    def ask(name: str, number: int, seconds: float) -> Round:
        running = bench.running(name)
        first = bench.next_car_number() if cars is None else cars
        command = wrk(running, "predict", seconds, connections, first, different)
        return measured(running, command, scenario=scenario, number=number)

    for name in names if bench.options.warm_up_s else ():
        ask(name, 0, bench.options.warm_up_s)
    bench.run_interleaved(names, measure)


def _round_s(name: str, seconds: float, connections: int) -> float:
    """Length of a round.

    What is under way at its end does not count, which would make a subject that needs seconds for
    one answer look slower than it is; with 256 connections it would not even answer once.
    """
    is_long = name in SLOW_SUBJECTS and connections >= MANY_CONNECTIONS
    return SLOW_FACTOR * seconds if is_long else seconds
