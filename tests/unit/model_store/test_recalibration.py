"""Later listings and reported sales recalibrate a version without training."""

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from api.sales.log import SaleReportLog
from cli.main import main
from cli.models import models
from cli.training.evaluate import evaluate
from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE, PRICE, SOURCE, listing_table
from model_store.cards.card import write_card
from model_store.comparison.training_rows import caveats
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import FOREST_FILE, load_model, save_bundle
from model_store.registry.manifest import REFERENCE_MARKET
from model_store.registry.registry import ModelRegistry
from model_store.training.evaluation import HIGH_90, LOW_90
from model_store.training.recalibration import MAX_LEVEL_FACTOR, level_bounds, recalibrate
from model_store.training.train import TrainedModel
from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.clock import current_month, month_name
from shared.domain.ids import CallerId
from shared.domain.sale import Sale, SaleReport
from tests.unit.model_store import small_models

ROWS = 1_200
AS_OF = month_name(current_month() - 5)
LATER = month_name(current_month() - 1)


@pytest.fixture(scope="module")
def saved_aged(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a version whose data is five months old; it is active and has a card."""
    changed = dataclasses.replace(
        trained,
        training={**trained.training, "data_as_of": AS_OF},
        metrics=small_models.SCORES,
    )
    path = tmp_path_factory.mktemp("aged") / "versions"
    predictions = small_models.card_predictions()
    version = save_bundle(changed, path, lambda made: write_card(made, predictions))
    ModelRegistry(path).activate(version.id, by="test")
    return path


@pytest.fixture(scope="module")
def aged(saved_aged: Path) -> LoadedModel:
    """The version in `saved_aged`."""
    return load_model(saved_aged, str(ModelRegistry(saved_aged).active_version()))


def cars_of(count: int, seed: int) -> list[CarFeatures]:
    """Cars with plausible kilometres."""
    cars = small_models.random_cars(count, seed)
    return [dataclasses.replace(car, km_driven=12_000 * (2027 - car.year)) for car in cars]


def listings(
    model: LoadedModel, *, level: float = 1.06, spread: float = 1.5, rows: int = ROWS, seed: int = 4
) -> pd.DataFrame:
    """Listings around the model's prices: `level` times as dear, errors `spread` times as large."""
    cars = cars_of(rows, seed)
    quantiles = np.log(model.quantiles_mad(cars))
    normal = np.random.default_rng(seed).normal(0.0, 1.0 / 1.645, rows)
    low, mid, high = quantiles[:, LOW_90], quantiles[:, 4], quantiles[:, HIGH_90]
    error = spread * np.where(normal < 0, (mid - low) * normal, (high - mid) * normal)
    columns = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    columns[PRICE] = (level * np.exp(mid + error)).round(-1).tolist()
    columns[LISTING_DATE] = [LATER] * rows
    columns[SOURCE] = ["test"] * rows
    return listing_table(columns)


def coverage(model: LoadedModel, table: pd.DataFrame) -> float:
    cars = cars_of(len(table), 5)
    quantiles = model.quantiles_mad(cars)
    actual = table[PRICE].to_numpy()
    return float(np.mean((actual >= quantiles[:, LOW_90]) & (actual <= quantiles[:, HIGH_90])))


def test_intervals_cover_unseen_listings_of_the_new_level(aged: LoadedModel) -> None:
    changed = recalibrate(aged, listings(aged))
    model = dataclasses.replace(
        aged,
        calibration=changed.calibration,
        version=dataclasses.replace(aged.version, training=changed.training),
    )
    unseen = listings(aged, seed=5)
    assert coverage(aged, unseen) < 0.76
    assert coverage(model, unseen) == pytest.approx(0.9, abs=0.025)
    cars = cars_of(50, seed=6)
    ratio = np.array(model.prices_mad(cars)) / np.array(aged.prices_mad(cars))
    assert ratio == pytest.approx(1.06, abs=0.02)


def test_a_few_late_dates_do_not_move_the_month_of_a_recalibration(aged: LoadedModel) -> None:
    table = listings(aged)
    earlier = month_name(current_month() - 2)
    table[LISTING_DATE] = earlier
    table.loc[table.index[:3], LISTING_DATE] = LATER
    assert recalibrate(aged, table).training["data_as_of"] == earlier
    table.loc[table.index[:20], LISTING_DATE] = LATER
    assert recalibrate(aged, table).training["data_as_of"] == LATER


def test_the_manifest_says_what_the_version_was_calibrated_on(aged: LoadedModel) -> None:
    found = recalibrate(aged, listings(aged), name="later.csv")
    facts = found.calibrated_on
    assert facts["version"] == aged.version.id
    assert (facts["name"], facts["rows"], facts["sales"]) == ("later.csv", ROWS, 0)
    assert facts["months"] == [LATER, LATER]
    assert facts["price_level"] == pytest.approx(1.06, abs=0.02)
    assert facts["coverage_before"] < 0.8 < facts["coverage_after"]
    assert found.training["data_as_of"] == LATER
    assert found.training["price_index"][LATER] == 1.0


def test_a_second_recalibration_on_the_same_level_changes_little(aged: LoadedModel) -> None:
    first = recalibrate(aged, listings(aged, spread=1.0, level=1.0))
    assert first.calibrated_on["price_level"] == pytest.approx(1.0, abs=0.02)
    assert first.calibrated_on["width_factor"] == pytest.approx(1.0, abs=0.08)


def no_dates(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{LISTING_DATE: None})


def in_the_future(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{LISTING_DATE: month_name(current_month() + 2)})


def as_old_as_the_model(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{LISTING_DATE: AS_OF})


def of_one_brand(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(company="dacia", model="logan")


def in_euros(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{PRICE: table[PRICE] * 0.093})


def in_rupees(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{PRICE: table[PRICE] * 7.7})


def at_level(table: pd.DataFrame, level: float) -> pd.DataFrame:
    return table.assign(**{PRICE: table[PRICE] * level})


def of_two_brands(table: pd.DataFrame) -> pd.DataFrame:
    is_kept = table["company"].isin(["dacia", "bmw"])
    return at_level(table[is_kept].reset_index(drop=True), 1.15)


def one_brand_dearer(table: pd.DataFrame) -> pd.DataFrame:
    """Most listings are of one brand, which asks more than before."""
    is_dacia = table["company"] == "dacia"
    kept = is_dacia | (np.arange(len(table)) % 6 == 0)
    table = table.assign(**{PRICE: table[PRICE] * np.where(is_dacia, 1.2, 1 / 1.06)})
    return table[kept].reset_index(drop=True)


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    wild = np.exp(np.random.default_rng(1).normal(0.0, 1.0, len(table)))
    return table.assign(**{PRICE: table[PRICE] * wild})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda table: table.iloc[:150], "150 of 150 listings are usable and later than"),
        (no_dates, "the listings have no dates"),
        (in_the_future, "listings are dated in the future"),
        (as_old_as_the_model, f"0 of {ROWS} listings are usable and later than {AS_OF}"),
        (of_one_brand, "all listings are of one brand (dacia)"),
        (in_euros, "the listings ask 0.09"),
        (lambda table: at_level(table, 1.5), "the listings ask 1.5"),
        (lambda table: at_level(table, 1 / 1.5), "the listings ask 0.7"),
        (of_two_brands, "the listings are of dacia, bmw and ask 1.2"),
        (one_brand_dearer, "the listings ask 1.19 times the estimates (median), and without"),
        (in_rupees, "the listings ask 8."),
        (shuffled, "the asking prices do not follow the cars"),
    ],
)
def test_listings_that_cannot_calibrate_are_refused_with_the_reason(
    aged: LoadedModel, spoil: Callable[[pd.DataFrame], pd.DataFrame], reason: str
) -> None:
    with pytest.raises(ListingsError) as caught:
        recalibrate(aged, spoil(listings(aged)))
    assert str(caught.value).startswith(reason)


