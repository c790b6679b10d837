"""The form of a file: options of reading it, and which column is which field."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from api.batches.schemas import UploadQuery
from api.pages.language import gettext as _
from api.pages.language import page_language
from shared.blobs.draft_files import choices_digest
from shared.domain.batch import BatchOptions
from shared.domain.car import FIELD_NAMES, REQUIRED_FIELDS, USUALLY_STATED
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.files.draft import Draft
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.i18n.catalogue import mark
from shared.messages.texts import choice_name
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.given_units import unit_choices

COLUMN, CONSTANT, UNIT = "column-", "constant-", "unit-"
"""Prefixes of the form's fields, before the name of a field of the car."""
SHOWN = "shown-"
"""Prefix of hidden fields with what a select showed: only what differs from it was chosen."""
REVISION = "revision"
"""Hidden field with the choices of the draft when its form was shown."""
NO_COLUMN = "-"
"""The choice of no column for a field whose column would be recognised."""
MAPPED_FIRST = (*REQUIRED_FIELDS, *USUALLY_STATED, ASKING_PRICE)
MAPPED_LATER = tuple(name for name in FIELD_NAMES if name not in MAPPED_FIRST)
CONSTANT_FIELDS = (*REQUIRED_FIELDS, "fuel", "transmission")
UNIT_FIELDS = tuple(name for name in (*MAPPED_FIRST, *MAPPED_LATER) if len(unit_choices(name)) > 1)
"""Fields whose numbers may be in several units, and the asking price."""
OPTIONS = ("sheet", "encoding", "header")
FORM_FIELDS = frozenset(
    (
        *OPTIONS,
        *(COLUMN + name for name in (*MAPPED_FIRST, *MAPPED_LATER)),
        *(CONSTANT + name for name in CONSTANT_FIELDS),
        *(UNIT + name for name in UNIT_FIELDS),
    )
)
"""Names of all text fields of the form; they stand before the file."""

ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": mark("Windows-1252 (Western Europe)"),
    "cp1256": mark("Windows-1256 (Arabic)"),
    "iso8859-15": "ISO 8859-15 (Latin-9)",
    "mac-roman": mark("Mac Roman (old Excel for Mac)"),
    "cp850": "CP850 (DOS)",
    "utf-16": "UTF-16",
}
"""Encodings to choose from, by their option."""
HEADERS = {"yes": mark("Yes, the first one"), "no": mark("No, none")}


def load_options(values: Mapping[str, str], *, dry_run: bool) -> BatchOptions:
    """The options that a form states.

    Args:
        values: of the form's fields.
        dry_run: whether the file is only checked.

    Raises:
        InvalidInput: an option has a wrong value.
    """
    if problems := list(_wrong_constants(values)):
        raise InvalidInput(problems)
    given = {name: values.get(name, "").strip() for name in OPTIONS}
    given["columns"] = _pairs(values, COLUMN)
    given["constants"] = _pairs(values, CONSTANT)
    given["units"] = _pairs(values, UNIT)
    try:
        query = UploadQuery().load({name: text for name, text in given.items() if text})
    except ValidationError as error:
        wrong: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise InvalidInput(
            [
                FieldProblem(f"?{name}", "invalid-parameter", expected=texts[0], value=given[name])
                for name, texts in wrong.items()
            ]
        ) from None
    return BatchOptions(**{**query, "dry_run": dry_run, "language": page_language()})


def _wrong_constants(values: Mapping[str, str]) -> Iterator[FieldProblem]:
    for name in CONSTANT_FIELDS:
        text = values.get(CONSTANT + name, "").strip()
        try:
            if text:
                CAR_FIELDS[name].deserialize(text)
        except ValidationError as error:
            yield FieldProblem(f"/{name}", str(error.messages[0]), field=name, value=text)


def _pairs(values: Mapping[str, str], prefix: str) -> str:
    """The pairs of field and text of an upload option."""
    texts = {
        name.removeprefix(prefix): text.strip()
        for name, text in values.items()
        if name.startswith(prefix) and text.strip()
    }
    if prefix == COLUMN:
        texts = {name: "" if text == NO_COLUMN else text for name, text in texts.items()}
    return ",".join(f"{name}:{text}" for name, text in texts.items())


def option_values(options: BatchOptions) -> dict[str, str]:
    """The values of the form's fields that yield the options of a batch."""
    values = {"sheet": options.sheet or "", "encoding": options.encoding or ""}
    if options.header_row is not None:
        values["header"] = f"#{options.header_row}"
    elif options.header is not None:
        values["header"] = "yes" if options.header else "no"
    values |= {UNIT + field: unit for field, unit in options.units}
    values |= {COLUMN + field: column or NO_COLUMN for field, column in options.columns}
    return values | {CONSTANT + field: text for field, text in options.constants}


