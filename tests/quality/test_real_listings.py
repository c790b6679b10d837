"""The default model on real listings; run where CARPRICE_LISTINGS names such a file."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from data.calibrate import folds_of
from data.loading import load_listings
from model_store.cli import evaluate, train


@pytest.fixture
def listings() -> Path:
    return Path(os.environ["CARPRICE_LISTINGS"])


@pytest.mark.listings
def test_the_default_model_holds_on_the_real_market(
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
def test_a_model_trained_on_part_of_the_listings_holds_on_the_rest(
    listings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path))
    table, _ = load_listings(listings)
    fold = folds_of(table, 5, seed=3)
    for name, rows in (("seen.csv", table[fold != 0]), ("unseen.csv", table[fold == 0])):
        rows.to_csv(tmp_path / name, index=False)
    assert CliRunner().invoke(train, ["--data", str(tmp_path / "seen.csv")]).exit_code == 0
    result = CliRunner().invoke(evaluate, ["--data", str(tmp_path / "unseen.csv")])
    found = json.loads(result.stdout)
    assert found["median_ape"] <= 8.8
    assert found["mae_mad"] <= 26_500
    assert found["r2_log"] >= 0.88
    assert 0.88 <= found["coverage_90"] <= 0.92