def test_suspicious_prices_are_left_out(aged: LoadedModel) -> None:
    table = listings(aged)
    is_wrong = np.arange(len(table)) % 10 == 0
    spoilt = table.assign(
        price_suspect=is_wrong, **{PRICE: np.where(is_wrong, table[PRICE] * 10, table[PRICE])}
    )
    found = recalibrate(aged, spoilt).calibrated_on
    assert found["rows"] == int((~is_wrong).sum())
    assert found["width_factor"] < 2.0


def test_the_level_may_change_more_the_older_the_data_are() -> None:
    (low, high), (_, later), (_, last) = map(level_bounds, (0, 6, 60))
    assert 1.2 < high < later < last == MAX_LEVEL_FACTOR
    assert low * high == pytest.approx(1.0)


def test_a_brand_whose_level_moved_otherwise_is_told(aged: LoadedModel) -> None:
    table = listings(aged, level=1.0)
    is_dacia = table["company"] == "dacia"
    spoilt = table.assign(**{PRICE: np.where(is_dacia, table[PRICE] * 1.5, table[PRICE])})
    facts = recalibrate(aged, spoilt).calibrated_on
    assert facts["levels_by_brand"] == {"dacia": pytest.approx(1.5, abs=0.05)}
    assert facts["price_level"] < 1.1
    assert recalibrate(aged, table).calibrated_on["levels_by_brand"] == {}


