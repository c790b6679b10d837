"""Schemas of `/batches`: query parameters, the batch resource and the error report."""

import dataclasses
import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.batches.detection_schemas import BatchInputSchema, data_age, dump_input
from api.http.context import language, services
from api.http.problems import dump_field_problem
from api.http.requests import wait_field
from api.http.responses import PlaceSchema
from api.jobs.schemas import iso
from api.webhooks.callbacks import callback_field
from shared.domain.batch import Batch, BatchOutcome, OnError
from shared.domain.car import FIELD_NAMES
from shared.domain.job import JobState
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark
from shared.i18n.languages import Language
from shared.messages.rules import Rule, characters, either, every_error, one_of, written_as
from shared.messages.texts import describe_batch_error
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.given_units import read_given_unit, unit_choices
from shared.tabular.dialect import DELIMITERS
from shared.tabular.encoding import ENCODINGS, find_codec

_DELIMITER_NAMES = {
    "comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t",
}  # fmt: skip
_DECIMAL_NAMES = {"comma": ",", "point": ".", "dot": "."}
COLUMNS_MAX_CHARS = 4_000
SHEET_MAX_CHARS = 100
HEADER_ROW_MAX = 50
"""The header is searched, or named, among so many lines."""
FORMATS = ("csv", "ndjson", "parquet", "xlsx")
REJECTED_FORMATS = ("csv", "xlsx")
CSV_OPTIONS = ("delimiter", "decimal")
"""Parameters that only apply to CSV."""


_NOT_WITH_EXCEL = Rule(mark("none with {other}"), other="dialect=excel-fr")


class EncodingField(fields.String):
    """A supported encoding, under any of its names; its canonical name."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options) or ""
        name = find_codec(text)
        if name is None:
            raise ValidationError(one_of((*ENCODINGS, "utf-16")))
        return name


class CharacterField(fields.String):
    """A character, given as itself or by name."""

    def __init__(self, names: dict[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._names = names

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options) or ""
        character = self._names.get(text, text)
        if character not in self._names.values():
            raise ValidationError(one_of(self._names))
        return character


class ColumnsField(fields.Field[Any]):
    """A mapping of fields to columns, see `parse_columns`."""

    def _deserialize(
        self, value: Any, attr: Any, data: Any, **options: Any
    ) -> tuple[tuple[str, str], ...]:
        text = str(super()._deserialize(value, attr, data, **options))
        pairs = parse_columns(text) if len(text) <= COLUMNS_MAX_CHARS else None
        if pairs is None:
            raise ValidationError(written_as("km_driven:Compteur,year:#5"))
        return pairs


class ConstantsField(fields.Field[Any]):
    """A mapping of fields to texts that hold for all rows: `company:BMW` or `company=BMW`."""

    def _deserialize(
        self, value: Any, attr: Any, data: Any, **options: Any
    ) -> tuple[tuple[str, str], ...]:
        text = str(super()._deserialize(value, attr, data, **options))
        pairs = parse_columns(text, _CONSTANT) if len(text) <= COLUMNS_MAX_CHARS else None
        if pairs is None or any(not text or _NO_CONSTANT.search(text) for _, text in pairs):
            raise ValidationError(written_as("company:BMW,fuel:Diesel"))
        for field, constant in pairs:
            if not _is_constant(field, constant):
                raise ValidationError(written_as(f"{field}:{CAR_FIELDS[field].example}"))
        return pairs


class UnitsField(fields.Field[Any]):
    """A mapping of fields to the units of their columns: `km_driven:mi`."""

    def _deserialize(
        self, value: Any, attr: Any, data: Any, **options: Any
    ) -> tuple[tuple[str, str], ...]:
        text = str(super()._deserialize(value, attr, data, **options))
        pairs = parse_columns(text, _UNIT) if len(text) <= COLUMNS_MAX_CHARS else None
        if pairs is None:
            raise ValidationError(written_as("km_driven:mi,asking_price_mad:EUR"))
        read = tuple((field, read_given_unit(field, unit)) for field, unit in pairs)
        for field, unit in read:
            if unit is None:
                raise ValidationError(_units_of(field))
        return tuple((field, unit) for field, unit in read if unit is not None)


class HeaderField(fields.Boolean):
    """Whether there is a header row, or its number from 1."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = str(value)
        row = text.removeprefix("#")
        # "1" and "0" mean yes and no, as they did before a row could be named; "#1" is a row.
        if row.isascii() and row.isdigit() and text not in self.truthy | self.falsy:
            if len(row) > len("50") or not 1 <= int(row) <= HEADER_ROW_MAX:
                raise self.make_error("invalid")
            return int(row)
        return super()._deserialize(value, attr, data, **options)


