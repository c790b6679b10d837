"""The quality benchmark: scores, the reference project's split, the table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.quality import experiments
from benchmarks.quality.__main__ import main
from benchmarks.quality.experiments import latest_full_month, months_ahead, time_split
from benchmarks.quality.figures import Predictions, coverage_by_decile, figures, joined, winkler
from benchmarks.quality.reference_split import filtered
from benchmarks.quality.targets import TARGETS, Target, markdown
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from shared.domain.valuation import QUANTILE_LEVELS

SPREAD = np.linspace(0.7, 1.3, len(QUANTILE_LEVELS))
"""Quantiles as multiples of the price."""


def predictions(actual: list[float], price: list[float]) -> Predictions:
    prices = np.array(price)
    return Predictions(
        actual=np.array(actual),
        price=prices,
        quantiles=prices[:, None] * SPREAD,
        known=np.arange(len(prices)) % 2 == 0,
        company=np.where(np.arange(len(prices)) % 2 == 0, "dacia", "bmw").astype(object),
        age_years=np.arange(len(prices), dtype=np.float64),
    )


def test_the_interval_score_is_the_width_plus_twenty_times_the_distance_outside() -> None:
    actual, low, high = np.array([100.0, 100.0]), np.array([90.0, 110.0]), np.array([120.0, 120.0])
    assert winkler(actual, low, high) == (30 + 10 + 20 * 10) / 2


def test_coverage_is_computed_by_decile_and_for_unknown_models() -> None:
    price = [float(value) for value in range(1_000, 2_000, 10)]
    actual = [value * (2 if value >= 1_900 else 1) for value in price]
    found = predictions(actual, price)
    assert coverage_by_decile(found.price, found.inside) == [1.0] * 9 + [0.0]
    measured = figures(joined([found, found]))
    assert measured["rows"] == 200
    assert measured["coverage_90"] == pytest.approx(0.9)
    assert measured["lowest_decile_coverage"] == 0.0
    assert (measured["unknown_rows"], measured["unknown_coverage"]) == (100, 0.9)


def test_the_reference_filter_drops_incomplete_rows_and_outliers() -> None:
    usual = np.tile(np.arange(10.0), 10)
    names = ("year", "km_driven", "mileage_mpg", "engine_cc", "max_power_bhp", "torque_nm", "seats")
    table = pd.DataFrame({name: usual.copy() for name in (*names, "selling_price")})
    table.loc[0, "engine_cc"] = np.nan
    table.loc[1, "selling_price"] = 1_000.0
    assert filtered(table).index.tolist() == list(range(2, 100))


def test_the_time_split_prices_later_listings_with_a_model_of_earlier_ones() -> None:
    listings = generate(ReferenceMarket.load(), 800, seed=3)
    month = sorted(listings["listing_date"])[600]
    found = time_split(listings, month)
    assert found["rows"] == int((listings["listing_date"] >= month).sum())
    assert 5 < found["median_ape"] < 40


def test_the_bias_of_a_brand_and_the_error_of_young_cars_are_measured() -> None:
    """Of 200 cars every second one, a Dacia, is priced 10 % too high."""
    price = [110.0, 100.0] * 100
    measured = figures(predictions([100.0] * 200, price))
    assert measured["brand_bias"] == pytest.approx(10.0)
    assert measured["young_median_ape"] == pytest.approx(5.0)
    assert "brand_bias" not in figures(predictions([100.0] * 198, price[:198]))


def test_the_latest_month_is_the_last_with_enough_listings() -> None:
    table = pd.DataFrame({"listing_date": ["2024-01"] * 1_000 + ["2025-01"] * 1_000 + ["2026-01"]})
    assert latest_full_month(table) == "2025-01"
    assert latest_full_month(table[:1]) == "2024-01"


def test_months_ahead_trains_on_older_listings_only() -> None:
    """Prices doubled in the last month: a model that had seen it would follow."""
    listings = generate(ReferenceMarket.load(), 900, seed=4)
    listings["listing_date"] = np.repeat(["2024-03", "2024-06", "2025-03"], 300)
    listings.loc[600:, "price_mad"] *= 2
    found = months_ahead(listings, 6)
    assert found["rows"] == 300
    assert 40 < found["median_ape"] < 60


@pytest.mark.parametrize("with_new_prices", [True, False])
def test_experiments_of_the_default_model_hold_out_the_later_listings_and_use_new_prices(
    monkeypatch: pytest.MonkeyPatch, *, with_new_prices: bool
) -> None:
    listings = generate(ReferenceMarket.load(), 900, seed=5)
    listings["listing_date"] = np.repeat(["2024-03", "2025-01", "2025-03"], 300)
    new_prices = pd.DataFrame() if with_new_prices else None
    seen: list[tuple[pd.DataFrame, object, pd.DataFrame]] = []
    monkeypatch.setattr(experiments, "calibrate", lambda known, versions: (known, versions))

    def record(market: tuple[pd.DataFrame, object], asked: pd.DataFrame) -> dict[str, float]:
        seen.append((*market, asked))
        return {}

    monkeypatch.setattr(experiments, "default_model", record)
    experiments.default_model_months_ahead(listings, 6, new_prices)
    experiments.default_model_of_a_quarter(listings, new_prices)
    experiments.default_model_held_out(listings, new_prices)
    (ahead, quarter, fifth) = seen
    assert set(ahead[0]["listing_date"]) == {"2024-03"}
    assert set(ahead[2]["listing_date"]) == set(quarter[2]["listing_date"]) == {"2025-03"}
    assert 40 < len(quarter[2]) < 110
    for known, versions, asked in (quarter, fifth):
        assert versions is new_prices
        assert len(known) + len(asked) == len(listings)
    assert ahead[1] is new_prices


def test_the_benchmark_takes_prices_of_new_cars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings, prices = tmp_path / "listings.csv", tmp_path / "new.csv"
    generate(ReferenceMarket.load(), 300, seed=6).to_csv(listings, index=False)
    prices.write_text(
        "company,model,version,net_price_mad,date\n"
        + "".join(f"dacia,logan,v{n},{120_000 + n},2026-06\n" for n in range(3))
    )
    seen: list[object] = []

    def record(table: pd.DataFrame, _months: int, versions: object) -> dict[str, float]:
        seen.append(versions)
        return {"rows": len(table)}

    monkeypatch.setattr(experiments, "default_model_months_ahead", record)
    names = "default model, months ahead", "default model, months ahead, without prices of new cars"
    only = [argument for name in names for argument in ("--only", name)]
    arguments = ["--listings", listings, "--new-prices", prices, "--output", tmp_path, *only]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert [None if one is None else len(one) for one in seen] == [3, None]


def test_the_table_compares_results_with_their_targets() -> None:
    limits = Target(experiment="listings", figure="coverage_90", at_least=0.88, at_most=0.92)
    assert limits in TARGETS
    table = markdown({"listings": {"coverage_90": 0.93, "median_ape": 8.0}})
    assert "| listings | coverage_90 | 0.88 to 0.92 | 0.93 | **no** |" in table
    assert "| listings | median_ape | at most 8.8 | 8 | yes |" in table
    assert "reference" not in table
