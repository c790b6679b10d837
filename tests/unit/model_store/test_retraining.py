"""Retraining activates what is better on later months, and otherwise changes nothing."""

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.console import BadInputError
from cli.main import main
from cli.retraining.retrain import _run
from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE, PRICE
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.drift.profile import read_profile
from model_store.registry.bundle import load_model, save_bundle, save_recalibrated
from model_store.registry.history import Action
from model_store.registry.registry import ModelRegistry
from model_store.retraining import retrain as retrain_module
from model_store.retraining.journal import JOURNAL_FILE, RetrainingRuns, Step, retraining_lock
from model_store.retraining.retrain import Decision
from model_store.retraining.rival import Rival
from model_store.retraining.rollback import AUTOMATIC
from model_store.retraining.split import NoFairComparison, split_by_time
from model_store.training.recalibration import recalibrate
from shared.domain.errors import ActivePointerLost
from tests.conftest import ROOT
from tests.small_disk import NO_NAMESPACES, mounting, unshare_command
from tests.unit.model_store import small_models
from tests.unit.model_store.small_retraining import make_registry, retraining, small_listings


@pytest.fixture(scope="module")
def listings():
    return small_listings()


@pytest.fixture(scope="module")
def too_dear(tmp_path_factory):
    """A registry whose active version asks too much."""
    path = tmp_path_factory.mktemp("dear")
    make_registry(path)
    return path


@pytest.fixture
def path(too_dear, tmp_path):
    return shutil.copytree(too_dear, tmp_path / "versions")


@pytest.fixture
def registry(path):
    return ModelRegistry(path)


def versions(path):
    return sorted(each.name for each in path.glob("20*"))


def test_a_better_candidate_is_activated_and_the_same_listings_again_do_nothing(
    registry, path, listings
):
    before = registry.active_version()
    result = retraining(path).run(listings)
    assert (result.decision, result.active_before) == (Decision.ACTIVATED, before)
    assert result.version == registry.active_version() != before
    assert result.comparison.verdict == "better"
    assert result.judged_months[0] > "2026-06", "later than the data of the active version"
    assert json.loads(json.dumps(result.to_json()))["comparison"]["rows"] >= 200
    stored = versions(path)
    again = retraining(path).run(listings)
    assert (again.decision, again.version) == (Decision.UNCHANGED, result.version)
    assert versions(path) == stored


def test_an_equal_candidate_is_not_activated_and_the_reason_is_told(tmp_path, listings):
    path = tmp_path / "versions"
    registry = make_registry(path, level=0.0)
    before = registry.active_version()
    result = retraining(path).run(listings)
    assert (result.decision, registry.active_version()) == (Decision.KEPT, before)
    assert "not significantly better" in result.reason or "is worse" in result.reason
    assert versions(path) == [before], "a candidate that lost is not stored"
    again = retraining(path).run(listings)
    assert again.decision is Decision.UNCHANGED
    assert result.reason in again.reason
    always = retraining(path, if_better=False).run(listings)
    assert (always.decision, registry.active_version()) == (Decision.ACTIVATED, always.version)


@pytest.mark.parametrize("content", [None, "nonsense\n"])
def test_a_lost_pointer_is_no_new_registry(path, registry, listings, content):
    active = registry.active_version()
    (path / "ACTIVE").unlink()
    if content is not None:
        (path / "ACTIVE").write_text(content)
    for if_better in (True, False):
        with pytest.raises(ActivePointerLost) as caught:
            retraining(path, if_better=if_better).run(listings)
        assert caught.value.params["version"] == active
    assert versions(path) == [active]


def test_a_damaged_active_version_is_an_error_and_not_kept(path, registry, listings):
    active = registry.active_version()
    forest = path / active / "forest.npz"
    os.truncate(forest, 100)
    with pytest.raises(BadInputError) as caught:
        _run(retraining(path), listings)
    assert "Version" in caught.value.message
    assert "forest.npz has the digest" in caught.value.message
    assert "model-refused" not in caught.value.message
    assert "carprice models rollback" in caught.value.message
    assert (registry.active_version(), versions(path)) == (active, [active])
    always = retraining(path, if_better=False).run(listings)
    assert (always.decision, registry.active_version()) == (Decision.ACTIVATED, always.version)
    assert "cannot be loaded" in always.reason


