"""A name that may be of two cars is never read as one of them with certainty."""

import pytest

from shared.domain.names import fold_name
from shared.domain.reading import Match, NameReading
from shared.vehicles.names import display_names, read_names


def read(company: str, model: str) -> NameReading:
    return read_names(fold_name(company), fold_name(model))


@pytest.mark.parametrize(
    ("company", "model", "cars"),
    [
        ("Audi", "A1 3", {"a1", "a3"}),
        ("BMW", "X3 1 xDrive", {"x3", "x1"}),
        ("Citroën", "C3 5", {"c3", "c5"}),
        ("Peugeot", "2008 e", {"2008", "e 2008"}),
        ("Citroën", "C3 e", {"c3", "e c3"}),
        ("Renault", "Megane E", {"megane", "megane e tech"}),
        ("Citroën", "C1 / 107", {"c1", "107"}),
        ("Toyota", "Aygo C1", {"aygo", "c1"}),
        ("Nissan", "Qashqai Note", {"qashqai", "note"}),
        ("Mini", "Clubman ou One", {"clubman", "one"}),
        ("Nissan", "Micra or Juke", {"micra", "juke"}),
        ("Toyota", "Yaris ou iQ", {"yaris", "iq"}),
        ("MG", "ZS or HS", {"zs", "hs"}),
        ("Peugeot", "206 207", {"206", "207"}),
        ("Peugeot", "307 308", {"307", "308"}),
    ],
)
def test_a_name_of_two_cars_is_ambiguous_and_suggests_both(
    company: str, model: str, cars: set[str]
) -> None:
    reading = read(company, model)
    assert reading.match is Match.AMBIGUOUS
    assert {each.model for each in reading.suggestions} == cars


@pytest.mark.parametrize(
    ("company", "model", "expected"),
    [
        ("Kia", "Soul e", "soul"),
        ("Ford", "Puma e Titanium", "puma"),
        ("Hyundai", "Kona II e", "kona"),
        ("Land Rover", "Discovery Sport e", "discovery sport"),
    ],
)
def test_an_e_behind_a_model_without_electric_version_is_not_ignored(
    company: str, model: str, expected: str
) -> None:
    reading = read(company, model)
    assert (reading.model, reading.match) == (expected, Match.AMBIGUOUS)
    assert [each.model for each in reading.suggestions] == [expected]


@pytest.mark.parametrize(
    ("company", "model", "expected"),
    [
        ("Nissan", "Juke e-Power", "juke"),
        ("Mazda", "CX-30 e-Skyactiv X", "cx 30"),
        ("Honda", "Jazz e:HEV", "jazz"),
        ("BMW", "520 e", "serie 5"),
        ("Audi", "A3 4 portes", "a3"),
        ("Audi", "A3 IV", "a3 4"),
        ("Audi", "A3 mk4", "a3 4"),
        ("Volkswagen", "Golf 6", "golf 6"),
        ("Peugeot", "208 2", "208 2"),
        ("Peugeot", "208 e-HDi 92", "208"),
        ("Citroën", "C3 e-HDi", "c3"),
        ("Citroën", "C4 1.6 e", "c4"),
        ("Peugeot", "e-2008", "e 2008"),
        ("Mini", "Cooper S", "cooper"),
        ("Nissan", "Note 1.5 dCi", "note"),
    ],
)
def test_words_of_versions_name_no_second_car(company: str, model: str, expected: str) -> None:
    reading = read(company, model)
    assert (reading.model, reading.match is Match.AMBIGUOUS) == (expected, False)


@pytest.mark.parametrize(
    ("company", "model", "shown"),
    [
        ("Renault", "CLIO OU 208", "Clio ou 208"),
        ("Honda", "cr-v hr-v", "CR-V HR-V"),
        ("BMW", "x3 or x5", "X3 or X5"),
        ("Kia", "ceed something", "Ceed Something"),
    ],
)
def test_an_ambiguous_name_is_shown_as_makers_write_its_parts(
    company: str, model: str, shown: str
) -> None:
    reading = read(company, model)
    if reading.match is Match.AMBIGUOUS or " " in reading.model:
        assert display_names(reading.company, reading.model)[1] == shown
