"""The `input` of a batch: the uploaded file and its detected dialect."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields

from api.http.context import services
from api.http.responses import described
from shared.domain.batch import Batch, BatchManifest
from shared.domain.clock import month_at
from shared.domain.files.notes import COLUMN_WITHOUT_EFFECT, MAX_EXAMPLES, AskingSides, NoteCount
from shared.domain.table import ColumnMatch, Dialect, FileKind, Notice
from shared.domain.valuation import CALIBRATION_HORIZON_MONTHS, DATA_OLD, data_age_months
from shared.fields.car import CAR_FIELDS
from shared.fields.units import THOUSAND_KM
from shared.i18n.catalogue import translate
from shared.i18n.languages import Language
from shared.i18n.numbers import COMMA
from shared.messages.counted import COUNTED_MESSAGES
from shared.messages.notices import NOTICE_MESSAGES, NOTICE_SCOPE
from shared.messages.texts import UNKNOWN_CODE
from shared.messages.units import unit_name
from shared.messages.warnings import message_code
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
    column = described(fields.String, "The file's column of the field.", allow_none=True)
    count = described(
        fields.Integer, "Valued rows that it is about, at the end of the batch.", allow_none=True
    )
    examples = described(fields.List, "Up to three texts of the file.", fields.String())
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


def dump_input(batch: Batch, language: Language) -> dict[str, Any]:
    """The JSON representation of `BatchInputSchema`."""
    manifest = batch.manifest
    dialect = manifest.dialect
    matches = _matches(dialect)
    columns = {field: dialect.header[match.index] for field, match in matches.items()}
    used = {match.index for match in matches.values()}
    used |= {other.index for other in dialect.other_columns.values()}
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
        "notices": _dump_notices(batch, columns, language),
    }


def file_notices(dialect: Dialect, language: Language, texts: Mapping[str, str]) -> list[str]:
    """The sentences of what was noticed in the first rows of a file.

    Args:
        dialect: how the file is read.
        language: of the sentences.
        texts: English texts by code, in place of those that name parameters of the API.
    """
    columns = {field: dialect.header[match.index] for field, match in _matches(dialect).items()}
    return [_dump_notice(notice, columns, language, texts)["detail"] for notice in dialect.notices]


def _dump_notices(
    batch: Batch, columns: Mapping[str, str], language: Language
) -> list[dict[str, Any]]:
    """What was found in the first rows, or at the end of the batch counted in all rows."""
    notes = batch.progress.notes
    counted = [_counted_notice(note) for note in notes if note.code != COLUMN_WITHOUT_EFFECT]
    if (side := one_sided(batch.progress.asking_sides)) is not None:
        counted.append(side)
    replaced = {(notice.field, notice.code) for notice in counted}
    found = [
        notice
        for notice in batch.manifest.dialect.notices
        if (notice.field, notice.code) not in replaced
    ]
    age = _width_age(batch.manifest)
    if age is not None and age > CALIBRATION_HORIZON_MONTHS:
        found.append(Notice(code=DATA_OLD, values=(str(age),)))
    without = [note.field for note in notes if note.code == COLUMN_WITHOUT_EFFECT]
    if without:
        names = tuple(columns.get(name) or CAR_FIELDS[name].label(language) for name in without)
        found.append(Notice(code=COLUMN_WITHOUT_EFFECT, values=names))
    notices = (*found, *_joined(counted))
    return [_dump_notice(notice, columns, language) for notice in notices]


def _width_age(manifest: BatchManifest) -> int | None:
    """Age of the data that the widths of the intervals stand for, months; see `data_age`."""
    age = data_age(manifest)
    if age is None:
        return None
    return age + services().active_model.width_lag_months(manifest.model_version)


def data_age(manifest: BatchManifest) -> int | None:
    """Age of the model's data when the batch was accepted, months; None if it is not known."""
    identity = services().active_model.identity(manifest.model_version)
    return data_age_months(identity["data_as_of"], month_at(manifest.accepted_at))


def _joined(counted: Sequence[Notice]) -> list[Notice]:
    """Counted notices, those of one column with the same text as one."""
    joined: dict[tuple[str | None, str], Notice] = {}
    for notice in counted:
        text = notice.code if notice.code in COUNTED_MESSAGES else UNREADABLE_CELLS
        before = joined.get((notice.field, text))
        if before is not None:
            values = tuple(dict.fromkeys((*before.values, *notice.values)))[:MAX_EXAMPLES]
            count = (before.count or 0) + (notice.count or 0)
            notice = dataclasses.replace(before, code=text, values=values, count=count)  # noqa: PLW2901
        joined[notice.field, text] = notice
    return list(joined.values())


def _counted_notice(note: NoteCount) -> Notice:
    """The notice of a note that is counted."""
    return Notice(code=note.code, field=note.field, values=note.examples, count=note.rows)


UNREADABLE_CELLS = "unreadable-cells"
"""Code of a notice about values that are ignored for several reasons."""

ONE_SIDED_MIN_ROWS = 20
ONE_SIDED_MIN_SHARE = 0.9


def one_sided(sides: AskingSides) -> Notice | None:
    """The notice that nearly all asking prices lie on one side of their intervals."""
    for code, count in (("asking-prices-low", sides.below), ("asking-prices-high", sides.above)):
        if sides.rows >= ONE_SIDED_MIN_ROWS and count >= ONE_SIDED_MIN_SHARE * sides.rows:
            return Notice(code=code, field=ASKING_PRICE, values=(str(sides.rows),), count=count)
    return None


def _dump_notice(
    notice: Notice,
    columns: Mapping[str, str],
    language: Language,
    texts: Mapping[str, str] = NOTICE_MESSAGES,
) -> dict[str, Any]:
    """A notice with its sentence, which states whether only the first rows were examined."""
    column = columns.get(notice.field or "")
    if notice.count is None:
        text = texts.get(notice.code) or NOTICE_MESSAGES.get(notice.code, UNKNOWN_CODE)
    else:
        code = message_code(notice.code, notice.field or "")
        text = COUNTED_MESSAGES.get(code, COUNTED_MESSAGES[UNREADABLE_CELLS])
    field = CAR_FIELDS.get(notice.field or "")
    detail = translate(text, language).format(
        column=column or (field.label(language) if field else ""),
        label=field.label(language) if field else "",
        unit=field.unit if field else "",
        values=COMMA[language].join(_in_words(notice.values, language)),
        count=notice.count,
        code=notice.code,
    )
    if notice.rows is not None:
        detail += translate(NOTICE_SCOPE, language).format(rows=notice.rows)
    return {
        "code": notice.code,
        "field": notice.field,
        "column": column,
        "count": notice.count,
        "examples": list(notice.values),
        "detail": detail,
        "rows": notice.rows,
    }


def _in_words(values: Sequence[str], language: Language) -> Sequence[str]:
    """The values of a notice; a unit that is named in words is in those of the language."""
    return [unit_name(value, language) if value == THOUSAND_KM else value for value in values]


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
