"""Every `carprice` command in a fenced block of the documentation is one that the parser accepts.

What they do is tested in `tests/integration/test_documented_commands.py`.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, load
from cli.shell.options import language_option
from cli.shell.prepared import inner_commands
from tests.documented.blocks import PAGES, blocks_of

SEPARATORS = {"|", "||", "&&", ";", "&", "$("}
CHECKED = (click.Choice, click.types.IntParamType, click.types.FloatParamType)
"""Types whose values do not depend on the machine, as those of files do."""


def commands(page: Path) -> Iterator[tuple[str, ...]]:
    """The words after `carprice` of each command of a page."""
    for block in blocks_of(page):
        for line in block.text.splitlines():
            is_command = line.startswith("$ ") or block.language in {"sh", "crontab"}
            if "carprice" in line and is_command:
                yield from of_line(line.removeprefix("$ "))


def of_line(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line of a shell; a line of another program has none."""
    line = line.replace("$(", " $( ").replace(")", " ) ").replace('"', " ")
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.commenters = "#"
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # a text with an apostrophe
        return
    at_start, found = True, list[str]()
    is_ours = False
    for word in [*words, ";"]:
        if word in SEPARATORS or word[0] in "<>)":
            if is_ours:
                yield tuple(found)
            at_start, is_ours, found = word in SEPARATORS, False, []
        elif at_start and "=" in word:
            continue  # an environment variable
        elif at_start:
            is_ours, at_start = word.rpartition("/")[2] == "carprice", False
        else:
            found.append(word)


EXAMPLES = [(page.name, words) for page in PAGES for words in commands(page)]


def test_the_documentation_has_commands() -> None:
    assert len(EXAMPLES) > 40


@pytest.mark.parametrize(
    ("page", "words"), EXAMPLES, ids=[f"{page}: {' '.join(words)}" for page, words in EXAMPLES]
)
def test_a_documented_command_is_accepted(page: str, words: tuple[str, ...]) -> None:
    arguments = without_language(words)
    command, name = load(arguments[0]), arguments.pop(0)
    while arguments and arguments[0] in inner_commands(command):
        command, name = inner_commands(command)[arguments[0]], arguments.pop(0)
    assert not isinstance(command, click.Group), (page, name)
    context = click.Context(command, info_name=name)
    values, rest, _ = command.make_parser(context).parse_args(arguments)
    assert rest == []
    for parameter in command.params:
        given = values.get(parameter.name or "")
        if isinstance(parameter.type, CHECKED) and isinstance(given, str | list):
            for each in [given] if isinstance(given, str) else given:
                parameter.type.convert(each, parameter, context)


def without_language(words: tuple[str, ...]) -> list[str]:
    """The words without `--lang`, which every command has anywhere."""
    kept = list(words)
    for option in language_option().opts:
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    assert kept[0] in COMMANDS
    return kept
