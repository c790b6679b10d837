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

from cli.streams import echo_json
from model_store.registry.manifest import MEASURED
from shared.domain.errors import DomainError
from shared.messages.texts import describe_problem
from shared.settings import Settings

if TYPE_CHECKING:
    from data.listings.report import LoadReport

FILE = click.Path(path_type=Path)
DEFAULT_SEED = 42
ACTIVE_FILE = "ACTIVE"
_NEW_VERSION = ".new-"
"""Prefix of the folder of a version that is being written."""
_NO_SPACE = "free some space, or set MODELS_PATH to a folder with more, and repeat the command"
_NO_ACCESS = "permit this user to write there, or name another folder, and repeat the command"
_ADVICE = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
    errno.EROFS: _NO_ACCESS,
    errno.ENOENT: "name a folder that exists, and repeat the command",
    errno.ENOTDIR: "a part of this path is a file: name a folder, and repeat the command",
    errno.EEXIST: "a part of this path is a file: name a folder, and repeat the command",
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


as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, with the report on the file."
)


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
        click.echo(
            f"  warning   {share:.1%} of the prices are probably typing errors: {consequence}, and"
            " figures such as `mape`, `r2` and `coverage_90` are measured on them, too; correct the"
            " file",
            err=True,
        )


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
        basis = f"as {growth['listings']:,} listings after {growth['origins'][0]} show"
    else:
        basis = f"by the reference growth, because {growth['reason']}"
    lines = [f"  intervals widen with the age of the data {basis}"]
    until = growth.get("data_until", training["data_as_of"])
    if until != training["data_as_of"]:
        lines.append(f"  the age counts from {until}: few listings are later")
    return "\n".join(lines)


@contextlib.contextmanager
def click_errors() -> Iterator[None]:
    """Turn expected errors into one line and exit code 2."""
    # Commands that read no listings start faster without it.
    from data.listings.files import ListingsError  # noqa: PLC0415

    try:
        yield
    except DomainError as error:
        raise BadInputError(describe_problem(error.code, error.params, "en")[1]) from None
    except ListingsError as error:
        raise BadInputError(str(error)) from None
    except OSError as error:
        raise BadInputError(describe_os_error(error, "; the active version is unchanged")) from None


def describe_os_error(error: OSError, consequence: str = "") -> str:
    """What could not be read or written, and what to do.

    Args:
        error: of a file, a folder or the blob store.
        consequence: stands after the reason.
    """
    advice = _ADVICE.get(error.errno or 0)
    models = Settings.from_env().versions_path
    reason = error.strerror or str(error)
    if error.filename is None and advice is not None:
        place = f"models are stored in {models}, temporary files in {tempfile.gettempdir()}"
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
