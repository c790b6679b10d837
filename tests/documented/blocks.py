"""The fenced blocks of the documentation, and the commands in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted(ROOT.glob("client/**/*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
    *sorted(ROOT.glob("deploy/**/*.md")),
]
COMMANDS = ("sh", "console", "crontab")
PROGRAMS = ("python",)
SHOWN = ("text", "json", "http", "nginx")
"""Languages of blocks that are read and not run."""

_BLOCK = re.compile(r"^( *)```(\S*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_SCHEDULE = re.compile(r"^(?:\S+ ){5} *")


@dataclass(frozen=True)
class Block:
    """One fenced block, without its indentation."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Step:
    """A command or a program of a page, with the output that the page shows below it."""

    block: Block
    text: str
    shown: str = ""


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        indent, language, inside = found.groups()
        lines = [line.removeprefix(indent) for line in inside.splitlines()]
        line = text.count("\n", 0, found.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, language, "\n".join(lines))


def steps_of(block: Block) -> list[Step]:
    """The commands of a block, in order; a program is one step."""
    if block.language in PROGRAMS:
        return [Step(block, block.text)]
    steps: list[Step] = []
    command, shown = "", list[str]()
    for line in block.text.splitlines():
        if _is_open(command):
            command += "\n" + line
        elif block.language == "console" and not line.startswith("$ "):
            shown.append(line)
        else:
            steps += [Step(block, command, "\n".join(shown))] if command else []
            command, shown = _command(line, block.language), []
    return [*steps, Step(block, command, "\n".join(shown))]


def _is_open(command: str) -> bool:
    """Whether a command goes on in the next line."""
    return command.endswith("\\") or command.count("'") % 2 == 1


def _command(line: str, language: str) -> str:
    if language == "crontab":
        return _SCHEDULE.sub("", line).replace("\\%", "%")
    line = line.removeprefix("$ ")
    for comment in re.finditer(r"(?:^|\s)#\s", line):
        if line.count("'", 0, comment.start()) % 2 == 0:
            return line[: comment.start()].rstrip()
    return line
