"""What is wrong with a query parameter is said in the language of the request, of any schema."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum

import pytest
from marshmallow import Schema, fields

import api
from api.http.problems import error_response
from api.http.requests import parse_query
from shared.domain.errors import InvalidInput
from shared.domain.valuation import Extra
from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import Language
from shared.tabular.columns.given_units import unit_choices
from shared.tabular.encoding import ENCODINGS
from tests.unit.api.pages.arabic_text import foreign_words_of

WRONG = (
    "", "?", "nan", "1e999", "-1", "0", "51", "1" * 5000, "x" * 5000, "km_driven:x", "fuel:mi",
    "km_driven:mi,km_driven:mi", "company:", "dialect", "2026-13-45",
)  # fmt: skip
VALUES = (
    *Extra, *ENCODINGS, "utf", "true", "false", "yes", "no", "default", "excel-fr", "names",
    "localized", "csv", "ndjson", "parquet", "xlsx", "comma", "semicolon", "tab", "pipe", "point",
    "dot", "dialect", "next_cursor", "km_driven:Compteur,year", "dialect=excel-fr", "fuel:Petrol",
    "km_driven:km", "km_driven:mi", "km_driven:miles",
    "company:BMW", "fuel:Diesel", "asking_price_mad:EUR", "T08:30:00Z", "MM-DD", "continue",
    "abort", "YYYY-MM-DD", *CAR_FIELDS,
    *(unit for name in CAR_FIELDS for unit in unit_choices(name)),
)  # fmt: skip
"""Values that parameters take, which no language translates."""


_QUOTED = re.compile("«[^»]*»")
_DEFAULT = re.compile("Not a valid|Missing data|Must be|too large|not permitted|Longer|Shorter")


def query_schemas() -> Iterator[type[Schema]]:
    """Every schema of query parameters."""
    for module in pkgutil.walk_packages(api.__path__, "api."):
        importlib.import_module(module.name)
    waiting = [Schema]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("api.") and kind.__name__.endswith("Query"):
            yield kind


SCHEMAS = sorted(set(query_schemas()), key=lambda kind: kind.__qualname__)


def choices(field: fields.Field) -> list[str]:
    """The values that a field takes."""
    found = [str(one) for one in field.metadata.get("enum", ())]
    for rule in field.validators:
        found += map(str, getattr(rule, "choices", ()))
    if isinstance(field, fields.Enum):
        found += [str(one.value) for one in field.enum if isinstance(one, Enum)]
    return found


def refusals(kind: type[Schema], language: Language) -> Iterator[tuple[str, str]]:
    """The parameter, and what is said of it without the value that it had."""
    queries: list[dict[str, str]] = [{}]
    queries += [{name: text} for name in kind().fields for text in WRONG]
    queries.append({"dialect": "excel-fr", "delimiter": "comma", "decimal": "comma"})
    for query in queries:
        try:
            parse_query("&".join("=".join(pair) for pair in query.items()).encode(), kind)
        except InvalidInput as error:
            places = [one for one in error.problems if one.code != "unknown-parameter"]
            answer = error_response(InvalidInput(places), language, "/") if places else None
            for place in json.loads(answer.body)["errors"] if answer else ():
                yield place["parameter"], _QUOTED.sub("", place["detail"])


@pytest.mark.parametrize("kind", SCHEMAS, ids=lambda kind: kind.__name__)
def test_an_arabic_refusal_of_a_parameter_has_no_sentence_in_latin_letters(kind):
    for name, detail in refusals(kind, "ar"):
        names = [*VALUES, *choices(kind().fields[name])]
        assert foreign_words_of(detail, names) == [], (name, detail)


@pytest.mark.parametrize("kind", SCHEMAS, ids=lambda kind: kind.__name__)
def test_no_refusal_has_the_default_message_of_the_library(kind):
    for name, detail in refusals(kind, "en"):
        assert not _DEFAULT.search(detail), (name, detail)


def test_schemas_of_all_features_are_found():
    names = {kind.__name__ for kind in SCHEMAS}
    assert {"RowsQuery", "SuggestQuery", "UploadQuery", "JobListQuery", "CardQuery"} <= names
    assert len(names) >= 18
