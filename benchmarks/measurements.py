"""The figures of a round, and medians and ratios over rounds."""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One measurement of one subject in one scenario."""

    scenario: str
    subject: str
    number: int
    """Round, from 1."""
    duration_s: float
    operations: int
    """Successful answers, jobs, rows or calls."""
    failures: int = 0
    """Answers with another status than 200, and broken connections."""
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    subject_cpu_s: float | None = None
    """CPU time of all processes of the subject during the round, its broker included."""
    client_cpu_s: float | None = None
    """CPU time of the load generator."""
    other_cpu_s: float | None = None
    """CPU time of all other processes on the machine, which disturbed the round."""
    peak_mb: float | None = None
    """Largest peak memory of the subject's processes since their start."""
    accounted_s: float | None = None
    """Duration over which the CPU times were measured: the round, and the start and end of the load
    generator."""

    @property
    def per_second(self) -> float:
        """Return the operations per second."""
        return self.operations / self.duration_s

    @property
    def cpu_us(self) -> float | None:
        """Return the subject's CPU time per operation, microseconds."""
        if self.subject_cpu_s is None or not self.operations:
            return None
        return 1e6 * self.subject_cpu_s / self.operations

    @property
    def p99_to_p50(self) -> float | None:
        """Return how much longer the slowest hundredth takes than the median."""
        if self.p99_ms is None or not self.p50_ms:
            return None
        return self.p99_ms / self.p50_ms


FIGURES = ("per_second", "cpu_us", "p50_ms", "p90_ms", "p99_ms")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Medians over the rounds of one subject in one scenario."""

    scenario: str
    subject: str
    rounds: int
    failures: int
    per_second: float
    cpu_us: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    slowest_per_second: float
    fastest_per_second: float


def summarise(rounds: Sequence[Round]) -> list[Summary]:
    """Summarise each scenario and subject, in the order of their first rounds."""
    keys = list(dict.fromkeys((one.scenario, one.subject) for one in rounds))
    return [_summary([one for one in rounds if (one.scenario, one.subject) == key]) for key in keys]


def _summary(rounds: Sequence[Round]) -> Summary:
    speeds = [one.per_second for one in rounds]
    figures: dict[str, Any] = {
        name: _median(getattr(one, name) for one in rounds) for name in FIGURES
    }
    return Summary(
        scenario=rounds[0].scenario,
        subject=rounds[0].subject,
        rounds=len(rounds),
        failures=sum(one.failures for one in rounds),
        slowest_per_second=min(speeds),
        fastest_per_second=max(speeds),
        **figures,
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def values_by_round(
    rounds: Sequence[Round], scenario: str, subject: str, name: str
) -> dict[int, float]:
    """Return one figure of one subject in one scenario, by the number of the round."""
    found = {
        one.number: getattr(one, name)
        for one in rounds
        if (one.scenario, one.subject) == (scenario, subject)
    }
    return {number: value for number, value in found.items() if value is not None}


def median_ratio(numerator: Mapping[int, float], denominator: Mapping[int, float]) -> float | None:
    """Return the median of the ratios of each round.

    Both figures of a ratio come from the same round, so a slow minute affects both.
    """
    ratios = [
        numerator[number] / denominator[number] for number in numerator if denominator.get(number)
    ]
    return statistics.median(ratios) if ratios else None


def parse_result_line(printed: str) -> dict[str, Any]:
    """Parse the figures that a program prints as `RESULT {json}`.

    Raises:
        ValueError: there is no such line.
    """
    for line in printed.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return found
    raise ValueError(f"no RESULT line in: {printed[-500:]!r}")
