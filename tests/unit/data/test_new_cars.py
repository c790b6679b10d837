"""Prices of new cars as an anchor of young used cars."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.market import market as market_command
from data.hedonic.model import split_vehicle
from data.hedonic.predictor import HedonicPredictor
from data.listings.files import ListingsError
from data.market.calibrate import calibrate
from data.market.new_car_levels import (
    load_new_prices,
    measure_levels,
    measure_new_cars,
)
from data.market.new_cars import LEVEL_STEP_MAD, MIN_VERSIONS, NewCarLevel, NewCars
from data.market.reference import ReferenceMarket

from .conftest import made_listings

HEADER = "company,model,version,fuel,fiscal_power_cv,net_price_mad,date"


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    return path


def versions_of(company: str, model: str, *prices: int, date: str = "2025-02-10") -> list[str]:
    return [
        f"{company},{model},1.0 v{number},Essence,6,{price},{date}"
        for number, price in enumerate(prices)
    ]


@pytest.fixture(scope="module")
def new_prices(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    rows = [
        *versions_of("Dacia", "Logan", 170_400, 180_400, 190_400, 200_400),
        *versions_of("Renault", "Clio", 210_000, 220_000),
        *versions_of("Renault", "Austral", 390_000, 400_000, 410_000),
    ]
    return load_new_prices(written(tmp_path_factory.mktemp("new") / "new.csv", *rows))


@pytest.fixture(scope="module")
def few_young(listings: pd.DataFrame) -> pd.DataFrame:
    """Listings with hardly any young Logan, and with many other young cars."""
    is_young_logan = (listings["model"] == "logan") & (listings["year"] >= 2022)
    return listings[~is_young_logan].reset_index(drop=True)


@pytest.fixture(scope="module")
def anchored(few_young: pd.DataFrame, new_prices: pd.DataFrame) -> ReferenceMarket:
    return calibrate(few_young, new_prices)


def price(
    market: ReferenceMarket, company: str, model: str, year: int, fuel: str = "Petrol"
) -> float:
    columns = {
        "company": [company], "model": [model], "year": [year], "fuel": [fuel],
        "fiscal_power_cv": [6.0], "km_driven": [14_000.0 * (2025 - year)],
    }  # fmt: skip
    return float(np.exp(HedonicPredictor(market.price_model).predict(columns, 1)[0]))


def test_a_level_is_the_rounded_median_of_at_least_three_versions(
    new_prices: pd.DataFrame,
) -> None:
    levels = measure_levels(new_prices)
    assert levels.keys() == {"dacia|logan", "renault|austral"}
    assert levels["dacia|logan"].level_mad == 185_000
    assert (levels["dacia|logan"].fuel, levels["dacia|logan"].fiscal_power_cv) == ("Petrol", 6)


def test_rows_without_version_or_price_and_those_of_earlier_months_are_left_out(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path / "new.csv",
        *versions_of("Kia", "Picanto", 120_000, 130_000),
        *versions_of("Kia", "Picanto", 90_000, date="2024-06-01"),
        "Kia,Picanto,,Essence,6,100000,2025-02-10",
        "Kia,Picanto,1.0 GT,Essence,6,,2025-02-10",
        "Kia,Picanto,1.0 GT,Essence,6,150000,soon",
    )
    assert sorted(load_new_prices(path)["price_mad"]) == [120_000, 130_000]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a CSV table"),
        ("company,model,version,date\nKia,Rio,1.0,2025-01-01", "no column for net_price_mad"),
        (f"{HEADER}\nKia,Rio,,Essence,6,100000,2025-01-01", "no version with a price"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "new.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ListingsError, match=reason):
        load_new_prices(path)
    with pytest.raises(ListingsError, match="No such file"):
        load_new_prices(tmp_path / "nowhere.csv")


def test_a_model_that_is_not_listed_is_priced_by_its_level_and_age(
    few_young: pd.DataFrame, anchored: ReferenceMarket
) -> None:
    ratio = float(np.exp(anchored.new_cars.log_ratios(np.ones(1))[0]))
    assert price(anchored, "renault", "austral", 2024) == pytest.approx(400_000 * ratio, rel=0.2)
    without = calibrate(few_young)
    assert price(without, "renault", "austral", 2024) < 250_000


def test_few_young_cars_of_a_model_are_shifted_towards_its_level_and_older_ones_stay(
    few_young: pd.DataFrame, anchored: ReferenceMarket
) -> None:
    without = calibrate(few_young)
    wanted = 185_000 * np.exp(anchored.new_cars.log_ratios(np.ones(1))[0])
    before, after = (price(m, "dacia", "logan", 2024) for m in (without, anchored))
    assert abs(after - wanted) < 0.5 * abs(before - wanted)
    assert price(anchored, "dacia", "logan", 2015) == price(without, "dacia", "logan", 2015)


def test_nothing_about_a_models_young_listings_is_published_but_its_cells(
    few_young: pd.DataFrame, anchored: ReferenceMarket, new_prices: pd.DataFrame
) -> None:
    """What the levels add depends on published figures alone."""
    published = ReferenceMarket.from_json(json.loads(json.dumps(anchored.to_json())))
    assert published.price_model == anchored.price_model
    assert anchored.new_cars.levels.keys() == {"dacia|logan", "renault|austral"}
    fields = set(dataclasses.asdict(anchored.new_cars.levels["dacia|logan"]))
    assert fields == {"versions", "level_mad", "fuel", "fiscal_power_cv", "fuels"}
    few = few_young.drop(few_young.index[few_young["model"] == "x5"][:3]).reset_index(drop=True)
    assert measure_new_cars(new_prices, few).levels == anchored.new_cars.levels


def with_level(market: ReferenceMarket, level: NewCarLevel) -> ReferenceMarket:
    """A market whose only level is that of the Logan."""
    ratios = {"0": [40, 0.9], "1": [40, 0.9], "10": [40, 0.4]}
    new_cars = NewCars(as_of="2025-02", levels={"dacia|logan": level}, ratios=ratios)
    return dataclasses.replace(market, new_cars=new_cars)


def moved(market: ReferenceMarket, level: NewCarLevel, year: int, fuel: str = "Diesel") -> float:
    """How much a level changes the price of a Logan, as a share."""
    anchored, bare = with_level(market, level), dataclasses.replace(market, new_cars=NewCars())
    after, before = (price(m, "dacia", "logan", year, fuel) for m in (anchored, bare))
    return after / before - 1


def test_many_young_cars_of_a_model_outweigh_its_level(
    market: ReferenceMarket, anchored: ReferenceMarket
) -> None:
    dear = NewCarLevel(versions=3, level_mad=280_000)
    assert moved(anchored, dear, 2024) > 0.1
    assert 0.0 < moved(market, dear, 2024) < 0.5 * moved(anchored, dear, 2024)


def test_a_level_counts_less_with_each_year_and_fully_in_later_ones(
    anchored: ReferenceMarket,
) -> None:
    level = NewCarLevel(versions=3, level_mad=280_000)
    shares = [moved(anchored, level, year) for year in range(2016, 2025)]
    assert shares[0] == shares[1] == 0.0
    assert shares == sorted(shares)
    assert min(moved(anchored, level, year) for year in (2025, 2026, 2027)) > 0.2


def test_ages_are_counted_at_the_price_level_of_the_listings(anchored: ReferenceMarket) -> None:
    """Prices of new cars may be of a later year than the listings."""
    later = dataclasses.replace(anchored.new_cars, as_of="2027-02")
    assert dataclasses.replace(anchored, new_cars=later).price_model == anchored.price_model


def test_a_level_that_the_listings_contradict_is_not_used(anchored: ReferenceMarket) -> None:
    assert moved(anchored, NewCarLevel(versions=3, level_mad=900_000), 2024) == 0.0


def test_each_fuel_of_a_model_has_the_level_of_its_versions(
    anchored: ReferenceMarket, tmp_path: Path
) -> None:
    rows = [
        f"Dacia,Logan,1.0 {fuel}{number},{fuel},{power},{level + number * 1000},2025-02-10"
        for fuel, power, level in (("Essence", 6, 170_000), ("Diesel", "", 280_000))
        for number in range(3)
    ]
    versions = load_new_prices(written(tmp_path / "new.csv", *rows))
    level = measure_levels(versions)["dacia|logan"]
    assert level.fuels == {"Diesel": (3, 281_000), "Petrol": (3, 171_000)}
    assert level.fiscal_power_cv == 6
    few_stated = versions.assign(fiscal_power_cv=np.where(versions.index < 2, 6.0, np.nan))
    assert measure_levels(few_stated)["dacia|logan"].fiscal_power_cv is None
    of_all = dataclasses.replace(level, fuels={})
    assert moved(anchored, level, 2024) > moved(anchored, of_all, 2024) + 0.02


def log_prices(market: ReferenceMarket, years: range) -> np.ndarray:
    """Log price (cars, years) of each model, bare and with each fuel it is listed with."""
    groups = market.cars.groups
    cars = [
        (*split_vehicle(name), fuel, gearbox)
        for name in market.price_model.vehicle_years
        for fuel in (None, *(groups[name].marginals["fuel"] if name in groups else ()))
        for gearbox in (None, "Manual", "Automatic")
    ]
    fields = ("company", "model", "fuel", "transmission")
    columns = {name: [c[i] for c in cars for _ in years] for i, name in enumerate(fields)}
    columns["year"] = [year for _ in cars for year in years]
    found = HedonicPredictor(market.price_model).predict(columns, len(cars) * len(years))
    return found.reshape(-1, len(years))


def test_a_newer_car_is_never_cheaper_and_no_year_is_a_cliff(anchored: ReferenceMarket) -> None:
    for market in (anchored, ReferenceMarket.load()):
        last = int(str(market.new_cars.as_of)[:4]) + 2
        steps = np.diff(log_prices(market, range(1998, last)), axis=1)
        assert steps.min() > -0.01
        assert np.exp(steps.max()) < 1.5


def test_models_known_by_their_level_are_priced_below_it() -> None:
    market = ReferenceMarket.load()
    levels = market.new_cars.levels
    alone = {n: lv for n, lv in levels.items() if n not in market.hedonic.vehicle_years}
    assert len(alone) > 50
    as_of = int(str(market.new_cars.as_of)[:4])
    columns = {
        "company": [split_vehicle(name)[0] for name in alone],
        "model": [split_vehicle(name)[1] for name in alone],
        "fuel": [level.fuel for level in alone.values()],
        "transmission": ["Automatic"] * len(alone),
        "fiscal_power_cv": [level.fiscal_power_cv for level in alone.values()],
    }
    for year, km, low, high in ((as_of, 100.0, 0.8, 1.03), (as_of - 1, 15_000.0, 0.8, 1.03)):
        given = {**columns, "year": [year] * len(alone), "km_driven": [km] * len(alone)}
        found = np.exp(HedonicPredictor(market.price_model).predict(given, len(alone)))
        share = found / [level.level_mad for level in alone.values()]
        assert low < share.min()
        assert share.max() < high


def test_no_price_of_a_version_is_published(
    tmp_path: Path, anchored: ReferenceMarket, new_prices: pd.DataFrame
) -> None:
    anchored.save(tmp_path / "market.json")
    text = json.dumps(anchored.to_json()["new_cars"])
    for each in new_prices["price_mad"][new_prices["price_mad"] % LEVEL_STEP_MAD != 0]:
        assert f"{each:.0f}" not in text
    for market in (anchored, ReferenceMarket.load()):
        for level in market.new_cars.levels.values():
            assert level.versions >= MIN_VERSIONS == 3
            assert level.level_mad % LEVEL_STEP_MAD == 0
    assert ReferenceMarket.load(tmp_path / "market.json") == anchored


def test_the_command_reads_several_files_of_listings_and_prices_of_new_cars(
    tmp_path: Path,
) -> None:
    parts = [tmp_path / f"{name}.csv" for name in ("first", "second")]
    for seed, part in enumerate(parts):
        made_listings(600, seed=seed + 20).to_csv(part, index=False)
    new = written(tmp_path / "new.csv", *versions_of("Renault", "Austral", 390_000, 1, 410_000))
    output = tmp_path / "market.json"
    arguments = ["calibrate", *map(str, parts), f"--new-prices={new}", f"-o{output}"]
    done = CliRunner().invoke(market_command, arguments)
    assert done.exit_code == 0, done.output
    assert "1 models with a price when new, of 2025-02" in done.stdout
    found = ReferenceMarket.load(output)
    assert found.listings == 1200
    assert found.new_cars.levels["renault|austral"].level_mad == 390_000
    new.write_text("nonsense", encoding="utf-8")
    assert CliRunner().invoke(market_command, arguments).exit_code == 2
    assert ReferenceMarket.load(output) == found
