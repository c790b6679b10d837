"""The language of a command: that of `--lang`, else that of the locale."""

import gettext as standard_gettext
import os
from collections.abc import Sequence

from shared.i18n.catalogue import DOMAIN, LOCALE, translate, translate_plural
from shared.i18n.languages import LANGUAGES, SOURCE_LANGUAGE, Language, as_language

OPTION = "--lang"
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set holds, as in other programs."""
_END_OF_OPTIONS = "--"

_chosen: list[Language] = []
"""The language of this run, if `speak` was called."""


def language_of_locale() -> Language:
    """The language of the environment's locale; English if the program does not have it."""
    name = next((os.environ[name] for name in LOCALE_VARIABLES if os.environ.get(name)), "")
    return as_language(name.partition(".")[0].partition("@")[0]) or SOURCE_LANGUAGE


def language() -> Language:
    """The language in which this command speaks."""
    return _chosen[-1] if _chosen else language_of_locale()


def speak(chosen: Language | None) -> None:
    """Let the command and click speak a language; None: that of the locale."""
    _chosen[:] = [chosen or language_of_locale()]
    # click asks the standard library, which reads the language from this variable.
    os.environ["LANGUAGE"] = _chosen[-1]
    standard_gettext.bindtextdomain(DOMAIN, str(LOCALE))
    standard_gettext.textdomain(DOMAIN)


def take_language(arguments: Sequence[str]) -> tuple[Language | None, list[str]]:
    """The language of `--lang`, wherever it stands, and the other arguments.

    A language that the program does not have stays among the arguments, for click to refuse it.
    """
    kept: list[str] = []
    found: Language | None = None
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == _END_OF_OPTIONS:
            return found, [*kept, argument, *rest]
        name, sign, value = argument.partition("=")
        if name == OPTION and not sign and rest:
            value = rest[0]
        if name == OPTION and value in LANGUAGES:
            found = next(each for each in LANGUAGES if each == value)
            del rest[: 0 if sign else 1]
        else:
            kept.append(argument)
    return found, kept


def gettext(text: str) -> str:
    """An English text of the code in the language of the command."""
    return translate(text, language())


def ngettext(singular: str, plural: str, number: int) -> str:
    """The form that `number` takes in the language of the command; placeholders stay in place."""
    return translate_plural(singular, plural, number, language())
