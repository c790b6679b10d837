"""Formats the result of a soak as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.soak_judgement import ALLOWED_SHARE, ALLOWED_TRAFFIC_SHARE, MAX_TTL_S

VERDICT_WORDS = {True: "yes", False: "**no**", None: ""}


def markdown(result: Mapping[str, Any]) -> str:
    """Format the result."""
    return f"{_head(result)}\n{_levels(result)}\n{_limits(result)}"


def _head(result: Mapping[str, Any]) -> str:
    answers = ", ".join(f"{kind} {count:,}" for kind, count in sorted(result["answers"].items()))
    unjudged = [one["name"] for one in result["lines"] if "too short" in one["remark"]]
    notes = f"- Too short a soak to judge: {', '.join(unjudged)}.\n" if unjudged else ""
    return (
        f"# Soak\n\n`make soak`: {result['seconds'] / 60:g} minutes of mixed load on "
        f"{result['machine']['cores']} cores, {result['machine']['processor']}. "
        f"{'All is well.' if result['is_well'] else '**Not all is well.**'}\n\n"
        f"- Asked: {answers}.\n"
        f"- Unexpected: {result['failures'] or 'nothing'}. Slowest: {result['slowest_s']} s.\n"
        f"- Answers recorded exactly once: {result['answers_recorded_once']:,}; "
        f"otherwise: {result['answers_recorded_otherwise']}.\n"
        f"- Webhooks to a receiver that fails half of the time: {result['webhooks']['asked']:,}; "
        f"missing: {result['webhooks']['missing']}, repeated: {result['webhooks']['repeated']}, "
        f"under two ids: {result['webhooks']['renamed']}.\n"
        f"- Rises or is too large: {', '.join(result['wrong']) or 'nothing'}.\n{notes}"
    )


def _levels(result: Mapping[str, Any]) -> str:
    rows = "".join(
        f"| {one['name']} | {one['first']:,.6g} {one['unit']} | {one['last']:,.6g} | "
        f"{one['rise']:+.3g} | {one['per_hour']:+.3g} | "
        f"{one['remark'] or VERDICT_WORDS[one['is_flat']]} |\n"
        for one in result["lines"]
    )
    return (
        "## Levels\n\n"
        "A straight line is fitted to the second half; processes of a kind are added up. Memory is "
        "private memory, without pages of files. Quantities that follow the traffic are judged "
        f"from second {MAX_TTL_S} on, when keys have begun to expire, and may rise by "
        f"{ALLOWED_TRAFFIC_SHARE:.0%}, the others by {ALLOWED_SHARE:.0%}; Flower is judged when it "
        "has received twice the events that it keeps. Claims are kept for 20 minutes and ended "
        "batches for an hour, longer than a soak: they are compared with the number of requests "
        "and subtracted from the broker's data and memory. The API's memory is judged a minute "
        "after it created its last thread.\n\n"
        "| what | at first | at the end | rise | per hour | flat |\n|---|---|---|---|---|---|\n"
        f"{rows}"
    )


def _limits(result: Mapping[str, Any]) -> str:
    rows = "".join(
        f"| {one['name']} | {one['value']:,.4g} {one['unit']} | {_limit(one)} | "
        f"{VERDICT_WORDS[one['holds']]} |\n"
        for one in result["limits"]
    )
    return (
        "## Limits\n\n"
        "The largest value of one process at any time. The limit applies to private memory (own); "
        "resident memory includes shared libraries.\n\n"
        "| what | most | limit | holds |\n|---|---|---|---|\n"
        f"{rows}"
    )


def _limit(one: Mapping[str, Any]) -> str:
    return "" if one["at_most"] is None else f"{one['at_most']:,}"