def test_a_recalibration_does_not_stop_retraining(tmp_path, listings):
    path = tmp_path / "versions"
    registry = make_registry(path, level=0.15)
    base = registry.active_version()
    later = small_listings(900, seed=51, months=("2026-07", "2026-08", "2026-09", "2026-10"))
    table = pd.concat([listings, later]).reset_index(drop=True)
    table.loc[table[LISTING_DATE] == "2026-10", PRICE] *= 1.25
    recalibrated = recalibrated_version(path, base, table)
    again = recalibrated_version(path, recalibrated, small_listings(400, 52, ("2026-11",)))
    registry.activate(again, by="test")
    result = retraining(path).run(table)
    assert result.judged_months[1] == "2026-10"
    assert result.comparison is not None
    assert result.comparison.version_a == again
    # Recalibrated on the earlier months: it does not know that prices rose in the last one.
    assert result.comparison.a.bias == pytest.approx(100 * (1 / 1.25 - 1), abs=3)
    assert f"with the version before ({base})" in result.reason
    shutil.rmtree(path / base)
    alone = retraining(path, seed=2).run(table)
    assert (alone.decision, alone.comparison) == (Decision.KEPT, None)
    assert "recalibrated on listings until 2026-11" in alone.reason


def recalibrated_version(path, version, table):
    model = load_model(path, version)
    return save_recalibrated(model, recalibrate(model, table), path).id


def test_a_recalibration_on_sales_is_compared_as_it_serves(path, registry, listings):
    base = load_model(path, registry.active_version())
    same = recalibrate(base, listings)
    training = dict(base.version.training)
    version = save_recalibrated(base, dataclasses.replace(same, training=training), path).id
    registry.activate(version, by="test")
    rival = Rival.of(path, version)
    assert rival.base is rival.active
    assert not rival.note


def test_listings_at_another_level_activate_nothing_unasked(tmp_path, listings):
    path = tmp_path / "versions"
    registry = make_registry(path, level=0.6)
    active = registry.active_version()
    result = retraining(path).run(listings)
    assert (result.decision, registry.active_version()) == (Decision.KEPT, active)
    assert result.comparison.verdict == "better"
    assert re.search(r"ask 0\.5\d+ times", result.reason)
    assert "another currency or market" in result.reason


@pytest.mark.parametrize("r2_log", [0.1, 0.6])
def test_prices_that_do_not_follow_the_cars_make_no_version(
    path, registry, listings, monkeypatch, r2_log
):
    made = small_models.train
    metrics = {"r2_log": r2_log, "median_ape": 38.8}
    monkeypatch.setattr(
        small_models, "train", lambda **given: dataclasses.replace(made(**given), metrics=metrics)
    )
    active = registry.active_version()
    if r2_log > 0.5:
        assert retraining(path, if_better=False).run(listings).version != active
        return
    with pytest.raises(ListingsError, match="do not follow the cars"):
        retraining(path, if_better=False).run(listings)
    assert (registry.active_version(), versions(path)) == (active, [active])


def test_months_after_the_listings_of_a_restated_version_are_newer(tmp_path, listings):
    path = tmp_path / "versions"
    make_registry(path, data_as_of="2026-10", months=("2020-01", "2026-06"))
    result = retraining(path).run(listings)
    assert result.comparison is not None


def test_a_dry_run_changes_nothing(path, listings):
    before = sorted(each.name for each in path.iterdir())
    result = retraining(path, dry_run=True).run(listings)
    assert (result.decision, result.version, result.dry_run) == (Decision.ACTIVATED, None, True)
    after = {each.name for each in path.iterdir()} - {".retraining.lock"}
    assert sorted(after) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t[t[LISTING_DATE] < "2026-07"], "0 listings are newer"),
        (lambda t: t.assign(**{LISTING_DATE: None}), "no listing has a date"),
        (lambda t: t[t[LISTING_DATE] > "2026-09"], "no month divides"),
        (lambda t: t.assign(**{LISTING_DATE: "2093-01"}), "no listing has a date"),
    ],
)
def test_without_months_that_the_active_version_lacks_it_is_kept(path, listings, change, reason):
    result = retraining(path).run(change(listings).reset_index(drop=True))
    assert (result.decision, result.comparison) == (Decision.KEPT, None)
    assert reason in result.reason


def test_a_car_that_is_listed_often_is_one_car(path, listings):
    """Thirty cars of eight listings each were taken for 240, and decided which version serves."""
    new = listings[LISTING_DATE] > "2026-06"
    few = listings[new].drop_duplicates(["company", "model", "year", "km_driven"]).head(30)
    repeated = pd.concat([few.assign(price_mad=few["price_mad"] + 500 * at) for at in range(8)])
    table = pd.concat([listings[~new], repeated], ignore_index=True)
    result = retraining(path).run(table)
    assert (result.decision, result.comparison) == (Decision.KEPT, None)
    assert "240 listings of 30 cars are newer" in result.reason


