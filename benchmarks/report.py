"""Formats the result of a run as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.measurements import Round, Summary, median_ratio, values_by_round
from benchmarks.servers import SERVICE
from benchmarks.subjects import LABELS
from benchmarks.targets import Verdict

TITLES = {
    "hit": "Cache hit, 64 connections",
    "jobs": "Submit and poll (`/jobs`), 16 connections",
    "jobs-64": "Submit and poll (`/jobs`), 64 connections",
    "submit": "Submit alone (`POST /jobs`), 64 connections",
    "roundtrip": "One client alone: round trip",
    "bulk": "Bulk: a CSV end to end against the bare forest",
    "bulk-tenfold": "Bulk: ten times the rows",
    "beside": "One car, 16 connections, alone and beside a large batch",
    "behind": "A batch of 100 rows, alone and behind a large one",
    "traced-hit": "Traced: cache hit, 64 connections",
    "traced-miss": "Traced: miss, 64 connections",
    "flat-hit": "Much stored: cache hit, 64 connections",
    "flat-miss": "Much stored: miss, 16 connections",
    "flat-jobs": "Much stored: submit and poll, 16 connections",
    "flat-stats": "Much stored: `/predictions/stats`, one connection",
}
BASELINE_SUBJECTS = {"inference": "packed", "beside": "alone", "behind": "alone"}
"""The subject whose ratio to the others is in the last column; by default the service."""


def markdown(result: Mapping[str, Any], summaries: Sequence[Summary]) -> str:
    """Format machine, targets and the tables of all scenarios."""
    parts = [_head(result), _targets(result["targets"])]
    parts += [
        _scenario(
            scenario, [one for one in summaries if one.scenario == scenario], result["rounds"]
        )
        for scenario in dict.fromkeys(one.scenario for one in summaries)
    ]
    if result["left_out"]:
        parts.append(_left_out(result["left_out"]))
    return "\n".join(parts)


def _head(result: Mapping[str, Any]) -> str:
    machine, options = result["machine"], result["options"]
    memory_mb = result["api_memory_mb"]
    text = (
        "# Benchmarks\n\n"
        f"`{result['command']}` on {result['started_at'][:10]}, {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gb']} GB, Python {machine['python']}.\n"
        f"Median of {options['rounds']} alternating rounds of {options['seconds']:g} s. "
        f"Other programs took {100 * result['disturbed']:.0f} % of the machine meanwhile.\n"
    )
    if memory_mb is not None:
        text += f"Memory of the API process at the end: {memory_mb:.0f} MB.\n"
    return text + "[How to read this](../README.md).\n"


def _targets(verdicts: Iterable[Verdict]) -> str:
    rows = [
        (one.text, one.wanted, _ratio(one.measured), {True: "yes", False: "**no**"}.get(one.holds))  # type: ignore[arg-type]
        for one in verdicts
        if one.measured is not None
    ]
    if not rows:
        return ""
    return "## Targets\n\n" + _table(("target", "wanted", "measured", "holds"), rows)


def _scenario(scenario: str, summaries: Sequence[Summary], rounds: Sequence[Round]) -> str:
    own = _own_subject(scenario)
    unit = _unit(scenario)
    header = ("", f"{unit}/s", "slowest to fastest", "CPU us", "p50 ms", "p99 ms", "ours : this")
    rows = [_row(one, _compared(own, one, rounds)) for one in summaries]
    return f"## {_title(scenario)}\n\n" + _table(header, rows)


def _row(one: Summary, compared: str) -> tuple[str, ...]:
    label = LABELS[one.subject] + (f" ({one.failures} failures)" if one.failures else "")
    return (
        label,
        _number(one.per_second),
        f"{_number(one.slowest_per_second)} to {_number(one.fastest_per_second)}",
        _number(one.cpu_us),
        _number(one.p50_ms),
        _number(one.p99_ms),
        compared,
    )


def _compared(own: str, other: Summary, rounds: Sequence[Round]) -> str:
    """Return the median over the rounds of the baseline's speed divided by the other's."""
    if own == other.subject:
        return ""
    if not other.per_second:
        return "it answered nothing"
    speeds = [
        values_by_round(rounds, other.scenario, subject, "per_second")
        for subject in (own, other.subject)
    ]
    return _ratio(median_ratio(*speeds))


def _left_out(reasons: Mapping[str, str]) -> str:
    rows = [(LABELS.get(name, f"scenario `{name}`"), reason) for name, reason in reasons.items()]
    return "## Left out\n\n" + _table(("", "why"), rows)


def _own_subject(scenario: str) -> str:
    return BASELINE_SUBJECTS.get(scenario.partition("-")[0], SERVICE)


def _unit(scenario: str) -> str:
    units = {
        "jobs": "jobs",
        "submit": "jobs",
        "bulk": "rows",
        "behind": "rows",
        "inference": "rows",
        "roundtrip": "calls",
    }
    return units.get(scenario.partition("-")[0], "requests")


def _title(scenario: str) -> str:
    kind, _, detail = scenario.partition("-")
    if kind == "miss":
        return f"Miss, {detail} connection{'s' if detail != '1' else ''}, each request another car"
    if kind == "inference":
        return f"Inference alone, {int(detail):,} row{'s' if detail != '1' else ''} per call"
    return TITLES[scenario]


def _table(header: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell or '' for cell in line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    """Format a number with three significant digits."""
    if value is None:
        return ""
    if value >= 100:  # noqa: PLR2004 - no decimals from here on
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004
