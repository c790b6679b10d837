"""The `input` of a batch: the uploaded file and its detected dialect."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from api.http.responses import described
from shared.domain.batch import BatchManifest
from shared.domain.table import ColumnMatch, Dialect, FileKind, Notice
from shared.fields.car import CAR_FIELDS
from shared.messages.texts import Language
from shared.messages.uploads import NOTICE_MESSAGES, NOTICE_SCOPE
from shared.tabular.column_names import ASKING_PRICE


class FindingSchema(Schema):
    """A detected property with its confidence."""

    value = fields.String(required=True)
    confidence = described(fields.Float, "0, a guess, to 1, certain; no probability.")
    basis = fields.String(required=True, metadata={"description": "What it rests on."})


class ColumnFindingSchema(Schema):
    """The column detected for a field, with its confidence."""

    column = fields.String(required=True)
    position = fields.Integer(required=True, metadata={"description": "From 1."})
    confidence = fields.Float(required=True)
    basis = fields.String(required=True)


class DetectedSchema(Schema):
    """The detected properties; an upload option of the same name overrides one."""

    encoding = fields.Nested(FindingSchema)
    delimiter = fields.Nested(FindingSchema)
    decimal = fields.Nested(FindingSchema)
    sheet = fields.Nested(FindingSchema)
    columns = fields.Dict(
        keys=fields.String(), values=fields.Nested(ColumnFindingSchema), required=True
    )


class NoticeSchema(Schema):
    """A remark on the file that is no error."""

    code = fields.String(required=True)
    field = fields.String(required=True, allow_none=True)
    detail = fields.String(required=True)
    rows = described(
        fields.Integer, "First rows that it rests on; null: all that it is about.", allow_none=True
    )


class BatchInputSchema(Schema):
    """The file and its detected dialect.

    `header` of a workbook or Parquet file is empty until a worker has opened it.
    """

    file_name = fields.String(required=True)
    format = fields.Enum(FileKind, by_value=True, required=True)
    size_bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True)
    encoding = fields.String(required=True, allow_none=True)
    delimiter = fields.String(required=True, allow_none=True)
    decimal = fields.String(required=True)
    header = fields.List(fields.String(), required=True)
    columns = described(
        fields.Dict,
        "The file's column of each of the car's fields that it has.",
        keys=fields.String(),
        values=fields.String(),
    )
    unused = described(
        fields.List, "Columns that are no field: passed on to the results.", fields.String()
    )
    detected = fields.Nested(DetectedSchema, required=True)
    notices = fields.List(fields.Nested(NoticeSchema), required=True)


def dump_input(manifest: BatchManifest, language: Language) -> dict[str, Any]:
    """The JSON representation of `BatchInputSchema`."""
    dialect = manifest.dialect
    matches = _matches(dialect)
    columns = {field: dialect.header[match.index] for field, match in matches.items()}
    used = {match.index for match in matches.values()}
    return {
        "file_name": manifest.file_name,
        "format": str(dialect.kind),
        "size_bytes": manifest.size_bytes,
        "sha256": manifest.sha256,
        "encoding": dialect.encoding or None,
        "delimiter": dialect.delimiter or None,
        "decimal": dialect.decimal,
        "header": list(dialect.header),
        "columns": columns,
        "unused": [name for index, name in enumerate(dialect.header) if index not in used],
        "detected": _dump_detected(dialect),
        "notices": [_dump_notice(notice, columns, language) for notice in dialect.notices],
    }


def _dump_notice(
    notice: Notice, columns: Mapping[str, str], language: Language
) -> dict[str, str | int | None]:
    """A notice with its sentence, which states whether only the first rows were examined."""
    field = CAR_FIELDS.get(notice.field or "")
    detail = NOTICE_MESSAGES[notice.code][language].format(
        column=columns.get(notice.field or "", ""),
        label=field.label(language) if field is not None else "",
        unit=field.unit if field is not None else "",
        values=", ".join(notice.values),
    )
    if notice.rows is not None:
        detail += NOTICE_SCOPE[language].format(rows=notice.rows)
    return {"code": notice.code, "field": notice.field, "detail": detail, "rows": notice.rows}


def _matches(dialect: Dialect) -> dict[str, ColumnMatch]:
    """The columns of the car's fields and of its asking price."""
    asking = {ASKING_PRICE: dialect.asking} if dialect.asking else {}
    return {**dialect.columns, **asking}


def _dump_detected(dialect: Dialect) -> dict[str, Any]:
    columns = {
        field: {
            "column": dialect.header[match.index],
            "position": match.index + 1,
            "confidence": match.confidence,
            "basis": match.basis,
        }
        for field, match in _matches(dialect).items()
    }
    return {**dialect.findings, "columns": columns}
