"""Prices of new cars as an anchor of young used cars."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.market import market as market_command
from data.hedonic.predictor import HedonicPredictor
from data.listings.files import ListingsError
from data.market.calibrate import calibrate
from data.market.new_car_levels import (
    load_new_prices,
    measure_levels,
    shifts_towards_levels,
)
from data.market.new_cars import LEVEL_STEP_MAD, MIN_VERSIONS, NewCarLevel
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


def price(market: ReferenceMarket, company: str, model: str, year: int) -> float:
    columns = {
        "company": [company], "model": [model], "year": [year], "fuel": ["Petrol"],
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


RATIOS = {"0": [40, 0.9], "1": [40, 0.9], "2": [40, 0.8]}
LOGAN = {"dacia|logan": NewCarLevel(versions=3, level_mad=300_000)}


def test_many_young_cars_of_a_model_outweigh_its_level() -> None:
    expected = {"dacia|logan": np.log([100_000.0, 95_000.0, 90_000.0, 80_000.0])}
    shifts = [
        shifts_towards_levels(LOGAN, RATIOS, expected, {"dacia|logan": young})
        for young in (0.0, 500.0)
    ]
    alone, outweighed = (each["dacia|logan"].shifts for each in shifts)
    assert alone[0] == pytest.approx(np.log(2.7), abs=1e-3)
    assert 0.0 < max(outweighed) < 0.02


def test_a_newer_car_is_never_cheaper_than_an_older_one() -> None:
    at_ages = np.log([400_000.0, 395_000.0, 390_000.0, 280_000.0])
    (level,) = shifts_towards_levels(LOGAN, RATIOS, {"dacia|logan": at_ages}, {}).values()
    shifted = [*(at_ages[:-1] + level.shifts), at_ages[-1]]
    assert shifted[1] < at_ages[1]
    assert np.diff(shifted).max() < 1e-3


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
