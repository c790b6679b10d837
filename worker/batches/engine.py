"""The interface of the chunk engines, and what both write in the same form.

The general engine (`worker.batches.rows`) handles every chunk and defines the results. The fast CSV
engine (`worker.batches.fast_csv`) handles most CSV files with compiled loops, writes the same
bytes, and passes the chunks it cannot handle to the general engine.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import orjson

from shared.blobs.parts import Part
from shared.domain.batch import BatchManifest
from shared.domain.valuation import DEFAULT_COVERAGE, QUANTILE_LEVELS
from shared.fields.columns import ColumnValidator
from shared.messages.texts import Language, describe_row_error
from shared.tabular.sample import key_index

ChunkT_contra = TypeVar("ChunkT_contra", contravariant=True)

Estimate = Callable[[str, Mapping[str, Any], int], Any]
"""`estimate(version, columns, n)`: prices in MAD at `QUANTILE_LEVELS`, as an array (n, levels).

`columns` holds the normal forms of n cars by field name; a field without an entry is missing in
every car."""

ValidatorFor = Callable[[str], ColumnValidator]
"""The validator for a decimal sign: `,`, `.` or `auto`."""

VALUE_MAX_CHARS = 200
"""Characters of an invalid value that the error report quotes."""

_LOW = QUANTILE_LEVELS.index(round((1 - DEFAULT_COVERAGE) / 2, 6))
PRICE_INDEXES = [QUANTILE_LEVELS.index(0.50), _LOW, len(QUANTILE_LEVELS) - 1 - _LOW]
"""Indexes of price, low and high among the quantiles."""

RowErrors = dict[int, list[dict[str, Any]]]
"""Entries of the error report by index of the row in its chunk."""


class EngineName(StrEnum):
    """Which engine a chunk was cut for."""

    GENERAL = "general"
    FAST_CSV = "fast_csv"


class ChunkEngine(Protocol[ChunkT_contra]):
    """Makes the part of a chunk: validates the rows, estimates them, writes sections and audit.

    Raises what the model raises; nothing is written or counted here, so a chunk can be repeated.
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


def rejection_reasons(errors: RowErrors, manifest: BatchManifest) -> dict[int, str]:
    """Why each row is rejected, in the language of the batch."""
    language: Language = "en" if manifest.options.language == "en" else "fr"
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
