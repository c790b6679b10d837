"""The language of a command of this process: that of `--lang`, else that of the locale.

Only commands speak: in the processes of the service, which write logs, texts stay English.
"""

import gettext as standard_gettext
import os

from shared.i18n.catalogue import DOMAIN, LOCALE, mark, translate, translate_plural
from shared.i18n.languages import SOURCE_LANGUAGE, Language, as_language

LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set holds, as in other programs."""

OF_SYSTEM = (
    mark("No such file or directory"),
    mark("Not a directory"),
    mark("Is a directory"),
    mark("File exists"),
    mark("Permission denied"),
    mark("Operation not permitted"),
    mark("Read-only file system"),
    mark("No space left on device"),
    mark("Disk quota exceeded"),
    mark("Input/output error"),
    mark("Address already in use"),
    mark("Cannot assign requested address"),
)
"""Errors as the operating system words them in English."""

_chosen: list[Language] = []
"""The language of this run, if `speak` was called."""


def language_of_locale() -> Language:
    """The language of the environment's locale; English if the program does not have it."""
    name = next((os.environ[name] for name in LOCALE_VARIABLES if os.environ.get(name)), "")
    return as_language(name.partition(".")[0].partition("@")[0]) or SOURCE_LANGUAGE


def language() -> Language:
    """The language in which the command of this process speaks; English without one."""
    return _chosen[-1] if _chosen else SOURCE_LANGUAGE


def speak(chosen: Language | None) -> None:
    """Let the command and click speak a language; None: that of the locale."""
    _chosen[:] = [chosen or language_of_locale()]
    # click asks the standard library, which reads the language from this variable.
    os.environ["LANGUAGE"] = _chosen[-1]
    standard_gettext.bindtextdomain(DOMAIN, str(LOCALE))
    standard_gettext.textdomain(DOMAIN)


def gettext(text: str) -> str:
    """An English text of the code in the language of the command."""
    return translate(text, language())


def ngettext(singular: str, plural: str, number: int) -> str:
    """The form that `number` takes in the language of the command; placeholders stay in place."""
    return translate_plural(singular, plural, number, language())


def os_reason(error: OSError) -> str:
    """The cause of an error of the operating system, in the language of the command."""
    return gettext(error.strerror or str(error))
