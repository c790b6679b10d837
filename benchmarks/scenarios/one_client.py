"""One client that waits for each answer before the next request; prints its latencies as JSON.

`python -m benchmarks.scenarios.one_client SECONDS URL FIRST_CAR` calls the API.
"""

import contextlib
import http.client
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

WARM_UP_CALLS = 20


class Latencies:
    """Measures durations of calls for some seconds, after a warm-up.

    Args:
        seconds: duration of the measurement after the warm-up.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls = 0
        self._started_at = time.perf_counter()
        self._all_ms: list[float] = []

    @property
    def should_continue(self) -> bool:
        """Whether there is time for another call; discards the calls of the warm-up."""
        if self._calls <= WARM_UP_CALLS:
            self._started_at = time.perf_counter()
            self._all_ms.clear()
        return time.perf_counter() - self._started_at < self._seconds

    @contextlib.contextmanager
    def measure(self) -> Iterator[None]:
        """Time one call."""
        started_at = time.perf_counter()
        yield
        self._all_ms.append(1000 * (time.perf_counter() - started_at))
        self._calls += 1

    def report(self) -> None:
        """Print the figures as one line of JSON."""
        cuts = statistics.quantiles(self._all_ms, n=100, method="inclusive")
        figures = {
            "duration_s": time.perf_counter() - self._started_at,
            "requests": len(self._all_ms),
            "p50_ms": cuts[49],
            "p90_ms": cuts[89],
            "p99_ms": cuts[98],
            "max_ms": max(self._all_ms),
        }
        print(f"RESULT {json.dumps(figures)}", flush=True)


def main(call: Callable[[], object]) -> None:
    """Repeat a call for the number of seconds in the first argument and report its latencies."""
    latencies = Latencies(float(sys.argv[1]))
    while latencies.should_continue:
        with latencies.measure():
            call()
    latencies.report()


class PredictClient:
    """Requests another car from `POST /predict` with each call, over one connection."""

    def __init__(self, host: str, first_car: int) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=30)
        self._number = first_car

    def __call__(self) -> None:
        """Request one valuation.

        Raises:
            RuntimeError: the answer is not 200.
        """
        self._number += 1
        car = {
            "company": "Dacia",
            "model": "Logan",
            "year": 2018,
            "fuel": "Diesel",
            "seller_type": "Individual",
            "transmission": "Manual",
            "km_driven": 10_000 + self._number % 100_000,
            "engine_cc": 900 + self._number // 100_000,
            "max_power_bhp": 75,
        }
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/predict", json.dumps(car), headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{response.status}: {body[:200]!r}")


if __name__ == "__main__":
    main(PredictClient(sys.argv[2].removeprefix("http://"), int(sys.argv[3])))
