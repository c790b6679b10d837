"""Fuzz targets: texts of cells, headers and names."""

import contextlib
import csv
import io
import math
import re

from hypothesis import strategies as st
from marshmallow import ValidationError

from api.pages.car.form import _field
from shared.domain.errors import FieldProblem
from shared.domain.names import plain_text
from shared.domain.reading import NamesMissing
from shared.fields import prices
from shared.fields.blanks import is_blank, is_blank_word
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.dates import parse_year
from shared.fields.numbers import parse_number
from shared.fields.units import FIELD_UNITS, convert, find_unit
from shared.messages.texts import describe
from shared.tabular.cells import csv_cell, escape_formula, escape_header
from shared.tabular.column_names import field_for_header, find_column, near_field, read_name
from shared.tabular.encoding import find_codec, find_misreading, restore
from shared.vehicles.names import display_names, is_generation, read_names, suggest
from tests.fuzz.inputs import TEXTS
from tests.fuzz.target import target
from tests.unit.api.pages.in_language import in_language

TEXT_BYTES = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
PAIRS = st.tuples(TEXTS, TEXTS).map("\n".join).map(lambda text: text.encode("utf-8", "replace"))
VALIDATORS = {decimal: ColumnValidator(decimal) for decimal in ("auto", ",", ".")}
UNITS = {field: [unit.name for unit in units] for field, units in FIELD_UNITS.items()}
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


def text_of(data: bytes) -> str:
    """The text of an input."""
    return data.decode("utf-8", "replace")


@target(TEXT_BYTES)
def cell(data: bytes) -> None:
    """A cell of each column, and a value of each field of a JSON body."""
    text = text_of(data)
    is_blank(text)
    is_blank_word(text)
    for name, field in CAR_FIELDS.items():
        for unit in (None, *UNITS.get(name, ())):
            try:
                value, code = field.read_with_code(text, unit)
            except ValidationError as error:
                problem = FieldProblem(f"/{name}", error.messages[0], field=name, value=text)
                assert describe(problem, "fr")
                assert describe(problem, "en")
                continue
            assert not isinstance(value, float) or math.isfinite(value)
        for validator in VALIDATORS.values():
            value, code = validator.normalize(name, text)
            assert code is None or isinstance(code, str)
    with in_language("ar"):
        for name in CAR_FIELDS:
            _field(name, text, "", "")


@target(TEXT_BYTES)
def number(data: bytes) -> None:
    """A number, a date, a price or a unit."""
    text = text_of(data)
    for whole in (True, False):
        found = parse_number(text, whole=whole)
        assert found is None or math.isfinite(found)
    with contextlib.suppress(ValueError):
        assert isinstance(parse_year(text), int | None)
    prices.find_currency(text)
    prices.currency_of(text)
    prices.states_no_price(text)
    with contextlib.suppress(ValueError):
        assert math.isfinite(prices.read_price(text))
    for field in CAR_FIELDS:
        unit = find_unit(field, text)
        if unit is not None:
            convert(field, 1.5, unit)


@target(PAIRS)
def names(data: bytes) -> None:
    """A brand and a model."""
    company, _, model = text_of(data).partition("\n")
    for pair in ((company, model), (company, None), (None, company + " " + model)):
        with contextlib.suppress(NamesMissing):
            read_names(*(None if each is None else plain_text(each) for each in pair))
    folded = plain_text(company), plain_text(model)
    display_names(*folded)
    is_generation(*folded)
    suggest(*folded)
    suggest(None, folded[1])


@target(TEXT_BYTES)
def header(data: bytes) -> None:
    """The name of a column, of a codec, or a text that was read under another encoding."""
    text = text_of(data)
    read_name(text)
    field_for_header(text)
    near_field(text, CAR_FIELDS)
    find_column(["Marque", text, "Modèle"], text)
    find_codec(text)
    restore(text, find_misreading(text) or "cp1252")


@target(TEXT_BYTES)
def formula(data: bytes) -> None:
    """A text that is written into a cell of a CSV: no spreadsheet takes it for a formula."""
    text = text_of(data).replace("\x00", "")
    (header_cell,) = escape_header([text])
    for written in (escape_formula(text), header_cell):
        assert is_harmless(written), written
    for delimiter in (",", ";", "\t"):
        line = csv_cell(escape_formula(text), delimiter).decode()
        cells = next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [""])
        assert len(cells) == 1, line
        assert is_harmless(cells[0]), cells


def is_harmless(written: str) -> bool:
    """Whether a cell begins with no sign of a formula, or holds only a number or nothing."""
    return not written.startswith(FORMULA_SIGNS) or _NUMBER.fullmatch(written) is not None


_NUMBER = re.compile(r"[\s+-]*[\d\s.,'’٫٬]*(?:[eE][+-]?\d+)?")  # noqa: RUF001 - signs between thousands
