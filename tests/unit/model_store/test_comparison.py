"""Comparison of two versions: on unseen listings only, with an interval of the difference."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from data.listings.files import ListingsError
from data.listings.fingerprints import car_fingerprints, fingerprints, stored_fingerprints
from data.listings.table import listing_table
from data.market.calibrate import near_duplicate_groups
from model_store.comparison.compare import MIN_CARS, compare_models, difference_interval
from model_store.comparison.training_rows import overlap_with_training, seen_in_training
from model_store.comparison.unseen import evaluate_with_training_rows
from model_store.pricing.inference import LoadedModel
from tests.unit.model_store import small_models


@pytest.fixture(scope="module")
def listings(model: LoadedModel) -> pd.DataFrame:
    """Listings of the small model's cars at its prices, with errors of some 10 %."""
    cars = small_models.random_cars(600, seed=9)
    prices = np.array(model.prices_mad(cars))
    noise = np.random.default_rng(3).normal(scale=0.1, size=len(cars))
    columns = {name: [getattr(car, name) for car in cars] for name in ("company", "model", "year")}
    columns |= {name: [getattr(car, name) for car in cars] for name in ("fuel", "transmission")}
    columns["km_driven"] = [car.km_driven for car in cars]
    columns["fiscal_power_cv"] = [car.fiscal_power_cv for car in cars]
    columns["price_mad"] = (prices * np.exp(noise)).round(-2).tolist()
    columns["listing_date"] = ["2026-05", "2026-06"] * 300
    columns["source"] = ["site"] * 500 + ["dealer"] * 100
    return listing_table(columns)


@pytest.fixture(scope="module")
def dearer(model: LoadedModel) -> LoadedModel:
    """The same model with estimates that are a fifth too high."""
    return raised_by(model, 0.2)


def raised_by(model: LoadedModel, log_factor: float) -> LoadedModel:
    """The same model with higher estimates."""
    return dataclasses.replace(
        model,
        version=dataclasses.replace(model.version, id="2026-11-01T000000-dearer"),
        encoder=dataclasses.replace(
            model.encoder,
            hedonic=dataclasses.replace(
                model.encoder.hedonic, intercept=model.encoder.hedonic.intercept + log_factor
            ),
        ),
    )


def with_rows(model: LoadedModel, seen: pd.DataFrame) -> LoadedModel:
    """The model as if it had been trained on some listings."""
    rows = stored_fingerprints(seen, model.version.training["digest"])
    return dataclasses.replace(model, training_rows=rows)


def test_a_version_with_larger_errors_is_worse_and_the_other_way_round_better(
    model: LoadedModel, dearer: LoadedModel, listings: pd.DataFrame
) -> None:
    found = compare_models(model, dearer, listings)
    assert (found.verdict, found.rows, found.excluded) == ("worse", 600, 0)
    assert 0 < found.difference_low < found.difference < found.difference_high
    assert found.b.bias > found.a.bias + 15
    assert compare_models(dearer, model, listings).verdict == "better"


def test_a_version_equals_itself(model: LoadedModel, listings: pd.DataFrame) -> None:
    found = compare_models(model, model, listings)
    assert (found.verdict, found.difference, found.differing) == ("equal", 0.0, ())


def test_a_difference_that_may_be_chance_is_none(
    model: LoadedModel, listings: pd.DataFrame
) -> None:
    found = compare_models(model, raised_by(model, 0.002), listings)
    assert found.difference_low < 0 < found.difference_high
    assert found.verdict == "equal"
    assert len(found.differing) == 10


def test_bands_contain_every_listing_once_and_small_brands_are_reported_together(
    model: LoadedModel, dearer: LoadedModel, listings: pd.DataFrame
) -> None:
    few = listings[listings["company"] == "bmw"].index[:-20]
    found = compare_models(model, dearer, listings.drop(few))
    for bands in (found.by_price, found.by_age, found.by_brand, found.by_source):
        assert sum(band.rows for band in bands) == found.rows
    assert found.by_brand[-1].name == "other brands"
    assert found.by_brand[-1].rows == 20
    assert len(found.by_price) == 10
    assert [band.name for band in found.by_source] == ["site", "dealer"]


def test_the_cars_that_differ_most_are_of_the_file_the_largest_factor_first(
    model: LoadedModel, dearer: LoadedModel, listings: pd.DataFrame
) -> None:
    found = compare_models(model, dearer, listings).differing
    factors = [each.price_b_mad / each.price_a_mad for each in found]
    assert factors == pytest.approx(sorted(factors, reverse=True), rel=1e-3)
    asked = set(listings["price_mad"].round())
    assert all(each.asking_price_mad in asked for each in found)


def test_listings_that_either_version_was_trained_on_are_excluded_and_counted(
    model: LoadedModel, dearer: LoadedModel, listings: pd.DataFrame
) -> None:
    a = with_rows(model, listings.iloc[:100])
    b = with_rows(dearer, listings.iloc[50:250])
    found = compare_models(a, b, listings)
    assert (found.seen_a, found.seen_b, found.excluded, found.rows) == (100, 200, 250, 350)
    included = compare_models(a, b, listings, include_seen=True)
    assert (included.excluded, included.rows) == (0, 600)


