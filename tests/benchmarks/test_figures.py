"""Medians, ratios, targets and tables of a benchmark run."""

import dataclasses
from typing import Any

from benchmarks.measurements import Round, summarise
from benchmarks.report import markdown
from benchmarks.targets import TARGETS, judge


def one_round(subject: str, number: int, operations: int, scenario: str = "miss-64") -> Round:
    return Round(
        scenario=scenario, subject=subject, number=number, duration_s=2.0, operations=operations
    )


def result(rounds: list[Round]) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks.run",
        "started_at": "2026-01-02T03:04:05",
        "machine": {"processor": "a processor", "cores": 2, "memory_gb": 4.0, "python": "3.11"},
        "options": {"rounds": 3, "seconds": 2.0},
        "left_out": {"bentoml": "not installed"},
        "api_memory_mb": None,
        "disturbed": 0.25,
        "targets": judge(rounds),
        "rounds": rounds,
    }


def test_a_summary_is_the_median_of_the_rounds() -> None:
    rounds = [one_round("carprice", number, 2 * speed) for number, speed in enumerate((10, 90, 20))]
    (summary,) = summarise(rounds)
    assert summary.per_second == 20
    assert (summary.slowest_per_second, summary.fastest_per_second) == (10, 90)


def test_a_target_compares_two_medians_of_the_same_run() -> None:
    rounds = [one_round("carprice", 1, 700), one_round("celery-plain", 1, 100)]
    verdict = judge(rounds)[0]
    assert (verdict.measured, verdict.holds) == (7.0, True)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    speeds = ((600, 100), (60, 20), (700, 70))  # both subjects were slow in the second round
    rounds = [
        one_round(subject, number, speed)
        for number, pair in enumerate(speeds)
        for subject, speed in zip(("carprice", "celery-plain"), pair, strict=True)
    ]
    assert judge(rounds)[0].measured == 6.0


def test_a_target_whose_peer_was_not_measured_is_not_judged() -> None:
    verdicts = judge([one_round("carprice", 1, 700)])
    assert len(verdicts) == len(TARGETS)
    assert {verdict.holds for verdict in verdicts} == {None}


def test_the_tail_of_one_client_is_compared_with_the_tail_of_an_empty_task() -> None:
    tails = {"carprice": (2.0, 6.0), "celery-empty": (1.0, 5.0)}
    rounds = [
        dataclasses.replace(one_round(name, 1, 100, "roundtrip"), p50_ms=p50, p99_ms=p99)
        for name, (p50, p99) in tails.items()
    ]
    verdicts = {each.text: each for each in judge(rounds) if "One client" in each.text}
    assert [(each.measured, each.holds) for each in verdicts.values()] == [
        (2.0, False),
        (0.6, True),
    ]


def test_a_subject_that_answered_nothing_is_shown_as_such() -> None:
    rounds = [one_round("carprice", 1, 700), one_round("reference-way", 1, 0)]
    table = markdown(result(rounds), summarise(rounds))
    assert "it answered nothing" in table


def test_a_subject_that_was_left_out_is_listed_with_the_reason() -> None:
    rounds = [one_round("carprice", 1, 700)]
    table = markdown(result(rounds), summarise(rounds))
    assert "| BentoML in-process, fast runtime | not installed |" in table
