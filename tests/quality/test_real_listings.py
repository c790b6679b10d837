"""Models on real listings; these tests need the files that CARPRICE_LISTINGS names.

They are those that the committed statistics were estimated from, with the prices of new cars that
CARPRICE_NEW_PRICES names.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.training.evaluate import evaluate
from cli.training.train import train
from data.listings.loading import load_listings_of
from data.listings.table import LISTING_DATE
from data.market.calibrate import assign_folds, calibrate, near_duplicate_groups
from data.market.new_car_levels import load_new_prices
from data.market.reference import ReferenceMarket

pytestmark = pytest.mark.timeout(900)  # a training on all files takes a minute of processor time

LATEST = "2026-01"
"""First month of the listings whose prices the default model quotes."""
RECENT = "2025-01"
"""First month of the listings whose cars are hardly older now."""


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    return [Path(path) for path in os.environ["CARPRICE_LISTINGS"].split(os.pathsep)]


@pytest.fixture(scope="module")
def listings(paths: list[Path]) -> pd.DataFrame:
    table, _ = load_listings_of(paths)
    return table


@pytest.fixture(scope="module")
def default_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the version that a fresh clone trains."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELS_PATH", str(folder))
        assert CliRunner().invoke(train, []).exit_code == 0
    return folder


def evaluated(arguments: Sequence[str], models: Path) -> dict[str, Any]:
    """Return what `carprice evaluate` prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELS_PATH", str(models))
        result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.listings
def test_the_default_model_reaches_its_targets_on_listings_of_its_month(
    listings: pd.DataFrame, default_model: Path, tmp_path: Path
) -> None:
    latest = listings[listings[LISTING_DATE] >= LATEST]
    ages = int(LATEST[:4]) - latest["year"]
    for name, rows, median in (("all", latest, 7.6), ("young", latest[ages <= 3], 7.0)):
        rows.to_csv(path := tmp_path / f"{name}.csv", index=False)
        found = evaluated(["--data", str(path)], default_model)
        assert found["median_ape"] <= median
        assert 0.90 <= found["coverage_90"] <= 0.99


@pytest.mark.listings
def test_intervals_of_the_default_model_hold_without_fuel_gearbox_or_kilometres(
    paths: list[Path], listings: pd.DataFrame, default_model: Path, tmp_path: Path
) -> None:
    """Missing kilometres are those usual at today's age: only cars listed lately had these."""
    found = evaluated(["--data", str(paths[0])], default_model)
    assert found["median_ape"] <= 8.4
    assert found["r2_log"] >= 0.89
    assert 0.88 <= found["coverage_90"] <= 0.93
    recent = listings[listings[LISTING_DATE] >= RECENT]
    recent.to_csv(path := tmp_path / "recent.csv", index=False)
    found = evaluated(["--data", str(path), "--missing"], default_model)
    complete, *others = found["missing_fields"]["cases"]
    assert len(others) == 7
    for case in others:
        assert complete["median_ape"] <= case["median_ape"] <= complete["median_ape"] + 1.2
        assert max(map(abs, case["difference"].values())) <= 1.5, case["missing"]
        assert max(map(abs, case["by_age"].values())) <= 2.0, case["missing"]
        assert max(map(abs, case["by_price"].values())) <= 2.5, case["missing"]


@pytest.mark.listings
@pytest.mark.skipif(
    "CARPRICE_NEW_PRICES" not in os.environ, reason="CARPRICE_NEW_PRICES names no file"
)
def test_the_committed_statistics_are_those_of_the_listings(listings: pd.DataFrame) -> None:
    versions = load_new_prices(Path(os.environ["CARPRICE_NEW_PRICES"]))
    market = calibrate(listings, versions)
    made, committed = (_values(m.to_json()) for m in (market, ReferenceMarket.load()))
    assert made.keys() == committed.keys()
    for path, value in committed.items():
        if isinstance(value, float):
            # The kernel that OpenBLAS chooses for a processor moves an effect by up to 0.2 %, a
            # quantile of the spread by up to 0.009.
            assert made[path] == pytest.approx(value, abs=1e-2, rel=1e-2), path
        else:
            assert made[path] == value, path


def _values(part: Any, path: str = "") -> dict[str, Any]:
    """Return all values in nested JSON by path."""
    if isinstance(part, dict | list | tuple):
        items = part.items() if isinstance(part, dict) else enumerate(part)
        return {k: v for name, sub in items for k, v in _values(sub, f"{path}/{name}").items()}
    return {path: part}


@pytest.mark.listings
def test_a_model_trained_on_real_listings_reaches_its_targets_on_held_out_ones(
    listings: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the listings of the latest full month is held out."""
    held_out = (assign_folds(listings, 4, seed=3) == 0) & (listings[LISTING_DATE] == LATEST)
    cars = near_duplicate_groups(listings)
    others = ~np.isin(cars, cars[held_out])
    for name, rows in (("seen.csv", listings[others]), ("unseen.csv", listings[held_out])):
        rows.to_csv(tmp_path / name, index=False)
    monkeypatch.setenv("MODELS_PATH", str(tmp_path / "models"))
    arguments = ["--data", str(tmp_path / "seen.csv"), "--no-compare"]
    assert CliRunner().invoke(train, arguments).exit_code == 0
    found = evaluated(["--data", str(tmp_path / "unseen.csv")], tmp_path / "models")
    assert found["seen_in_training"]["rows"] < 0.01 * found["rows"]
    assert found["median_ape"] <= 8.2
    assert 0.87 <= found["coverage_90"] <= 0.94
