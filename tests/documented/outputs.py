"""Compares what a command printed with what its page shows: the shape, not the figures."""

import json
import re

from tests.documented.shell import Ran

_IDS = re.compile(r"\b(?:\d{4}-\d\d-\d\dT\d{6}-[0-9a-f]{6}|01[0-9a-z]{24}(?:-\d+)?)\b")
_PATHS = re.compile(r"(?<![\w/])/[\w.-]+(?:/[\w.-]+)+")
_NUMBERS = re.compile(r"[\d.,]*\d")
_END_OF_LABEL = re.compile(r" {2,}|: | \d")
_PLURALS = re.compile(r"\b(fault|warning|worker)s\b")
_ELISION = re.compile(r"(?:\.\.\.|…),? ?")


def assert_like(ran: Ran, shown: str, command: str) -> None:
    """Fail unless the output has what the page shows, in that order.

    Of a JSON document that is shown with an ellipsis, the members that are shown must be equal;
    of texts, the beginnings of the lines, without figures, ids and paths.
    """
    if shown.startswith("{"):
        expected = json.loads(_ELISION.sub("", shown))
        found = json.loads(ran.out)
        assert {name: found.get(name) for name in expected} == expected, command
        return
    lines = [label(line) for line in (ran.err + ran.out).splitlines()]
    for line in shown.splitlines():
        wanted = label(line)
        if wanted in {"", "…"}:
            continue
        assert wanted in lines, (command, wanted, ran)
        del lines[: lines.index(wanted) + 1]


def label(line: str) -> str:
    """The beginning of a line, up to its first figure or value."""
    line = _PATHS.sub("/path", _IDS.sub("ID", line.strip()))
    start = _END_OF_LABEL.split(line, maxsplit=1)[0]
    return _PLURALS.sub(r"\1", _NUMBERS.sub("0", start))
