"""The option `--lang`, which may stand anywhere among the arguments."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.i18n.catalogue import mark, translate
from shared.i18n.command import language_of_locale
from shared.i18n.languages import Language, as_language

OPTION = "--lang"
_END_OF_OPTIONS = "--"
_UNKNOWN = mark(
    "{option} {given}: there is no such language; choose fr (French), ar (Arabic) or en (English)"
)


class TakenLanguage(NamedTuple):
    """The language of the arguments, and the other arguments."""

    language: Language | None
    """None if none is named: that of the locale holds."""
    arguments: list[str]
    unknown: str | None = None
    """A language that the program does not have."""

    @property
    def refusal(self) -> str | None:
        """Why the unknown language is refused, in the language of the locale."""
        if self.unknown is None:
            return None
        text = translate(_UNKNOWN, language_of_locale())
        return text.format(option=OPTION, given=self.unknown or "''")


def take_language(arguments: Sequence[str]) -> TakenLanguage:
    """The language of `--lang`, as `fr`, `FR` or `fr_MA`, wherever it stands; the last one holds.

    Without a value it stays among the arguments, for click to refuse it.
    """
    kept: list[str] = []
    found: Language | None = None
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == _END_OF_OPTIONS:
            return TakenLanguage(found, [*kept, argument, *rest])
        name, sign, value = argument.partition("=")
        if name != OPTION or not (sign or rest):
            kept.append(argument)
            continue
        given = value if sign else rest.pop(0)
        found = as_language(given)
        if found is None:
            return TakenLanguage(None, kept, given)
    return TakenLanguage(found, kept)
