"""Rows of the results of a batch as immutable values."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from .valuations import read_all, read_members


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellError:
    """Why a row is rejected."""

    code: str
    message: str
    """In the language of the client."""
    column: str | None = None
    """The file's column; None if it has none for the field."""
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.column}: {self.message}" if self.column else self.message


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of a file with its results."""

    number: int
    """In the results, from 1."""
    line: int | None
    """Line of the file, which a correction names; None if it was not kept."""
    cells: Mapping[str, str]
    """The file's own cells by their columns."""
    result: Mapping[str, Any]
    """The added columns of the results; None where a row has no value."""
    errors: tuple[CellError, ...] = ()
    """Of a rejected row."""

    @property
    def status(self) -> str:
        """`valued`, `valid` (of a dry run), `rejected` or `failed`."""
        return str(self.result["row_status"])

    @property
    def price_mad(self) -> float | None:
        """The estimate; None of a row that was not valued."""
        price: float | None = self.result.get("price_mad")
        return price

    @property
    def verdict(self) -> str | None:
        """As `Verdict.position`; None without an asking price."""
        verdict: str | None = self.result.get("verdict")
        return verdict

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return read_members(cls, answer, errors=read_all(CellError, answer["errors"]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """How many errors of a kind the rejected rows have."""

    code: str
    rows: int
    field: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowsSummary:
    """What all rows of a batch add up to, whatever the filter."""

    total_mad: float
    """Sum of the estimates."""
    valued: int
    """Rows with an estimate."""
    verdicts: Mapping[str, int]
    """Rows by verdict."""
    statuses: Mapping[str, int]
    brands: Mapping[str, int]
    """Rows by brand; rare ones are left out."""
    reasons: tuple[Reason, ...]
    """The most frequent errors of rejected rows."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the member `summary`."""
        return read_members(cls, answer, reasons=read_all(Reason, answer["reasons"]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowsPage:
    """A page of the rows of a batch."""

    rows: tuple[Row, ...]
    total: int
    """Rows that the filter selects, on all pages."""
    page: int
    """From 1."""
    pages: int
    summary: RowsSummary

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return read_members(
            cls,
            answer,
            rows=tuple(map(Row.of, answer["rows"])),
            summary=RowsSummary.of(answer["summary"]),
        )