def _units_of(field: str) -> Rule:
    """The units that the column of a field may have."""
    units = tuple(f"{field}:{unit}" for unit in unit_choices(field))
    return one_of(units) if units else Rule(mark("no unit of {field}"), field=field)


def _is_constant(field: str, text: str) -> bool:
    """Whether a text states a value of a field."""
    try:
        return CAR_FIELDS[field].deserialize(text) is not None
    except ValidationError:
        return False


def _flag(description: str) -> fields.Boolean:
    return fields.Boolean(
        load_default=False,
        truthy={"true", "1", "yes"},
        falsy={"false", "0", "no"},
        error_messages=every_error(either("true", "false")),
        metadata={"description": description},
    )


class UploadQuery(Schema):
    """How an uploaded file is read: query parameters of the API, and fields of the page."""

    dry_run = _flag("Validate and report, value nothing.")
    on_error = fields.Enum(
        OnError,
        by_value=True,
        load_default=OnError.CONTINUE,
        error_messages=every_error(one_of(OnError)),
        metadata={
            "description": "What to do at the first rejected row: continue, or end the batch."
        },
    )
    key_column = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=200, error=characters(200)),
        metadata={"description": "Header of the column that identifies rows in the error report."},
    )
    encoding = EncodingField(
        load_default=None, metadata={"description": "Detected if not given.", "example": "cp1252"}
    )
    delimiter = CharacterField(
        _DELIMITER_NAMES,
        load_default=None,
        metadata={"description": "Character or name: " + " ".join(map(repr, DELIMITERS))},
    )
    decimal = CharacterField(
        _DECIMAL_NAMES, load_default=None, metadata={"description": "`,` or `.`, or its name."}
    )
    columns = ColumnsField(
        load_default=(),
        metadata={
            "description": "Which column is which field, where the headers do not say it: pairs of "
            "a field and a header, a position (`#5`), or nothing for a field that is in no column.",
            "type": "string",
            "default": "",
            "example": "km_driven:Compteur,year:#5,engine_cc:",
        },
    )
    header = HeaderField(
        load_default=None,
        truthy={"true", "1", "yes"},
        falsy={"false", "0", "no"},
        error_messages=every_error(
            Rule(
                mark("{yes}, {no}, or a row from 1 to {maximum}"),
                yes="yes",
                no="no",
                maximum=HEADER_ROW_MAX,
            )
        ),
        metadata={
            "type": "string",
            "example": "3",
            "description": "Whether the first row names the columns, or the number of the row that "
            "does (line of a text, row of a sheet; `#1` for the first); detected if not given. "
            "Without a header the columns are found by their cells, or named in `columns` by their "
            "positions.",
        },
    )
    constants = ConstantsField(
        load_default=(),
        metadata={
            "description": "Values that hold for all rows, where no column states them: pairs of a "
            "field and a text.",
            "type": "string",
            "example": "company:BMW,fuel:Diesel",
        },
    )
    units = UnitsField(
        load_default=(),
        metadata={
            "description": "Units of columns, where the file does not say them or says them wrong: "
            "pairs of a field and a unit (`mi`, `kW`, `litres`). For the asking price `MAD`, "
            "`thousand MAD`, or another currency, which is not read.",
            "type": "string",
            "default": "",
            "example": "km_driven:mi,asking_price_mad:EUR",
        },
    )
    sheet = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=SHEET_MAX_CHARS, error=characters(SHEET_MAX_CHARS)),
        metadata={
            "description": "Sheet of a workbook, by name or number; if not given, the first "
            "visible one with columns of cars, else the first."
        },
    )

    @post_load
    def split_header(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The number of the header row as an option of its own."""
        if given["header"] is not None and not isinstance(given["header"], bool):
            return given | {"header": True, "header_row": given["header"]}
        return given


class BatchSubmissionQuery(UploadQuery):
    """Query parameters of `POST /batches`."""

    callback_url = callback_field("batch")
    input_uri = fields.String(
        load_default="",
        metadata={
            "description": "An object in a bucket that the service may read (`INPUT_URIS`), "
            "instead of a body.",
            "example": "s3://incoming/stock.csv",
        },
    )


class CorrectionQuery(Schema):
    """Query parameters of a correction."""

    callback_url = callback_field("correction")


class BatchWaitQuery(Schema):
    """Query parameters of reading a batch."""

    wait = wait_field("batch")


class TableQuery(Schema):
    """Query parameters of reading a result table."""

    dialect = fields.String(
        load_default="default",
        validate=validate.OneOf(("default", "excel-fr"), error=either("default", "excel-fr")),
        metadata={
            "description": "Of CSV; excel-fr: byte order mark, semicolons and decimal commas.",
            "enum": ["default", "excel-fr"],
        },
    )
    delimiter = CharacterField(
        _DELIMITER_NAMES,
        metadata={
            "description": "Of CSV, character or name; that of the uploaded CSV if not given, "
            "comma if another kind of file was uploaded.",
            "example": "semicolon",
        },
    )
    redirect = _flag(
        "Answer 307 with an address of the object store, which holds for some minutes and needs no "
        "key, if the service keeps its files in one; else the file is sent."
    )

    @validates_schema
    def check_dialect(self, given: dict[str, Any], **_: Any) -> None:
        """Refuse options that contradict `excel-fr`."""
        for name in CSV_OPTIONS:
            if name in given and given.get("dialect") == "excel-fr":
                raise ValidationError(_NOT_WITH_EXCEL, name)


class RejectedQuery(TableQuery):
    """Query parameters of reading the rejected rows."""

    format = fields.String(
        load_default="csv",
        validate=validate.OneOf(REJECTED_FORMATS, error=one_of(REJECTED_FORMATS)),
        metadata={"enum": list(REJECTED_FORMATS)},
    )


class DocumentedResultsQuery(TableQuery):
    """Query parameters of reading the results, as parameters of the OpenAPI document."""

    format = fields.String(
        validate=validate.OneOf(FORMATS, error=one_of(FORMATS)),
        metadata={"description": "By `Accept` if not given.", "enum": list(FORMATS)},
    )
    decimal = CharacterField(
        _DECIMAL_NAMES,
        metadata={
            "description": "Decimal sign of the added columns of CSV, `.` if not given. Between "
            "commas, a number with a decimal comma is quoted.",
            "example": ",",
        },
    )
    partial = _flag(  # type: ignore[assignment] # marshmallow removes it from the class
        "Of a batch that is under way: the first rows, as CSV, up to where all rows are valued."
    )


class ResultsQuery(DocumentedResultsQuery):
    """Query parameters of reading the results.

    `headers` is described in the text of the operation only: generated clients use that name for
    the headers of the request.
    """

    headers = fields.String(
        load_default="names",
        validate=validate.OneOf(("names", "localized"), error=either("names", "localized")),
        metadata={
            "description": "Headers of the added columns; localized: words in the language of "
            "the batch.",
            "enum": ["names", "localized"],
        },
    )


class BatchCountsSchema(Schema):
    """Number of rows by result."""

    total = fields.Integer(required=True, allow_none=True)
    done = fields.Integer(required=True)
    valid = fields.Integer(required=True)
    invalid = fields.Integer(required=True)
    failed = fields.Integer(required=True)


class BatchErrorSchema(Schema):
    """Why the batch ended early."""

    code = fields.String(required=True)
    detail = fields.String(required=True)
    errors = fields.List(
        fields.Nested(PlaceSchema),
        metadata={"description": "Why a workbook or Parquet file cannot be read as cars."},
    )


class BatchSchema(Schema):
    """The batch resource."""

    id = fields.String(required=True)
    state = fields.Enum(JobState, by_value=True, required=True)
    outcome = fields.Enum(BatchOutcome, by_value=True, required=True, allow_none=True)
    counts = fields.Nested(BatchCountsSchema, required=True)
    rows_per_second = fields.Float(required=True, allow_none=True)
    eta_s = fields.Float(required=True, allow_none=True)
    queue_position = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "While it waits: unfinished batches that were accepted before, and "
            "itself. Callers take turns, so it may begin earlier."
        },
    )
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    cancel_requested = fields.Boolean(required=True)
    model_version = fields.String(required=True)
    data_as_of = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Newest data of the model's training."},
    )
    data_age_months = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Its age when the batch was accepted; intervals widen with it."},
    )
    corrects = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The batch whose rejected rows the file corrects."},
    )
    corrections = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "The batches whose corrected rows are in the results."},
    )
    options = fields.Dict(required=True)
    input = fields.Nested(BatchInputSchema, required=True)
    error = fields.Nested(BatchErrorSchema)
    links = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class RowErrorSchema(Schema):
    """One line of the error report."""

    line = fields.Integer(required=True)
    row_key = fields.String(required=True, allow_none=True)
    column = fields.String(required=True, allow_none=True)
    field = fields.String(required=True, allow_none=True)
    value = fields.String(required=True, allow_none=True)
    code = fields.String(required=True)
    message = fields.String(required=True)


def dump_batch(batch: Batch, now: float) -> dict[str, Any]:
    """The JSON representation of a batch, in the language of the current request.

    Args:
        batch: the batch.
        now: Unix time, used for speed and remaining time.
    """
    return serialize_batch(batch, now, language())


def serialize_batch(batch: Batch, now: float, lang: Language) -> dict[str, Any]:
    """The JSON representation of a batch, as `BatchSchema` documents it.

    It needs the context of an application, not of a request.

    Args:
        batch: the batch.
        now: Unix time, used for speed and remaining time.
        lang: of the texts.
    """
    manifest, progress = batch.manifest, batch.progress
    counts = progress.counts
    speed, eta_s = progress.rows_per_second(now), progress.eta_s(now)
    answer: dict[str, Any] = {
        "id": manifest.id,
        "state": str(progress.state),
        "outcome": progress.outcome and str(progress.outcome),
        "counts": {
            "total": progress.total,
            "done": counts.done,
            **dataclasses.asdict(counts),
        },
        "rows_per_second": None if speed is None else round(speed, 1),
        "eta_s": None if eta_s is None else round(eta_s, 1),
        "queue_position": None if progress.ahead is None else progress.ahead + 1,
        "created_at": iso(manifest.accepted_at),
        "started_at": iso(progress.started_at),
        "finished_at": iso(progress.finished_at),
        "cancel_requested": progress.cancel_requested,
        "model_version": manifest.model_version,
        "data_as_of": services().active_model.identity(manifest.model_version)["data_as_of"],
        "data_age_months": data_age(manifest),
        "corrects": manifest.corrects,
        "corrections": list(progress.corrections),
        "options": {
            "dry_run": manifest.options.dry_run,
            "on_error": str(manifest.options.on_error),
            "key_column": manifest.options.key_column,
            "columns": dict(manifest.options.columns),
            "header": manifest.options.header_row or manifest.options.header,
            "constants": dict(manifest.options.constants),
            "units": dict(manifest.options.units),
            "sheet": manifest.options.sheet,
        },
        "input": dump_input(batch, lang),
        "links": _links(batch),
    }
    if progress.error is not None:
        detail = describe_batch_error(progress.error, lang)
        answer["error"] = {"code": progress.error, "detail": detail}
        if batch.refusal:
            places = [dump_field_problem(place, lang) for place in batch.refusal]
            answer["error"]["errors"] = places
    return answer


def _links(batch: Batch) -> dict[str, str]:
    self_link = f"/batches/{batch.manifest.id}"
    links = {"self": self_link}
    if batch.progress.state.is_terminal:
        links |= {name: f"{self_link}/{name}" for name in ("results", "errors", "rejected")}
        if batch.progress.counts.invalid:
            corrected = batch.manifest.corrects or batch.manifest.id
            links["corrections"] = f"/batches/{corrected}/corrections"
    return links


_PAIR = re.compile(rf"(?:^|,)\s*({'|'.join((*FIELD_NAMES, ASKING_PRICE))})(:)")
_CONSTANT = re.compile(rf"(?:^|,)\s*({'|'.join(FIELD_NAMES)})([:=])")
_UNIT = re.compile(rf"(?:^|,)\s*({'|'.join((*FIELD_NAMES, ASKING_PRICE))})([:=])")
_NO_CONSTANT = re.compile("[:=;]")
"""In a value these are signs of a pair whose field is unknown, as in `company:Kia,fule:Diesel`."""


def parse_columns(text: str, pair: re.Pattern[str] = _PAIR) -> tuple[tuple[str, str], ...] | None:
    """Parse `field:header,…` into pairs; None if `text` has another form.

    Headers may contain commas and colons: a pair begins only at the name of a field.

    >>> parse_columns("year:#5,km_driven:Compteur, km:h")
    (('year', '#5'), ('km_driven', 'Compteur, km:h'))
    >>> parse_columns("engine_cc:")
    (('engine_cc', ''),)
    """
    marks = list(pair.finditer(text))
    if not marks or marks[0].start() > 0:
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    pairs = [
        (mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]
    fields = [field for field, _ in pairs]
    return tuple(pairs) if len(set(fields)) == len(fields) else None
