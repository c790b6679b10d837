"""Options that every command has, `--json` and `--lang`, and types of others."""

import math
from typing import Any

import click

from shared.i18n.command import gettext as _
from shared.i18n.command import language
from shared.i18n.languages import LANGUAGES

JSON_HELP = "Print JSON on standard output, and nothing else there."
LANG_HELP = "Language of help and messages."

json_option = click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
"""`--json`, whose value is the parameter `as_json`."""


class FiniteRange(click.FloatRange):
    """A number in a range. NaN, which no comparison refuses, is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            text = _("{value} is not in the range {range}.")
            self.fail(text.format(value=number, range=self._describe_range()), param, ctx)
        return number


def _language_option(*, is_passed: bool) -> click.Option:
    return click.Option(
        ["--lang"],
        type=click.Choice(LANGUAGES),
        default=language,
        show_default="LC_ALL, LC_MESSAGES, LANG",
        expose_value=is_passed,
        help=LANG_HELP,
    )


def language_option() -> click.Option:
    """`--lang` of a command that asks `cli.shell.language` for the language."""
    return _language_option(is_passed=False)


def wants_json(command: click.Command) -> bool:
    """Whether a command has `--json`."""
    return any("--json" in parameter.opts for parameter in command.params)
