"""The lines of a run: guarantees with their goals, what was seen, and verdicts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """A guarantee.

    Args:
        check: the check that looked at it.
        name: the guarantee.
        goal: what must be seen.
        seen: what was seen.
        is_kept: the verdict; None: it could not be looked at here, `seen` says why.
    """

    check: str
    name: str
    goal: str
    seen: str
    is_kept: bool | None

    @property
    def verdict(self) -> str:
        """The verdict as a word."""
        return {True: "kept", False: "BROKEN", None: "left out"}[self.is_kept]


@dataclass
class Table:
    """All lines of a run, in the order of their checks."""

    say: Callable[[str], None]
    lines: list[Line] = field(default_factory=list)
    check: str = ""

    def add(self, name: str, goal: str, seen: str, *, is_kept: bool | None) -> None:
        """Add a line of the present check, and say it."""
        line = Line(self.check, name, goal, seen, is_kept)
        self.lines.append(line)
        self.say(f"  {line.verdict}: {name}: {seen} (goal: {goal})")

    def leave_out(self, name: str, goal: str, reason: str) -> None:
        """Add a line that could not be looked at."""
        self.add(name, goal, reason, is_kept=None)

    @property
    def is_kept(self) -> bool:
        """Whether there are lines, and none is broken."""
        return bool(self.lines) and all(line.is_kept is not False for line in self.lines)


def markdown(lines: Sequence[Line], facts: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    broken = [f"{line.check}: {line.name}" for line in lines if line.is_kept is False]
    machine = facts["machine"]
    rows = "".join(
        f"| {line.check} | {line.name} | {line.goal} | {_cell(line.seen)} | {line.verdict} |\n"
        for line in lines
    )
    return (
        "# Cluster\n\n"
        f"`{facts['command']}` on {machine['cores']} cores, {machine['processor']}; hosts in "
        f"{facts['places']}; {facts['seconds']:.0f} s.\n\n"
        f"- Guarantees looked at: {sum(line.is_kept is not None for line in lines)}; broken: "
        f"{', '.join(broken) or 'none'}.\n"
        "- Hosts: two with an API, two with workers (`interactive` and `bulk`, with the same host "
        "name), one with Redis, one with an S3 server; for failovers three Redis servers, three "
        "sentinels and `REDIS_WAIT_REPLICAS=1`.\n\n"
        "| check | guarantee | goal | seen | verdict |\n|---|---|---|---|---|\n" + rows
    )


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")


def write(folder: Path, lines: Sequence[Line], facts: Mapping[str, Any]) -> str:
    """Write `cluster.json` and `cluster.md`; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {**facts, "lines": [asdict(line) for line in lines]}
    (folder / "cluster.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = markdown(lines, facts)
    (folder / "cluster.md").write_text(text, encoding="utf-8")
    return text
