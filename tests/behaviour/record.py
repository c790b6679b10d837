"""Records how the service behaves from outside: `python -m tests.behaviour.record` writes it.

The parts lie in `snapshot/`, one JSON file each; `test_behaviour.py` records them anew and
compares.
"""

import difflib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.behaviour import (
    adapters,
    answers,
    batches,
    interfaces,
    outputs,
    pages,
    scenarios,
    waiting,
)
from tests.behaviour.normal import written
from tests.behaviour.running import MODELS, service

SNAPSHOT = Path(__file__).parent / "snapshot"

PARTS = (
    "openapi", "metrics", "settings", "commands", "audit", "messages", "redis", "disk", "answers",
    "batches", "pages", "keys", "empty", "outputs", "waiting",
)  # fmt: skip
DEPTHS = {"messages": 4, "redis": 3, "answers": 1, "pages": 1, "keys": 1, "empty": 1, "commands": 1}
"""Levels of a part that have lines of their own, where it is not two."""
MOST_LINES, LONGEST_LINE, CONTEXT = 80, 300, 100


def record() -> dict[str, Any]:
    """Every part, recorded from a service that is started for it."""
    parts = {
        "settings": interfaces.record_settings(),
        "commands": interfaces.record_commands(),
    }
    with service() as running:
        parts["openapi"] = interfaces.record_openapi(running)
        parts |= scenarios.record(running)
        parts["answers"] = answers.record(running)
        parts["batches"] = batches.record(running)
        parts |= pages.record(running)
        parts["outputs"] = outputs.record(running)
        parts["metrics"] = interfaces.record_metrics(running)
        parts["waiting"] = waiting.record(running)
    return {name: written(parts[name], DEPTHS.get(name, 2)) for name in PARTS}


def committed(part: str) -> str:
    """A part as it was recorded last; empty if it never was."""
    path = SNAPSHOT / f"{part}.json"
    return path.read_text("utf-8") if path.exists() else ""


def difference(part: str, now: str) -> str:
    """What differs between a part and its file, as people read it; empty if nothing does."""
    before = committed(part)
    if before == now:
        return ""
    lines = list(
        difflib.unified_diff(
            before.splitlines(), now.splitlines(), f"{part}.json", "now", lineterm="", n=1
        )
    )
    shown = "\n".join(_shortened(lines)[:MOST_LINES])
    more = len(lines) - MOST_LINES
    return f"{shown}\n… {more} more lines" if more > 0 else shown


def _shortened(lines: list[str]) -> list[str]:
    """Lines of a difference, long ones cut to where they begin to differ from their pair."""
    told: list[str] = []
    for sign, group in itertools.groupby(lines, key=lambda line: line[:1]):
        run = list(group)
        told += _beside(told, run) if sign == "+" else run
    return [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in told]


def _beside(told: list[str], added: list[str]) -> list[str]:
    """Added lines; where as many were removed before, both are cut at their first difference."""
    removed = list(itertools.takewhile(lambda line: line.startswith("-"), reversed(told)))[::-1]
    if len(removed) != len(added):
        return added
    first = len(told) - len(removed)
    for place, (old, new) in enumerate(zip(removed, added, strict=True)):
        pairs = zip(old[1:], new[1:], strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        start = same + 1 - CONTEXT
        if max(len(old), len(new)) > LONGEST_LINE and start > 1:
            told[first + place] = f"-…{old[start:]}"
            added[place] = f"+…{new[start:]}"
    return added


def main() -> None:
    """Write every part that has changed."""
    began = time.monotonic()
    if "--models" in sys.argv[1:]:
        MODELS.mkdir(exist_ok=True)
        adapters.make_models(MODELS)
    SNAPSHOT.mkdir(exist_ok=True)
    for line in _write(record()):
        print(line)  # noqa: T201
    print(f"{time.monotonic() - began:.0f} s")  # noqa: T201


def _write(parts: Mapping[str, str]) -> Iterator[str]:
    for name, text in parts.items():
        changes = difference(name, text)
        (SNAPSHOT / f"{name}.json").write_text(text, encoding="utf-8")
        yield f"{name}: {len(text) // 1000} kB{', changed' if changes else ''}"
        if changes and "--diff" in sys.argv[1:]:
            yield changes


if __name__ == "__main__":
    main()
