"""Reads a listings file as batches read theirs, and says in one line why it cannot be read."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from shared.domain.errors import DomainError, FieldProblem, InvalidInput
from shared.domain.table import Dialect
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import language, os_reason
from shared.messages.texts import describe, describe_problem
from shared.tabular.files.local_file import read_local_table
from shared.tabular.rows.chunk import CellChunk
from shared.tabular.tables.process import ReaderKilled

_REFUSALS = {
    "empty-file": mark("the file is empty"),
    "no-rows": mark("the table has no rows"),
    "missing-column": mark("no column for {columns}; found: {found}"),
    "duplicate-column": mark("header {column} is there twice: rename one of the columns"),
    "ambiguous-column": mark(
        "both {column} and {other} could be the {meaning}: rename one of them"
    ),
    "car-as-header": mark(
        "the first row seems to be a car: write the names of the columns above it (found: {found})"
    ),
    "suspect-encoding": mark(
        "headers seem to be read in a wrong encoding ({values}): save the file as UTF-8"
    ),
    "other-delimiter": mark(
        "the headers are not separated: {found}; expected commas, semicolons, tabs or vertical bars"
    ),
    "other-sheets": mark(
        "sheet {sheet} was read; if the cars are on another one ({found}), keep only that sheet"
    ),
    "wrong-gzip": mark("damaged gzip file"),
    "truncated-gzip": mark("damaged gzip file: it stops before its end"),
    "table-too-large": mark("unpacked, the table is more than can be read; save it as CSV"),
}
"""Texts by code, where those of an upload name options that a command does not have."""
_NEEDED_COLUMNS = 3
"""Columns that each table of cars has: company, model and year."""
PRICE_NAMES = ("price_mad", "prix", "price", "selling_price", "montant")
"""Names of a price column that an error message suggests."""


class ListingsError(ValueError):
    """A file cannot be used as listings; the message is one line with the reason."""


class NoTableError(ListingsError):
    """A file has no column of a car: it is probably no table of cars at all."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RawTable:
    """A table of text cells.

    Args:
        name: of the file.
        digest: SHA-256 of the file's content, decompressed.
        encoding: name of the detected encoding, or the kind of a file that is no text.
        dialect: what its columns mean, as in a batch.
        chunks: its rows.
    """

    name: str
    digest: str
    encoding: str
    dialect: Dialect
    chunks: tuple[CellChunk, ...]

    @property
    def headers(self) -> Sequence[str]:
        """As written in the file."""
        return self.dialect.header

    @property
    def numbers(self) -> list[int]:
        """Line, or number in its sheet, of each row, from 1."""
        return [line for chunk in self.chunks for line in chunk.lines]

    @property
    def faults(self) -> list[str | None]:
        """For each row: the code of the reason why it is unreadable; mostly None."""
        found: list[str | None] = []
        for chunk in self.chunks:
            found += [
                chunk.faults[row][0] if row in chunk.faults else None for row in range(len(chunk))
            ]
        return found

    def column(self, index: int) -> list[str]:
        """The cells of a column."""
        return [
            cell
            for chunk in self.chunks
            for cell in chunk.without_marks(self.dialect).columns[index]
        ]


def read_table(path: Path) -> RawTable:
    """Read a file of any kind that a batch may be: CSV, workbook, Parquet, JSON, compressed.

    Raises:
        ListingsError: the file is missing, is no table of cars, or holds no rows.
    """
    try:
        table = read_local_table(path)
    except OSError as error:
        if error.filename is None:  # not of this file: of its copy, which is decompressed
            place = _("temporary files are written to {folder} (TMPDIR)")
            place = place.format(folder=tempfile.gettempdir())
            raise ListingsError(f"{path}: {os_reason(error)}; {place}") from None
        raise ListingsError(f"{path}: {os_reason(error)}") from None
    except ReaderKilled:
        reason = _("its reader was ended by the system, perhaps because memory is short")
        raise ListingsError(f"{path.name}: {reason}") from None
    except InvalidInput as error:
        kind = NoTableError if _has_no_columns(error.problems) else ListingsError
        raise kind(f"{path.name}: {_first_reason(error.problems)}") from None
    except DomainError as error:
        reason = describe_problem(error.code, error.params, language())[1]
        raise ListingsError(f"{path.name}: {reason}") from None
    if not table.chunks:
        raise ListingsError(f"{path.name}: {_(_REFUSALS['no-rows'])}")
    return RawTable(
        name=path.name,
        digest=table.digest,
        encoding=table.encoding,
        dialect=table.dialect,
        chunks=table.chunks,
    )


def _has_no_columns(problems: Sequence[FieldProblem]) -> bool:
    """Whether a file is empty, or none of the columns that a car needs was found."""
    first = problems[0]
    lacks_all = len(first.params.get("fields", ())) >= _NEEDED_COLUMNS
    return first.code == "empty-file" or (first.code == "missing-column" and lacks_all)


def _first_reason(problems: Sequence[FieldProblem]) -> str:
    """The reasons in one line: the first, and a hint to other sheets."""
    shown = [*problems[:1]] + [each for each in problems[1:] if each.code == "other-sheets"]
    return "; ".join(map(_reason, shown))


def _reason(problem: FieldProblem) -> str:
    text = _REFUSALS.get(problem.code)
    if text is None:
        return describe(problem, language())
    params = dict(problem.params)
    if problem.code == "missing-column":
        params["columns"] = ", ".join(params["fields"])
    return _(text).format_map(params)
