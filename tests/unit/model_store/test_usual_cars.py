"""What is usual for a car is measured from the training listings; mixtures have exact quantiles."""

import dataclasses
import functools
import json
import operator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.hedonic.fit import fit_hedonic
from data.hedonic.model import FIRST_YEAR, SPEC, HedonicModel, Term
from data.hedonic.ordinal_encoder import NUMBERS
from data.hedonic.terms import TERMS
from data.listings.table import listing_table
from data.market.kind_trend import kind_ratios, measure_kind_trend
from data.market.reference import ReferenceMarket
from model_store.pricing.feature_matrix import BASELINE, CarEncoder
from model_store.pricing.scenarios import ScenarioExpander, mixed_quantiles
from model_store.pricing.usual_approximation import approximate_statistics
from model_store.pricing.usual_cars import KINDS, UsualCars, UsualStatistics, row_sums
from model_store.training.rising_kinds import with_kept_kinds
from model_store.training.usual_statistics import usual_statistics
from shared.domain.car import CarFeatures, Fuel, Transmission
from shared.domain.valuation import QUANTILE_LEVELS

LEVELS = np.array(QUANTILE_LEVELS)
ROWS = 4_000


def listings() -> pd.DataFrame:
    """Clios turn from manual diesels to automatic petrol cars, which are driven less."""
    rng = np.random.default_rng(5)
    x5 = rng.random(ROWS) < 0.3
    year = rng.integers(2008, 2024, ROWS)
    new = rng.random(ROWS) < (year - 2006) / 20
    kind = np.where(x5, "Diesel|Automatic", np.where(new, "Petrol|Automatic", "Diesel|Manual"))
    pace = np.where(x5, 20_000, np.where(new, 8_000, 12_000)) * np.exp(
        rng.normal(scale=0.3, size=ROWS)
    )
    fuel, gearbox = zip(*(name.split("|") for name in kind), strict=True)
    return listing_table(
        {
            "company": np.where(x5, "bmw", "renault").tolist(),
            "model": np.where(x5, "x5", "clio").tolist(),
            "year": year.tolist(),
            "fuel": list(fuel),
            "transmission": list(gearbox),
            "km_driven": (pace * (2025 - year)).round().tolist(),
            "fiscal_power_cv": np.where(new, 5, 6).tolist(),
            "price_mad": np.exp(11 + x5 + 0.08 * (year - 2015)).tolist(),
            "listing_date": ["2025-03"] * ROWS,
        }
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return listings()


@pytest.fixture(scope="module")
def hedonic(table: pd.DataFrame) -> HedonicModel:
    return fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model


@pytest.fixture(scope="module")
def statistics(table: pd.DataFrame, hedonic: HedonicModel) -> UsualStatistics:
    return usual_statistics(table, hedonic)


def test_kinds_are_counted_by_vehicle_and_year(
    table: pd.DataFrame, statistics: UsualStatistics
) -> None:
    assert set(statistics.kinds) == {"renault|clio", "bmw|x5"}
    assert set(statistics.kinds["renault|clio"]) == {"Diesel|Manual", "Petrol|Automatic"}
    expected = table.query("model == 'clio' and year == 2015 and fuel == 'Petrol'")
    assert statistics.kinds["renault|clio"]["Petrol|Automatic"]["2015"] == len(expected)
    expected = table.query("model == 'clio' and fuel == 'Petrol'")
    assert statistics.powers["renault|clio"]["Petrol|Automatic"] == {"5": len(expected)}


def test_years_are_covered_by_the_rows_or_by_those_of_the_market(
    table: pd.DataFrame, hedonic: HedonicModel, statistics: UsualStatistics
) -> None:
    """Generated listings have smoothed years: the market states those of the real ones."""
    assert statistics.listed_years == {"bmw|x5": [[2007, 2024]], "renault|clio": [[2007, 2024]]}
    two = table[(table["model"] == "x5") & (table["year"] == 2010)].head(2)
    older = pd.concat([table[table["model"] == "clio"], two], ignore_index=True)
    assert set(usual_statistics(older, hedonic).listed_years or {}) == {"renault|clio"}
    suspect = table.assign(price_suspect=table["model"] == "x5")
    assert set(usual_statistics(suspect, hedonic).listed_years or {}) == {"renault|clio"}
    market = ReferenceMarket.load()
    drawn = usual_statistics(table, hedonic, market)
    assert drawn.listed_years == market.cars.listed_years
    cars = dataclasses.replace(market.cars, listed_years={})
    earlier = dataclasses.replace(market, cars=cars)
    assert usual_statistics(table, hedonic, earlier).listed_years is None


@pytest.mark.parametrize("listed", [1, 3, 9])
def test_a_kind_that_few_listings_of_a_model_lack_has_a_small_share(
    hedonic: HedonicModel, listed: int
) -> None:
    """Models with few listings had mostly the kinds of their brand."""
    encoder = CarEncoder(hedonic, (BASELINE,))
    kinds = {
        "renault|": {"Diesel|Manual": {"2018": 500.0}},
        "renault|clio": {"Hybrid|Automatic": {"2018": float(listed)}},
    }
    empty = {"km_by_age": (), "km_by_vehicle": {}, "km_by_kind": {}, "km_spread": ()}
    found = {}
    for known in ({}, None):
        statistics = UsualStatistics(kinds=kinds, powers={}, known_kinds=known, **empty)
        usual = UsualCars(statistics, encoder.ordinal_encoder, 2026)
        code = encoder.ordinal_encoder.vehicle_code("renault", "clio", None)
        place = KINDS.index(("Diesel", "Manual"))
        found[known is None] = usual.shares_by_year[code, 2018 - FIRST_YEAR, place]
    assert 0.0 < found[False] < 1.0 / (1 + listed)
    assert found[True] > 1.5 * found[False], "versions of schema 6 keep their shares"


def test_usual_kilometres_are_measured_by_age_and_vehicle(statistics: UsualStatistics) -> None:
    clio, x5 = (statistics.km_by_vehicle[name] for name in ("renault|clio", "bmw|x5"))
    assert np.exp(x5 - clio) == pytest.approx(2.0, rel=0.15)
    for age in (3, 8, 15):
        assert statistics.km_by_age[age] * np.exp(clio) == pytest.approx(10_000 * age, rel=0.2)
    diesel, petrol = (statistics.km_by_kind[name] for name in ("Diesel|Manual", "Petrol|Automatic"))
    assert np.exp(diesel - petrol) == pytest.approx(1.5, rel=0.1)
    for low, high in statistics.km_spread:
        assert high - low == pytest.approx(0.6, abs=0.12)


def test_a_rare_model_counts_for_its_brand_and_a_rare_brand_for_the_market(
    table: pd.DataFrame, hedonic: HedonicModel
) -> None:
    rare = pd.concat(
        [table.head(1).assign(company=company, model="rare") for company in ("renault", "other")]
    )
    counted = usual_statistics(pd.concat([table, rare], ignore_index=True), hedonic).kinds
    assert {"renault|", "|"} <= set(counted)


def test_scenarios_are_coded_as_the_complete_cars_that_they_are(
    statistics: UsualStatistics, hedonic: HedonicModel
) -> None:
    features = (*NUMBERS, "fuel", "transmission", "effect_fuel", "effect_transmission", BASELINE)
    encoder = CarEncoder(hedonic, features)
    expander = ScenarioExpander.of(statistics, encoder, 2025)
    car = CarFeatures(company="renault", model="clio", year=2016, fiscal_power_cv=6)
    for names in ({}, {"fuel": Fuel.DIESEL}, {"km_driven": 90_000, "fiscal_power_cv": None}):
        lacking = dataclasses.replace(car, **names)
        codes = encoder.code([lacking])
        complete = [one for one, _ in expander.cars(lacking, codes)]
        assert len(complete) > 1
        expected = encoder.encode(complete)
        found = encoder.encode_codes(expander.expand_all(codes).features)
        # The kilometres of a complete car are whole.
        np.testing.assert_allclose(found.matrix, expected.matrix, rtol=1e-4)
        np.testing.assert_allclose(found.baseline_log, expected.baseline_log, rtol=1e-6)


def test_the_mean_of_scenarios_is_weighted_by_their_shares(
    statistics: UsualStatistics, hedonic: HedonicModel
) -> None:
    encoder = CarEncoder(hedonic, (BASELINE,))
    car = CarFeatures(company="renault", model="clio", year=2012, km_driven=100_000)
    expander = ScenarioExpander.of(statistics, encoder, 2025)
    scenarios = expander.expand_all(encoder.code([car]))
    assert len(scenarios.weights) == 2
    values = np.array([[1.0, 5.0], [2.0, 9.0]])
    assert scenarios.mean(values) == pytest.approx((scenarios.weights @ values).tolist())
    assert abs(scenarios.weights[0] - scenarios.weights[1]) > 0.1


def test_statistics_survive_json(statistics: UsualStatistics) -> None:
    again = json.loads(json.dumps(statistics.to_json()))
    assert UsualStatistics.from_json(again) == statistics


def test_listings_without_the_fields_have_no_usual_values(
    table: pd.DataFrame, hedonic: HedonicModel
) -> None:
    bare = table.assign(fuel=None, transmission=None, km_driven=np.nan)
    found = usual_statistics(bare, hedonic)
    assert (found.kinds, found.powers, found.km_by_age) == ({}, {}, ())


def test_an_old_version_shows_the_kinds_of_its_listings(table: pd.DataFrame) -> None:
    keys = (SPEC, "fiscal_power_cv")
    of_that_release = Term(name="spec_x_power", field="fiscal_power_cv", keys=keys, penalty=6.0)
    log_price = np.log(table["price_mad"].to_numpy())
    found = approximate_statistics(fit_hedonic(table, log_price, (*TERMS, of_that_release)).model)
    assert set(found.kinds["bmw|x5"]) == {"Diesel|Automatic"}
    assert sum(found.kinds["bmw|x5"]["Diesel|Automatic"].values()) == (table["model"] == "x5").sum()
    assert set(found.powers["renault|clio"]["Petrol|Automatic"]) == {"5"}
    assert len(found.km_by_age) == 31


def test_the_trend_of_the_kinds_is_measured_and_given_back_to_listings_that_lack_it(
    table: pd.DataFrame, hedonic: HedonicModel
) -> None:
    trend = measure_kind_trend(table)
    ratios = [ratio for _, ratio in trend["Petrol|Automatic"].values()]
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.7
    assert ratios[-1] > 1.3
    assert min(count for cells in trend.values() for count, _ in cells.values()) >= 10
    # Shuffled years do not depend on the kind.
    shuffled = table.assign(year=np.random.default_rng(1).permutation(table["year"]))
    market = dataclasses.replace(ReferenceMarket.load(), kind_trend=trend, kinds={})
    found = usual_statistics(shuffled, hedonic, market).kinds["renault|clio"]
    share = {
        year: found["Petrol|Automatic"][year]
        / (found["Petrol|Automatic"][year] + found["Diesel|Manual"][year])
        for year in ("2008", "2023")
    }
    assert share["2008"] < 0.3
    assert share["2023"] > 0.6


def test_a_band_without_enough_listings_has_the_ratio_of_the_nearest() -> None:
    trend = {"Hybrid|Automatic": {"2016": [40, 0.5], "2022": [60, 2.0]}}
    kind = pd.Series(["Hybrid|Automatic"] * 4 + ["LPG|Manual", None])
    year = pd.Series([1995.0, 2017.0, 2019.0, 2025.0, 2019.0, 2019.0])
    assert kind_ratios(trend, kind, year).tolist() == [0.5, 0.5, 0.5, 2.0, 1.0, 1.0]


def kind_shares(
    statistics: UsualStatistics, hedonic: HedonicModel, car: CarFeatures
) -> dict[tuple[Fuel | None, Transmission | None], float]:
    encoder = CarEncoder(hedonic, (BASELINE,))
    expander = ScenarioExpander.of(statistics, encoder, 2025)
    shares: dict[tuple[Fuel | None, Transmission | None], float] = {}
    for one, share in expander.cars(car, encoder.code([car])):
        kind = (one.fuel, one.transmission)
        shares[kind] = shares.get(kind, 0.0) + share
    return shares


def test_a_kind_that_no_listing_of_a_model_has_has_no_share(
    table: pd.DataFrame, hedonic: HedonicModel
) -> None:
    """The X5 is a diesel in every listing, however many of its brand's are not."""
    series = table.assign(company="bmw", model="serie 3", fuel="Petrol", transmission="Manual")
    x5 = table[table["model"] == "x5"].head(12)
    few = pd.concat([series, x5], ignore_index=True)
    car = CarFeatures(company="bmw", model="x5", year=2022)
    diesel = (Fuel.DIESEL, Transmission.AUTOMATIC)
    assert kind_shares(usual_statistics(few, hedonic), hedonic, car) == {diesel: 1.0}
    fewer = pd.concat([series, x5.head(5)], ignore_index=True)
    shares = kind_shares(usual_statistics(fewer, hedonic), hedonic, car)
    assert shares[diesel] < 0.9, "five listings do not tell that there is no other kind"


def test_a_stated_gearbox_that_no_listing_has_leaves_the_fuel_as_it_is_usual(
    statistics: UsualStatistics, hedonic: HedonicModel
) -> None:
    manual = CarFeatures(
        company="bmw", model="x5", year=2015, transmission=Transmission.MANUAL, km_driven=90_000
    )
    expected = {(Fuel.DIESEL, Transmission.MANUAL): 1.0}
    assert kind_shares(statistics, hedonic, manual) == expected
    petrol = dataclasses.replace(manual, transmission=None, fuel=Fuel.PETROL)
    expected = {(Fuel.PETROL, Transmission.AUTOMATIC): 1.0}
    assert kind_shares(statistics, hedonic, petrol) == expected
    both = dataclasses.replace(manual, fuel=Fuel.PETROL, km_driven=None)
    assert set(kind_shares(statistics, hedonic, both)) == {(Fuel.PETROL, Transmission.MANUAL)}


def test_a_newer_car_is_hardly_cheaper_because_its_usual_kind_is_a_cheaper_one(
    table: pd.DataFrame,
) -> None:
    """Old Clios are dear diesels, new ones cheap petrol cars, and hardly count as diesels."""
    years, prices, shares = range(2008, 2024), {}, {}
    dear = np.log(table["price_mad"].to_numpy()) + 0.6 * (table["fuel"] == "Diesel").to_numpy()
    model = fit_hedonic(table, dear, TERMS).model
    encoder = CarEncoder(model, (BASELINE,))
    statistics = usual_statistics(table, model)
    for label, each in (
        ("usual", statistics), ("kept", with_kept_kinds(statistics, encoder, 2025))
    ):  # fmt: skip
        cars = [CarFeatures(company="renault", model="clio", year=year) for year in years]
        expander = ScenarioExpander.of(each, encoder, 2025)
        found = expander.expand_all(encoder.code(cars))
        log_price = encoder.encode_codes(found.features).baseline_log
        quantiles = log_price[:, None] + 0.07 * np.log(LEVELS / (1.0 - LEVELS))
        prices[label] = found.mix(quantiles)[:, 4]
        shares[label] = expander.usual.shares_by_year
    falls = {label: np.diff(each).min() for label, each in prices.items()}
    assert falls["usual"] < -0.07
    assert falls["kept"] > 0.6 * falls["usual"]
    moved = np.abs(shares["kept"] - shares["usual"]).sum(axis=2) / 2.0
    assert 0.01 < moved.max() < 0.1 + 1e-6


def test_cars_keep_their_kind_where_it_really_becomes_a_cheaper_one(table: pd.DataFrame) -> None:
    """All Clios from 2016 on are petrol cars: none is priced as a diesel of 2015."""
    is_diesel = (table["year"] < 2016) | (table["model"] == "x5")
    turned = table.assign(fuel=np.where(is_diesel, "Diesel", "Petrol"), transmission="Manual")
    dear = np.log(table["price_mad"].to_numpy()) + 0.6 * is_diesel.to_numpy()
    model = fit_hedonic(turned, dear, TERMS).model
    encoder = CarEncoder(model, (BASELINE,))
    statistics = usual_statistics(turned, model)
    kept = with_kept_kinds(statistics, encoder, 2025)
    assert kept.kept_kinds["renault|clio"]
    clio = encoder.ordinal_encoder.vehicle_code("renault", "clio", None)
    usual, found = (
        UsualCars(each, encoder.ordinal_encoder, 2025).shares_by_year[clio]
        for each in (statistics, kept)
    )
    petrol = KINDS.index((Fuel.PETROL, Transmission.MANUAL))
    assert found[2018 - FIRST_YEAR, petrol] > 0.85
    assert np.abs(found - usual).sum(axis=1).max() / 2.0 < 0.1 + 1e-6


def test_versions_of_earlier_releases_keep_their_shares(
    statistics: UsualStatistics, hedonic: HedonicModel
) -> None:
    """Their self-test compares prices: the brand's kinds count, and kilometres tell the kind."""
    stored = json.loads(json.dumps(statistics.to_json()))
    del stored["known_kinds"], stored["kept_kinds"]
    earlier = UsualStatistics.from_json(stored)
    assert earlier.known_kinds is None
    car = CarFeatures(company="renault", model="clio", year=2016, km_driven=130_000)
    diesel = (Fuel.DIESEL, Transmission.MANUAL)
    few = dataclasses.replace(car, km_driven=60_000)
    assert (
        kind_shares(earlier, hedonic, car)[diesel]
        > 1.2 * kind_shares(earlier, hedonic, few)[diesel]
    )
    assert kind_shares(statistics, hedonic, car) == kind_shares(statistics, hedonic, few)


log_prices = st.lists(st.floats(0.0, 0.3), min_size=9, max_size=9).map(
    lambda steps: 11.0 + np.cumsum(steps)
)


@given(st.lists(st.tuples(log_prices, st.floats(0.05, 1.0)), min_size=2, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_quantiles_of_a_mixture_have_their_levels(
    scenarios: list[tuple[np.ndarray, float]],
) -> None:
    quantiles = np.array([row for row, _ in scenarios])
    weights = np.array([weight for _, weight in scenarios])
    weights /= weights.sum()
    (mixed,) = mixed_quantiles(quantiles, weights, np.array([0, len(weights)]))
    assert (np.diff(mixed) >= 0).all()
    assert (mixed >= quantiles.min(axis=0)).all()
    assert (mixed <= quantiles.max(axis=0)).all()
    odds = np.log(LEVELS / (1 - LEVELS))
    for price, level in zip(mixed, LEVELS, strict=True):
        # The level jumps where two quantiles are equal.
        below, above = (_level(quantiles, weights, odds, price + step) for step in (-1e-4, 1e-4))
        assert below - 1e-6 <= level <= above + 1e-6


def _level(quantiles: np.ndarray, weights: np.ndarray, odds: np.ndarray, price: float) -> float:
    """Share of the mixture below a log price, scenario by scenario."""
    total = 0.0
    for row, weight in zip(quantiles, weights, strict=True):
        part = int(np.clip(np.searchsorted(row, price) - 1, 0, len(row) - 2))
        slope = (odds[part + 1] - odds[part]) / max(row[part + 1] - row[part], 1e-9)
        total += weight / (
            1.0 + np.exp(-np.clip(odds[part] + (price - row[part]) * slope, -60, 60))
        )
    return total


def test_a_mixture_of_equal_distributions_is_that_distribution() -> None:
    row = 11.0 + np.array([-0.5, -0.4, -0.3, -0.1, 0.0, 0.08, 0.2, 0.3, 0.35])
    single = mixed_quantiles(row[None, :], np.ones(1), np.array([0, 1]))
    np.testing.assert_array_equal(single[0], row)
    twice = mixed_quantiles(np.array([row, row]), np.array([0.3, 0.7]), np.array([0, 2]))
    np.testing.assert_allclose(twice[0], row, atol=1e-9)


def test_row_sums_are_the_same_to_the_bit_in_every_group() -> None:
    table = np.random.default_rng(3).random((200, len(KINDS))) ** 8
    # Not `sum`: it compensates rounding errors since Python 3.12.
    expected = [functools.reduce(operator.add, row) for row in table.tolist()]
    assert row_sums(table).tolist() == expected
    assert [row_sums(row[None, :])[0] for row in table] == expected
    assert row_sums(np.asfortranarray(table)).tolist() == expected
