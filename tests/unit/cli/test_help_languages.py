"""The help of every command is in one language: no English in French or Arabic help."""

import re
from pathlib import Path

import click
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from click.testing import CliRunner

from cli.main import COMMANDS, load, main
from cli.shell.metavars import WORDS, english_metavar
from cli.shell.prepared import inner_commands
from shared.i18n.catalogue import LOCALE
from shared.i18n.languages import Language

ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """a all an and any are args as at available be but by can command day default directory
        each every file float folder for from given gives has have if in integer is it its listings
        more must name need no not number of only or other path prints range required row show shown
        so text that the their then there this to unit usage value values what when where whether
        which with without yes you your""",
    )
)
"""Words by which English is recognised."""
FRENCH = frozenset({"a", "an", "as", "file", "on", "or", "usage"})
"""Those of them that are French, too."""
CODE = re.compile(
    r"--?[a-z][\w-]*|\[[^\]]*\|[^\]]*\]|\{[^}]*\|[^}]*\}|`[^`]*`|[\"«][^\"»]*[\"»]|\(\w+, [\w, ]+\)"
    r"|\w+:\S+|\S*[_/=~#$]\S*|\.\w+|Ctrl-C|carprice [a-z ]+"
)
"""Options, choices, quoted text, addresses, variables, endings of files, commands."""
NAMES = frozenset(
    re.findall(
        r"\w+",
        """API Alertmanager BMW CSV Corolla CV Compteur Diesel Excel HTML ID JSON LANG Markdown PORT
        PSI Prometheus Toyota UTC WW bash bootstrap carprice comma eval fish km learn mpg never no
        point scikit webhook yes zsh""",
    )
)
"""What has no Arabic form: names, units and values that are typed as they are."""


def paths(name: str, command: click.Command) -> list[str]:
    """The words of a command, and of those in it."""
    inner = inner_commands(command).items()
    return [name, *(each for other, found in inner for each in paths(f"{name} {other}", found))]


ALL = ["", *(path for name in COMMANDS for path in paths(name, load(name)))]
NAMES_OF_COMMANDS = {part for path in ALL for part in re.split("[ -]", path)}


def words_of_help(path: str, language: Language) -> set[str]:
    """The words of a help that are no code."""
    arguments = [*path.split(), "--lang", language, "--help"]
    done = CliRunner().invoke(main, arguments, prog_name="carprice")
    assert done.exit_code == 0, done.output
    text = CODE.sub(" ", " ".join(done.stdout.split()))
    return set(re.findall(r"[A-Za-zÀ-ÿ]{2,}", text)) - NAMES_OF_COMMANDS - choices(path)


def choices(path: str) -> set[str]:
    """The values that a command takes, which defaults repeat."""
    if not path:
        return set()
    types = [parameter.type for parameter in command_of(path).params]
    return {str(one) for each in types if isinstance(each, click.Choice) for one in each.choices}


@pytest.mark.parametrize("path", ALL)
def test_there_is_no_english_in_french_help(path: str) -> None:
    found = {word.lower() for word in words_of_help(path, "fr")}
    assert found & (ENGLISH - FRENCH) == set()


@pytest.mark.parametrize("path", ALL)
def test_there_are_no_other_letters_in_arabic_help(path: str) -> None:
    latin = {word for word in words_of_help(path, "ar") if re.search("[A-Za-z]", word)}
    assert latin - NAMES == set()


def test_english_help_is_recognised_as_english() -> None:
    for path in ALL:
        assert {word.lower() for word in words_of_help(path, "en")} & (ENGLISH - FRENCH)


def test_the_words_that_name_values_are_in_the_catalogue() -> None:
    names = [
        english_metavar(parameter) or ""
        for path in ALL[1:]
        for parameter in command_of(path).params
    ]
    words = {word for name in names for word in re.findall(r"[A-Z]{2,}[A-Z_-]*", name)}
    assert words <= set(WORDS)
    assert {"FILE", "KEY_ID", "YYYY-MM"} <= words


def command_of(path: str) -> click.Command:
    first, *rest = path.split()
    command = load(first)
    for name in rest:
        command = inner_commands(command)[name]
    return command


NOT_SHOWN = (
    "deprecated", "Deprecat", "Value must be", "Name '", "Boolean option", "Could not determine",
    "No options defined", "Arguments take exactly", "Invalid start character", "Unknown color",
    "Press any key", "Choice(", "not a valid UUID", "Unknown standard stream", "{len_type} values",
    "%(prog)s",
)  # fmt: skip
"""Parts of texts about wrong definitions of commands, or of what no command uses."""


def test_every_text_that_click_shows_is_in_the_catalogue() -> None:
    folder = Path(click.__file__).parent
    keywords = {"_": None, "ngettext": (1, 2)}
    catalogue = read_po((LOCALE / "fr/LC_MESSAGES/messages.po").open("rb"))
    known = {text for each in catalogue for text in (each.id if each.pluralizable else [each.id])}
    found = extract_from_dir(folder, [("**.py", "python")], {"**.py": {}}, keywords)
    shown = {
        text if isinstance(text, str) else text[0]
        for name, _, text, *_ in found
        if not name.startswith("_")
    }
    missing = {text for text in shown - known if not any(part in text for part in NOT_SHOWN)}
    assert missing == set()
