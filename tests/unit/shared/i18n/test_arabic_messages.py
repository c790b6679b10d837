"""Every message is Arabic for who asks for Arabic: no French or English word is left."""

import re
from collections.abc import Mapping

import pytest

from shared.domain.errors import FieldProblem
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.kinds.number import Number
from shared.i18n.catalogue import translate
from shared.messages.callbacks import CALLBACK_MESSAGES
from shared.messages.counted import COUNTED_MESSAGES
from shared.messages.exports import RESULT_HEADERS
from shared.messages.notices import NOTICE_MESSAGES, NOTICE_SCOPE
from shared.messages.problems import PROBLEM_MESSAGES
from shared.messages.rules import DAY, characters, either, one_of, seconds, whole_number
from shared.messages.texts import (
    FIELD_MESSAGES,
    INPUT_MESSAGES,
    choice_name,
    describe,
    describe_batch_error,
    describe_field_error,
    describe_model_note,
    describe_note,
    describe_problem,
    describe_row_error,
    describe_warning,
    expected,
    format_more_count,
    quote,
)
from shared.messages.units import UNITS, unit_name
from shared.messages.uploads import BATCH_ERROR_MESSAGES, ROW_MESSAGES
from shared.messages.warnings import WARNING_MESSAGES
from tests.unit.api.pages.arabic_text import foreign_words_of

NAMES = (
    "callback_url", "Idempotency-Key", "If-Match", "Content-Type", "Content-Encoding",
    "Content-Length", "Accept-Encoding", "ACTIVE", "Authorization: Bearer <key>", "localhost",
    "`make key`", "`carprice train --activate`", "`carprice models activate`",
    "`carprice webhooks secret create ", "errors", "RAR", "7-Zip", "parquet", "company",
    "model", "POST", "multipart", "gzip", "zstd", "`file`", "curl -F",
    '{"brand": "Dacia", "model": "Logan"', '"year"', "field:#number", "(miles)", "mac-roman",
    "sheet:", "YYYY-MM-DD", "carprice", "mpg", " km", " cc", " bhp", " Nm", " CV",
)  # fmt: skip
"""Codes, commands, formats, headers and members, which no language translates."""
EXPECTATIONS = (
    one_of(("csv", "xlsx")), either("csv", "xlsx"), seconds(0, 30), characters(200),
    characters(60, minimum=0), whole_number(1, 50), DAY,
)  # fmt: skip
"""Rules of parameters; formats keep their names."""
VALUE = "قيمة"
_GAP = re.compile(r"\{\w+(?:!r)?\}")


def assert_arabic(text: str) -> None:
    assert foreign_words_of(text, (*NAMES, "csv", "xlsx")) == [], text
    assert "None" not in text


@pytest.mark.parametrize("code", PROBLEM_MESSAGES)
def test_problems(code: str) -> None:
    title, detail = describe_problem(code, {"first": "حقل.", "more": ""}, "ar")
    assert_arabic(title)
    assert_arabic(detail)
    english = describe_problem(code, {"first": "حقل.", "more": ""}, "en")
    assert title != english[0]


@pytest.mark.parametrize("code", [*FIELD_MESSAGES, "a-newer-code"])
@pytest.mark.parametrize("name", CAR_FIELDS)
def test_refused_fields(name: str, code: str) -> None:
    if code == "object" and not isinstance(CAR_FIELDS[name], Number):
        return  # only numbers are refused so
    for value in (None, "قيمة", 12):
        assert_arabic(describe_field_error(CAR_FIELDS[name], code, value, "ar"))
    assert_arabic(describe_row_error({"field": name, "code": code, "value": "قيمة"}, "ar"))


@pytest.mark.parametrize("code", [*INPUT_MESSAGES, "a-newer-code"])
def test_refused_inputs(code: str) -> None:
    given = dict.fromkeys(("seen", "found", "column", "value", "columns", "sheet", "type"), VALUE)
    given |= {"known": "none", "reason": "bad: line 1 column 2"}
    for expectation in EXPECTATIONS:
        problem = FieldProblem("?x", code, **given, expected=expectation)
        assert_arabic(describe(problem, "ar").replace(code, ""))


@pytest.mark.parametrize("code", [*WARNING_MESSAGES, "a-newer-code"])
@pytest.mark.parametrize("name", ["year", "fuel", "doors"])
def test_warnings(code: str, name: str) -> None:
    read_as = "Diesel" if code == "misspelt" else VALUE
    warning = {"pointer": f"/{name}", "code": code, "read_as": read_as, "suggestions": VALUE}
    for is_known in (False, True):
        text = describe_warning(warning, "ar", model_known=is_known)
        assert_arabic(text.replace(code, ""))
    if code in WARNING_MESSAGES:
        assert_arabic(_GAP.sub("", describe_model_note(name, code, "ar")))


@pytest.mark.parametrize("code", [each for each in FIELD_MESSAGES if each != "object"])
def test_notes_of_rows(code: str) -> None:
    for name in ("fuel", "doors", "edition"):
        assert_arabic(describe_note(name, code, "قيمة", "ar"))
    for row in ROW_MESSAGES:
        assert_arabic(describe_row_error({"field": None, "code": row, "value": "قيمة"}, "ar"))


@pytest.mark.parametrize(
    "table", [CALLBACK_MESSAGES, COUNTED_MESSAGES, NOTICE_MESSAGES, RESULT_HEADERS]
)
def test_texts_of_tables(table: Mapping[str, str]) -> None:
    for text in (NOTICE_SCOPE, *table.values()):
        arabic = translate(text, "ar")
        assert arabic != text
        assert_arabic(_GAP.sub("", arabic))


def test_why_batches_end_early() -> None:
    for code in BATCH_ERROR_MESSAGES:
        assert_arabic(describe_batch_error(code, "ar"))
    assert_arabic(format_more_count(3, "ar"))


@pytest.mark.parametrize("name", CAR_FIELDS)
def test_labels_and_expected_values(name: str) -> None:
    field = CAR_FIELDS[name]
    assert_arabic(field.label("ar"))
    assert_arabic(expected(field, "ar"))
    if isinstance(field, Category):
        names = [choice_name(choice, "ar") for choice in field.choices]
        assert len(set(names)) == len(names)
        # Messages name them as what to write.
        assert [field.member(each) for each in names] == field.choices


def test_units_and_quotes() -> None:
    assert [unit_name(unit, "ar") for unit in ("km", "cc", "MAD")] == ["كلم", "سم³", "درهم"]
    for unit in UNITS:
        assert_arabic(unit_name(unit, "ar"))
    assert quote("abc", "ar") == "«abc»"
    assert quote(None, "ar") == "لا شيء"
    assert expected(CAR_FIELDS["km_driven"], "ar") == "عدد من 0 إلى 2.000.000 كلم"
