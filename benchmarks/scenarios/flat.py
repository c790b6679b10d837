"""Scenario `flat`: the cost of a request with many stored jobs, against a service without any."""

import urllib.request

from benchmarks.bench import Bench
from benchmarks.load import measured, wrk
from benchmarks.measurements import Round
from benchmarks.processes import ProgramError, run_to_completion
from benchmarks.scenarios.http import HIT_CONNECTIONS, JOB_CONNECTIONS, predict, submit_and_poll
from benchmarks.servers import FULL_SERVICE, SERVICE

SUBJECTS = (SERVICE, FULL_SERVICE)
MISS_CONNECTIONS = 16
FILL_TIMEOUT_S = 900.0
"""A million copies take one to two minutes on an idle machine."""
STATS = "/predictions/stats"


def flat(bench: Bench) -> None:
    """Send the same requests to both services, alternating; one of them has nothing stored."""
    bench.restart_service()
    bench.workspace.full_home.mkdir()
    if bench.available_subjects([FULL_SERVICE]):
        url, stored = bench.running(FULL_SERVICE).url, bench.options.stored
        bench.show(f"storing {stored:,} jobs and audit lines")
        module = "benchmarks.scenarios.fill_store"
        run_to_completion(
            bench.command(module, bench.workspace.full_home, url, stored), FILL_TIMEOUT_S
        )
    predict(bench, SUBJECTS, "flat-hit", HIT_CONNECTIONS, cars=bench.next_car_number())
    predict(bench, SUBJECTS, "flat-miss", MISS_CONNECTIONS)
    submit_and_poll(bench, SUBJECTS, "flat-jobs", JOB_CONNECTIONS)
    _stats(bench)


def _stats(bench: Bench) -> None:
    """Measure the statistics: the day's log is read once, then only the new lines."""

    def measure(name: str, number: int) -> Round:
        running = bench.running(name)
        command = wrk(running, "get", bench.options.seconds, 1, STATS)
        return measured(running, command, scenario="flat-stats", number=number)

    names = bench.available_subjects(SUBJECTS)
    for name in names:
        _request_statistics(bench.running(name).url)
    bench.run_interleaved(names, measure)


def _request_statistics(url: str) -> None:
    """Request the statistics once, which reads the whole log of the day.

    Raises:
        ProgramError: there is no answer.
    """
    try:
        with urllib.request.urlopen(url + STATS, timeout=FILL_TIMEOUT_S) as answer:
            answer.read()
    except OSError as error:
        raise ProgramError(f"{STATS} does not answer: {error}") from error