def chosen_values(values: Mapping[str, str], before: BatchOptions) -> dict[str, str]:
    """The values of a form that were chosen: now, or before.

    A select that stands as the page showed it is no choice: its column stays a detected one, so
    that the file is read as without the page. With another sheet or header the positions of columns
    mean nothing; units belong to a field, so they are kept.

    Args:
        values: of the form's fields.
        before: the choices that the page showed.

    Raises:
        InvalidInput: one column is chosen for several fields.
    """
    earlier = option_values(before)
    is_moved = any(
        name in values and values[name] != values.get(SHOWN + name, earlier.get(name, ""))
        for name in ("sheet", "header")
    )
    if not is_moved and (problems := list(_shared_columns(values))):
        raise InvalidInput(problems)
    chosen = {}
    for name, value in values.items():
        if name.startswith(SHOWN):
            continue
        if is_moved and name.startswith(COLUMN):
            continue
        if SHOWN + name in values and value == values[SHOWN + name]:
            chosen[name] = earlier.get(name, "")
        else:
            chosen[name] = value
    return chosen


def _shared_columns(values: Mapping[str, str]) -> Iterator[FieldProblem]:
    """A problem for each column that is chosen for a field and also shown as that of another one.

    The detected one of the two would be lost without a word. Brand and model may share a column.
    """
    fields: dict[str, list[str]] = {}
    for name in (*MAPPED_FIRST, *MAPPED_LATER):
        column = values.get(COLUMN + name, "")
        if column not in {"", NO_COLUMN}:
            fields.setdefault(column, []).append(name)
    for column, names in fields.items():
        is_new = any(values.get(SHOWN + COLUMN + name) != column for name in names)
        if is_new and len(names) > 1 and set(names) != {"company", "model"}:
            yield FieldProblem(
                "?columns", "shared-column", fields=names, position=column.removeprefix("#")
            )


def is_outdated(values: Mapping[str, str], draft: Draft) -> bool:
    """Whether the draft has other choices than when the form was shown.

    Such a form does not tell what its sender leaves as it is: "unchanged" would mean choices that
    it never showed.
    """
    return values.get(REVISION, choices_digest(draft.options)) != choices_digest(draft.options)


def build_file_form(
    values: Mapping[str, str], problems: Sequence[FieldProblem] = ()
) -> dict[str, Any]:
    """The form with its values; with selects of columns if a problem lists the file's.

    Args:
        values: of the form's fields, as they were sent.
        problems: why the file was refused.
    """
    constants = [constant_entry(name, values.get(CONSTANT + name, "")) for name in CONSTANT_FIELDS]
    given = [values.get(name, "") for name in OPTIONS] + [one["value"] for one in constants]
    listed = next((one for one in problems if "header" in one.params), None)
    doubtful = {field for one in problems for field in _fields_of(one)}
    mapping = None if listed is None else _build_mapping(listed, doubtful, values)
    return {
        "sheet": values.get("sheet", ""),
        "encodings": translated_choices(ENCODINGS, values.get("encoding", "")),
        "headers": translated_choices(HEADERS, values.get("header", "")),
        "constants": constants,
        "is_open": any(given),
        "mapping": mapping,
        # Columns and units that were chosen before and are not shown now.
        "kept": {
            name: value
            for name, value in values.items()
            if name.startswith(UNIT) or (name.startswith(COLUMN) and not mapping)
        },
    }


def _fields_of(problem: FieldProblem) -> Sequence[str]:
    """The fields whose columns a problem is about."""
    return problem.params.get("fields") or [problem.params.get("meaning", "")]


def translated_choices(labels: Mapping[str, str], value: str) -> list[dict[str, Any]]:
    """The options of a select, from English labels by their values."""
    return [
        {"value": each, "label": _(label), "selected": each == value}
        for each, label in labels.items()
    ]


def constant_entry(name: str, value: str) -> dict[str, Any]:
    """The input, or the select, of a value that holds for all rows."""
    field = CAR_FIELDS[name]
    choices: dict[str, str] = {}
    if isinstance(field, Category):
        choices = {str(one): choice_name(str(one), page_language()) for one in field.choices}
    return {
        "name": CONSTANT + name,
        "label": field.label(page_language()),
        "value": value,
        "choices": [
            {"value": one, "label": label, "selected": one == value}
            for one, label in choices.items()
        ],
    }


def _build_mapping(
    problem: FieldProblem, doubtful: Collection[str], values: Mapping[str, str]
) -> dict[str, Any]:
    """The selects of columns.

    Args:
        problem: lists the file's columns (`header`, `samples`, `matched`).
        doubtful: fields for which a column has to be chosen.
        values: of the form's fields; a choice that was made before is kept.
    """
    params = problem.params
    columns = [
        {"value": f"#{number}", "label": _column_label(name, samples)}
        for number, (name, samples) in enumerate(
            zip(params["header"], params["samples"], strict=True), start=1
        )
    ]
    matched = {field: f"#{index + 1}" for field, index in params["matched"].items()}

    def select(name: str) -> dict[str, Any]:
        chosen = values.get(COLUMN + name, "") or matched.get(name, "")
        is_recognised = name in matched and name not in doubtful
        return {
            "name": COLUMN + name,
            "label": CAR_FIELDS[name].label(page_language()),
            "is_doubtful": name in doubtful,
            "no_column": NO_COLUMN if is_recognised or chosen == NO_COLUMN else "",
            "columns": [{**one, "selected": one["value"] == chosen} for one in columns],
        }

    return {
        "first": [select(name) for name in MAPPED_FIRST],
        "later": [select(name) for name in MAPPED_LATER],
    }


def _column_label(name: str, samples: Sequence[str]) -> str:
    return f"{name} ({', '.join(samples)})" if samples else name
