"""Commands as they are run: help in the language of the run, exit codes in it, and `--lang`."""

import copy
import inspect
from collections.abc import Iterator

import click

from cli.shell import metavars
from cli.shell.exit_codes import exit_codes
from cli.shell.options import language_option
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext

_LANG = "lang"
_TEXTS = ("help", "prompt", "show_default")
"""Attributes of a parameter that may be texts for people."""
TITLE = mark("Exit codes:")
KEPT_LINES = "\b"
"""click does not wrap the lines of a paragraph that begins with it."""


def prepared(command: click.Command, path: str) -> click.Command:
    """A copy of a command, and of the commands in it, for one run.

    Args:
        command: as it was defined, with English texts.
        path: its words after `carprice`, like `models list`.
    """
    made = copy.copy(command)
    made.params = [translated(parameter) for parameter in command.params]
    if all(parameter.name != _LANG for parameter in made.params):
        made.params.append(translated(language_option()))
    made.options_metavar = gettext(metavars.OPTIONS)
    if isinstance(made, click.Group):
        made.subcommand_metavar = gettext(metavars.COMMAND)
    made.help = _translated_text(command.help) if command.help else None
    made.epilog = _epilog(command, path)
    for name, others in _containers(made):
        inner = {each: prepared(other, f"{path} {each}") for each, other in others.items()}
        setattr(made, name, inner)
    return made


def inner_commands(command: click.Command) -> dict[str, click.Command]:
    """The commands in a command, by name."""
    return {name: other for _, others in _containers(command) for name, other in others.items()}


def own_texts(command: click.Command) -> Iterator[str]:
    """The English texts of a command and of the commands in it, for the catalogue."""
    for text in (command.help, command.epilog):
        yield from filter(_is_translated, paragraphs(text or ""))
    for parameter in command.params:
        for name in _TEXTS:
            if isinstance(text := getattr(parameter, name, None), str):
                yield text
    for other in inner_commands(command).values():
        yield from own_texts(other)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text, each without its line breaks unless click keeps them."""
    parts = inspect.cleandoc(text).split("\n\n")
    return [part if part.startswith(KEPT_LINES) else " ".join(part.split()) for part in parts]


def _is_translated(paragraph: str) -> bool:
    return bool(paragraph) and not paragraph.startswith(KEPT_LINES)


def _translated_text(text: str) -> str:
    return "\n\n".join(gettext(part) if _is_translated(part) else part for part in paragraphs(text))


def _containers(command: click.Command) -> list[tuple[str, dict[str, click.Command]]]:
    """The attributes that hold the commands in a command."""
    names = ("commands", "others")
    return [(name, dict(getattr(command, name))) for name in names if hasattr(command, name)]


def translated(parameter: click.Parameter) -> click.Parameter:
    """A copy of a parameter with its texts, and the name of its value, in the language."""
    made = copy.copy(parameter)
    made.metavar = metavars.metavar(parameter)
    made.type = metavars.named_type(parameter.type)
    for name in _TEXTS:
        if isinstance(text := getattr(made, name, None), str):
            setattr(made, name, gettext(text))
    return made


def _epilog(command: click.Command, path: str) -> str | None:
    parts = [_translated_text(command.epilog)] if command.epilog else []
    if not isinstance(command, click.Group):
        lines = [f"  {code:<3}  {gettext(text)}" for code, text in exit_codes(path).items()]
        parts.append("\n".join([KEPT_LINES, gettext(TITLE), *lines]))
    return "\n\n".join(parts) or None
