"""The columns of a query, and how lines of the log become columns."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from shared.audit.chain import OUTCOMES_PREFIX
from shared.audit.columns.names import COLUMNS, NUMBERS, TEXTS

_TEXT, _NUMBER = pa.string(), pa.float64()
_FEATURES = {
    "company": _TEXT, "model": _TEXT, "year": _NUMBER, "fuel": _TEXT, "transmission": _TEXT,
    "km_driven": _NUMBER,
}  # fmt: skip
_RECORD = pa.schema([
    ("id", _TEXT), ("at", _NUMBER), ("caller", _TEXT), ("features", pa.struct(_FEATURES.items())),
    ("price_mad", _NUMBER), ("low_mad", _NUMBER), ("high_mad", _NUMBER), ("model_version", _TEXT),
    ("status", _TEXT), ("error", _TEXT), ("match", _TEXT), ("cached", pa.bool_()),
    ("response_time_ms", _NUMBER), ("job_id", _TEXT), ("batch_id", _TEXT),
    ("sale_price_mad", _NUMBER), ("sold_at", _TEXT),
])  # fmt: skip
"""The members of a line that become columns; others are in the line only."""

_READ_BYTES = 4 << 20


class Lines(NamedTuple):
    """Whole lines of a file of the log."""

    text: bytes
    file: str
    """Its name."""
    offset: int
    """Of the first line in the file."""


def table_of(lines: Lines) -> pa.Table:
    """The records of lines, in their order, with the columns `COLUMNS`.

    Raises:
        ValueError: a line is no record.
    """
    options = arrow_json.ReadOptions(block_size=_READ_BYTES)
    parsing = arrow_json.ParseOptions(
        explicit_schema=_RECORD, unexpected_field_behavior="ignore", newlines_in_values=False
    )
    found = arrow_json.read_json(pa.BufferReader(lines.text), options, parsing).combine_chunks()
    ends = np.flatnonzero(np.frombuffer(lines.text, np.uint8) == ord("\n"))
    if len(ends) != len(found) or found["id"].null_count or found["at"].null_count:
        raise ValueError("a line is no record")
    count = len(found)
    features = found["features"].combine_chunks()
    brand, model, *others = (pc.struct_field(features, [at]) for at in range(len(_FEATURES)))
    columns = {name: found[name] for name in _RECORD.names if name in COLUMNS}
    columns |= dict(zip(list(_FEATURES)[2:], others, strict=True))
    columns |= {
        "brand": brand,
        "model": model,
        "version": found["model_version"],
        "kind": _kinds(found, lines.file),
        "work_id": pc.coalesce(found["batch_id"], found["job_id"]),
        "file": pa.array([lines.file], _TEXT).take(pa.array(np.zeros(count, np.int8))),
        "offset": lines.offset + np.concatenate(([0], ends[:-1] + 1)).astype(np.int64),
    }
    table = pa.table({name: columns[name] for name in COLUMNS})
    return with_dictionaries(table)


def no_records() -> pa.Table:
    """A table with all columns and without records."""
    types = dict.fromkeys(TEXTS, _TEXT) | dict.fromkeys((*NUMBERS, "at"), _NUMBER)
    types |= {"id": _TEXT, "cached": pa.bool_(), "offset": pa.int64()}
    return with_dictionaries(pa.schema([(name, types[name]) for name in COLUMNS]).empty_table())


def with_dictionaries(table: pa.Table) -> pa.Table:
    """The table with texts that repeat as dictionaries."""
    for name in TEXTS:
        if name in table.column_names:
            at, column = table.column_names.index(name), table[name]
            if not pa.types.is_dictionary(column.type):
                table = table.set_column(at, name, column.dictionary_encode())
    return table


def _kinds(found: pa.Table, file: str) -> pa.ChunkedArray:
    """What was asked: a single car, a list, a row of a batch; or a sale that was reported."""
    if file.rpartition("/")[2].startswith(OUTCOMES_PREFIX):
        return pc.if_else(pc.is_valid(found["id"]), "sale", None)
    inside = pc.if_else(pc.is_valid(found["job_id"]), "job", "predict")
    return pc.if_else(pc.is_valid(found["batch_id"]), "batch", inside)
