"""A vehicle is found by many spellings of its model."""

import pytest

from data.hedonic.model import split_vehicle
from data.hedonic.ordinal_encoder import VehicleIndex
from data.market.reference import ReferenceMarket

VEHICLES = [
    ("bmw", "serie 3"),
    ("mercedes benz", "classe c"),
    ("volkswagen", "golf 4"),
    ("volkswagen", "golf 7"),
    ("citroen", "c4 picasso"),
    ("land rover", "range rover"),
    ("land rover", "range rover sport"),
    ("peugeot", "208"),
    ("land rover", "range rover evoque"),
    ("ds automobiles", "ds3"),
    ("mercedes benz", "classe gle"),
    ("dacia", "logan"),
    ("hyundai", "tucson"),
    ("skoda", "karoq"),
]
INDEX = VehicleIndex(VEHICLES, [2015] * 2 + [2001, 2016, 2012, 2014, 2016, 2018] + [2015] * 6)


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
        ("land rover", "sport hse", 2016, ("land rover", "range rover sport")),
        ("land rover", "evoque", 2016, ("land rover", "range rover evoque")),
        ("land rover", "land rover evoque", 2016, ("land rover", "range rover evoque")),
        ("volkswagen", "golf vii r line", 2004, ("volkswagen", "golf 7")),
        ("bmw", "320d pack m", 2015, ("bmw", "serie 3")),
        ("mercedes benz", "c 220 avantgarde", 2015, ("mercedes benz", "classe c")),
        ("mercedes benz", "gle coupe", 2015, ("mercedes benz", "classe gle")),
        ("mercedes benz", "mercedes c220 d", 2015, ("mercedes benz", "classe c")),
        ("citroen", "ds 3", 2015, ("ds automobiles", "ds3")),
        ("renault", "logan", 2015, ("dacia", "logan")),
        ("hyundai", "tuscon", 2015, ("hyundai", "tucson")),
        ("hyundai", "tucsson gl", 2015, ("hyundai", "tucson")),
    ],
)
def test_spellings(company: str, model: str, year: float | None, found: tuple[str, str]) -> None:
    assert VEHICLES[INDEX.code(company, model, year) - 1] == found


@pytest.mark.parametrize(
    ("company", "model"),
    [
        ("bmw", "isetta"),
        ("bmw", "m3"),
        ("dacia", "serie 3"),
        ("peugeot", "20"),
        ("peugeot", "209"),
        ("skoda", "kamiq"),
        ("", ""),
    ],
)
def test_what_is_not_known_has_code_zero(company: str, model: str) -> None:
    assert INDEX.code(company, model, 2015) == 0


def test_numbered_models_are_no_generations_of_a_common_word() -> None:
    index = VehicleIndex(
        [("bmw", "serie 4"), ("bmw", "serie 6"), ("zil", "k 1")], [2016, 2012, 1999]
    )
    assert index.code("bmw", "serie", 2016) == 0
    assert index.code("bmw", "serie 6", 2016) == 2


def test_a_model_that_the_brand_itself_has_is_no_other_brands() -> None:
    index = VehicleIndex([("dacia", "duster"), ("renault", "duster")], [2015, 2015])
    assert index.code("renault", "duster", 2015) == 2


def test_a_known_name_without_statistics_is_not_taken_for_a_shorter_one() -> None:
    index = VehicleIndex([("citroen", "c3"), ("renault", "clio")], [2015, 2015])
    assert index.code("citroen", "c3 aircross", 2019) == 0
    assert index.code("renault", "clio 4", 2015) == 2, "a generation is the same model"


def test_vehicles_that_the_catalogue_does_not_know_are_found() -> None:
    vehicles = [("zastava", "koral"), ("zastava", "koral in"), ("dacia", "supernova")]
    index = VehicleIndex(vehicles, [1995, 1998, 2001])
    assert index.code("zastava", "koral", None) == 1
    assert index.code("zastava", "koral in l", None) == 2
    assert index.code("zastava", "koral 55", None) == 1
    assert index.code("dacia", "super nova", None) == 3
    assert index.code("dacia", "supernova rapsodie", None) == 3
    assert index.code("zastava", "skala", None) == 0


def test_vehicles_are_found_by_the_catalogues_name() -> None:
    index = VehicleIndex([("volkswagen", "new beetle"), ("dacia", "stepway")], [2005, 2015])
    assert index.code("volkswagen", "coccinelle", 2005) == 1
    assert index.code("dacia", "sandero", 2015) == 2


MARKET = [split_vehicle(vehicle) for vehicle in ReferenceMarket.load().hedonic.vehicle_years]


def test_every_vehicle_of_the_market_has_its_own_code() -> None:
    index = VehicleIndex(MARKET, [2015.0] * len(MARKET))
    assert [index.code(*pair, year=None) for pair in MARKET] == list(range(1, len(MARKET) + 1))