def test_single_listings_of_later_months_do_not_stop_retraining(tmp_path, listings):
    path = tmp_path / "versions"
    make_registry(path, months=("2020-01", "2026-12"))
    assert retraining(path).run(listings).decision is Decision.ACTIVATED


def test_an_active_version_of_a_month_to_come_is_kept_and_the_reason_is_told(tmp_path, listings):
    path = tmp_path / "versions"
    registry = make_registry(path, data_as_of="2093-01")
    before = registry.active_version()
    result = retraining(path).run(listings)
    assert (result.decision, registry.active_version()) == (Decision.KEPT, before)
    assert "prices of 2093-01, a month to come" in result.reason
    always = retraining(path, if_better=False).run(listings)
    assert always.decision is Decision.ACTIVATED


def test_one_listing_of_a_later_month_does_not_lift_the_hold_after_a_roll_back(
    registry, path, listings
):
    before = registry.active_version()
    retraining(path).run(listings)
    registry.rollback(by=AUTOMATIC)
    wrong = listings.copy()
    wrong.loc[0, LISTING_DATE] = "2026-11"
    held_back = retraining(path, is_scheduled=True).run(wrong)
    assert (held_back.decision, registry.active_version()) == (Decision.KEPT, before)
    assert "was rolled back" in held_back.reason


@pytest.mark.parametrize("step", ["store", "note"])
def test_a_disk_error_is_told_with_the_folder_and_what_is_active(
    registry, path, listings, monkeypatch, step
):
    before = registry.active_version()

    def refuse(*given):
        if step == "store" or given[1].step is Step.ACTIVATED:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        retrain_module, "save_bundle" if step == "store" else "append_entry", refuse
    )
    with pytest.raises(BadInputError) as raised:
        _run(retraining(path), listings)
    now = registry.active_version()
    told = f"active version {before} is unchanged" if step == "store" else f"{now} is active now"
    assert (now == before) is (step == "store")
    assert f"cannot be stored in {path}: No space left on device; {told}" in str(raised.value)


def test_judged_cars_are_in_no_earlier_month(path, registry, listings):
    relisted = listings.assign(**{LISTING_DATE: "2026-10"})[:300]
    model = load_model(path, registry.active_version())
    split = split_by_time(pd.concat([listings, relisted], ignore_index=True), model)
    key = ["company", "model", "year", "km_driven"]
    earlier = set(map(tuple, split.training[key].to_numpy().tolist()))
    assert not earlier & set(map(tuple, split.judged[key].to_numpy().tolist()))
    with pytest.raises(NoFairComparison):
        split_by_time(listings[:100], model)


def test_a_version_that_was_rolled_back_is_not_activated_again_automatically(
    registry, path, listings
):
    first = registry.active_version()
    version = retraining(path).run(listings).version
    registry.rollback(by=AUTOMATIC)
    same = retraining(path, is_scheduled=True).run(listings)
    assert (same.decision, registry.active_version()) == (Decision.UNCHANGED, first)
    assert f"carprice models activate {version}" in same.reason
    others = listings[5:].reset_index(drop=True)
    held_back = retraining(path, is_scheduled=True).run(others)
    assert (held_back.decision, registry.active_version()) == (Decision.KEPT, first)
    assert "was rolled back" in held_back.reason
    later = others.assign(**{LISTING_DATE: others[LISTING_DATE].replace("2026-10", "2026-11")})
    assert retraining(path, is_scheduled=True).run(later).decision is Decision.ACTIVATED
    # A person who insists gets the version of the first listings, without another training.
    stored = versions(path)
    again = retraining(path, if_better=False).run(listings)
    assert (
        (registry.active_version(), versions(path)) == (again.version, stored) == (version, stored)
    )


def test_a_version_that_was_activated_meanwhile_is_not_replaced(
    registry, path, listings, monkeypatch
):
    other = retraining(path, if_better=False, name="other").run(listings).version
    registry.rollback(by="test")

    def save_while_somebody_activates(trained, folder, *more):
        version = save_bundle(trained, folder, *more)
        registry.activate(other, by="operator")
        return version

    monkeypatch.setattr(retrain_module, "save_bundle", save_while_somebody_activates)
    result = retraining(path, seed=2).run(listings)
    assert (result.decision, registry.active_version()) == (Decision.KEPT, other)
    assert "activated meanwhile" in result.reason


def test_two_retrainings_at_once_are_refused(path, listings):
    with retraining_lock(path), pytest.raises(RetrainingRuns):
        retraining(path).run(listings)


