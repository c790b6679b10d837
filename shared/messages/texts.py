"""Messages about fields, inputs and warnings, by code."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shared.domain.errors import FieldProblem
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import READ_CODES
from shared.fields.kinds.category import MISSPELT, Category
from shared.fields.kinds.number import Number
from shared.fields.kinds.text import CarField, FoldedText
from shared.fields.spellings import CHOICE_CONTEXT
from shared.i18n.catalogue import mark, mark_in_context, translate, translate_in_context
from shared.i18n.languages import RIGHT_TO_LEFT, SOURCE_LANGUAGE, Language
from shared.i18n.numbers import COLON, COMMA, group
from shared.messages.callbacks import CALLBACK_MESSAGES
from shared.messages.problems import PROBLEM_MESSAGES
from shared.messages.rules import Rule
from shared.messages.units import unit_name
from shared.messages.uploads import BATCH_ERROR_MESSAGES, ROW_MESSAGES, UPLOAD_MESSAGES
from shared.messages.warnings import WARNING_MESSAGES, message_code

GROUPING_MIN = 10_000
QUOTED_MAX_CHARS = 60
"""Invalid values are quoted up to this length."""

_EXPECTED = mark("{label}: expected {expected} (got {value}).")
FIELD_MESSAGES: dict[str, str] = {
    "required": mark("{label} is required: expected {expected}."),
    "not-text": _EXPECTED,
    "too-long": mark("{label} is too long: expected {expected}."),
    "not-a-number": _EXPECTED,
    "not-whole": mark("{label}: expected {expected}, without decimals (got {value})."),
    "out-of-range": _EXPECTED,
    "unknown-category": _EXPECTED,
    "names-in-one": mark(
        "{label} is required: {value} seems to hold brand and model; write the brand in "
        "company and the model in model."
    ),
    "brand-not-found": mark("{label}: no known brand in {value}; write it before the model."),
    "model-not-found": mark("{label}: no model in {value}; write it after the brand."),
    "several-values": mark(
        "{label}: several values are possible; expected {expected}, a single one (got {value})."
    ),
    "unclear-amount": mark(
        "{label}: an amount in ryals, centimes or millions, or before tax; expected "
        "{expected}, tax included (got {value})."
    ),
    "foreign-currency": mark("{label}: a foreign currency; expected {expected} (got {value})."),
    "unknown-unit": mark(
        "{label}: its unit is missing or not known; expected {expected} (got {value})."
    ),
    "object": mark(
        "{label}: expected {expected}, or a text with its unit, such as {example}; not an "
        "object (got {value})."
    ),
    "converted": mark("{label}: {value} was converted from the unit that it states."),
    "unpriced": mark(
        "{label}: {value} is valued as damaged at best, for lack of comparable listings; "
        "such a car is worth less."
    ),
    "misspelt": mark("{label}: {value} was read as {read_as}; taken for a typing error."),
    "open-range": mark("{label}: the open range {value} was read as its bound."),
    "km-high": mark(
        "{label}: {value} km, very high for the car's age; please check: the estimate is "
        "not reliable."
    ),
    "km-low": mark(
        "{label}: {value} km, very low for the car's age; please check: are these thousands?"
    ),
    "invalid": mark("{label}: refused value (got {value})."),
}

INPUT_MESSAGES: dict[str, str] = UPLOAD_MESSAGES | {
    **CALLBACK_MESSAGES,
    "not-an-object": mark("A JSON object that describes a car is expected."),
    "list-of-cars": mark("A single JSON object is expected here; POST /jobs takes a list of cars."),
    "wrapped-cars": mark(
        "Unexpected member: send the object of the car itself, with nothing around it; "
        "POST /jobs also takes a list of cars."
    ),
    "misnamed-member": mark("Unknown member: the field is called `{expected}`."),
    "not-a-car-or-list": mark(
        "A JSON object that describes a car, or a list of cars, is expected."
    ),
    "sale-price": mark(
        "Expected the sale price in MAD, a number from 1,000 to 100,000,000 (got {value})."
    ),
    "sold-at": mark(
        "Expected the date of the sale, YYYY-MM-DD, today at the latest (got {value})."
    ),
    "sold-long-before": mark(
        "Expected a date of sale at most a year before the estimate (got {value}), whose "
        "price is that of its own day's market."
    ),
    "only-the-sale": mark("Only price and date of the sale are accepted; nothing else is kept."),
    "empty-list": mark("The list must hold 1 to {maximum} cars."),
    "too-many-cars": mark("At most {maximum} cars a job (got {count}); use /batches."),
    "repeated-member": mark("Member given twice: which of its values counts? Keep one."),
    "empty-body": mark("The body is empty; a JSON object is expected."),
    "truncated-body": mark("The body is shorter than Content-Length says; send it again."),
    "not-utf-8": mark("The body is not in UTF-8; save or send the JSON in this encoding."),
    "not-json": mark("The body is not valid JSON: {reason}."),
    "unknown-parameter": mark("Unknown query parameter; known are {known}."),
    "invalid-parameter": mark("Refused value; expected {expected} (got {value})."),
    "repeated-parameter": mark("Query parameter given {count} times; once is allowed."),
    "invalid-header": mark("Refused header; expected {expected}."),
}


UNKNOWN_CODE = mark("Remark '{code}' of a newer version of the service.")
"""Text of a stored code that this version does not know."""


def expected(field: CarField, language: Language) -> str:
    """The allowed values of a field as text."""
    if isinstance(field, Category):
        names = COMMA[language].join(choice_name(name, language) for name in field.choices)
        return translate(_CHOICES, language).format(names=names)
    if isinstance(field, Number):
        limits = field.minimum, field.maximum
        return _number_between(limits, field.unit, language, is_whole=field.whole)
    if isinstance(field, FoldedText):
        return translate(_TEXT, language).format(maximum=field.max_length)
    return translate(_ANY, language)


_CHOICES = mark("one of {names}")
_TEXT = mark("a text of 1 to {maximum} characters")
_ANY = mark("a value")
_NUMBER = mark("a number from {low} to {high}")
_WHOLE_NUMBER = mark("a whole number from {low} to {high}")


@lru_cache(maxsize=256)
def _number_between(
    limits: tuple[float, float], unit: str, language: Language, *, is_whole: bool
) -> str:
    # In French and English, limits name the unit as the API's fields do.
    shown = unit_name(unit, language) if language in RIGHT_TO_LEFT else unit
    text = translate(_WHOLE_NUMBER if is_whole else _NUMBER, language)
    low, high = f"{limits[0]:g}", _format_thousands(limits[1], language)
    return text.format(low=low, high=f"{high} {shown}".strip())


def _format_thousands(number: float, language: Language) -> str:
    """A number with thousands separators from `GROUPING_MIN` on, so that years have none."""
    return f"{number:.0f}" if number < GROUPING_MIN else group(number, 0, language)


_JSON_ERROR_POSITION = re.compile(r"line (\d+) column (\d+)")
_POSITION = mark("line {line}, column {column}")
_NO_PARAMETERS = mark_in_context("parameters", "none")


def _translated(name: str, text: Any, language: Language) -> Any:
    """A message parameter, translated from English into the language of the message."""
    if isinstance(text, Rule):
        return text.in_language(language)
    if language == SOURCE_LANGUAGE or not isinstance(text, str):
        return text
    if name == "reason" and (place := _JSON_ERROR_POSITION.search(text)):
        return translate(_POSITION, language).format(line=place[1], column=place[2])
    if name == "known" and text == _NO_PARAMETERS:
        return translate_in_context("parameters", _NO_PARAMETERS, language)
    return text


_QUOTES: dict[Language, tuple[str, str]] = {"fr": ("« ", " »"), "ar": ("«", "»"), "en": ("'", "'")}


def quote(value: Any, language: Language) -> str:
    """An invalid value, quoted and shortened for a message."""
    if value is None:
        return translate(_NOTHING, language)
    is_json = isinstance(value, bool | list | dict)
    text = json.dumps(value, ensure_ascii=False) if is_json else str(value)
    if len(text) > QUOTED_MAX_CHARS:
        text = text[: QUOTED_MAX_CHARS - 1] + "…"
    if not isinstance(value, str):
        return text
    opening, closing = _QUOTES[language]
    return f"{opening}{text}{closing}"


_NOTHING = mark("nothing")


def quotation_marks(language: Language) -> tuple[str, str]:
    """What stands before and after a quoted value."""
    return _QUOTES[language]


def describe_field_error(field: CarField, code: str, value: Any, language: Language) -> str:
    """The message about an invalid field."""
    return translate(FIELD_MESSAGES.get(code, FIELD_MESSAGES["invalid"]), language).format(
        label=field.label(language),
        expected=expected(field, language),
        value=quote(value, language),
        example=quote(f"{field.example} {field.unit}", language),
        read_as="…",
    )


def describe_row_error(error: Mapping[str, Any], language: Language) -> str:
    """The message of an entry of the error report of a batch."""
    if error["field"] is not None:
        field = CAR_FIELDS[error["field"]]
        return describe_field_error(field, error["code"], error["value"], language)
    text = ROW_MESSAGES.get(error["code"], UNKNOWN_CODE)
    return translate(text, language).format_map(_Quoted(error, language))


def describe_note(field: str, code: str, value: str, language: Language) -> str:
    """The note on a cell that was ignored, or read as a bound: an entry of `row_notes`."""
    note = note_template(field, code, language)
    if code == MISSPELT:
        note = note.replace(READ_AS_GAP, _corrected_word(CAR_FIELDS[field], value, language))
    return note.replace(VALUE_GAP, quote(value, language))


def _corrected_word(field: CarField, value: str, language: Language) -> str:
    """What a misspelt word was read as."""
    member = field.member_of_slip(value) if isinstance(field, Category) else None
    return "…" if member is None else choice_name(str(member), language)


def choice_name(choice: str, language: Language) -> str:
    """A value of a category for people."""
    return translate_in_context(CHOICE_CONTEXT, choice, language)


VALUE_GAP, READ_AS_GAP = "\0", "\1"
"""Stand for the cell, and what it was read as, in `note_template`."""


@lru_cache(maxsize=1024)
def note_template(field: str, code: str, language: Language) -> str:
    """The note on a cell of an optional field, whose bounds never change."""
    car_field = CAR_FIELDS[field]
    text = FIELD_MESSAGES.get(code, FIELD_MESSAGES["invalid"])
    message = translate(text, language).format(
        label=car_field.label(language),
        expected=expected(car_field, language),
        value=VALUE_GAP,
        example=quote(f"{car_field.example} {car_field.unit}", language),
        read_as=READ_AS_GAP,
    )
    if code in READ_CODES:
        return message
    return translate(_IGNORED, language).format(message=message)


_IGNORED = mark("Value ignored: {message}")


def describe(problem: FieldProblem, language: Language) -> str:
    """The message about an invalid part of the input."""
    field = CAR_FIELDS.get(problem.params.get("field", ""))
    if field is not None:
        return describe_field_error(field, problem.code, problem.params.get("value"), language)
    text = INPUT_MESSAGES.get(problem.code, UNKNOWN_CODE)
    params = {"code": problem.code, **problem.params}
    return translate(text, language).format_map(_Quoted(params, language))


def describe_warning(
    warning: Mapping[str, Any], language: Language, *, model_known: bool = False
) -> str:
    """The message of a warning: a value that was accepted but not used.

    Args:
        warning: a warning of `CarRequest`.
        language: of the message.
        model_known: whether the price is that of the model in `read_as`, although the name is
            ambiguous.
    """
    name = str(warning["pointer"]).rsplit("/", 1)[-1]
    field = CAR_FIELDS.get(name)
    params = {"count": 0, **warning}
    if field is not None:
        params |= {"expected": expected(field, language), "label": field.label(language)}
    code = message_code(warning["code"], name)
    if code == MISSPELT:
        params["read_as"] = choice_name(str(warning["read_as"]), language)
    if model_known and code == "name-ambiguous":
        code = "name-partly-read"
    # A stored warning may have a code of a newer version.
    text = WARNING_MESSAGES.get(code, UNKNOWN_CODE)
    return translate(text, language).format_map(_Quoted(params, language))


def describe_model_note(field: str, code: str, language: Language) -> str:
    """What a model says of a field of a car, with its name: an entry of `row_notes`."""
    label = CAR_FIELDS[field].label(language)
    text = translate(WARNING_MESSAGES[message_code(code, field)], language)
    return f"{label}{COLON[language]}{text}"


def format_more_count(count: int, language: Language) -> str:
    """The note that follows the first of several messages; empty if there is only one.

    >>> format_more_count(2, "en"), format_more_count(0, "en")
    (' (And 2 more: see errors.)', '')
    """
    if not count:
        return ""
    return translate(_MORE, language).format(count=count)


_MORE = mark(" (And {count} more: see errors.)")


def describe_problem(code: str, params: Mapping[str, Any], language: Language) -> tuple[str, str]:
    """Title and detail of a problem document."""
    title, detail = PROBLEM_MESSAGES.get(code, PROBLEM_MESSAGES["internal-error"])
    sentence = translate(detail, language).format_map(_Quoted(params, language))
    return translate(title, language), sentence


def describe_batch_error(code: str, language: Language) -> str:
    """Why a batch ended early."""
    text = BATCH_ERROR_MESSAGES.get(code, BATCH_ERROR_MESSAGES["attempts-exhausted"])
    return translate(text, language)


class _Quoted(dict[str, Any]):
    """Message parameters; a missing one is shown as an ellipsis instead of raising an error."""

    def __init__(self, params: Mapping[str, Any], language: Language) -> None:
        super().__init__(
            (
                name,
                quote(given, language) if name == "value" else _translated(name, given, language),
            )
            for name, given in params.items()
        )

    def __missing__(self, name: str) -> str:
        return "…"
