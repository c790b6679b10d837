"""Brands, models and trims are found by their beginning or a slip, the most listed first."""

import json
from pathlib import Path

import pytest

from api.suggestions.search import suggest_brands, suggest_models, suggest_trims
from api.suggestions.vocabulary import vocabulary

NAMES = {"dacia|logan": 2015, "nobody|thing 3": 2014, "bmw|other": 1, "kia|(rare)": 1}
TERMS = [
    {"name": "vehicle_x_word", "cells": {"audi|a3|sline": [18, 0.1], "audi|a3|s": [9, 0.1]}},
    {"name": "word", "cells": {"": [9, 0], "allure": [47, 0], "toutes": [99, 0], "gti": [50, 0]}},
]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    baseline = {"vehicle_years": NAMES, "terms": TERMS}
    (tmp_path / "encoder.json").write_text(json.dumps({"hedonic": baseline}))
    return tmp_path


def models(company: str, text: str, folder: Path | None = None, limit: int = 10) -> list[str]:
    return [one.value for one in suggest_models(folder, company, text, limit)]


def brands(text: str, folder: Path | None = None) -> list[str]:
    return [one.value for one in suggest_brands(folder, text, 10)]


def test_without_a_text_the_most_listed_come_first() -> None:
    assert brands("")[:3] == ["Volkswagen", "Renault", "Dacia"]
    assert models("Dacia", "")[:3] == ["Logan", "Sandero", "Duster"]
    assert models("", "")[0] == "Clio"


@pytest.mark.parametrize(
    ("company", "text", "first"),
    [
        ("Dacia", "sander", "Sandero"),
        ("Dacia", "sandreo", "Sandero"),
        ("dacai", "sandreo", "Sandero"),
        ("", "sandreo", "Sandero"),
        ("Reanult", "megan", "Mégane"),
        ("VW", "tigaun", "Tiguan"),
        ("", "golf 7", "Golf 7"),
        ("Peugeot", "20", "208"),
        ("", "كليو", "Clio"),
        ("داسيا", "ساندي", "Sandero"),
    ],
)
def test_a_beginning_or_a_slip_finds_the_model(company: str, text: str, first: str) -> None:
    assert models(company, text)[0] == first


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("reno", "Renault"),
        ("pegeot", "Peugeot"),
        ("vw", "Volkswagen"),
        ("mercdes", "Mercedes-Benz"),
    ],
)
def test_a_beginning_or_a_slip_finds_the_brand(text: str, first: str) -> None:
    assert brands(text)[0] == first


def test_what_begins_with_the_text_is_not_mixed_with_what_resembles_it() -> None:
    assert models("", "sand") == ["Sandero"]


def test_generations_are_suggested_only_to_who_types_a_number() -> None:
    assert not [one for one in models("Volkswagen", "golf") if one.endswith("7")]
    assert "Golf 7" in models("Volkswagen", "golf 7")


@pytest.mark.parametrize("text", ["x" * 60, "<script>", "\x00", "???", "zzzz"])
def test_what_resembles_nothing_finds_nothing(text: str) -> None:
    assert models("Dacia", text) in ([], models("Dacia", ""))
    assert models("Nobody at all", text) == []


def test_there_are_never_more_than_asked_for() -> None:
    assert len(models("", "", limit=4)) == 4


def test_names_that_only_the_training_data_have_are_suggested_too(version: Path) -> None:
    assert models("Nobody", "", version) == ["Thing 3"]
    assert "Nobody" in brands("nobo", version)
    assert not {"Other", "(Rare)"} & set(models("BMW", "", version) + models("Kia", "", version))
    logans = [one for one in vocabulary(version).models["dacia"] if one.value == "Logan"]
    assert len(logans) == 1, "each once"


def test_trims_of_the_model_come_before_those_of_all_and_words_of_sellers_never(
    version: Path,
) -> None:
    found = [one.value for one in suggest_trims(version, "Audi", "A3", "", 10)]
    assert found == ["Sline", "GTI", "Allure"]
    assert [one.value for one in suggest_trims(version, "Audi", "A3", "allu", 10)] == ["Allure"]
    assert suggest_trims(version, "", "", "zzzz", 10) == ()


@pytest.mark.parametrize("content", [None, "", "[]", '{"hedonic": null}', '{"hedonic": {}}'])
def test_without_readable_training_data_the_catalogue_remains(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "encoder.json").write_text(content)
    assert "208" in models("Peugeot", "20", tmp_path)
