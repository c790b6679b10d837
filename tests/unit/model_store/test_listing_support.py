"""Cars that the listings of their model do not cover are found, and their intervals are wider."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from data.hedonic.ordinal_encoder import NUMBERS
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from data.vehicles.columns import CategoricalColumn, CategoryTable, Column
from model_store.pricing import listing_support
from model_store.pricing.feature_matrix import BASELINE, COMPLETE, CarEncoder
from model_store.pricing.inference import LoadedModel
from model_store.pricing.listing_support import ListingSupport, noted_fields
from model_store.pricing.reasons import DetailEffects, unpriced_fields
from model_store.pricing.usual_cars import UsualCars, UsualStatistics
from model_store.training.usual_statistics import usual_statistics
from shared.domain.car import (
    FIELD_NAMES,
    CarFeatures,
    Condition,
    Fuel,
    Origin,
    Owner,
    SellerType,
    Transmission,
)
from shared.domain.files.notes import MODEL_NOTES
from shared.domain.valuation import EXTRAPOLATED, NO_EFFECT, UNSEEN_IN_MODEL
from tests.unit.model_store import small_models

MARKET = ReferenceMarket.load()
LOGAN = CarFeatures(
    company="dacia", model="logan", year=2015, fuel=Fuel.DIESEL, transmission=Transmission.MANUAL,
    km_driven=150_000, fiscal_power_cv=6,
)  # fmt: skip
NO_STATISTICS = UsualStatistics(
    kinds={}, powers={}, km_by_age=(), km_by_vehicle={}, km_by_kind={}, km_spread=()
)


def log_widths(model: LoadedModel, car: CarFeatures) -> np.ndarray:
    """Distances of the quantiles from the price, log scale."""
    found = model.estimate([car])[0]
    return np.log(np.array(found.quantiles_mad) / found.price_mad)


def uncovered_widths(
    model: LoadedModel, car: CarFeatures, monkeypatch: pytest.MonkeyPatch
) -> np.ndarray:
    """The same without the factors."""
    with monkeypatch.context() as patch:
        patch.setattr(listing_support, "EXTRAPOLATION_FACTOR", 1.0)
        patch.setattr(listing_support, "UNSEEN_FACTOR", 1.0)
        return log_widths(model, car)


@pytest.mark.parametrize("year", [2005, 2013, 2014, 2016, 2017, 2026])
def test_a_year_without_listings_of_the_model_near_it_is_extrapolated(
    model: LoadedModel, year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All listings of the Logan are of 2015: a new one is valued, but twice as uncertainly."""
    car = dataclasses.replace(LOGAN, year=year, km_driven=max(5_000, 15_000 * (2026 - year)))
    (found,) = model.estimate([car])
    is_near = abs(year - 2015) <= 1
    assert found.extrapolated == (() if is_near else ("year",))
    factor = 1.0 if is_near else 2.0
    plain = uncovered_widths(model, car, monkeypatch)
    assert log_widths(model, car) == pytest.approx(factor * plain, abs=1e-6)
    assert np.ptp(plain) > 0


