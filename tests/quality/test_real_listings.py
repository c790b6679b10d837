"""Models on real listings; these tests need the file that CARPRICE_LISTINGS names."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.evaluate import evaluate
from cli.train import train
from data.listings.loading import load_listings
from data.market.calibrate import assign_folds, calibrate
from data.market.reference import ReferenceMarket


@pytest.fixture
def listings() -> Path:
    return Path(os.environ["CARPRICE_LISTINGS"])


@pytest.mark.listings
def test_the_default_model_reaches_its_targets_on_real_listings(
    listings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path))
    assert CliRunner().invoke(train, []).exit_code == 0
    result = CliRunner().invoke(evaluate, ["--data", str(listings)])
    found = json.loads(result.stdout)
    assert found["median_ape"] <= 8.0
    assert found["mae_mad"] <= 22_000
    assert found["r2_log"] >= 0.89
    assert 0.88 <= found["coverage_90"] <= 0.93


@pytest.mark.listings
def test_intervals_of_the_default_model_hold_without_fuel_gearbox_or_kilometres(
    listings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path))
    assert CliRunner().invoke(train, []).exit_code == 0
    result = CliRunner().invoke(evaluate, ["--data", str(listings), "--missing"])
    complete, *others = json.loads(result.stdout)["missing_fields"]["cases"]
    assert len(others) == 7
    for case in others:
        assert complete["median_ape"] <= case["median_ape"] <= complete["median_ape"] + 1.2
        assert max(map(abs, case["difference"].values())) <= 1.0, case["missing"]
        assert max(map(abs, case["by_age"].values())) <= 2.0, case["missing"]
        assert max(map(abs, case["by_price"].values())) <= 2.5, case["missing"]


@pytest.mark.listings
def test_the_committed_statistics_are_those_of_the_listings(
    listings: Path,
) -> None:
    table, _ = load_listings(listings)
    made, committed = (_values(m.to_json()) for m in (calibrate(table), ReferenceMarket.load()))
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
    listings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path))
    table, _ = load_listings(listings)
    fold = assign_folds(table, 5, seed=3)
    for name, rows in (("seen.csv", table[fold != 0]), ("unseen.csv", table[fold == 0])):
        rows.to_csv(tmp_path / name, index=False)
    assert CliRunner().invoke(train, ["--data", str(tmp_path / "seen.csv")]).exit_code == 0
    result = CliRunner().invoke(evaluate, ["--data", str(tmp_path / "unseen.csv")])
    found = json.loads(result.stdout)
    assert found["median_ape"] <= 8.8
    assert found["mae_mad"] <= 26_500
    assert found["r2_log"] >= 0.88
    assert 0.88 <= found["coverage_90"] <= 0.92