def killed_while(path, listings, patch, *, storing):
    """Run a retraining in a child that is killed while it stores or before it activates."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def save(trained, folder, more):
        return save_bundle(trained, folder, kill if storing else more)

    patch.setattr(retrain_module, "save_bundle", save)
    patch.setattr(ModelRegistry, "activate", kill)
    try:
        retraining(path).run(listings)
    finally:
        os._exit(1)


@pytest.mark.parametrize("storing", [True, False])
def test_a_killed_retraining_leaves_the_active_version_and_no_half_version(
    registry, path, listings, monkeypatch, storing
):
    before = registry.active_version()
    assert killed_while(path, listings, monkeypatch, storing=storing) == -signal.SIGKILL
    assert registry.active_version() == before
    for version in registry.list():
        registry.check(version.id)
    assert len(registry.list()) == len(versions(path)) == (1 if storing else 2)
    stored = versions(path)
    result = retraining(path).run(listings)
    assert (result.decision, registry.active_version()) == (Decision.ACTIVATED, result.version)
    assert storing or versions(path) == stored, "the version that was stored is activated"
    for folder in path.glob(".new-*"):
        os.utime(folder, (0, 0))
    retraining(path).run(listings)
    assert not list(path.glob(".new-*")), "what a killed writer left is removed after a day"


def test_a_stored_version_is_compared_again_if_another_one_was_activated_since(
    registry, path, listings, monkeypatch
):
    other = retraining(path, if_better=False, name="other", seed=3).run(listings[:1400]).version
    registry.rollback(by="test")
    with monkeypatch.context() as patch:
        assert killed_while(path, listings, patch, storing=False) == -signal.SIGKILL
    registry.activate(other, by="operator")
    result = retraining(path).run(listings)
    assert (result.decision, registry.active_version()) == (Decision.KEPT, other)


SCRIPT = """
import sys
from pathlib import Path
from tests.unit.model_store.small_retraining import retraining, small_listings
print(retraining(Path(sys.argv[1])).run(small_listings()).decision)
"""


@pytest.mark.skipif(unshare_command() is None, reason=NO_NAMESPACES)
def test_a_disk_that_becomes_full_leaves_the_active_version(too_dear, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = sum(file.stat().st_size for file in too_dear.rglob("*") if file.is_file())
    versions_path, ballast = disk / "versions", disk / "ballast"
    shell = (
        f'cp -r "{too_dear}" "{versions_path}"; cat /dev/zero > "{ballast}" 2>&-'
        f'; truncate -s -{size // 2} "{ballast}"; "$@"; echo "code $?"'
        f'; find "{versions_path}" -maxdepth 1; cat "{versions_path}/ACTIVE"'
    )
    answer = subprocess.run(
        [
            *mounting(disk, 4 + size // 1_000_000),
            *("sh", "-c", shell, "sh", sys.executable, "-c", SCRIPT, str(versions_path)),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    active = ModelRegistry(too_dear).active_version()
    assert answer.stdout.splitlines()[-1] == active
    assert answer.stdout.count("/20") == 1, "no other version"
    assert "/.new-" not in answer.stdout


def test_the_command_trains_on_all_files_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELS_PATH", str(tmp_path / "versions"))
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    folder = tmp_path / "listings"
    folder.mkdir()
    drawn = generate(ReferenceMarket.load(), 300, seed=5)
    drawn[:150].to_csv(folder / "a.csv", index=False)
    drawn[100:].to_csv(folder / "b.csv", index=False)
    answer = CliRunner().invoke(main, ["retrain", "--data", str(folder), "--if-better", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert (found["decision"], found["reason"]) == ("activated", "no version was active")
    assert found["rows"] <= 300, "what two files have counts once"
    version = ModelRegistry(tmp_path / "versions").active()
    assert version.id == found["version"]
    assert read_profile(tmp_path / "versions", version.id).rows == version.training["rows"]
    again = CliRunner().invoke(main, ["retrain", "--data", str(folder)])
    assert "nothing to do" in again.output


def test_the_command_refuses_a_folder_without_listings(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELS_PATH", str(tmp_path / "versions"))
    for folder in (tmp_path / "missing", tmp_path):
        answer = CliRunner().invoke(main, ["retrain", "--data", str(folder), "--if-better"])
        assert answer.exit_code == 2
        assert str(folder) in answer.output


def test_the_pointer_moves_once_and_the_history_says_who(registry, path, listings):
    retraining(path, by=AUTOMATIC).run(listings)
    change = registry.history()[-1]
    assert (change.action, change.by) == (Action.ACTIVATE, AUTOMATIC)
    lines = [json.loads(line) for line in (path / JOURNAL_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == ["trained", "activated"]
    assert np.all([line["version"] == registry.active_version() for line in lines])