@pytest.mark.parametrize("year", [2022, 2023, 2026, 2027])
def test_prices_of_new_cars_cover_years_as_listings_do(
    model: LoadedModel, year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = dataclasses.replace(model.usual, new_car_years={"dacia|logan": 2023})
    anchored = dataclasses.replace(model, usual=usual)
    car = dataclasses.replace(LOGAN, year=year, km_driven=15_000)
    is_covered = year >= 2023
    (found,) = anchored.estimate([car])
    assert found.extrapolated == (() if is_covered else ("year",))
    assert found.can_judge == is_covered
    plain = uncovered_widths(anchored, car, monkeypatch)
    assert log_widths(anchored, car) == pytest.approx((1 if is_covered else 2) * plain, abs=1e-6)
    other = dataclasses.replace(car, company="renault", model="clio")
    assert anchored.estimate([other]) == model.estimate([other])


def test_a_car_without_mileage_is_as_uncertain_and_keeps_its_price(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each car that it may be is twice as uncertain; which of them it is, is not."""
    car = dataclasses.replace(LOGAN, year=2005, km_driven=None)
    beside = [LOGAN, dataclasses.replace(LOGAN, km_driven=None), car]
    (found,) = model.estimate([car])
    together = model.estimate(beside)
    assert together[2] == found
    plain = uncovered_widths(model, car, monkeypatch)
    wide = log_widths(model, car)
    assert (np.abs(wide) > np.abs(plain))[[0, 1, 2, -3, -2, -1]].all()
    assert np.ptp(plain) * 1.3 < np.ptp(wide) < np.ptp(plain) * 2.0
    with monkeypatch.context() as patch:
        patch.setattr(listing_support, "EXTRAPOLATION_FACTOR", 1.0)
        before = model.estimate(beside)
    assert [each.price_mad for each in before] == [each.price_mad for each in together]
    assert before[:2] == together[:2]


def test_a_mileage_far_above_that_of_the_model_at_this_age_is_extrapolated(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = model._support.encoder.encode([LOGAN])
    assert limit.level.tolist() == [COMPLETE]
    usual = 5_000 + 15_000 * (2026 - 2015)
    factor = math.exp(3 * 0.4)
    for km_driven, expected in (
        (0.99 * factor * usual, ()),
        (1.01 * factor * usual, ("km_driven",)),
    ):
        car = dataclasses.replace(LOGAN, km_driven=round(km_driven))
        (found,) = model.estimate([car])
        assert found.extrapolated == expected
        plain = uncovered_widths(model, car, monkeypatch)
        assert log_widths(model, car) == pytest.approx((2 if expected else 1) * plain, abs=1e-6)


def test_a_number_outside_the_training_range_is_named(model: LoadedModel) -> None:
    """Its interval was twice as wide without a word."""
    encoder = dataclasses.replace(model.encoder, ranges={"fiscal_power_cv": (4.0, 20.0)})
    ranged = dataclasses.replace(model, encoder=encoder)
    strong = dataclasses.replace(LOGAN, fiscal_power_cv=40)
    assert ranged.estimate([strong])[0].extrapolated == ("fiscal_power_cv",)
    assert ranged.estimate([LOGAN])[0].extrapolated == ()


def test_an_unknown_model_has_the_warning_about_the_model_only(model: LoadedModel) -> None:
    stranger = dataclasses.replace(LOGAN, model="nothing", year=2026)
    (found,) = model.estimate([stranger])
    assert (found.model_known, found.extrapolated, found.unseen) == (False, (), ())


def test_a_version_without_counts_by_year_warns_of_no_year(model: LoadedModel) -> None:
    stored = dataclasses.replace(model, usual=dataclasses.replace(model.usual, kinds={}))
    new = dataclasses.replace(LOGAN, year=2026, km_driven=None)
    assert model.estimate([new])[0].extrapolated == ("year",)
    assert stored.estimate([new])[0].extrapolated == ()


def test_a_fuel_that_the_listings_of_a_model_lack_is_found() -> None:
    """A Picanto with LPG was dearer than one with petrol, and nothing was said of it."""
    encoder = CarEncoder(MARKET.hedonic, ("fuel", "transmission", BASELINE))
    fuels = (Fuel.PETROL, Fuel.LPG, Fuel.CNG, Fuel.ELECTRIC, None)
    cars = [CarFeatures(company="kia", model="picanto", year=2016, fuel=fuel) for fuel in fuels]
    usual = UsualCars(NO_STATISTICS, encoder.ordinal_encoder, 2026)
    support = ListingSupport.of(NO_STATISTICS, usual, encoder)
    level = np.zeros(len(cars), dtype=np.int8)
    notes = support.notes(encoder.code(cars), level)
    assert [noted_fields(each, UNSEEN_IN_MODEL) for each in notes.tolist()] == [
        (), ("fuel",), ("fuel",), ("fuel",), (),
    ]  # fmt: skip
    factors = support.factors(notes, level)
    assert factors is not None
    assert factors.tolist() == [1.0, 1.5, 1.5, 1.5, 1.0]


def test_generated_listings_count_as_those_that_they_are_drawn_from() -> None:
    """The default model draws thousands: a model of sixteen listings has sixteen."""
    encoder = CarEncoder(MARKET.hedonic, (BASELINE,))
    drawn = {"2005": 400.0, "2006": 400.0, "2011": 150.0, "2015": 50.0}
    many = UsualStatistics(
        **{**NO_STATISTICS.to_json(), "kinds": {"ssangyong|rexton": {"Diesel|Manual": drawn}}}
    )
    usual = UsualCars(many, encoder.ordinal_encoder, 2026)
    support = ListingSupport.of(many, usual, encoder)
    years = [2005, 2011, 2015, 2020]
    cars = [CarFeatures(company="ssangyong", model="rexton", year=year) for year in years]
    notes = support.notes(encoder.code(cars), np.zeros(4, dtype=np.int8)).tolist()
    assert [noted_fields(each, EXTRAPOLATED) for each in notes] == [
        (), ("year",), ("year",), ("year",),
    ]  # fmt: skip


def test_the_covered_years_that_a_version_states_count_not_its_drawn_listings() -> None:
    """The note was untrue for cars with real listings, and missing where only drawn ones are."""
    encoder = CarEncoder(MARKET.hedonic, (BASELINE,))
    drawn = UsualStatistics(
        **{
            **NO_STATISTICS.to_json(),
            "kinds": {"ssangyong|rexton": {"Diesel|Manual": {"2005": 9.0, "2006": 9.0}}},
            "listed_years": {"ssangyong|rexton": [[1999, 2000], [2015, 2015]]},
            "new_car_years": {"ssangyong|rexton": 2025},
        }
    )
    usual = UsualCars(drawn, encoder.ordinal_encoder, 2026)
    years = range(1998, 2027)
    for knows_years in (True, False):
        support = ListingSupport.of(drawn, usual, encoder, knows_years=knows_years)
        cars = [CarFeatures(company="ssangyong", model="rexton", year=year) for year in years]
        notes = support.notes(encoder.code(cars), np.zeros(len(cars), dtype=np.int8)).tolist()
        covered = [
            y for y, note in zip(years, notes, strict=True) if not noted_fields(note, EXTRAPOLATED)
        ]
        assert covered == [1999, 2000, 2015, 2025, 2026]


def test_the_default_model_warns_where_no_real_listing_of_the_model_is_near() -> None:
    """Three or more listings are near a Golf 7 of 2022; none is near a Passat of 2024."""
    price_model = MARKET.price_model
    encoder = CarEncoder(price_model, (BASELINE,))
    drawn = generate(MARKET, 500, seed=1)
    statistics = usual_statistics(drawn, price_model, MARKET)
    usual = UsualCars(statistics, encoder.ordinal_encoder, 2026)
    support = ListingSupport.of(statistics, usual, encoder)
    named = [("volkswagen", "golf 7", 2022), ("mercedes benz", "classe cla", 2024),
             ("volkswagen", "passat", 2024), ("ssangyong", "rexton", 2024)]  # fmt: skip
    cars = [CarFeatures(company=one, model=two, year=year) for one, two, year in named]
    notes = support.notes(encoder.code(cars), np.zeros(len(cars), dtype=np.int8)).tolist()
    assert [noted_fields(each, EXTRAPOLATED) for each in notes] == [(), (), ("year",), ("year",)]


def test_listings_of_its_generations_cover_a_model() -> None:
    """A "golf" of 2022, or with a petrol engine, was warned of beside many listings of "golf 8"."""
    encoder = CarEncoder(MARKET.hedonic, ("fuel", "transmission", BASELINE))
    listed = {"volkswagen|golf": [[2012, 2013]], "volkswagen|golf 8": [[2021, 2022]]}
    counts = {"volkswagen|golf 8": {"Petrol|Automatic": {"2021": 9.0}}}
    stated = UsualStatistics(**{**NO_STATISTICS.to_json(), "listed_years": listed})
    counted = UsualStatistics(**{**NO_STATISTICS.to_json(), "kinds": counts})
    usual = UsualCars(NO_STATISTICS, encoder.ordinal_encoder, 2026)
    fuels = (None, Fuel.PETROL, Fuel.LPG)

    def notes(statistics: UsualStatistics, model: str, year: int) -> list[tuple[str, ...]]:
        cars = [CarFeatures(company="volkswagen", model=model, year=year, fuel=f) for f in fuels]
        support = ListingSupport.of(statistics, usual, encoder)
        found = support.notes(encoder.code(cars), np.zeros(len(cars), dtype=np.int8)).tolist()
        return [noted_fields(e, EXTRAPOLATED) + noted_fields(e, UNSEEN_IN_MODEL) for e in found]

    for model in ("golf", "golf 8"):
        assert notes(stated, model, 2022) == [(), (), ("fuel",)]
        assert notes(counted, model, 2022) == [(), (), ("fuel",)]
    assert notes(stated, "golf", 2013)[0] == ()
    assert notes(stated, "golf 8", 2013)[0] == ("year",), "not the other way round"
    assert notes(stated, "golf", 2017)[0] == ("year",)
    assert notes(stated, "golf 7", 2022)[0] == ("year",), "nor by another generation"


def detailed_cars() -> list[CarFeatures]:
    """Cars with known, unknown and missing values of every detail."""
    details = itertools.product(
        (None, "1.5 dci laureate", "zzz", "sport"), (None, "casablanca", "nowhere"),
        (None, Owner.FIRST),
        (None, Condition.FOR_PARTS, Condition.GOOD), (None, Origin.WW_MOROCCO),
        (None, SellerType.DEALER), (None, 1600.0),
    )  # fmt: skip
    names = ("edition", "city", "owner", "condition", "origin", "seller_type", "engine_cc")
    return [
        dataclasses.replace(LOGAN, **dict(zip(names, each, strict=True))) for each in details
    ] + [dataclasses.replace(LOGAN, company="nobody", model="knows", city="nowhere")]


def as_categories(values: list[object]) -> Column:
    table = list(dict.fromkeys(values))
    codes = np.array([table.index(value) for value in values], dtype=np.int64)
    return CategoricalColumn(CategoryTable(table), codes)


@pytest.mark.parametrize("features", [("condition", BASELINE), ("seller_type", "owner", BASELINE)])
@pytest.mark.parametrize(
    "masked", [("owner", "seller_type", "condition", "origin"), ("condition",)]
)
def test_columns_have_the_notes_of_single_cars(
    features: tuple[str, ...], masked: tuple[str, ...]
) -> None:
    encoder = CarEncoder(MARKET.hedonic, features, masked_fields=masked)
    cars = detailed_cars()
    coded = encoder.code(cars).cars
    effects = DetailEffects(encoder)
    lists: dict[str, Column] = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    arrays = {
        name: column if name in NUMBERS else as_categories(list(column))
        for name, column in lists.items()
    }
    expected = [
        set(
            unpriced_fields(
                car, coded, row,
                numeric_effects=encoder.numeric_effects, unmasked=encoder.unmasked_fields,
            )
        )
        for row, car in enumerate(cars)
    ]  # fmt: skip
    assert {"edition", "city"} < set.union(*expected)
    for columns in (lists, arrays):
        notes = effects.notes(columns, coded).tolist()
        found = [
            {name for name in effects.without_effect if getattr(car, name) is not None}
            | set(noted_fields(each, NO_EFFECT))
            | ({"company"} if each & 1 else set())
            for car, each in zip(cars, notes, strict=True)
        ]
        assert found == expected
    assert MODEL_NOTES[0].field == "company"


def test_every_estimate_has_the_notes_of_its_columns(model: LoadedModel) -> None:
    cars = [*small_models.random_cars(60, seed=5), dataclasses.replace(LOGAN, fuel=Fuel.ELECTRIC)]
    columns = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    table = model.estimate_columns(columns, len(cars))
    estimates = model.estimate(cars)
    assert [noted_fields(each, EXTRAPOLATED) for each in table.notes.tolist()] == [
        each.extrapolated for each in estimates
    ]
    assert any(each.extrapolated for each in estimates)
    assert not all(each.extrapolated for each in estimates)