def test_listings_of_a_recalibration_count_as_seen(
    trained: TrainedModel, aged: LoadedModel, tmp_path: Path
) -> None:
    path = tmp_path / "versions"
    training = {**trained.training, "name": REFERENCE_MARKET, "data_as_of": AS_OF}
    training["months"] = ["2021-12", AS_OF]
    base = save_bundle(dataclasses.replace(trained, training=training), path).id
    table = listings(aged)
    table.to_csv(tmp_path / "later.csv", index=False)
    made = run(path, "--data", str(tmp_path / "later.csv"), "--version", base, "--json")
    assert made.exit_code == 0, made.output
    version = json.loads(made.stdout)["version"]
    others = listings(aged, seed=11).assign(listing_date=AS_OF)
    pd.concat([table, others]).to_csv(tmp_path / "both.csv", index=False)
    environment = {"MODELS_PATH": str(path)}

    def evaluated(name: str) -> tuple[dict[str, Any], str]:
        arguments = ["--data", str(tmp_path / "both.csv"), "--version", name]
        result = CliRunner().invoke(evaluate, arguments, env=environment)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout), result.stderr

    found, messages = evaluated(version)
    seen = found["seen_in_training"]
    assert seen["rows"] - seen["other_price"] == pytest.approx(ROWS, rel=0.05)
    assert "this version was trained or recalibrated on" in messages
    first, second = found["notes"]
    assert f"recalibrated on {made_rows(made):,} listings of {LATER} (later.csv)" in first
    assert f"listings of 2021-12 to {AS_OF}: 1,200 of these may be among them" in second
    assert second in messages
    before, _ = evaluated(base)
    assert before["seen_in_training"]["rows"] == 0
    assert before["notes"] == [second.replace(version, base)]
    arguments = ["compare", base, version, "--data", str(tmp_path / "both.csv")]
    compared = CliRunner().invoke(models, arguments, env=environment)
    assert compared.exit_code == 0, compared.output
    assert "B has seen 1," in compared.stdout
    assert f"Note: {version} was recalibrated on" in compared.stdout
    arguments[-1] = str(tmp_path / "later.csv")
    refused = CliRunner().invoke(models, arguments, env=environment)
    assert refused.exit_code == 2
    assert "one of the versions was trained on 1" in refused.output


def made_rows(result: Result) -> int:
    return int(json.loads(result.stdout)["calibrated_on"]["rows"])


def test_a_recalibrated_version_of_unknown_rows_says_that_they_are_not_recognised(
    aged: LoadedModel, registry: Path, tmp_path: Path
) -> None:
    path = tmp_path / "later.csv"
    listings(aged).to_csv(path, index=False)
    version = json.loads(run(registry, "--data", str(path), "--json").stdout)["version"]
    model = load_model(registry, version)
    assert model.training_rows is None
    (note,) = caveats(model, listings(aged))
    assert "cannot be recognised" in note


@pytest.mark.parametrize("level", [1.06, 1.2])
def test_the_command_warns_of_a_large_change_of_the_level(
    aged: LoadedModel, registry: Path, tmp_path: Path, level: float
) -> None:
    path = tmp_path / "later.csv"
    listings(aged, level=level).to_csv(path, index=False)
    made = run(registry, "--data", str(path))
    assert made.exit_code == 0, made.output
    assert ("prices of all brands change by +" in made.stderr) is (level > 1.1)


@pytest.mark.parametrize("spread", [1.1, 1.6])
def test_the_command_warns_of_much_wider_intervals(
    aged: LoadedModel, registry: Path, tmp_path: Path, spread: float
) -> None:
    path = tmp_path / "later.csv"
    listings(aged, spread=spread).to_csv(path, index=False)
    made = run(registry, "--data", str(path))
    assert made.exit_code == 0, made.output
    assert ("intervals become much wider" in made.stderr) is (spread > 1.4)


def test_the_list_shows_figures_of_the_recalibration(
    aged: LoadedModel, registry: Path, tmp_path: Path
) -> None:
    path = tmp_path / "later.csv"
    table = listings(aged)
    table.assign(price_suspect=np.arange(len(table)) % 10 == 0).to_csv(path, index=False)
    made = run(registry, "--data", str(path))
    assert "suspicious prices, also of these figures" in made.stderr
    version = ModelRegistry(registry).list()[0]
    facts = version.calibrated_on
    assert facts is not None
    listed = CliRunner().invoke(models, ["list"], env={"MODELS_PATH": str(registry)}).output
    new, old = listed.splitlines()[1:]
    assert "small, recalibrated: later.csv" in new
    assert f"{facts['median_ape']:.2f} %" in new
    assert f"{facts['coverage_after']:.1%}" in new
    assert "recalibrated" not in old
    assert "8.00 %" in old
    assert "8.00 %" not in new


