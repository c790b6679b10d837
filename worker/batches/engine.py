"""The interface of the chunk engines, and what both write in the same form.

The general engine (`worker.batches.rows`) handles every chunk and defines the results. The fast CSV
engine (`worker.batches.fast_csv`) handles most CSV files with compiled loops, writes the same
bytes, and passes the chunks it cannot handle to the general engine.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeVar

import orjson

from shared.blobs.parts import Part
from shared.domain.batch import BatchManifest
from shared.domain.car import REQUIRED_FIELDS, USUALLY_STATED
from shared.domain.files.notes import AskingSides, NoteCounter
from shared.domain.table import Dialect
from shared.domain.valuation import DEFAULT_COVERAGE, MODEL_UNKNOWN, QUANTILE_LEVELS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds.number import CONVERTED
from shared.i18n.languages import Language, stored_language
from shared.messages.texts import describe_note, describe_row_error, describe_warning
from shared.tabular.sample import key_index
from worker.batches.model_notes import model_note_sentences
from worker.batches.names import (
    SUMMARY_ROW,
    ReadPair,
    summary_cell,
    summary_field,
)

ChunkT_contra = TypeVar("ChunkT_contra", contravariant=True)


class Estimates(Protocol):
    """Estimates of n cars: `model_store.pricing.inference.EstimateTable`."""

    @property
    def quantiles_mad(self) -> Any:
        """(n, levels) prices in MAD at `QUANTILE_LEVELS`."""
        ...

    @property
    def model_known(self) -> Any:
        """(n,) whether the model has statistics of the car's model."""
        ...

    @property
    def notes(self) -> Any:
        """(n,) bits of `shared.domain.files.notes.MODEL_NOTES`."""
        ...

    @property
    def without_effect(self) -> Sequence[str]:
        """Fields of which no value changes a price of the model."""
        ...


EstimatePrices = Callable[[str, Mapping[str, Any], int], Estimates]
"""`estimate(version, columns, n)` values n cars.

`columns` holds their normal forms by field name; a field without an entry is missing in every
car."""

ValidatorFor = Callable[[Dialect], ColumnValidator]
"""The validator of the cells of a file."""

MISSING_FIELD = "missing-field"

VALUE_MAX_CHARS = 200
"""Characters of an invalid value that the error report quotes."""

_LOW = QUANTILE_LEVELS.index(round((1 - DEFAULT_COVERAGE) / 2, 6))
PRICE_INDEXES = [QUANTILE_LEVELS.index(0.50), _LOW, len(QUANTILE_LEVELS) - 1 - _LOW]
"""Indexes of price, low and high among the quantiles."""

RowErrors = dict[int, list[dict[str, Any]]]
"""Entries of the error report by index of the row in its chunk."""


class RowNote(NamedTuple):
    """A cell of a valid row that was ignored or converted."""

    field: str
    code: str
    cell: str


class EngineName(StrEnum):
    """Which engine a chunk was cut for."""

    GENERAL = "general"
    FAST_CSV = "fast_csv"


class ChunkEngine(Protocol[ChunkT_contra]):
    """Makes the part of a chunk: validates and estimates the rows, encodes sections and audit.

    Raises what the model raises. Writes no file and counts nothing, so a chunk can be repeated.
    """

    def value(self, manifest: BatchManifest, chunk: ChunkT_contra) -> Part:
        """Value the rows of a chunk."""
        ...

    def fail(self, manifest: BatchManifest, chunk: ChunkT_contra) -> Part:
        """The part of a chunk that is given up: all of its rows are failed rows."""
        ...


