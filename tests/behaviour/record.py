"""Records the external behaviour of the service: `python -m tests.behaviour.record`.

The parts of the recording are JSON files in `snapshot/`; `test_behaviour.py` records them again and
compares. `--diff` prints the changes, `--models` trains the recorded models again.
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
from tests.behaviour.normal import formatted
from tests.behaviour.running import MODELS, service

SNAPSHOT = Path(__file__).parent / "snapshot"

PARTS = (
    "openapi", "metrics", "settings", "commands", "audit", "messages", "redis", "disk", "answers",
    "batches", "pages", "keys", "empty", "outputs", "waiting",
)  # fmt: skip
DEPTHS = {"messages": 4, "redis": 3, "answers": 1, "pages": 1, "keys": 1, "empty": 1, "commands": 1}
"""Number of levels of a part whose members are on separate lines; two by default."""
MAX_LINES, MAX_LINE_CHARS, CONTEXT_CHARS = 80, 300, 100


def record() -> dict[str, Any]:
    """Start a service and record every part."""
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
    return {name: formatted(parts[name], DEPTHS.get(name, 2)) for name in PARTS}


def committed(part: str) -> str:
    """Return the committed recording of a part; empty if there is none."""
    path = SNAPSHOT / f"{part}.json"
    return path.read_text("utf-8") if path.exists() else ""


def difference(part: str, now: str) -> str:
    """Return the differences between a part and its file as a diff; empty if there are none."""
    before = committed(part)
    if before == now:
        return ""
    lines = list(
        difflib.unified_diff(
            before.splitlines(), now.splitlines(), f"{part}.json", "now", lineterm="", n=1
        )
    )
    shown = "\n".join(_shortened(lines)[:MAX_LINES])
    more = len(lines) - MAX_LINES
    return f"{shown}\n… {more} more lines" if more > 0 else shown


def _shortened(lines: list[str]) -> list[str]:
    """Cut the long lines of a diff to the part from their first difference on."""
    shown: list[str] = []
    for sign, group in itertools.groupby(lines, key=lambda line: line[:1]):
        run = list(group)
        shown += _cut_pairs(shown, run) if sign == "+" else run
    return [line if len(line) <= MAX_LINE_CHARS else f"{line[:MAX_LINE_CHARS]}…" for line in shown]


def _cut_pairs(shown: list[str], added: list[str]) -> list[str]:
    """Return added lines; cut them and the removed lines before them at their first difference."""
    removed = list(itertools.takewhile(lambda line: line.startswith("-"), reversed(shown)))[::-1]
    if len(removed) != len(added):
        return added
    first = len(shown) - len(removed)
    for place, (old, new) in enumerate(zip(removed, added, strict=True)):
        pairs = zip(old[1:], new[1:], strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        start = same + 1 - CONTEXT_CHARS
        if max(len(old), len(new)) > MAX_LINE_CHARS and start > 1:
            shown[first + place] = f"-…{old[start:]}"
            added[place] = f"+…{new[start:]}"
    return added


def main() -> None:
    """Record and write every part."""
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
