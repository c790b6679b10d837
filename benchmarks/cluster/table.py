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


@dataclass(frozen=True)
class Target:
    """What is promised of several hosts, and the lines that look at it.

    Args:
        name: what is promised.
        words: part of the names of the lines, or of the name of their check.
        elsewhere: what else looks at it.
    """

    name: str
    words: str = ""
    elsewhere: str = ""

    def row(self, lines: Sequence[Line]) -> str:
        """The target with what was seen, as a row of a table."""
        found = [one for one in lines if self.words and self.words in f"{one.check}: {one.name}"]
        if not found:
            if self.elsewhere:
                return f"| {self.name} | see {self.elsewhere} | |\n"
            return f"| {self.name} | | not looked at |\n"
        broken = [one for one in found if one.is_kept is False]
        looked_at = [one for one in found if one.is_kept is not None]
        seen = (broken or looked_at or found)[0].seen
        if len(found) > 1 and not broken:
            seen = f"{len(looked_at)} of {len(found)} lines looked at, none broken; {seen}"
        verdict = "BROKEN" if broken else "kept" if looked_at else "left out"
        return f"| {self.name} | {_cell(seen)} | {verdict} |\n"


TARGETS = (
    Target("statistics are equal on both APIs and equal to the answers", "statistics equal"),
    Target("every sale report is 201 on the other API", "every sale is accepted"),
    Target("each answer is recorded exactly once across hosts", ": each answer recorded"),
    Target("`carprice audit verify` passes on every host", "carprice audit verify"),
    Target("an activation is effective everywhere within 3 s", "activation is effective"),
    Target("a roll-back is effective everywhere within 3 s", "roll-back is effective"),
    Target("a revoked key is 401 everywhere within 2 s", "a revoked key is refused"),
    Target("failovers: 503 for at most 10 s", ": refusals end"),
    Target("failovers: no accepted job is lost with `WAIT 1`", "no accepted job is lost"),
    Target("failovers: no manual restart", "no process ends in a failover"),
    Target("the loss without `WAIT`", elsewhere="ADR 131"),
    Target(
        "a rogue certificate is refused by every process",
        elsewhere="`tests/integration/test_redis_deployments.py`",
    ),
    Target(
        "5,000 retained batches: a sweep, and an open batch after FLUSHALL", elsewhere="ADR 147"
    ),
    Target(
        "20 ms per request to S3: no reads of audit blobs, assembly, 1.7 times by two processes",
        elsewhere="ADR 148",
    ),
    Target("both APIs are stopped in turn: no errors", "both APIs are stopped in turn"),
    Target("S3 unreachable for a minute", "S3 unreachable: "),
    Target("Redis reachable from one host only", "Redis reachable from one API: "),
    Target("clocks 5 s apart", "clocks 5 s apart: "),
    Target("hosts that return with old files", "hosts that come back: "),
    Target("two hosts with the same name", "names: "),
    Target("a full disk on one host", "full disk: "),
)


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
    targets = "".join(target.row(lines) for target in TARGETS)
    return (
        "# Cluster\n\n"
        f"`{facts['command']}` on {machine['cores']} cores, {machine['processor']}; hosts in "
        f"{facts['places']}; {facts['seconds']:.0f} s.\n\n"
        f"- Guarantees looked at: {sum(line.is_kept is not None for line in lines)}; broken: "
        f"{', '.join(broken) or 'none'}.\n"
        "- Hosts: two with an API, two with workers (`interactive` and `bulk`, with the same host "
        "name), one with Redis, one with an S3 server; for failovers three Redis servers, three "
        "sentinels and `REDIS_WAIT_REPLICAS=1`.\n\n"
        "| target | seen | verdict |\n|---|---|---|\n" + targets + "\n"
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
