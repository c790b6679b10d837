"""`models compare`, the trial of `train`, and `evaluate` on listings that a version has seen."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from cli.models import models
from cli.retraining.drift import drift
from cli.retraining.recalibrate import recalibrate
from cli.training.evaluate import evaluate
from cli.training.train import train
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.comparison.holdout import hold_out
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from tests.unit.model_store import small_models


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    """1,000 listings, of six months."""
    drawn = generate(ReferenceMarket.load(), 1_000, seed=8)
    months = [f"2025-0{1 + row % 6}" for row in range(len(drawn))]
    return drawn.assign(listing_date=months, source=["site", "dealer"] * 500)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, listings: pd.DataFrame) -> Path:
    """A folder with a registry of a version trained on half of the listings, and both halves."""
    home = tmp_path_factory.mktemp("home")
    listings.head(500).to_csv(home / "seen.csv", index=False)
    listings.tail(500).to_csv(home / "unseen.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELS_PATH", str(home / "versions"))
        made = run(train, "--data", home / "seen.csv", "--seed", 1)
        assert made.exit_code == 0, made.output
        assert "Trial" not in made.stdout, "there is no active version to compare with"
    return home


@pytest.fixture
def registry(home: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    monkeypatch.setenv("MODELS_PATH", str(home / "versions"))
    return ModelRegistry(home / "versions")


def evaluated(*paths: Path) -> tuple[dict[str, object], str]:
    options = [each for path in paths for each in ("--data", path)]
    result = run(evaluate, *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


def test_evaluate_counts_training_rows_and_warns(home: Path, registry: ModelRegistry) -> None:
    assert registry.active_version() is not None
    seen, warning = evaluated(home / "seen.csv")
    assert seen["seen_in_training"] == {"rows": 500, "share": 1.0, "other_price": 0}
    assert "trained on 500 of these 500 listings (100%)" in warning
    assert "unseen" not in seen
    unseen, silence = evaluated(home / "unseen.csv")
    assert unseen["seen_in_training"] == {"rows": 0, "share": 0.0, "other_price": 0}
    assert "warning" not in silence


def test_figures_of_unseen_listings_are_separate_and_those_of_seen_ones_flatter(
    home: Path, registry: ModelRegistry
) -> None:
    assert registry.active_version() is not None
    both, warning = evaluated(home / "seen.csv", home / "unseen.csv")
    assert both["seen_in_training"] == {"rows": 500, "share": 0.5, "other_price": 0}
    assert both["unseen"]["rows"] == both["seen"]["rows"] == 500  # type: ignore[index]
    assert both["unseen"]["mape"] > both["mape"] > both["seen"]["mape"]  # type: ignore[index]
    assert "see `unseen`" in warning
    alone, _ = evaluated(home / "unseen.csv")
    assert alone["median_ape"] == both["unseen"]["median_ape"]  # type: ignore[index]


def test_training_rows_are_recognised_in_another_order_layout_and_kind_of_file(
    home: Path, registry: ModelRegistry, tmp_path: Path
) -> None:
    assert registry.active_version() is not None
    table = pd.read_csv(home / "seen.csv").sample(frac=1, random_state=2)
    other = table[["price_mad", "km_driven", "year", "model", "company"]].set_axis(
        ["Prix (DH)", "Kilométrage", "Année", "Modèle", "Marque"], axis="columns"
    )
    other.to_parquet(tmp_path / "other.parquet", index=False)
    found, _ = evaluated(tmp_path / "other.parquet")
    assert found["seen_in_training"] == {"rows": 500, "share": 1.0, "other_price": 0}


def test_training_compares_a_trial_with_the_active_version_on_later_listings(
    home: Path, registry: ModelRegistry
) -> None:
    active = registry.active_version()
    result = run(train, "--data", home / "unseen.csv", "--json", "--seed", 2)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["version"] != active == registry.active_version()
    trial = found["trial"]
    assert "random 15%" in trial["basis"], "the last month alone is too short"
    assert trial["comparison"]["version_a"] == active
    assert trial["comparison"]["rows"] + trial["rows"] == 500
    text = run(train, "--data", home / "unseen.csv", "--seed", 2)
    assert "Verdict: " in text.stdout
    assert "listings that neither has seen" in text.stdout
    without = run(train, "--data", home / "unseen.csv", "--no-compare", "--json")
    assert json.loads(without.stdout)["trial"] is None


def test_training_again_on_what_the_active_version_has_seen_says_that_nothing_is_left(
    home: Path, registry: ModelRegistry
) -> None:
    assert registry.active_version() is not None
    result = run(train, "--data", home / "seen.csv", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "not compared with the active version: 0 listings are too few" in result.stdout


def test_a_lost_pointer_is_no_new_registry(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shutil.copytree(home / "versions", tmp_path / "versions")
    monkeypatch.setenv("MODELS_PATH", str(path))
    registry = ModelRegistry(path)
    active = registry.active_version()
    versions = len(registry.list())
    (path / "ACTIVE").write_text("nonsense")
    data = ("--data", home / "unseen.csv")
    commands = [(train, *data), (evaluate, *data), (models, "compare", "active", active, *data)]
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    for command in (*commands, (recalibrate, *data), (drift,)):
        result = run(*command)
        assert result.exit_code == 2, command
        assert f"{active} was active: `carprice models activate`" in result.stderr
    assert len(registry.list()) == versions


def test_prices_of_other_cars_are_not_trained_on_in_a_market_that_is_not_known(
    tmp_path: Path, listings: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path / "versions"))
    drawn = listings.head(220)
    names = {"company": "Abc " + drawn["company"], "model": "Xyz " + drawn["model"]}
    prices = drawn["price_mad"].sample(frac=1.0, random_state=1).to_numpy()
    path = tmp_path / "a.csv"
    drawn.assign(price_mad=prices, **names).to_csv(path, index=False)
    result = run(train, "--data", path)
    assert result.exit_code == 2
    assert "the prices do not follow the cars" in result.stderr
    assert ModelRegistry(tmp_path / "versions").list() == []


def test_compare_prints_figures_by_group_and_a_verdict(home: Path, registry: ModelRegistry) -> None:
    active = registry.active_version()
    version = save_bundle(small_models.train(trees=3), home / "versions")
    text = run(models, "compare", "active", version.id, "--data", home / "unseen.csv")
    assert text.exit_code == 0, text.output
    for part in (
        f"A  {active}", "by asking price", "by age", "by brand", "by source", "most different",
        "Verdict: B is worse than A", "training rows of B not known", "ASKED",
    ):  # fmt: skip
        assert part in text.stdout
    both = ("--data", home / "unseen.csv", "--data", home / "seen.csv")
    left_out = run(models, "compare", "active", version.id, *both)
    assert "500 more left out (A has seen 500)" in left_out.stdout
    found = json.loads(run(models, "compare", active, version.id, *both, "--json").stdout)
    assert (found["rows"], found["excluded"], found["seen_a"]) == (500, 500, 500)
    assert found["verdict"] == "worse"
    assert found["difference_low"] > 0
    assert {band["name"] for band in found["by_source"]} == {"site", "dealer"}
    assert found["data"]["rows_kept"] == 1_000


def test_compare_refuses_seen_listings_and_unknown_versions(
    home: Path, registry: ModelRegistry
) -> None:
    assert registry.active_version() is not None
    refused = run(models, "compare", "active", "active", "--data", home / "seen.csv")
    assert refused.exit_code == 2
    assert "trained on 500 of the 500" in refused.stderr.splitlines()[-1]
    included = run(
        models, "compare", "active", "active", "--data", home / "seen.csv", "--include-seen"
    )
    assert "no difference can be told" in included.stdout
    assert "training rows included" in included.stdout
    missing = run(models, "compare", "active", "2020-01-01T000000-abcdef", "--data", home)
    assert missing.exit_code == 2


def test_the_list_shows_metrics_and_the_period_of_the_data(registry: ModelRegistry) -> None:
    version = registry.active()
    assert version is not None
    listed = run(models, "list").stdout
    header, *rows = listed.splitlines()
    assert {"LISTED", "MEDIAN", "COVERAGE"} <= set(header.split())
    (row,) = (row for row in rows if version.id in row)
    assert "2025-01 to 2025-06" in row
    assert f"{version.metrics['median_ape']:.2f} %" in row
    assert " 500 " in row


def test_the_last_months_are_held_out_as_many_as_give_enough_listings(
    listings: pd.DataFrame,
) -> None:
    many = pd.concat([listings] * 3, ignore_index=True)
    before, held_out, basis, relisted = hold_out(
        many.assign(km_driven=many.index.to_numpy()), seed=1
    )
    assert relisted == 0
    assert set(held_out["listing_date"]) == {"2025-06"}
    assert len(before) + len(held_out) == len(many)
    assert "out-of-time, 2025-06 held out" in basis
    _, later, basis, _ = hold_out(listings, seed=1)
    assert set(later["listing_date"]) == {"2025-05", "2025-06"}
    assert "2025-05 to 2025-06 held out" in basis


def test_cars_that_are_listed_again_cheaper_are_in_neither_part_of_a_trial(
    home: Path, registry: ModelRegistry, listings: pd.DataFrame
) -> None:
    assert registry.active_version() is not None
    earlier = listings.assign(km_driven=range(1_000), listing_date="2025-01")
    rows = earlier.tail(400)
    again = rows.assign(price_mad=rows["price_mad"] - 1_000, listing_date="2025-04")
    again["km_driven"] += [0, 1_000_000] * 200
    both = pd.concat([earlier, again], ignore_index=True)
    before, held_out, _, relisted = hold_out(both, seed=1)
    assert (len(before), len(held_out), relisted) == (1_000, 200, 200)
    assert set(held_out["km_driven"]).isdisjoint(before["km_driven"])
    both.assign(km_driven=both["km_driven"] % 1_000_000).to_csv(home / "again.csv", index=False)
    result = run(train, "--data", home / "again.csv", "--seed", 4)
    assert result.exit_code == 0, result.output
    assert "400 of them left out: their cars are also listed earlier" in result.stdout
    assert "not compared with the active version: 0 listings are too few" in result.stdout


@pytest.mark.parametrize(
    ("month", "reason"), [("2025-06", "all listings are of 2025-06"), (None, "have no dates")]
)
def test_without_months_a_random_part_is_held_out_near_duplicates_together(
    listings: pd.DataFrame, month: str | None, reason: str
) -> None:
    twice = pd.concat([listings, listings], ignore_index=True).assign(listing_date=month)
    before, held_out, basis, relisted = hold_out(twice, seed=1)
    assert relisted == 0
    assert reason in basis
    assert "not out-of-time" in basis
    assert 0.1 < len(held_out) / len(twice) < 0.2
    cars = ["company", "model", "year", "km_driven", "fuel", "transmission"]
    assert before.merge(held_out.dropna(subset=["km_driven"]), on=cars).empty


def test_training_states_what_a_single_month_missing_dates_and_typing_errors_mean(
    registry: ModelRegistry, listings: pd.DataFrame, tmp_path: Path
) -> None:
    assert registry.active_version() is not None
    rows = listings.index.to_numpy()
    typed = listings["price_mad"].where(rows % 10 != 0, listings["price_mad"] * 10)
    dates = listings["listing_date"].where(rows % 4 == 0, None).where(rows % 4 != 0, "2025-03")
    poor = listings.assign(price_mad=typed, listing_date=dates).drop(columns="price_suspect")
    poor.head(400).to_csv(tmp_path / "poor.csv", index=False)
    result = run(train, "--data", tmp_path / "poor.csv", "--no-compare")
    assert result.exit_code == 0, result.output
    assert "300 listings without a date are taken for ones of 2025-03" in result.stderr
    assert "all dated listings are of 2025-03" in result.stderr
    assert "of the prices are probably typing errors" in result.stderr
