"""The catalogue has the names of the hand-written file and of the reference market."""

import json

from data.market.reference import ReferenceMarket
from scripts.build_vehicle_catalogue import (
    CATALOGUE,
    MARKET,
    MIN_LISTINGS,
    NAMES,
    add_counts,
    add_market,
    dump,
    present_counts,
    read_names_file,
)
from shared.domain.names import ARABIC_BRANDS, ARABIC_MODELS
from shared.domain.reading import Match
from shared.vehicles.catalogue import catalogue, compact
from shared.vehicles.names import read_names


def test_the_catalogue_is_built_from_the_names_file_and_the_market():
    content = read_names_file(NAMES.read_text(encoding="utf-8"))
    add_market(content, json.loads(MARKET.read_text())["hedonic"]["vehicle_years"])
    add_counts(content, present_counts())
    assert dump(content) == CATALOGUE.read_text(encoding="utf-8")


def test_names_of_the_reference_market_are_canonical():
    for vehicle in ReferenceMarket.load().hedonic.vehicle_years:
        company, model = vehicle.split("|")
        if model != "other":
            reading = read_names(company, model)
            assert (reading.company, reading.model, reading.match) == (company, model, Match.EXACT)


def test_numbers_of_listings_are_statistics_of_ten_or_more():
    for brand in catalogue().brands.values():
        for model in brand.models.values():
            assert model.listings == 0 or model.listings >= MIN_LISTINGS


def test_arabic_names_mean_known_names():
    for name in ARABIC_BRANDS.values():
        assert name in catalogue().brands
    for name in ARABIC_MODELS.values():
        assert compact(name) in catalogue().owners, name
