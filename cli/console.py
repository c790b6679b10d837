"""Shared by the commands of models: `--data`, errors, load reports, tables, JSON output."""

import contextlib
import errno
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.shell.options import json_option
from cli.streams import echo_json
from model_store.registry.manifest import MEASURED
from shared.domain.errors import DomainError
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import language, os_reason
from shared.messages.texts import describe_problem
from shared.settings import Settings

if TYPE_CHECKING:
    from data.listings.report import LoadReport

FILE = click.Path(path_type=Path)
DEFAULT_SEED = 42
ACTIVE_FILE = "ACTIVE"
_NEW_VERSION = ".new-"
"""Prefix of the folder of a version that is being written."""
_NO_SPACE = mark(
    "free some space, or set MODELS_PATH to a folder with more, and repeat the command"
)
_NO_ACCESS = mark("permit this user to write there, or name another folder, and repeat the command")
_NO_FOLDER = mark("a part of this path is a file: name a folder, and repeat the command")
_ADVICE = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.EROFS: _NO_ACCESS,
    errno.ENOENT: mark("name a folder that exists, and repeat the command"),
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
}
"""What to do, by the number of the error."""
_MANY_SUSPECTS = 0.02
"""Share of suspicious prices from which commands warn."""

data_option = functools.partial(
    click.option,
    "--data",
    "paths",
    type=FILE,
    multiple=True,
    metavar="FILE",
)
"""`--data`, once for each file or folder."""


as_json_option = json_option


class BadInputError(click.ClickException):
    """The command cannot use this input; the message gives the reason. Exit code 2."""

    exit_code = 2


def warn_of_suspects(report: "LoadReport", consequence: str) -> None:
    """Say on standard error that many prices are probably typing errors.

    Args:
        report: on the files.
        consequence: what the command does with these prices.
    """
    share = report.suspects / report.rows_kept
    if share >= _MANY_SUSPECTS:
        text = _(
            "{share} of the prices are probably typing errors: {consequence}, and figures such as"
            " `mape`, `r2` and `coverage_90` are measured on them, too; correct the file"
        ).format(share=f"{share:.1%}", consequence=_(consequence))
        say("warning", text)


def say(kind: str, text: str) -> None:
    """Write a line on standard error, after a word that says what it is: `warning` or `note`."""
    click.echo(f"  {_(kind):<9} {text}", err=True)


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    echo_json(value)


def interval_note(training: Mapping[str, Any]) -> str:
    """The lines that say how the intervals of a trained version widen with the age of its data.

    Args:
        training: of the manifest.
    """
    growth = training["interval_growth"]
    if growth["source"] == MEASURED:
        text = _("intervals widen with the age of the data as {number} listings after {month} show")
        text = text.format(number=f"{growth['listings']:,}", month=growth["origins"][0])
    else:
        text = _(
            "intervals widen with the age of the data by the reference growth, because {reason}"
        ).format(reason=growth["reason"])
    lines = [f"  {text}"]
    until = growth.get("data_until", training["data_as_of"])
    if until != training["data_as_of"]:
        text = _("the age counts from {month}: few listings are later").format(month=until)
        lines.append(f"  {text}")
    return "\n".join(lines)


@contextlib.contextmanager
def click_errors() -> Iterator[None]:
    """Turn expected errors into one line and exit code 2."""
    # Commands that read no listings start faster without it.
    from data.listings.files import ListingsError  # noqa: PLC0415

    try:
        yield
    except DomainError as error:
        raise BadInputError(describe_problem(error.code, error.params, language())[1]) from None
    except ListingsError as error:
        raise BadInputError(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        consequence = _("the active version is unchanged")
        raise BadInputError(describe_os_error(error, f"; {consequence}")) from None


def describe_os_error(error: OSError, consequence: str = "") -> str:
    """What could not be read or written, and what to do.

    Args:
        error: of a file, a folder or the blob store.
        consequence: stands after the reason.
    """
    advice = _ADVICE.get(error.errno or 0)
    advice = advice and _(advice)
    models = Settings.from_env().versions_path
    reason = os_reason(error)
    if error.filename is None and advice is not None:
        place = _("models are stored in {models}, temporary files in {temporary}").format(
            models=models, temporary=tempfile.gettempdir()
        )
        return f"{reason} ({place}){consequence}: {advice}"
    if error.filename is None:
        return f"{reason}{consequence}"
    path = f"{_final_path(Path(os.fsdecode(error.filename)))}: {reason}"
    return f"{path}{consequence}" + (f": {advice}" if advice else "")


def _final_path(path: Path) -> Path:
    """The folder, instead of a file that is written under another name first."""
    for part in (path, *path.parents):
        if part.name.startswith(_NEW_VERSION):
            return part.parent
    return path.parent if path.name.startswith(".") else path


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, in aligned columns; those after the first are aligned to the right.

    >>> print(aligned([("", "ROWS"), ("all", "7")]))
         ROWS
    all     7
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