def row_error(
    line: int, code: str, *, row_key: str | None = None, column: str | None = None,
    field: str | None = None, value: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """An entry of the error report.

    Args:
        line: line of the file on which the row begins, from 1.
        code: message code.
        row_key: the row's cell in the key column, if there is one.
        column: header of the column; None if the error concerns the whole row.
        field: the field of that column.
        value: the invalid cell.
    """
    return {
        "line": line,
        "row_key": row_key,
        "column": column,
        "field": field,
        "value": None if value is None else value[:VALUE_MAX_CHARS],
        "code": code,
    }


def key_column(manifest: BatchManifest) -> int | None:
    """Index of the column that identifies a row in the error report."""
    return key_index(manifest.dialect.header, manifest.options.key_column)


def batch_language(manifest: BatchManifest) -> Language:
    """The language of the reasons and notes in the results of a batch."""
    return stored_language(manifest.options.language)


def constant_values(dialect: Dialect, validator: ColumnValidator) -> dict[str, Any]:
    """Normal forms of the fields that the caller stated for all rows.

    The API refuses a text that states no value, but manifests of older versions may have one.
    """
    values = {
        field: validator.normalize(field, text)[0] for field, text in dialect.constants.items()
    }
    return {
        field: value
        for field, value in values.items()
        if value is not None or field in REQUIRED_FIELDS
    }


def pair_error(
    line: int, pair: ReadPair, columns: Mapping[str, int], header: Sequence[str],
    row_key: str | None, *, written: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """The entry of the error report for a row that states no brand or no model, or is no car.

    Args:
        line: line of the file on which the row begins, from 1.
        pair: brand and model of the row.
        columns: index of the column of each field.
        header: the names of the columns.
        row_key: the row's cell in the key column, if there is one.
        written: the row's cells in the columns of brand and model, as far as there are such.
    """
    if pair.is_summary:
        field = summary_field(pair.given)
        index = columns.get(field)
        return row_error(
            line, pair.error_code, row_key=row_key,
            value=written.get(field, getattr(pair.given, field)),
            column=None if index is None else header[index],
        )  # fmt: skip
    field = pair.missing or ""
    column = columns.get(field, columns.get("model"))
    model = pair.given.model
    return row_error(
        line, pair.error_code, row_key=row_key, column=None if column is None else header[column],
        field=field, value=written.get("model", model) if model else model,
    )  # fmt: skip


def summary_error(
    line: int, cells: Sequence[str], header: Sequence[str], row_key: str | None
) -> dict[str, Any] | None:
    """The entry of the error report for a row without names that adds up others; None if none."""
    index = summary_cell(cells)
    if index is None:
        return None
    return row_error(line, SUMMARY_ROW, row_key=row_key, column=header[index], value=cells[index])


def row_notes(
    notes: Iterable[RowNote], language: Language, *, has_statistics: bool, model_notes: int
) -> str:
    """The cell of `row_notes`: what was ignored in the row, then what the model says of it.

    Args:
        notes: on cells of the row.
        language: of the sentences.
        has_statistics: whether the model has statistics of the row's model.
        model_notes: bits of `MODEL_NOTES`.
    """
    sentences = [_note_sentence(*note, language) for note in notes]
    if not has_statistics:
        sentences.append(_unknown_model_note(language))
    sentences += model_note_sentences(model_notes, language)
    return " ".join(filter(None, sentences))


@cache
def _unknown_model_note(language: Language) -> str:
    return describe_warning({"pointer": "/model", "code": MODEL_UNKNOWN}, language)


def _note_sentence(field: str, code: str, value: str, language: Language) -> str:
    """The sentence of `row_notes` about an ignored cell; empty for one that is only counted."""
    if code == CONVERTED:
        return ""
    return describe_note(field, code, value[:VALUE_MAX_CHARS], language)


def count_missing(counter: NoteCounter, missing: Callable[[str], int]) -> None:
    """Count the valid rows that lack a field that is usually stated.

    Args:
        counter: counts them.
        missing: gives the number of rows by field.
    """
    for field in USUALLY_STATED:
        counter.add(field, MISSING_FIELD, missing(field))


def asking_sides(asking_mad: Any, quantiles_mad: Any) -> AskingSides:
    """How asking prices lie to the 90 % intervals of their cars.

    Args:
        asking_mad: (n,) NaN for none.
        quantiles_mad: (n, levels) prices at `QUANTILE_LEVELS`.
    """
    _, low, high = PRICE_INDEXES
    return AskingSides(
        int((asking_mad == asking_mad).sum()),  # noqa: PLR0124 - NaN
        int((asking_mad < quantiles_mad[:, low]).sum()),
        int((asking_mad > quantiles_mad[:, high]).sum()),
    )


def rejection_reasons(errors: RowErrors, manifest: BatchManifest) -> dict[int, str]:
    """Why each row is rejected, in the language of the batch."""
    language = batch_language(manifest)
    # Many rows are rejected for the same reason.
    known: dict[tuple[str, str | None, str | None], str] = {}
    reasons = {}
    for row, found in errors.items():
        sentences = []
        for error in found:
            kind = error["code"], error["field"], error["value"]
            if error["field"] is None or kind not in known:
                known[kind] = describe_row_error(error, language)
            sentences.append(known[kind])
        reasons[row] = " ".join(sentences)
    return reasons


def error_lines(errors: RowErrors) -> bytes:
    """The section of the error report, in the order of the rows."""
    return b"".join(orjson.dumps(error) + b"\n" for row in sorted(errors) for error in errors[row])


def audit_members(manifest: BatchManifest, at: float, elapsed_ms: float) -> dict[str, Any]:
    """The members that all audit records of a chunk share.

    Args:
        manifest: of the batch.
        at: Unix time of the estimate, seconds.
        elapsed_ms: time that the chunk took.
    """
    return {
        "at": at,
        "caller": manifest.caller,
        "batch_id": manifest.id,
        "model_version": manifest.model_version,
        "cached": False,
        "response_time_ms": round(elapsed_ms, 3),
        "status": "success",
    }
