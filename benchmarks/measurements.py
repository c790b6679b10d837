"""What a round yields, and how rounds become one figure."""

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
    """Answers, jobs, rows or calls that succeeded."""
    failures: int = 0
    """Answers with another status, and connections that broke."""
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    subject_cpu_s: float | None = None
    """CPU time of all processes of the subject during the round, its broker's included."""
    client_cpu_s: float | None = None
    """CPU time of the load generator."""
    other_cpu_s: float | None = None
    """CPU time of everything else on the machine: how much the round was disturbed."""
    peak_mb: float | None = None
    """Most memory that any one process of the subject has held since its start."""
    accounted_s: float | None = None
    """How long the CPU times were taken for: the round, and the load generator's start and end."""

    @property
    def per_second(self) -> float:
        """Operations per second."""
        return self.operations / self.duration_s

    @property
    def cpu_us(self) -> float | None:
        """CPU microseconds of the subject per operation."""
        if self.subject_cpu_s is None or not self.operations:
            return None
        return 1e6 * self.subject_cpu_s / self.operations


FIGURES = ("per_second", "cpu_us", "p50_ms", "p90_ms", "p99_ms")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """The medians over the rounds of one subject in one scenario."""

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
    """One summary for each scenario and subject, in the order of their first rounds."""
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
    """One figure of one subject in one scenario, by the round's number."""
    found = {
        one.number: getattr(one, name)
        for one in rounds
        if (one.scenario, one.subject) == (scenario, subject)
    }
    return {number: value for number, value in found.items() if value is not None}


def median_ratio(numerator: Mapping[int, float], denominator: Mapping[int, float]) -> float | None:
    """Median over the rounds of the ratio within each: a slow minute is in both of its figures."""
    ratios = [
        numerator[number] / denominator[number] for number in numerator if denominator.get(number)
    ]
    return statistics.median(ratios) if ratios else None


def parse_result_line(printed: str) -> dict[str, Any]:
    """The figures of a program that prints them as `RESULT {json}`.

    Raises:
        ValueError: there is no such line.
    """
    for line in printed.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return found
    raise ValueError(f"no RESULT line in: {printed[-500:]!r}")