def reports(model: LoadedModel, count: int, *, level: float = 0.93) -> list[SaleReport]:
    table = listings(model, level=level, rows=count, seed=8)
    cars = cars_of(count, 8)
    found = model.quantiles_mad(cars)
    return [
        SaleReport(
            valuation_id=f"{number:026d}", caller=CallerId("test"),
            sale=Sale(price_mad=float(sold), sold_at=dt.date(2026, 1, 1)),
            price_mad=float(row[4]), low_mad=float(row[LOW_90]), high_mad=float(row[HIGH_90]),
            model_version=model.version.id, recorded_at=float(number),
        )
        for number, (sold, row) in enumerate(zip(table[PRICE], found, strict=True))
    ]  # fmt: skip


def test_sales_widen_the_intervals_and_leave_the_price_level(aged: LoadedModel) -> None:
    found = recalibrate(aged, None, reports(aged, 400))
    assert found.calibrated_on["price_level"] == 1.0
    assert found.calibrated_on["width_factor"] == pytest.approx(1.5, abs=0.2)
    assert found.calibrated_on["months"] is None
    assert found.training["data_as_of"] == AS_OF
    assert found.calibration.shift_log == 0.0


def test_few_sales_are_refused(aged: LoadedModel) -> None:
    with pytest.raises(ListingsError, match="150 reported sales of this version are too few"):
        recalibrate(aged, None, reports(aged, 150))


def run(folder: Path, *arguments: str, home: Path | None = None) -> Result:
    environment = {"MODELS_PATH": str(folder)} | ({"CARPRICE_HOME": str(home)} if home else {})
    return CliRunner().invoke(main, ["recalibrate", *arguments], env=environment)


@pytest.fixture
def registry(saved_aged: Path, tmp_path: Path) -> Path:
    """A copy of `saved_aged`."""
    return shutil.copytree(saved_aged, tmp_path / "versions")


def test_the_command_makes_a_version_that_is_activated_and_rolled_back(
    aged: LoadedModel, registry: Path, tmp_path: Path
) -> None:
    path = tmp_path / "later.csv"
    listings(aged).to_csv(path, index=False)
    (base,) = ModelRegistry(registry).list()
    result = run(registry, "--data", str(path), "--activate", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["data_as_of"] == LATER
    made = ModelRegistry(registry).get(answer["version"])
    assert ModelRegistry(registry).active_version() == made.id
    assert made.calibrated_on == answer["calibrated_on"]
    assert made.files[FOREST_FILE] == base.files[FOREST_FILE]
    assert answer["calibrated_on"]["name"] == "later.csv"
    card = (registry / made.id / "card.md").read_text(encoding="utf-8")
    assert card.startswith(f"# Model card {made.id}\n\n## Recalibration")
    assert base.id in card
    french = (registry / made.id / "card-fr.md").read_text(encoding="utf-8")
    assert "## Recalibrage" in french
    model = load_model(registry, made.id)
    assert model.calibration.shift_log == pytest.approx(np.log(1.06), abs=0.02)
    car = model.version.self_test[0].car
    explained = model.explain(car)
    total = explained.base_mad + sum(one.effect_mad for one in explained.contributions)
    assert total == pytest.approx(model.prices_mad([car])[0], abs=0.05)
    back = CliRunner().invoke(models, ["rollback"], env={"MODELS_PATH": str(registry)})
    assert back.exit_code == 0
    assert ModelRegistry(registry).active_version() == base.id


def test_the_command_uses_the_reported_sales_of_the_version(registry: Path, tmp_path: Path) -> None:
    (version,) = ModelRegistry(registry).list()
    model = load_model(registry, version.id)
    log = SaleReportLog(tmp_path / "home" / "audit", "w", lambda: 0.0)
    for report in reports(model, 210):
        log.put(report)
    log.close()
    result = run(registry, "--sales", home=tmp_path / "home")
    assert result.exit_code == 0, result.output
    assert "210 sales" in result.stderr
    assert "sales do not change the price level" in result.stderr
    assert ModelRegistry(registry).active_version() == version.id


def test_a_refusal_makes_no_version(aged: LoadedModel, registry: Path, tmp_path: Path) -> None:
    path = tmp_path / "halves.csv"
    table = listings(aged)
    table.assign(**{PRICE: table[PRICE] * 0.5}).to_csv(path, index=False)
    result = run(registry, "--data", str(path), "--activate")
    assert result.exit_code == 2
    assert "is this another currency or market?" in result.stderr
    assert len(ModelRegistry(registry).list()) == 1
    nothing = run(registry)
    assert nothing.exit_code == 2
    assert "give --data FILE, --sales, or both" in nothing.stderr
