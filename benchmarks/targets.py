"""The targets of the service, as ratios of figures of one run."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measurements import Round, median_ratio, values_by_round
from benchmarks.servers import FULL_SERVICE, SERVICE, TRACED_SERVICE

API_MEMORY_MB = 120.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of one subject in one scenario."""

    scenario: str
    subject: str
    name: str = "per_second"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A limit for the median over the rounds of the ratio of two figures."""

    text: str
    numerator: Figure
    denominator: Figure | None = None
    """None: the limit applies to the figure itself, and leaves room for slow machines."""
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target and what a run measured."""

    text: str
    wanted: str
    measured: float | None
    """None: one of the two figures was not measured."""
    holds: bool | None


def _faster(text: str, scenario: str, peer: str, at_least: float) -> Target:
    return Target(
        text=text,
        numerator=Figure(scenario=scenario, subject=SERVICE),
        denominator=Figure(scenario=scenario, subject=peer),
        at_least=at_least,
    )


def _shorter(text: str, numerator: Figure, denominator: Figure, at_most: float) -> Target:
    return Target(text=text, numerator=numerator, denominator=denominator, at_most=at_most)


def _flat(text: str, scenario: str) -> Target:
    """Return a target for the CPU time per answer, the figure that is least disturbed."""
    numerator = Figure(scenario=scenario, subject=FULL_SERVICE, name="cpu_us")
    denominator = Figure(scenario=scenario, subject=SERVICE, name="cpu_us")
    return Target(
        text=f"{text}: CPU time, much stored against little",
        numerator=numerator,
        denominator=denominator,
        at_most=1.2,
    )


def _traced(text: str, scenario: str) -> Target:
    return Target(
        text=f"{text}, 64 connections: traced against not traced",
        numerator=Figure(scenario=scenario, subject=TRACED_SERVICE),
        denominator=Figure(scenario=scenario, subject=SERVICE),
        at_least=0.85,
    )


def _round_trip(subject: str, name: str) -> Figure:
    return Figure(scenario="roundtrip", subject=subject, name=name)


def _call(rows: int, engine: str) -> Figure:
    return Figure(scenario=f"inference-{rows}", subject=engine, name="p50_ms")


TARGETS: Sequence[Target] = (
    _faster("Miss, 64 connections, against `apply_async().get()`", "miss-64", "celery-plain", 6),
    _faster("Miss, 64 connections, against BentoML", "miss-64", "bentoml", 3),
    *(
        _faster(
            f"Miss, {connections} connections, against FastAPI, fast runtime",
            f"miss-{connections}",
            "fastapi-fast",
            at_least,
        )
        for connections, at_least in ((16, 1), (64, 1.4), (256, 2))
    ),
    _faster("Miss, 64 connections, against `forest.predict`", "miss-64", "fastapi-forest", 15),
    _faster("Miss, 64 connections, against pandas + pipeline", "miss-64", "reference-way", 60),
    _faster("Cache hit against FastAPI + pydantic constant", "hit", "fastapi-constant", 1.3),
    _faster("Submit and poll, 16 connections, against `AsyncResult`", "jobs", "celery-plain", 6),
    _faster("Submit and poll, 64 connections, against `AsyncResult`", "jobs-64", "celery-plain", 8),
    _faster("Submit alone against FastAPI + pydantic constant", "submit", "fastapi-constant", 0.8),
    Target(
        text="Submit and poll, 64 connections, against the own miss",
        numerator=Figure(scenario="jobs-64", subject=SERVICE),
        denominator=Figure(scenario="miss-64", subject=SERVICE),
        at_least=0.5,
    ),
    Target(
        text="Submit and poll, 64 connections: CPU us of a job",
        numerator=Figure(scenario="jobs-64", subject=SERVICE, name="cpu_us"),
        at_most=1000,
    ),
    *(
        _shorter(
            f"One client: {text} against an empty Celery task",
            _round_trip(SERVICE, name),
            _round_trip("celery-empty", name),
            1,
        )
        for text, name in (("median", "p50_ms"), ("p99 to median", "p99_to_p50"))
    ),
    _shorter(
        "Inference, 1 row: time against `forest.predict`",
        _call(1, "packed"),
        _call(1, "sklearn"),
        1 / 300,
    ),
    _shorter(
        "Inference, 10,000 rows: time against `forest.predict`",
        _call(10_000, "packed"),
        _call(10_000, "sklearn"),
        0.5,
    ),
    Target(text="One contribution call, ms", numerator=_call(1, "contributions"), at_most=20),
    _faster("Bulk: rows/s end to end against the bare forest", "bulk", "bare-predict", 2.2),
    _shorter(
        "Bulk: time of ten times the rows",
        Figure(scenario="bulk-tenfold", subject=SERVICE, name="duration_s"),
        Figure(scenario="bulk", subject=SERVICE, name="duration_s"),
        10.5,
    ),
    *(
        Target(
            text=f"{text}: most memory of any process, MB",
            numerator=Figure(scenario=scenario, subject=SERVICE, name="peak_mb"),
            at_most=700,
        )
        for text, scenario in (("Bulk", "bulk"), ("Bulk, ten times the rows", "bulk-tenfold"))
    ),
    _shorter(
        "One car beside a large batch: p95 against without",
        Figure(scenario="beside", subject="beside-batch", name="p95_ms"),
        Figure(scenario="beside", subject="alone", name="p95_ms"),
        3,
    ),
    Target(
        text="100 rows behind a large batch, seconds",
        numerator=Figure(scenario="behind", subject="beside-batch", name="duration_s"),
        at_most=2,
    ),
    _traced("Hit", "traced-hit"),
    _traced("Miss", "traced-miss"),
    _flat("Hit", "flat-hit"),
    _flat("Miss, 16 connections", "flat-miss"),
    _flat("Submit and poll", "flat-jobs"),
    _flat("`/predictions/stats`", "flat-stats"),
)


def judge(rounds: Sequence[Round]) -> list[Verdict]:
    """Compare every target with the rounds of a run."""
    return [_judge(target, rounds) for target in TARGETS]


def judge_memory(api_memory_mb: float | None) -> Verdict:
    """Compare the API's resident memory at the end of a run with its limit."""
    return Verdict(
        text="API process: resident memory in MB",
        wanted=f"≤ {API_MEMORY_MB:g}",
        measured=api_memory_mb,
        holds=None if api_memory_mb is None else api_memory_mb <= API_MEMORY_MB,
    )


def _judge(target: Target, rounds: Sequence[Round]) -> Verdict:
    numerator = _values(target.numerator, rounds)
    denominator = (
        dict.fromkeys(numerator, 1.0)
        if target.denominator is None
        else _values(target.denominator, rounds)
    )
    ratio = median_ratio(numerator, denominator)
    sign, limit, compare = _limit(target)
    return Verdict(
        text=target.text,
        wanted=f"{sign} {_short(limit)}",
        measured=ratio,
        holds=None if ratio is None else compare(ratio, limit),
    )


def _limit(target: Target) -> tuple[str, float, Callable[[float, float], bool]]:
    if target.at_least is not None:
        return "≥", target.at_least, operator.ge
    if target.at_most is not None:
        return "≤", target.at_most, operator.le
    raise ValueError(f"a target without a limit: {target.text}")


def _short(limit: float) -> str:
    return f"1/{1 / limit:.0f}" if limit < 0.1 else f"{limit:g}"  # noqa: PLR2004 - easier to read


def _values(figure: Figure, rounds: Sequence[Round]) -> dict[int, float]:
    return values_by_round(rounds, figure.scenario, figure.subject, figure.name)