def test_listings_of_other_layout_order_and_fields_are_recognised(
    model: LoadedModel, listings: pd.DataFrame
) -> None:
    trained = with_rows(model, listings.iloc[:100])
    shuffled = listings.sample(frac=1, random_state=1).assign(
        fuel=None, city="Rabat", source="other", listing_date=None
    )
    seen = seen_in_training(trained, shuffled[shuffled.columns[::-1]])
    assert seen is not None
    assert sorted(shuffled.index[seen]) == list(range(100))
    new = listings.head(1).assign(km_driven=0.0)
    unstated = new.assign(km_driven=np.nan)
    assert fingerprints(new, "0" * 64) != fingerprints(unstated, "0" * 64)
    no_km = listings.assign(km_driven=np.nan)
    assert len(set(fingerprints(no_km, "0" * 64))) > 500, "a missing field leaves the others"
    assert not np.any(seen_in_training(trained, no_km))


def test_cars_that_are_listed_again_at_another_price_are_excluded_and_counted(
    model: LoadedModel, dearer: LoadedModel, listings: pd.DataFrame
) -> None:
    trained = with_rows(model, listings.iloc[:100])
    cheaper = listings.assign(
        price_mad=listings["price_mad"] - 1_500, listing_date="2026-08", source="other"
    )
    seen = overlap_with_training(trained, cheaper)
    assert seen is not None
    assert not seen.listing.any()
    groups = near_duplicate_groups(listings)
    assert list(seen.other_price) == list(np.isin(groups, groups[:100]))
    found = compare_models(trained, dearer, cheaper)
    assert (found.excluded, found.other_price) == (seen.other_price.sum(),) * 2
    assert found.rows == 600 - found.excluded <= 500
    both = evaluate_with_training_rows(trained, pd.concat([listings.iloc[:100], cheaper]))
    assert both["seen_in_training"]["other_price"] == found.excluded
    assert both["seen_in_training"]["rows"] == 100 + found.excluded
    assert both["unseen"]["rows"] == found.rows


def test_missing_fields_tell_cars_apart_as_near_duplicates_are_told(listings: pd.DataFrame) -> None:
    rows = np.arange(len(listings))
    some = listings.assign(
        km_driven=listings["km_driven"].where(rows % 2 == 0),
        fuel=listings["fuel"].where(rows % 3 == 0, None),
        fiscal_power_cv=listings["fiscal_power_cv"].where(rows % 5 == 0),
    )
    hashes = car_fingerprints(some, "0" * 64)
    groups = near_duplicate_groups(some)
    assert (
        len(np.unique(hashes)) == len(np.unique(groups)) == len({*zip(hashes, groups, strict=True)})
    )


def test_a_car_that_is_listed_five_times_is_one_observation(
    model: LoadedModel, listings: pd.DataFrame
) -> None:
    other = raised_by(model, 0.02)
    few = listings.head(60)
    once = compare_models(model, other, few)
    months = [f"2026-0{month}" for month in range(1, 6)]
    often = pd.concat([few.assign(listing_date=month) for month in months])
    again = compare_models(model, other, often)
    assert (once.rows, again.rows) == (60, 300)
    assert once.cars == again.cars
    width = once.difference_high - once.difference_low
    assert again.difference_high - again.difference_low == pytest.approx(width, rel=0.3)
    with pytest.raises(ListingsError, match="125 listings of 25 cars are too few"):
        compare_models(model, other, often[often.groupby("listing_date").cumcount() < 25])


def test_relisted_cars_make_no_difference_of_equal_versions_significant() -> None:
    """By chance, one interval of twenty excludes 0; over single listings nearly a third did."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(60), 5)
    excluded = 0
    for seed in range(100):
        ape_a, ape_b = np.repeat(np.abs(rng.normal(size=(2, 60))), 5, axis=1)
        low, high = difference_interval(ape_a, ape_b, seed=seed, groups=groups)
        excluded += low > 0 or high < 0
    assert excluded <= 12


def test_rows_of_a_version_without_fingerprints_are_unknown(
    model: LoadedModel, listings: pd.DataFrame
) -> None:
    unknown = dataclasses.replace(model, training_rows=None)
    assert seen_in_training(unknown, listings) is None
    assert compare_models(unknown, unknown, listings).seen_a is None


def test_too_few_unseen_listings_are_refused_with_the_reason(
    model: LoadedModel, listings: pd.DataFrame
) -> None:
    trained = with_rows(model, listings)
    with pytest.raises(ListingsError, match="trained on 600 of the 600"):
        compare_models(trained, model, listings)
    with pytest.raises(ListingsError, match="too few") as raised:
        compare_models(model, model, listings.head(MIN_CARS - 1))
    assert "trained" not in str(raised.value)


def test_the_interval_of_equal_errors_in_another_order_contains_zero() -> None:
    errors = np.random.default_rng(1).gamma(2.0, 5.0, 2_000)
    low, high = difference_interval(errors, np.random.default_rng(2).permutation(errors), seed=0)
    assert low < 0 < high
    shifted = difference_interval(errors, errors * 1.3, seed=0)
    assert shifted[0] > 0
    assert difference_interval(errors, errors * 1.3, seed=0) == shifted
