"""The files of `carprice batch`: form of the results, the input, outputs that can be written."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from cli.valuations.predict import fail
from cli.valuations.texts import message
from client.protocol.downloads import FORM_BY_SUFFIX, Form
from shared.i18n.command import gettext as _
from shared.i18n.languages import Language

STANDARD_INPUT = Path("-")
MAX_HEADER_ROW = 50
"""The service looks for a header among so many rows."""
ROW_NUMBERS = frozenset(map(str, range(1, MAX_HEADER_ROW + 1)))


class HeaderRow(click.ParamType[str | int]):
    """`yes`, `no`, or the number of the row that names the columns."""

    name = "text"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | int:
        """The word, or the number."""
        text = str(value).strip()
        if text in {"yes", "no"}:
            return text
        digits = text.removeprefix("#")
        if digits in ROW_NUMBERS:
            return int(digits)
        expected = _("yes, no, or the number of a row from 1 to {maximum}")
        text = f"'{value}': {expected.format(maximum=MAX_HEADER_ROW)}"
        raise click.BadParameter(text, ctx=ctx, param=param)


def chosen_format(output: Path, form: Form | None, *, excel_fr: bool, language: Language) -> Form:
    """The format of the results; exits with a message if there is none."""
    chosen = form or FORM_BY_SUFFIX.get(output.suffix.lower())
    if chosen is None:
        fail(message("no-form", language, path=output))
    if excel_fr and chosen != "csv":
        fail(message("no-excel", language, form=chosen))
    return "excel-fr" if excel_fr else chosen


def rejected_format(path: Path, form: Form) -> Form:
    """The format of the rejected rows: a workbook by its suffix, otherwise CSV as the results."""
    if path.suffix.lower() == ".xlsx":
        return "xlsx"
    return "excel-fr" if form == "excel-fr" else "csv"


@contextmanager
def replayable_input(file: Path, output: Path) -> Iterator[Path]:
    """A file that can be read twice: standard input is copied to a file beside the output."""
    if file != STANDARD_INPUT:
        yield file
        return
    kept = output.with_name(f".{output.name}.carprice.stdin")
    try:
        with kept.open("wb") as target:
            shutil.copyfileobj(sys.stdin.buffer, target)
        yield kept
    finally:
        kept.unlink(missing_ok=True)


def check_outputs(file: Path, outputs: Mapping[str, Path | None], language: Language) -> None:
    """Exit with a message if an output would replace another file or cannot be written.

    Args:
        file: input file.
        outputs: output files by option; None if not given.
        language: of the message.
    """
    taken = {"FILE": file}
    for option, path in outputs.items():
        if path is None:
            continue
        for name, other in taken.items():
            if _is_same_file(path, other):
                fail(message("same-file", language, option=option, path=path, name=name))
        folder = path.resolve().parent
        if not folder.is_dir():
            fail(message("no-folder", language, option=option, path=path, folder=folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            fail(message("closed-folder", language, option=option, path=path, folder=folder))
        taken[option] = path


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths name the same file, also through links."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()
