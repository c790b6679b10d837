"""Training: reproducible, with unbiased metrics and clear errors for unusable data."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from cli.market import market
from cli.training.data import load_training_data
from cli.training.evaluate import evaluate
from cli.training.train import train
from data.listings.files import ListingsError
from data.listings.table import car_columns, latest_month, quoted_month, until_quoted_month
from data.market.generator import generate
from data.market.price_index import market_index
from data.market.reference import ReferenceMarket
from model_store.registry.bundle import save_bundle
from model_store.registry.manifest import CALIBRATION_FILE
from model_store.registry.registry import ModelRegistry
from model_store.training.crossfit import with_dropout
from model_store.training.train import (
    TrainedModel,
    _is_young,
    _shows_young,
    count_steps,
    train_bundle,
)
from shared.domain.clock import month_number
from tests.unit.model_store import small_models

MARKET = ReferenceMarket.load()
MAX_PURE_PYTHON_ROWS = 400
"""Enough listings for a training in a second, where the prices do not matter."""


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    return generate(MARKET, 1500, seed=1)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(listings: pd.DataFrame, told: list[str]) -> TrainedModel:
    return train_bundle(listings, seed=5, on_progress=told.append)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path / "versions"))
    return ModelRegistry(tmp_path / "versions")


def written(table: pd.DataFrame, folder: Path, name: str = "listings.csv") -> Path:
    path = folder / name
    table.to_csv(path, index=False)
    return path


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_same_seed_trains_the_same_model_to_the_bit_on_any_number_of_threads(
    listings: pd.DataFrame, trained: TrainedModel
) -> None:
    again = train_bundle(listings, seed=5, jobs=1)
    assert again.encoder.to_json() == trained.encoder.to_json()
    assert again.calibration == trained.calibration
    assert again.metrics == trained.metrics
    assert again.training == trained.training
    matrix = trained.encoder.encode_columns(car_columns(listings), len(listings)).matrix
    np.testing.assert_array_equal(
        again.estimator.predict(matrix), trained.estimator.predict(matrix)
    )


def test_it_prices_cars_of_the_same_market_that_it_has_not_seen(trained: TrainedModel) -> None:
    unseen = generate(MARKET, 1500, seed=2)
    encoded = trained.encoder.encode_columns(car_columns(unseen), len(unseen))
    price = np.exp(encoded.baseline_log + trained.estimator.predict(encoded.matrix))
    ape = np.abs(price / unseen["price_mad"].to_numpy() - 1)
    assert np.median(ape) < 0.2
    assert trained.metrics["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert trained.metrics["median_ape"] < 25


def test_on_progress_is_called_count_steps_times(
    listings: pd.DataFrame, trained: TrainedModel, told: list[str]
) -> None:
    assert trained.training["rows"] == len(listings)
    assert len(told) == count_steps(listings)


def test_dropout_removes_optional_fields_and_keeps_the_number_of_rows(
    listings: pd.DataFrame,
) -> None:
    thinned = with_dropout(listings, seed=1)
    assert len(thinned) == len(listings)
    assert thinned["owner"].notna().sum() < listings["owner"].notna().sum()
    pd.testing.assert_series_equal(thinned["year"], listings["year"])
    pd.testing.assert_series_equal(thinned["price_mad"], listings["price_mad"])


def test_too_few_listings_or_one_brand_only_cannot_be_trained_on(listings: pd.DataFrame) -> None:
    with pytest.raises(ListingsError, match="50 usable listings are too few"):
        train_bundle(listings.head(50), seed=1)
    one_brand = listings.assign(company="dacia")
    with pytest.raises(ListingsError, match="of one brand"):
        train_bundle(one_brand, seed=1)
    one_price = listings.assign(price_mad=100_000.0)
    with pytest.raises(ListingsError, match="all listings ask 100,000 MAD"):
        train_bundle(one_price, seed=1)


def test_the_first_version_is_active_at_once_and_another_when_asked(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    path = written(listings.head(MAX_PURE_PYTHON_ROWS), tmp_path)
    first = run(train, "--data", path, "--seed", 1)
    assert first.exit_code == 0, first.output
    active = registry.active_version()
    assert active is not None
    assert active in first.stdout
    assert run(train, "--data", path, "--seed", 2).exit_code == 0
    assert registry.active_version() == active
    assert run(train, "--data", path, "--seed", 1, "--activate").exit_code == 0
    assert registry.active_version() != active
    again, other, first_ = (dict(version.files) for version in registry.list())
    for files in (again, other, first_):
        for language in ("", "-fr", "-ar"):  # cards name the version
            files.pop(f"card{language}.json")
            files.pop(f"card{language}.md")
    assert again == first_, "the same listings and seed give the same bytes"
    assert other["forest.npz"] != first_["forest.npz"]
    assert {"bundle.joblib", "forest.npz", "encoder.json", "card-predicted.png"} < set(again)


def test_evaluate_prints_one_json_object(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    path = written(listings, tmp_path)
    assert run(evaluate, "--data", path).exit_code == 2
    run(train, "--data", path)
    result = run(evaluate, "--data", path)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == [
        "rows",
        "r2",
        "r2_log",
        "mae_mad",
        "rmse_mad",
        "mape",
        "median_ape",
        "coverage_90",
        "version",
        "data_as_of",
        "price_level",
        "outside_index",
        "seen_in_training",
    ]
    assert found["rows"] == len(listings)
    assert 0 < found["median_ape"] < 25
    assert 0.85 < found["coverage_90"] <= 1
    again = run(evaluate, "--data", path, "--version", registry.active_version())
    assert json.loads(again.stdout) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"company,model,year\nDacia,Logan,2016\n", "no column for price_mad"),
        (b"a,b\n\xff\xe9,2\n", "no column for"),
        ("Marque;Modèle;Année;Prix\nDacia;Logan;2016;à débattre\n".encode("cp1252"), "none of"),
        (b"company,model,year,price_mad\n" + b"Dacia,Logan,2016,90000\n" * 50, "too few"),
        (b"company,model,year,price_mad\n" + b"Dacia,Logan,2016,90000\n" * 300, "of one brand"),
    ],
)
def test_a_bad_file_gives_one_line_and_leaves_the_active_model_alone(
    registry: ModelRegistry, tmp_path: Path, content: bytes | None, message: str
) -> None:
    version = save_bundle(small_models.train(trees=3), tmp_path / "versions")
    registry.activate(version.id, by="test")
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    result = run(train, "--data", path, "--activate")
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]
    assert registry.active_version() == version.id
    assert [each.id for each in registry.list()] == [version.id]


def test_undated_listings_are_said_to_be_so_and_have_no_level_to_be_moved_from(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    path = written(listings.assign(listing_date=None), tmp_path)
    refused = run(train, "--data", path, "--price-level", "2025-05")
    assert refused.exit_code == 2
    assert "has no dates of listing" in refused.stderr.strip().splitlines()[-1]
    assert registry.list() == []
    made = run(train, "--data", path)
    assert made.exit_code == 0
    newest = latest_month(listings.assign(listing_date=None))
    assert f"taken for those of {newest}" in made.stderr


def test_the_model_is_compared_at_the_price_level_of_each_listings_month(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    """Prices that double within a year are not counted as errors of the model."""
    early = listings["listing_date"] < "2023-06"
    risen = listings.assign(
        listing_date=early.map({True: "2022-01", False: "2024-01"}),
        price_mad=listings["price_mad"] * early.map({True: 1.0, False: 2.0}),
    )
    path = written(risen, tmp_path)
    run(train, "--data", path)
    version = registry.active()
    assert version is not None
    assert version.data_as_of == "2024-01"
    assert version.price_index["2024-01"] == 1.0
    assert version.price_index["2022-01"] == pytest.approx(0.5, abs=0.08)
    assert len(version.price_index) == 25
    found = json.loads(run(evaluate, "--data", path).stdout)
    quoted = json.loads(run(evaluate, "--data", path, "--price-level", "model").stdout)
    assert (found["price_level"], quoted["price_level"]) == ("listing", "model")
    assert 2 * found["mape"] < quoted["mape"]
    later = written(risen.assign(listing_date="2025-03"), tmp_path, "later.csv")
    assert json.loads(run(evaluate, "--data", later).stdout)["outside_index"] == len(risen)


def test_young_cars_of_a_source_that_was_cut_do_not_widen_the_intervals_of_young_cars(
    listings: pd.DataFrame,
) -> None:
    table = listings.assign(source="whole", listing_date="2025-03")
    table.loc[:499, "source"] = "cut"
    own = table["source"] == "cut"
    table.loc[own, "price_mad"] = table.loc[own, "price_mad"].clip(upper=150_000.0)
    shown = _shows_young("stock.csv", table, np.full(len(table), 50_000.0))
    young = _is_young(table)
    assert young[own].any()
    assert not shown[own & young].any()
    assert shown[~own].all()
    assert shown[own & (table["year"] < 2015)].all()
    assert not _shows_young("reference market", table, np.full(len(table), 50_000.0)).any()


@pytest.mark.parametrize(("late", "as_of"), [(1, "2025-03"), (9, "2025-03"), (10, "2025-12")])
def test_a_few_late_dates_do_not_move_the_month_of_a_model(
    listings: pd.DataFrame,
    tmp_path: Path,
    late: int,
    as_of: str,
) -> None:
    table = listings.head(MAX_PURE_PYTHON_ROWS).assign(listing_date="2025-03")
    table.loc[:199, "listing_date"] = "2025-01"
    table.loc[table.index[-late:], "listing_date"] = "2025-12"
    trained = train_bundle(table, seed=1)
    assert trained.training["data_as_of"] == as_of
    assert max(trained.training["price_index"]) == as_of
    assert trained.training["months"] == ["2025-01", as_of]
    data = load_training_data((written(table, tmp_path),), 1, None)
    assert quoted_month(data.listings) == as_of


def test_training_reports_listings_that_are_too_late_to_count(
    listings: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = listings.head(MAX_PURE_PYTHON_ROWS).assign(listing_date="2025-03")
    load_training_data((written(table, tmp_path),), 1, None)
    assert "later" not in capsys.readouterr().err
    table.loc[table.index[-3:], "listing_date"] = "2026-07"
    load_training_data((written(table, tmp_path),), 1, None)
    said = capsys.readouterr().err
    assert "3 listings dated after 2025-03 (until 2026-07)" in said
    table.loc[table.index[:50], "listing_date"] = None
    assert until_quoted_month(table)["listing_date"].isna().sum() == 50
    assert until_quoted_month(table)["listing_date"].dropna().unique().tolist() == ["2025-03"]


def test_a_model_of_old_listings_can_quote_a_later_level(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    index = market_index(MARKET)
    until, wanted = min(index), max(index)
    path = written(listings.head(MAX_PURE_PYTHON_ROWS).assign(listing_date=until), tmp_path)
    run(train, "--data", path, "--seed", 1)
    (as_listed,) = registry.list()
    result = run(train, "--data", path, "--seed", 1, "--price-level", wanted, "--activate")
    assert result.exit_code == 0, result.output
    restated = registry.active()
    assert restated is not None
    assert (as_listed.data_as_of, restated.data_as_of) == (until, wanted)
    growth = index[wanted] / index[until]
    for old, new in zip(as_listed.self_test, restated.self_test, strict=True):
        if new.car.km_driven is None:
            # By the later month the car is older and has been driven further.
            assert new.price_mad < old.price_mad * growth
        elif new.car.fuel is None:
            # Other fuels and gearboxes are usual for an older car.
            assert new.price_mad == pytest.approx(old.price_mad * growth, rel=0.05)
        else:
            assert new.price_mad == pytest.approx(old.price_mad * growth, rel=0.01)
    assert json.loads(run(evaluate, "--data", path).stdout)["seen_in_training"]["share"] == 1.0
    assert restated.price_index[wanted] == 1.0
    assert restated.price_index[until] == pytest.approx(1 / growth, abs=1e-3)
    assert restated.training["months"] == [until, until]
    stored = json.loads((registry.folder(restated.id) / CALIBRATION_FILE).read_text())
    # The prices are restated, but the listings are as old as they were.
    assert stored["growth"]["lag_months"] == month_number(wanted) - month_number(until)
    assert "by the reference growth, because all are of one month" in result.stderr
    assert f"the age counts from {until}" in result.stderr
    beyond = run(train, "--data", path, "--price-level", "2099-01")
    assert beyond.exit_code == 2
    assert "the reference market's index covers" in beyond.stderr
    assert run(train, "--price-level", wanted).exit_code == 2


def test_the_report_on_the_file_is_there_for_programs_too(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    path = written(listings.head(MAX_PURE_PYTHON_ROWS), tmp_path)
    with path.open("a") as file:
        file.write("a row without any price\n")
    trained_ = json.loads(run(train, "--data", path, "--json").stdout)
    assert trained_["version"] == registry.active_version()
    assert trained_["active"] is True
    evaluated = json.loads(run(evaluate, "--data", path, "--json").stdout)
    assert evaluated["data"] == trained_["data"]
    assert trained_["data"]["layout"] == "canonical"
    assert trained_["data"]["dropped"] == {"with a wrong number of cells": 1}


def test_evaluating_an_unknown_version_or_a_bad_file_ends_with_two(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    assert registry.active_version() is None
    path = written(listings, tmp_path)
    result = run(evaluate, "--data", path, "--version", "2020-01-01T000000-abcdef")
    assert result.exit_code == 2
    assert run(evaluate, "--data", tmp_path / "nowhere.csv").exit_code == 2


def test_the_market_commands_write_their_files(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.csv"
    assert run(market, "generate", "--rows", 2000, "-o", drawn, "--seed", 3).exit_code == 0
    first = drawn.read_bytes()
    run(market, "generate", "--rows", 2000, "-o", drawn, "--seed", 3)
    assert drawn.read_bytes() == first
    statistics = tmp_path / "market.json"
    result = run(market, "calibrate", drawn, "-o", statistics)
    assert result.exit_code == 0, result.output
    assert str(os.fspath(statistics)) in result.stdout
    assert ReferenceMarket.load(statistics).listings == 2000
    shown = run(market, "show", "--from", statistics)
    assert "2,000 listings" in shown.stdout
    told = json.loads(run(market, "show", "--from", statistics, "--json").stdout)
    assert told["models"] == sum(map(len, told["brands"].values()))


def test_the_committed_market_shows_what_it_covers() -> None:
    told = json.loads(run(market, "show", "--json").stdout)
    assert told["models"] >= 250
    assert told["basis"] == "asking_prices"
    assert told["price_index"][told["data_as_of"]] == 1.0
    text = run(market, "show").stdout
    assert f"{told['models']} models of {len(told['brands'])} brands" in text
