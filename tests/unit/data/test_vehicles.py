"""A model is found however the seller wrote it."""

import pytest

from data.vehicles import VehicleIndex

VEHICLES = [
    ("bmw", "serie 3"),
    ("mercedes benz", "classe c"),
    ("volkswagen", "golf 4"),
    ("volkswagen", "golf 7"),
    ("citroen", "c4 picasso"),
    ("land rover", "range rover"),
    ("land rover", "range rover sport"),
    ("peugeot", "208"),
]
INDEX = VehicleIndex(VEHICLES, [2015, 2015, 2001, 2016, 2012, 2014, 2016, 2018])


@pytest.mark.parametrize(
    ("company", "model", "year", "found"),
    [
        ("bmw", "serie 3", 2015, ("bmw", "serie 3")),
        ("bmw", "3 series", 2015, ("bmw", "serie 3")),
        ("bmw", "320d", 2015, ("bmw", "serie 3")),
        ("bmw", "318 d", None, ("bmw", "serie 3")),
        ("mercedes benz", "c class", 2015, ("mercedes benz", "classe c")),
        ("mercedes benz", "c220", 2015, ("mercedes benz", "classe c")),
        ("mercedes benz", "mercedes benz classe c", 2015, ("mercedes benz", "classe c")),
        ("volkswagen", "golf", 1999, ("volkswagen", "golf 4")),
        ("volkswagen", "golf", 2019, ("volkswagen", "golf 7")),
        ("volkswagen", "golf7", 2019, ("volkswagen", "golf 7")),
        ("volkswagen", "golf 7 gtd", 2019, ("volkswagen", "golf 7")),
        ("citroen", "c4picasso", 2012, ("citroen", "c4 picasso")),
        ("land rover", "range rover sport hse", 2016, ("land rover", "range rover sport")),
        ("peugeot", "208 allure", 2018, ("peugeot", "208")),
    ],
)
def test_spellings(company: str, model: str, year: float | None, found: tuple[str, str]) -> None:
    assert VEHICLES[INDEX.code(company, model, year) - 1] == found


@pytest.mark.parametrize(
    ("company", "model"), [("bmw", "isetta"), ("dacia", "serie 3"), ("peugeot", "20"), ("", "")]
)
def test_what_is_not_known_has_code_zero(company: str, model: str) -> None:
    assert INDEX.code(company, model, 2015) == 0
