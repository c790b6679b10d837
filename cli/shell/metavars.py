"""Names of values in usage and help, like `FILE`, in the language of the run."""

import copy
import re
from typing import Any

import click

from shared.i18n.catalogue import mark
from shared.i18n.command import gettext

OPTIONS = mark("[OPTIONS]")
COMMAND = mark("COMMAND [ARGS]...")
INTEGER, NUMBER = mark("integer"), mark("number")
"""Names of types in errors."""
WORDS = (
    mark("BUNDLE"),
    mark("CALLER"),
    mark("COLUMN"),
    mark("DAY"),
    mark("FIELD"),
    mark("FILE"),
    mark("FOLDER"),
    mark("HEADER"),
    mark("ID"),
    mark("INTEGER"),
    mark("KEY_ID"),
    mark("LISTINGS"),
    mark("NUMBER"),
    mark("PATH"),
    mark("ROW"),
    mark("SECRET"),
    mark("TEXT"),
    mark("TIME"),
    mark("UNIT"),
    mark("URL"),
    mark("VALUE"),
    mark("VERSION"),
    mark("YYYY-MM"),
    mark("YYYY-MM-DD"),
)
"""Every word of them."""
_WORD = re.compile(r"[A-Z][A-Z_]*(?:-[A-Z]+)*")


def metavar(parameter: click.Parameter) -> str | None:
    """The name of the value of a parameter; None if it has none, or shows its choices instead."""
    name = english_metavar(parameter)
    return None if name is None else _WORD.sub(_translated, name)


def english_metavar(parameter: click.Parameter) -> str | None:
    """The same in English."""
    if isinstance(parameter.type, click.Choice):
        return None
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(click.Context(click.Command("carprice")))
    assert isinstance(parameter, click.Option)  # noqa: S101 - there are no other parameters
    if parameter.is_flag or parameter.count:
        return None
    return parameter.metavar or _of_type(parameter.type)


def named_type(kind: click.ParamType[Any]) -> click.ParamType[Any]:
    """A type of numbers with the name that errors call it by; other types as they are."""
    is_whole = isinstance(kind, click.types.IntParamType)
    if not is_whole and not isinstance(kind, click.types.FloatParamType):
        return kind
    made = copy.copy(kind)
    made.name = gettext(INTEGER if is_whole else NUMBER)
    return made


def _of_type(kind: click.ParamType[Any]) -> str:
    if isinstance(kind, click.Path):
        return "FOLDER" if not kind.file_okay else "PATH" if kind.dir_okay else "FILE"
    if isinstance(kind, click.types.IntParamType):
        return "INTEGER"
    if isinstance(kind, click.types.FloatParamType):
        return "NUMBER"
    own = kind.name.upper()
    return own if own in WORDS else "TEXT"


def _translated(found: "re.Match[str]") -> str:
    word = found[0]
    return gettext(word) if word in WORDS else word
