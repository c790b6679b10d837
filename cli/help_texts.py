"""The help of all commands, which the catalogue translates as it does other texts."""

from collections.abc import Iterator

from cli.main import COMMANDS, load
from cli.shell.options import language_option
from cli.shell.prepared import own_texts


def help_texts() -> Iterator[tuple[str, str]]:
    """Each English text of the help of a command, and the file that it is in."""
    yield str(language_option().help), "cli/shell/options.py"
    for name, place in COMMANDS.items():
        file = place.target.partition(":")[0].replace(".", "/") + ".py"
        for text in own_texts(load(name)):
            yield text, file
