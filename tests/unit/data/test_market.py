"""The reference market: its published statistics and generated listings."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.market import market as market_command
from data.listings.files import ListingsError
from data.listings.table import CORE_FIELDS, LISTING_COLUMNS, quoted_month
from data.market.calibrate import calibrate
from data.market.distributions import MIN_CELL_COUNT, listed_years, measure_distributions
from data.market.generator import generate
from data.market.reference import REFERENCE_MARKET, ReferenceMarket
from shared.fields.requests import load_car_request

from .conftest import made_listings

PUBLISHED = ReferenceMarket.load()


def counts(market: ReferenceMarket) -> Iterator[int]:
    """The number of listings behind every published figure."""
    hedonic = market.hedonic
    for cells in (*hedonic.cells.values(), *hedonic.imputed.values()):
        # A cell without listings states no more than the others: it bridges years between them.
        yield from (cell.count for cell in cells.values() if cell.count)
    cars = market.cars
    for group in (cars.market, *cars.groups.values()):
        yield group.count
        yield from group.specs.values()
        for values in group.marginals.values():
            yield from values.values()
    for table in (cars.months, cars.cities, cars.patterns):
        yield from table.values()
    for bands in cars.details.values():
        for values in bands.values():
            yield from values.values()
    for rows in (cars.km_by_age, market.price_index, market.spread.groups, market.spread.ages):
        yield from (int(row[0]) for row in rows.values())
    yield from market.spread.counts
    yield from (int(row[0]) for row in market.new_cars.ratios.values())
    for trend in market.kind_trend.values():
        yield from (int(row[0]) for row in trend.values())
    for rows in (*market.kinds.values(), *market.kind_shares.values()):
        yield from (int(row[0]) for row in rows.values())
    # Of the years of a model no number is published.
    yield from (cars.groups[group].count for group in cars.listed_years)


def test_no_published_figure_comes_from_fewer_than_ten_listings(market: ReferenceMarket) -> None:
    for each in (PUBLISHED, market):
        assert min(counts(each)) >= MIN_CELL_COUNT == 10


def test_a_year_is_covered_by_three_listings_within_a_year_of_it(
    listings: pd.DataFrame, market: ReferenceMarket
) -> None:
    names = listings["company"] + "|" + listings["model"]
    years = range(1988, 2030)
    found = market.cars.listed_years
    assert found
    for name in found:
        mine = listings.loc[names == name, "year"]
        for year in years:
            near = ((mine - year).abs() <= 1).sum()
            assert any(first <= year <= last for first, last in found[name]) == (near >= 3)


def test_the_covered_years_of_a_vehicle_are_runs() -> None:
    years = pd.Series(
        [1900, 1970, 1971, 2001, 2003, 2002, 2010, 2012, 2011, 2040, 2040, 2034, 2015]
    )
    names = pd.Series(["a|b"] * 12 + ["c|d"])
    listings = pd.DataFrame({"year": years, "price_suspect": False})
    expected = {"a|b": [[1990, 1991], [2002, 2002], [2011, 2011], [2034, 2035]]}
    assert listed_years(names, listings) == expected


def test_listings_with_suspicious_prices_cover_no_year(listings: pd.DataFrame) -> None:
    """A Peugeot 307 of 2022, which was no longer built, was judged by three wrong listings."""
    wrong = listings[listings["model"] == "x5"].head(3).assign(year=1995, price_suspect=True)
    right = wrong.assign(model="clio", company="renault", price_suspect=False)
    found = measure_distributions(pd.concat([listings, wrong, right], ignore_index=True))
    assert found.listed_years["renault|clio"][0] == [1994, 1996]
    assert found.listed_years["bmw|x5"][0][0] > 2000


def test_the_published_years_are_those_of_the_listings() -> None:
    """Drawn listings have smoothed years: thirteen were near a Serie 5 of 2024, none counted."""
    found = PUBLISHED.cars.listed_years
    assert found.keys() <= PUBLISHED.hedonic.vehicle_years.keys()
    assert len(found) >= 350
    assert found["bmw|serie 5"][-1][1] >= 2024
    assert found["ssangyong|rexton"][-1][1] < 2020
    assert all(len(run) == 2 and run[0] <= run[1] for runs in found.values() for run in runs)


def test_the_published_market_is_small_and_knows_350_models() -> None:
    assert REFERENCE_MARKET.stat().st_size < 600_000
    assert len(PUBLISHED.hedonic.vehicle_years) >= 350
    assert PUBLISHED.price_index[PUBLISHED.data_as_of][1] == 1.0


def test_the_file_gives_the_market_back(market: ReferenceMarket, tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    market.save(path)
    assert ReferenceMarket.load(path) == market
    assert json.loads(path.read_text()) == json.loads(json.dumps(market.to_json()))


def test_calibrating_again_gives_the_same_bits(
    listings: pd.DataFrame, market: ReferenceMarket
) -> None:
    assert calibrate(listings).to_json() == market.to_json()


def test_the_same_seed_draws_the_same_listings_and_another_seed_others() -> None:
    first, second = (generate(PUBLISHED, 500, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(generate(PUBLISHED, 500, seed=5))


def test_drawn_listings_are_canonical_and_pass_the_cars_own_schema() -> None:
    drawn = generate(PUBLISHED, 400, seed=6)
    assert tuple(drawn.columns) == LISTING_COLUMNS
    complete = drawn.dropna(subset=["km_driven", "transmission", "fuel"])
    for row in complete.to_dict("records"):
        body = {
            name: value
            for name, value in row.items()
            if name in LISTING_COLUMNS[:-4] and value is not None and value == value  # noqa: PLR0124
        }
        load_car_request(body)


def test_drawn_prices_have_the_markets_level_and_spread(
    listings: pd.DataFrame, market: ReferenceMarket
) -> None:
    drawn = generate(market, 4000, seed=1)
    assert drawn["price_mad"].median() == pytest.approx(listings["price_mad"].median(), rel=0.1)
    for company in ("dacia", "bmw"):
        mine, real = (t.loc[t["company"] == company, "price_mad"] for t in (drawn, listings))
        assert mine.median() == pytest.approx(real.median(), rel=0.15)
    assert np.corrcoef(drawn["year"], np.log(drawn["price_mad"]))[0, 1] > 0.5


def test_a_name_that_may_mean_several_models_is_none_of_them() -> None:
    table = made_listings(900, seed=9)
    table.loc[:39, "company"], table.loc[:39, "model"] = "hyundai", "h"
    assert "hyundai|h" not in calibrate(table).cars.groups
    assert "hyundai|other" in calibrate(table).cars.groups


def test_prices_are_those_of_the_last_month_with_ten_listings(listings: pd.DataFrame) -> None:
    later = listings.head(9).assign(listing_date="2025-11")
    with_few = pd.concat([listings, later], ignore_index=True)
    assert quoted_month(with_few) == "2025-02"
    with_more = pd.concat([listings, later, later.head(1)], ignore_index=True)
    assert quoted_month(with_more) == "2025-11"
    market = calibrate(with_few)
    assert market.data_as_of == max(market.price_index) == max(market.cars.months) == "2025-02"


def test_a_few_listings_of_the_last_month_hardly_move_the_price_level(
    listings: pd.DataFrame,
) -> None:
    dear = listings.head(12).assign(listing_date="2026-02")
    dear["price_mad"] *= 1.5
    moved = calibrate(pd.concat([listings, dear], ignore_index=True))
    many = pd.concat([dear] * 40, ignore_index=True)
    risen = calibrate(pd.concat([listings, many], ignore_index=True))
    for found, low, high in ((moved, 1.0, 1.2), (risen, 1.2, 1.6)):
        index = found.price_index
        assert low <= index["2026-02"][1] / index["2025-02"][1] < high


def test_a_market_needs_hundreds_of_listings() -> None:
    with pytest.raises(ListingsError, match="too few"):
        calibrate(made_listings(100))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"km_driven": np.nan}, "state their kilometres"),
        ({"listing_date": [f"{1900 + n % 120}-{n % 12 + 1:02d}" for n in range(600)]}, "no month"),
    ],
)
def test_listings_that_no_car_could_be_drawn_from_are_refused(
    change: dict[str, object], reason: str
) -> None:
    with pytest.raises(ListingsError, match=reason):
        calibrate(made_listings(600).assign(**change))


def test_the_command_says_what_missing_dates_or_a_single_month_mean(tmp_path: Path) -> None:
    for date, note in ((None, "no dates"), ("2025-02", "one month")):
        path, output = tmp_path / "listings.csv", tmp_path / "market.json"
        made_listings(600).assign(listing_date=date).to_csv(path, index=False)
        done = CliRunner().invoke(market_command, ["calibrate", str(path), f"-o{output}"])
        assert done.exit_code == 0, done.output
        assert note in done.stderr


def test_calibration_never_replaces_the_statistics_of_the_default_model_unasked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "listings.csv"
    made_listings(600).to_csv(path, index=False)
    before = REFERENCE_MARKET.read_bytes()
    try:
        done = CliRunner().invoke(market_command, ["calibrate", str(path)])
        assert done.exit_code == 2
        assert "--output" in done.output
        assert REFERENCE_MARKET.read_bytes() == before
    finally:
        REFERENCE_MARKET.write_bytes(before)


def test_a_market_has_more_than_one_brand() -> None:
    table = made_listings(900)
    with pytest.raises(ListingsError, match="one brand"):
        calibrate(table.assign(company="dacia"))


def test_rare_models_are_published_together_and_drawn_under_names_of_their_own() -> None:
    table = made_listings(900, seed=8)
    for index in range(40):
        table.loc[index, "company"], table.loc[index, "model"] = "bmw", f"one off {index}"
    market = calibrate(table)
    assert not any("one off" in name for name in market.cars.groups)
    assert market.cars.groups["bmw|(rare)"].count == 40
    drawn = generate(market, 2000, seed=1)
    rare = drawn.loc[drawn["model"].str.startswith("(rare"), "model"]
    assert len(rare) == rare.nunique() > 20


def test_antithetic_listings_have_opposite_residuals(market: ReferenceMarket) -> None:
    drawn = generate(market, 2001, seed=2, antithetic=True)
    assert len(drawn) == 2001
    cars = drawn.drop(columns="price_mad")
    pd.testing.assert_frame_equal(cars.head(1000), cars[1001:].reset_index(drop=True))
    above, below = (
        np.log(drawn["price_mad"].to_numpy()[part]) for part in (slice(1000), slice(1001, 2001))
    )
    assert np.corrcoef(above - above.mean(), above - below)[0, 1] > 0.05
    assert np.std(above - below) > 0.1
    assert abs(np.mean(above - below)) < 0.02


def test_without_gaps_every_drawn_car_can_be_priced_and_nothing_else_changes() -> None:
    drawn = generate(PUBLISHED, 3000, seed=7, gaps=False)
    for row in drawn.to_dict("records"):
        load_car_request({name: row[name] for name in CORE_FIELDS})
    with_gaps = generate(PUBLISHED, 3000, seed=7)
    others = [name for name in LISTING_COLUMNS if name not in (*CORE_FIELDS, "price_mad")]
    pd.testing.assert_frame_equal(drawn[others], with_gaps[others])
    assert with_gaps["km_driven"].isna().any()
    stated = with_gaps[list(CORE_FIELDS)].notna().all(axis=1)
    pd.testing.assert_frame_equal(drawn[stated], with_gaps[stated], check_dtype=False)


def test_the_command_draws_complete_cars_unless_gaps_are_asked_for(tmp_path: Path) -> None:
    for options, complete in (([], True), (["--gaps"], False)):
        file = tmp_path / "drawn.csv"
        done = CliRunner().invoke(market_command, ["generate", "--rows=500", f"-o{file}", *options])
        assert done.exit_code == 0, done.output
        found = pd.read_csv(file)[list(CORE_FIELDS)].notna().all(axis=None)
        assert found == complete
