"""Scenarios `hit`, `miss` and `jobs` (submit and poll; several connections) and `submit`."""

from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.load import measured, wrk
from benchmarks.measurements import Round
from benchmarks.processes import Command, run_to_completion
from benchmarks.servers import SERVICE, TRACED_SERVICE

HIT_CONNECTIONS = 64
JOB_CONNECTIONS = 16
DIFFERENT_CARS = 64
"""Number of cars that the cache scenario requests repeatedly."""

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
"""Subjects that answer the first requests only after seconds at 64 connections: see `_round_s`."""
SLOW_FACTOR = 3
MANY_CONNECTIONS, TOO_MANY_CONNECTIONS = 64, 256
JOB_SUBJECTS = (SERVICE, "celery-plain")
TRACED_SUBJECTS = (SERVICE, TRACED_SERVICE)
SUBMIT_SUBJECTS = (SERVICE, "celery-plain", "fastapi-constant")


def hit(bench: Bench) -> None:
    """Request the same few cars repeatedly: the cache answers all requests."""
    cars = bench.next_car_number()
    predict(bench, HIT_SUBJECTS, "hit", HIT_CONNECTIONS, cars=cars)


def miss(bench: Bench) -> None:
    """Request another car each time: the forest values all requests."""
    for connections in bench.options.connections:
        subjects = [
            name
            for name in MISS_SUBJECTS
            if connections < TOO_MANY_CONNECTIONS or name not in SLOW_SUBJECTS
        ]
        predict(bench, subjects, f"miss-{connections}", connections)


def traced(bench: Bench) -> None:
    """Request single cars with and without tracing."""
    cars = bench.next_car_number()
    predict(bench, TRACED_SUBJECTS, "traced-hit", HIT_CONNECTIONS, cars=cars)
    predict(bench, TRACED_SUBJECTS, "traced-miss", MANY_CONNECTIONS)


def jobs(bench: Bench) -> None:
    """Submit one car and poll until its job has succeeded."""
    submit_and_poll(bench, JOB_SUBJECTS, "jobs", JOB_CONNECTIONS)
    if MANY_CONNECTIONS in bench.options.connections:
        submit_and_poll(bench, JOB_SUBJECTS, "jobs-64", MANY_CONNECTIONS)


def submit(bench: Bench) -> None:
    """Submit one car after the other; nobody polls."""
    _load(bench, SUBMIT_SUBJECTS, "submit", "submit", MANY_CONNECTIONS)


def submit_and_poll(bench: Bench, subjects: Sequence[str], scenario: str, connections: int) -> None:
    """Measure submit and poll."""
    _load(bench, subjects, scenario, "jobs", connections)


def _load(
    bench: Bench, subjects: Sequence[str], scenario: str, script: str, connections: int
) -> None:
    """Measure what a script of wrk sends, after a warm-up."""
    names = bench.available_subjects(subjects)

    def command(name: str, seconds: float) -> Command:
        return wrk(bench.running(name), script, seconds, connections, bench.next_car_number())

    for name in names if bench.options.warm_up_s else ():
        run_to_completion(command(name, bench.options.warm_up_s), 60)

    def measure(name: str, number: int) -> Round:
        running = bench.running(name)
        return measured(
            running, command(name, bench.options.seconds), scenario=scenario, number=number
        )

    bench.run_interleaved(names, measure)


def predict(
    bench: Bench,
    subjects: Sequence[str],
    scenario: str,
    connections: int,
    cars: int | None = None,
) -> None:
    """Measure `/predict`.

    Args:
        bench: the run.
        subjects: names of the subjects.
        scenario: name of the scenario.
        connections: number of connections.
        cars: number of the first of the cars to request repeatedly; None: each request another car.
    """
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
    """Return the length of a round.

    Requests in progress at its end do not count. A subject that needs seconds for an answer would
    look slower than it is in a short round.
    """
    is_long = name in SLOW_SUBJECTS and connections >= MANY_CONNECTIONS
    return SLOW_FACTOR * seconds if is_long else seconds
