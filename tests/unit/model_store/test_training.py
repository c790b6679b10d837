"""Training: reproducible, honest, and clear about data it cannot use."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from data.generator import generate
from data.loading import ListingsError
from data.market import ReferenceMarket
from data.schema import car_columns
from model_store.cli import evaluate, market, train
from model_store.registry import ModelRegistry
from model_store.training.dropout import with_dropout
from model_store.training.train import steps, train_bundle
from model_store.training.trained import TrainedModel

MARKET = ReferenceMarket.load()


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    return generate(MARKET, 1500, seed=1)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(listings: pd.DataFrame, told: list[str]) -> TrainedModel:
    return train_bundle(listings, seed=5, advance=told.append)


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


def test_progress_is_told_as_often_as_promised(
    listings: pd.DataFrame, trained: TrainedModel, told: list[str]
) -> None:
    assert trained.training["rows"] == len(listings)
    assert len(told) == steps(listings)


def test_dropout_blanks_optional_fields_and_changes_no_row_count(listings: pd.DataFrame) -> None:
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


def test_the_first_version_is_active_at_once_and_the_next_one_when_asked(
    listings: pd.DataFrame, registry: ModelRegistry, tmp_path: Path
) -> None:
    path = written(listings, tmp_path)
    first = run(train, "--data", path, "--seed", 1)
    assert first.exit_code == 0, first.output
    active = registry.active_version()
    assert active is not None
    assert active in first.stdout
    assert run(train, "--data", path, "--seed", 2).exit_code == 0
    assert registry.active_version() == active
    assert run(train, "--data", path, "--seed", 3, "--activate").exit_code == 0
    assert registry.active_version() != active
    assert len(registry.list()) == 3


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
        (b"company,model,year,price_mad\n" + b"Dacia,Logan,2016,90000\n" * 50, "too few"),
        (b"company,model,year,price_mad\n" + b"Dacia,Logan,2016,90000\n" * 300, "of one brand"),
    ],
)
def test_a_bad_file_gives_one_line_and_leaves_the_active_model_alone(
    registry: ModelRegistry, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    result = run(train, "--data", path, "--activate")
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]
    assert registry.active_version() is None
    assert not list(registry.list())


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
    assert ReferenceMarket.load(statistics).listings == 2000
    assert str(os.fspath(statistics)) in result.stdout
